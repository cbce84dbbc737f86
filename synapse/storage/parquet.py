"""Rows as a Parquet file, for programs that work on columns. Needs pyarrow, an extra."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from synapse.core.errors import StorageError
from synapse.storage.interchange import FIELDS, Row
from synapse.storage.proof import Proof

ROWS_A_GROUP: Final = 10_000  # some 10 MB: what is held in memory while a group is made
ROWS_AT_ONCE: Final = 256  # of those that are read
_PROOF: Final = "synapse.proof"


class Parquet:
    """Files of Parquet. Bytes are binary, the proof is metadata of the file."""

    def __init__(self) -> None:
        """Raises StorageError when pyarrow is not installed."""
        try:
            self._arrow: Any = importlib.import_module("pyarrow")
            self._parquet: Any = importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise StorageError(
                "Parquet needs pyarrow, which is not installed: "
                "pip install 'synapse-spore[parquet]', or name a file that ends in .jsonl"
            ) from None

    def write(self, path: Path, rows: Iterable[Row], ending: Callable[[], Proof]) -> None:
        """One row group after another."""
        schema = self._schema()
        rows = iter(rows)
        with self._parquet.ParquetWriter(path, schema, compression="zstd") as writer:
            while group := list(islice(rows, ROWS_A_GROUP)):
                writer.write_table(self._arrow.Table.from_pylist(group, schema=schema))
            writer.add_key_value_metadata({_PROOF: json.dumps(ending().as_dict())})

    def read(self, path: Path) -> Iterator[Row | Proof | None]:
        """Every row, then the proof."""
        try:
            with self._parquet.ParquetFile(path) as file:
                columns = [name for name in FIELDS if name in file.schema_arrow.names]
                for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
                    yield from batch.to_pylist()
                said = (file.metadata.metadata or {}).get(_PROOF.encode())
        except self._arrow.ArrowException as error:
            raise StorageError(f"{path} is no Parquet file that can be read: {error}") from None
        try:
            yield Proof(**json.loads(said)) if said is not None else None
        except (ValueError, TypeError):
            yield None

    def _schema(self) -> Any:
        arrow = self._arrow
        types = {
            "private": arrow.bool_(),
            "kind": arrow.string(),
            "created_ms": arrow.int64(),
            "text": arrow.string(),
            "tags": arrow.list_(arrow.string()),
        }
        return arrow.schema([(name, types.get(name, arrow.binary())) for name in FIELDS])
