"""The ledger of calls to models: one JSON object a line, in a file that only grows.

When the file is full it is put aside, in place of the one before it, and the new file begins with
the totals of everything so far: the latest rows can be read back and nothing is ever uncounted,
while the disk holds two files at most. The last line may be torn by a crash; it is dropped, and
damaged lines are skipped, since no promise of a spore's rests on a row here.
"""

from __future__ import annotations

import errno
import json
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

from synapse.core.errors import StorageError
from synapse.ports import Attempt, AttemptTotals
from synapse.storage.sqlite_file import translated

FILE_BYTES_MAX: Final = 4 << 20  # 10,000 calls of 400 bytes: some weeks of a busy spore
RECENT_MAX: Final = 1_000  # attempts kept in memory, about 0.5 MB
TARGETS_MAX: Final = 1_000  # in the totals; a spore has at most a hundred at a time

_PYTHON: Final[Mapping[str, type | tuple[type, ...]]] = {  # of the types that a row is made of
    "str": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
    "int | None": (int, type(None)),
    "float | None": (int, float, type(None)),
    "Mapping[str, int]": dict,
}

_Row = TypeVar("_Row", Attempt, AttemptTotals)


class MemoryAttemptLog:
    """A ledger without a disk: for tests, and what a file is read into."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._recent: deque[Attempt] = deque(maxlen=RECENT_MAX)
        self._totals: dict[str, AttemptTotals] = {}

    def append(self, attempt: Attempt) -> None:
        """Keep one more."""
        with self._lock:
            self._take(attempt)

    def recent(self, limit: int) -> list[Attempt]:
        """The latest attempts, latest first."""
        with self._lock:
            return [*reversed(self._recent)][:limit]

    def totals(self) -> Mapping[str, AttemptTotals]:
        """Everything ever appended, added up for each target."""
        with self._lock:
            return dict(self._totals)

    def close(self) -> None:
        """Nothing to let go of."""

    def _take(self, attempt: Attempt) -> None:
        self._recent.append(attempt)
        before = self._totals.get(attempt.target)
        if before is not None or len(self._totals) < TARGETS_MAX:
            self._totals[attempt.target] = _added(before or AttemptTotals(), attempt)


class FileAttemptLog(MemoryAttemptLog):
    """A ledger in a file. One process writes it; its threads take turns."""

    def __init__(self, path: Path, *, bytes_max: int = FILE_BYTES_MAX) -> None:
        """Open the file, or make it, and read what it holds. Raises StorageError, StorageFull."""
        super().__init__()
        self._path = path
        self._aside = path.with_name(f"{path.name}.1")
        self._bytes_max = bytes_max
        with translated(path):
            self._read(self._aside)
            whole_bytes = self._read(path)
            self._descriptor: int | None = self._opened(path)
            os.ftruncate(self._descriptor, whole_bytes)  # the next row starts on a line of its own
            self._bytes = whole_bytes
            if not whole_bytes and self._totals:  # a crash while the file was being put aside
                self._write(self._descriptor, self._heading())

    def append(self, attempt: Attempt) -> None:
        """Keep one more. Raises StorageError, StorageFull; then it is not kept."""
        with self._lock, translated(self._path):
            if self._descriptor is None:
                raise StorageError(f"{self._path} is closed; what it should keep comes too late")
            if self._bytes >= self._bytes_max:
                self._descriptor = self._begun_anew(self._descriptor)
            self._write(self._descriptor, _line(asdict(attempt)))
            self._take(attempt)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is not None:
                os.close(descriptor)

    def _begun_anew(self, full: int) -> int:
        """Put the full file aside and begin the next with the totals. A crash between the two
        leaves no file, and the next start begins one."""
        os.replace(self._path, self._aside)
        os.close(full)
        descriptor = self._opened(self._path)
        self._bytes = 0
        self._write(descriptor, self._heading())
        return descriptor

    def _opened(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _write(self, descriptor: int, line: bytes) -> None:
        """Append a line whole or not at all."""
        if os.write(descriptor, line) < len(line):
            os.ftruncate(descriptor, self._bytes)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._bytes += len(line)

    def _heading(self) -> bytes:
        return _line({"totals": {name: asdict(one) for name, one in self._totals.items()}})

    def _read(self, path: Path) -> int:
        """Take in a file; how many bytes of it are whole lines."""
        if not path.exists():
            return 0
        whole, newline, _torn = path.read_bytes().rpartition(b"\n")
        for line in whole.split(b"\n"):
            self._take_line(line)
        return len(whole) + len(newline)

    def _take_line(self, line: bytes) -> None:
        try:
            document = json.loads(line)
            if "totals" in document:  # all that was taken so far is counted in them
                found = {
                    str(k): _checked(AttemptTotals(**v)) for k, v in document["totals"].items()
                }
                self._totals = found
            else:
                self._take(_checked(Attempt(**document)))
        except (ValueError, TypeError, AttributeError, RecursionError):
            return  # damaged


def _added(totals: AttemptTotals, attempt: Attempt) -> AttemptTotals:
    replied = attempt.outcome == "ok"
    failures = dict(totals.failures)
    if not replied:
        failures[attempt.outcome] = failures.get(attempt.outcome, 0) + 1
    return replace(
        totals,
        calls=totals.calls + 1,
        replies=totals.replies + replied,
        failures=failures,
        took_ms=totals.took_ms + attempt.took_ms,
        tokens_in=totals.tokens_in + attempt.tokens_in,
        tokens_out=totals.tokens_out + attempt.tokens_out,
        tokens_reasoning=totals.tokens_reasoning + attempt.tokens_reasoning,
        cost_usd=totals.cost_usd + (attempt.cost_usd or 0.0),
        cost_unknown=totals.cost_unknown + (replied and attempt.cost_usd is None),
    )


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _checked(row: _Row) -> _Row:
    """The row, if every field holds what it should. Raises TypeError."""
    for field in fields(row):
        if not isinstance(getattr(row, field.name), _PYTHON[str(field.type)]):
            raise TypeError(field.name)
    return row
