"""Rows as JSON Lines: one object a line, bytes in base64, ids and keys in hexadecimal."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from synapse.storage.interchange import Row
from synapse.storage.proof import Proof

LINE_BYTES_MAX: Final = 1 << 20  # a body of 64 KiB in base64, and its text with every byte escaped
_HEXADECIMAL: Final = ("id", "operator", "author")
_BASE64: Final = ("header", "signature", "body")


@dataclass(frozen=True, slots=True)
class JsonLines:
    """Files of JSON Lines; fields that are None are left out."""

    def write(self, path: Path, rows: Iterable[Row], ending: Callable[[], Proof]) -> None:
        """One line a row, and one for the proof."""
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                file.write(_line({name: _out(name, value) for name, value in row.items()}))
            file.write(_line({"proof": ending().as_dict()}))

    def read(self, path: Path) -> Iterator[Row | Proof | None]:
        """Each line as a row, a proof, or nothing that makes sense."""
        with path.open("rb") as file:
            while line := file.readline(LINE_BYTES_MAX):
                if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
                    while line and not line.endswith(b"\n"):
                        line = file.readline(LINE_BYTES_MAX)
                    yield None
                else:
                    yield _read(line)


def _line(fields: dict[str, Any]) -> str:
    present = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(present, ensure_ascii=False, separators=(",", ":")) + "\n"


def _out(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex() if name in _HEXADECIMAL else b64encode(value).decode()
    return value


def _read(line: bytes) -> Row | Proof | None:
    try:
        fields = json.loads(line)
        if not isinstance(fields, dict):
            return None
        if "proof" in fields:
            return Proof(**fields["proof"])
        for name in _HEXADECIMAL:
            if name in fields:
                fields[name] = bytes.fromhex(fields[name])
        for name in _BASE64:
            if name in fields:
                fields[name] = b64decode(fields[name], validate=True)
        return fields
    except (ValueError, TypeError, RecursionError):
        return None
