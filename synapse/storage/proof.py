"""A log file as those see it who do not own it, and what proves that two of them hold the same.

Looking needs no lock: a spore may be running on the file.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from synapse.core.errors import RecordError, StorageError
from synapse.core.memory.id_index import FINGERPRINT_BYTES, fingerprint
from synapse.core.memory.memory import PrivateMemory
from synapse.core.memory.record import Header, Record
from synapse.storage.rows import DamagedError, Row, to_private, to_record
from synapse.storage.sqlite_file import check_schema, open_observer, translated

PAGE_ROWS: Final = 256  # of one query: 16 MiB of bodies at most

_RECORDS: Final = """
SELECT position, id, header, signature, signature_sum, body, packed FROM records
WHERE position > ? ORDER BY position LIMIT ?
"""
_OF_KIND: Final = """
SELECT position, id, header, signature, signature_sum, body, packed FROM records
WHERE position > ? AND kind = ? ORDER BY position LIMIT ?
"""
_PRIVATE: Final = """
SELECT position, id, created_ms, body FROM private_memories
WHERE position > ? AND body IS NOT NULL ORDER BY position LIMIT ?
"""

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Equal for two files that hold the same: the fingerprint is the one spores compare, which
    covers every header, and so every body that is there."""

    fingerprint: str
    records: int
    bodies: int
    private_memories: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(slots=True)
class Tally:
    """A proof in the making. Takes things in any order."""

    sums: dict[bytes, tuple[int, int]] = field(default_factory=dict)  # and counts, by operator
    bodies: int = 0
    private_memories: int = 0

    def add(self, thing: Record | PrivateMemory) -> None:
        """Count a record or a private memory that has its text."""
        if isinstance(thing, PrivateMemory):
            self.private_memories += 1
            return
        total, count = self.sums.get(thing.header.operator, (0, 0))
        self.sums[thing.header.operator] = (total + int.from_bytes(thing.id, "big"), count + 1)
        self.bodies += thing.body is not None

    def proof(self) -> Proof:
        """Of everything so far."""
        digest = hashlib.sha256()
        for operator, (total, count) in sorted(self.sums.items()):
            digest.update(operator + fingerprint(total, count))
        return Proof(
            fingerprint=digest.digest()[:FINGERPRINT_BYTES].hex(),
            records=sum(count for _, count in self.sums.values()),
            bodies=self.bodies,
            private_memories=self.private_memories,
        )


@dataclass(frozen=True, slots=True)
class Flaw:
    """A row that is not what was written."""

    position: int
    id: str  # hexadecimal, as far as the row still says
    private: bool
    problem: str


class LogView:
    """A log file at one moment. Made by `looking_at`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        row = connection.execute("SELECT lineage, records, private_memories FROM log").fetchone()
        self.lineage: bytes = row[0]
        self.records: int = row[1]
        self.private_memories: int = row[2]  # erased ones included
        [self.set_aside] = connection.execute("SELECT count(*) FROM damaged").fetchone()

    def record_rows(self, *, after: int = 0) -> Iterator[Row]:
        """(position, *columns of `to_record`) of every record, in the order of arrival."""
        return self._paged(_RECORDS, after)

    def rows_of_kind(self, kind: str) -> Iterator[Row]:
        """The same of one kind."""
        return self._paged(_OF_KIND, 0, kind)

    def private_rows(self, *, after: int = 0) -> Iterator[Row]:
        """(position, *columns of `to_private`) of every private memory that has its text."""
        return self._paged(_PRIVATE, after)

    def things(self, flaws: list[Flaw]) -> Iterator[Record | PrivateMemory]:
        """Everything, its hashes checked but no signature; what is damaged goes to `flaws`."""
        for row in self.record_rows():
            yield from intact(row, flaws)
        for row in self.private_rows():
            yield from intact(row, flaws, private=True)

    def _paged(self, query: str, after: int, *arguments: object) -> Iterator[Row]:
        while True:
            rows = self.connection.execute(query, (after, *arguments, PAGE_ROWS)).fetchall()
            yield from rows
            if len(rows) < PAGE_ROWS:
                return
            after = rows[-1][0]


@contextmanager
def looking_at(path: Path, *, still: bool = True) -> Iterator[LogView]:
    """The log in this file. While it is held `still` it is as it was at the first look, and what is
    written meanwhile stays in the write-ahead log, which grows. Raises StorageError."""
    if not path.exists():
        raise StorageError(f"there is no log at {path}")
    with translated(path), closing(open_observer(path)) as connection:
        check_schema(path, connection, newest=True)
        if still:
            connection.execute("BEGIN")  # the first query fixes the moment
        yield LogView(connection)


def intact(
    row: Row, flaws: list[Flaw], *, private: bool = False
) -> Iterator[Record | PrivateMemory]:
    """What a row holds; nothing, and a flaw more, when it is damaged."""
    position, *columns = row
    try:
        thing = to_private(columns) if private else to_record(columns)
        if isinstance(thing, Record):
            Header.decode(thing.header_data)  # the file may be from elsewhere
    except (DamagedError, RecordError) as error:
        shown = columns[0].hex() if isinstance(columns[0], bytes) else ""
        flaws.append(Flaw(position, shown, private, str(error)))
    else:
        yield thing


def prove(view: LogView, flaws: list[Flaw], progress: Progress) -> Proof:
    """Read everything and say what it comes to."""
    tally, total = Tally(), view.records + view.private_memories
    for number, thing in enumerate(view.things(flaws), start=1):
        tally.add(thing)
        if number % PAGE_ROWS == 0:
            progress(number, total)
    progress(total, total)
    return tally.proof()
