"""What is held, beside the log: so that a start reads a few bytes a record and no record.

A snapshot is derived and never believed over the log. It says which log it belongs to, up to which
position, and carries the digest of all its bytes; when any of that is wrong it is no snapshot, and
the log is read instead. The keys of the index stay in the file, which is mapped, and count as
memory only while the system has some to spare.

    magic (8) | SHA-256 of what follows (32) | length of the description (8) | description | keys
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, Final

from synapse.core.memory.id_index import KEY_BYTES, Block, Blocks
from synapse.core.memory.record_set import Held
from synapse.storage.rows import DamagedError

MAGIC: Final = b"synview1"  # the last character is the version of the format
_DIGEST_BYTES: Final = 32
_LENGTH_BYTES: Final = 8
_START: Final = len(MAGIC) + _DIGEST_BYTES
READ_BYTES: Final = 1 << 20  # at a time, for the digest


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was held when the log of this lineage ended at `position`, with this id there."""

    lineage: bytes
    position: int
    last_id: bytes
    held: Held
    mapped: mmap.mmap | None = field(default=None, compare=False)  # where its keys lie, if read

    def release(self) -> None:
        """Let go of the pages of the file that were looked at. They count as memory in use, though
        the system would take them back; whoever looks again reads them again."""
        if self.mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.mapped.madvise(mmap.MADV_DONTNEED)


def write(path: Path, snapshot: Snapshot) -> None:
    """Put a snapshot in place of the one before, wholly or not at all. Raises OSError."""
    description = json.dumps(_described(snapshot), separators=(",", ":")).encode()
    length = len(description).to_bytes(_LENGTH_BYTES, "big")
    keys = chain.from_iterable(blocks.keys for blocks in snapshot.held.indexes.values())
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(MAGIC + bytes(_DIGEST_BYTES))
            digest = hashlib.sha256()
            for part in _written(file, chain((length, description), keys)):
                digest.update(part)
            file.seek(len(MAGIC))
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:
        with suppress(OSError):
            partial.unlink()  # a full disk needs the room
        raise


def read(path: Path) -> Snapshot | None:
    """The snapshot in this file; None when there is no file. Raises DamagedError, OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        begin = file.read(_START)
        if len(begin) < _START or size < _START + _LENGTH_BYTES or begin[: len(MAGIC)] != MAGIC:
            raise DamagedError("it does not begin as a snapshot does")
        digest = hashlib.sha256()
        while part := file.read(READ_BYTES):  # not through the map: that would fill our memory
            digest.update(part)
        if digest.digest() != begin[len(MAGIC) :]:
            raise DamagedError("its digest is not the one of its bytes")
        mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    after_length = _START + _LENGTH_BYTES
    start = after_length + int.from_bytes(mapped[_START:after_length], "big")
    return _snapshot(json.loads(mapped[after_length:start]), mapped, start)


def _written(file: Any, parts: Iterable[Block]) -> Iterator[Block]:
    for part in parts:
        file.write(part)
        yield part


def _described(snapshot: Snapshot) -> dict[str, Any]:
    held = snapshot.held
    return {
        "lineage": snapshot.lineage.hex(),
        "position": snapshot.position,
        "last_id": snapshot.last_id.hex(),
        "counts_by_kind": dict(held.counts_by_kind),
        "reached": dict(held.reached),
        "ahead": {log: list(numbers) for log, numbers in held.ahead.items()},
        "equivocations": {writer.hex(): count for writer, count in held.equivocations.items()},
        "indexes": [
            {
                "operator": operator.hex(),
                "lengths": [len(block) for block in blocks.keys],
                "sums": [f"{total:x}" for total in blocks.sums],
            }
            for operator, blocks in held.indexes.items()
        ],
    }


def _snapshot(description: dict[str, Any], mapped: mmap.mmap, begin: int) -> Snapshot:
    """What the description says, with the keys that follow it."""
    keys = memoryview(mapped)[begin:]
    indexes: dict[bytes, Blocks] = {}
    start = 0
    for one in description["indexes"]:
        ends = list(accumulate(one["lengths"], initial=start))
        blocks = [keys[begin:end] for begin, end in pairwise(ends)]
        sums = [int(total, 16) for total in one["sums"]]
        indexes[bytes.fromhex(one["operator"])] = Blocks(blocks, sums)
        start = ends[-1]
    assert start == len(keys) and start % KEY_BYTES == 0, "the digest was right"
    return Snapshot(
        lineage=bytes.fromhex(description["lineage"]),
        position=description["position"],
        last_id=bytes.fromhex(description["last_id"]),
        held=Held(
            indexes=indexes,
            counts_by_kind=description["counts_by_kind"],
            reached=description["reached"],
            ahead=description["ahead"],
            equivocations={
                bytes.fromhex(writer): count
                for writer, count in description["equivocations"].items()
            },
        ),
        mapped=mapped,
    )
