"""The log in one SQLite file, for as many records as the disk holds.

`stage` keeps things in memory, where reads look before they look at the disk; `commit` writes them,
in another thread if the caller likes, and forgets them only when they are durable. Because every
read asks memory first and the disk second, nothing that a commit moves from one to the other can be
missed on the way.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from synapse.core.errors import StorageError
from synapse.core.memory.memory import Memory, PrivateMemory, from_private, from_record
from synapse.core.memory.record import MEMORY, Record
from synapse.storage.layer import Batch, Layer
from synapse.storage.rows import Row, RowWriter, to_private, to_record
from synapse.storage.sqlite_file import (
    empty_write_ahead_log,
    open_reader,
    open_writer,
    own,
    translated,
)

PAGE_ROWS: Final = 256  # of one query: 16 MiB of bodies at most, and no long transaction
IDS_PER_QUERY: Final = 500  # SQLite builds before 3.32 take 999 parameters

_NEWEST = """
SELECT max((SELECT ifnull(max(position), 0) FROM records),
           (SELECT ifnull(max(position), 0) FROM private_memories)),
       (SELECT count(*) FROM records),
       (SELECT count(*) FROM private_memories)
"""
_INSERT_RECORD = """
INSERT INTO records (position, id, kind, hlc_ms, header, signature, body, packed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
_INSERT_PRIVATE = """
INSERT INTO private_memories (position, id, created_ms, body)
VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
_ERASE = (
    "UPDATE records SET body = NULL WHERE id = ?",
    "UPDATE private_memories SET body = NULL WHERE id = ?",
)
_SCAN = """
SELECT position, id, header, signature, {body}, packed FROM records
WHERE position > :after AND position <= :base ORDER BY position LIMIT :limit
"""
_SHARED = "SELECT position, id, body, header, signature, packed, NULL FROM records"
_PRIVATE = "SELECT position, id, body, NULL, NULL, NULL, created_ms FROM private_memories"
_MEMORY = f"{_SHARED} WHERE id = :id UNION ALL {_PRIVATE} WHERE id = :id"
_MEMORIES = f"""
{_SHARED} WHERE kind = :kind AND position > :after AND position <= :base
UNION ALL
{_PRIVATE} WHERE position > :after AND position <= :base
ORDER BY position LIMIT :limit
"""
_LATEST = """
SELECT position, id, header, signature, body, packed FROM records
WHERE kind = :kind AND position < :below ORDER BY position DESC LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class _Page:
    """Some rows from the disk, their ids that are erased by now, and on the last page what follows
    them in memory."""

    rows: list[Row]
    erased: frozenset[bytes]
    tail: Layer


class SqliteLog:
    """A `RecordLog` in the file at `path`, which belongs to this object until it is closed.

    Any thread may read. Errors are StorageError, and StorageFull when there is no room.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it and its folder. A file that is not ours is left as it is."""
        self._path = path
        self._writing = threading.Lock()  # one commit at a time
        self._lock = threading.Lock()  # over all that follows; never held during input or output
        self._batches: list[Batch] = []
        self._idle_readers: list[sqlite3.Connection] = []
        self._closed = False
        with translated(path), ExitStack() as opened:
            opened.callback(os.close, own(path))
            self._writer = opened.enter_context(closing(open_writer(path)))
            last, self._records, self._private = self._writer.execute(_NEWEST).fetchone()
            self._pending = Layer.after(last)
            self._files = opened.pop_all()

    def stage(
        self,
        records: Sequence[Record],
        *,
        private: Sequence[PrivateMemory] = (),
        erased: Sequence[bytes] = (),
    ) -> None:
        """Take in records whose ids are not in the log yet. Does not touch the disk."""
        with self._lock:
            self._batches.append(self._pending.stage(records, private, erased))

    def commit(self) -> None:
        """Make everything staged durable, in one transaction. On an error it all stays staged;
        what is staged meanwhile belongs to the next commit."""
        with self._writing, translated(self._path):
            with self._lock:
                batches = tuple(self._batches)
            if not batches:
                return
            records, private = self._write(batches)
            with self._lock:
                self._records += records
                self._private += private
                del self._batches[: len(batches)]
                self._pending = Layer.after(batches[-1].last)
                for batch in self._batches:
                    self._pending.apply(batch)
            if any(batch.erased for batch in batches):
                empty_write_ahead_log(self._writer)

    def read(self, ids: Sequence[bytes]) -> list[Record]:
        """The records with these ids, in this order; unknown ones are left out."""
        with self._lock:
            known = self._pending.records
            found = {wanted: known[wanted][1] for wanted in ids if wanted in known}
            erased = frozenset(self._pending.erased.intersection(ids))
        missing = [wanted for wanted in ids if wanted not in found]
        for start in range(0, len(missing), IDS_PER_QUERY):
            some = missing[start : start + IDS_PER_QUERY]
            for row in self._query(
                "SELECT id, header, signature, body, packed FROM records "
                f"WHERE id IN ({', '.join('?' * len(some))})",
                some,
            ):
                found[row[0]] = self._record(row, erased)
        return [found[wanted] for wanted in ids if wanted in found]

    def scan(self, *, bodies_of: Iterable[str] | None = None) -> Iterator[Record]:
        """Every record in the order of arrival. With `bodies_of`, only these kinds keep bodies,
        and the others' are not even read."""
        kinds = None if bodies_of is None else tuple(bodies_of)
        names = {f"kind{number}": kind for number, kind in enumerate(kinds or ())}
        wanted = ", ".join(f":{name}" for name in names)
        body = "body" if kinds is None else f"CASE WHEN kind IN ({wanted}) THEN body END"
        for page in self._pages(_SCAN.format(body=body), **names):
            for _, *columns in page.rows:
                yield self._record(columns, page.erased)
            for _, record in page.tail.records.values():
                yield record if kinds is None or record.kind in kinds else record.without_body()

    def latest(
        self, kind: str, *, limit: int, before: int | None = None
    ) -> list[tuple[int, Record]]:
        """The newest arrivals of one kind, newest first, each with its position in the log."""
        with self._lock:
            newest = self._pending.latest(kind, limit=limit, before=before)
            erased = frozenset(self._pending.erased)
            beneath = self._pending.base + 1
        below = beneath if before is None else min(before, beneath)
        older = self._query(_LATEST, {"kind": kind, "below": below, "limit": limit - len(newest)})
        for position, *columns in older:
            newest.append((position, self._record(columns, erased)))
        return newest

    def memories(self) -> Iterator[Memory]:
        """Every memory that has a body, shared and private, in the order of arrival."""
        for page in self._pages(_MEMORIES, kind=MEMORY):
            for row in page.rows:
                memory = self._memory(row, page.erased)
                if memory:
                    yield memory
            yield from page.tail.memories()

    def memory(self, memory_id: bytes) -> Memory | None:
        """One memory, shared or private."""
        with self._lock:
            if memory_id in self._pending:
                return self._pending.memory(memory_id)
        for row in self._query(_MEMORY, {"id": memory_id}):
            return self._memory(row, erased=frozenset())
        return None

    def counts(self) -> tuple[int, int]:
        """How many records, and how many private memories, erased ones included."""
        with self._lock:
            pending = self._pending
            return self._records + len(pending.records), self._private + len(pending.private)

    def close(self) -> None:
        """Commit and let go of the files, even when the commit fails."""
        try:
            self.commit()
        finally:
            with self._lock:
                self._closed = True
            with self._writing:
                while self._idle_readers:
                    self._idle_readers.pop().close()
                self._files.close()

    def _write(self, batches: Sequence[Batch]) -> tuple[int, int]:
        """Write these in one transaction. Returns how many records and private memories are new."""
        rows = RowWriter()
        records = private = 0
        with self._writer as connection:  # commits, or rolls back after any error
            connection.execute("BEGIN IMMEDIATE")
            for batch in batches:
                records += connection.executemany(
                    _INSERT_RECORD, (rows.record(*placed) for placed in batch.records)
                ).rowcount
                private += connection.executemany(
                    _INSERT_PRIVATE, (rows.private(*placed) for placed in batch.private)
                ).rowcount
                for erase in _ERASE:
                    connection.executemany(erase, ((erased,) for erased in batch.erased))
        return records, private

    def _pages(self, query: str, **arguments: str) -> Iterator[_Page]:
        """The answers to a query over positions, up to the newest. The last page has the tail.

        No transaction stays open from one page to the next, however slowly they are taken: it
        would keep the write-ahead log from being emptied.
        """
        after = 0
        while True:
            with self._lock:
                pending = self._pending.copy()
            bounds = {"after": after, "base": pending.base, "limit": PAGE_ROWS}
            rows = self._query(query, {**bounds, **arguments})
            last = len(rows) < PAGE_ROWS
            tail = pending if last else Layer.after(pending.base)
            yield _Page(rows, frozenset(pending.erased), tail)
            if last:
                return
            after = rows[-1][0]

    def _query(self, query: str, arguments: Mapping[str, Any] | Sequence[bytes]) -> list[Row]:
        with translated(self._path):
            reader = self._take_reader()
            try:
                return reader.execute(query, arguments).fetchall()
            finally:
                self._give_back(reader)

    def _take_reader(self) -> sqlite3.Connection:
        """A connection for this thread alone, from those at rest or a new one."""
        with self._lock:
            if self._closed:
                raise StorageError(f"{self._path} is closed: this spore is shutting down")
            if self._idle_readers:
                return self._idle_readers.pop()
        return open_reader(self._path)

    def _give_back(self, reader: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle_readers.append(reader)
                return
        reader.close()

    def _record(self, columns: Sequence[Any], erased: frozenset[bytes]) -> Record:
        with translated(self._path):
            record = to_record(columns)
        return record.without_body() if record.id in erased else record

    def _memory(self, row: Row, erased: frozenset[bytes]) -> Memory | None:
        _, memory_id, body, header, signature, packed, created_ms = row
        if body is None or memory_id in erased:
            return None
        with translated(self._path):
            if header is None:
                return from_private(to_private((memory_id, created_ms, body)))
            return from_record(to_record((memory_id, header, signature, body, packed)))
