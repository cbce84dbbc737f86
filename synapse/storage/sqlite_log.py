"""The log in one SQLite file, for as many records as the disk holds.

`stage` keeps things in memory, where reads look before they look at the disk; `commit` writes them,
in another thread if the caller likes, and forgets them only when they are durable. Because every
read asks memory first and the disk second, nothing that a commit moves from one to the other can be
missed on the way.

A row that is not what was written is left out of what is read, reported, and moved into a table of
its own by the next commit: then the log lacks the record, and peers can bring it again.
"""

from __future__ import annotations

import heapq
import os
import sqlite3
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from synapse.core.errors import StorageError
from synapse.core.memory.memory import Memory, PrivateMemory, from_private, from_record
from synapse.core.memory.record import MEMORY, Record
from synapse.storage import queries
from synapse.storage.damage import Damage, describe, set_aside
from synapse.storage.layer import Batch, Layer, a_page
from synapse.storage.rows import (
    DamagedError,
    Row,
    RowWriter,
    to_memory,
    to_private,
    to_record,
)
from synapse.storage.sqlite_file import (
    WRITER_CACHE_KIB,
    empty_write_ahead_log,
    open_reader,
    open_writer,
    own,
    translated,
)

PAGE_ROWS: Final = 256  # of one query: 16 MiB of bodies at most, and no long transaction
KEYS_PER_QUERY: Final = 500  # SQLite builds before 3.32 take 999 parameters
IDLE_READERS_MAX: Final = 8  # connections kept open, which share what they may cache

_log = structlog.get_logger(__name__)


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

    def __init__(self, path: Path, *, cache_kib: int = WRITER_CACHE_KIB) -> None:
        """Open the file, or make it and its folder. A file that is not ours is left as it is.

        `cache_kib` is what the connection that writes may cache; all that read, as much together.
        """
        self.path = path
        self._reader_cache_kib = cache_kib // IDLE_READERS_MAX
        self._writing = threading.Lock()  # one commit at a time
        self._lock = threading.Lock()  # over all that follows; never held during input or output
        self._batches: list[Batch] = []
        self._idle_readers: list[sqlite3.Connection] = []
        self._lineage, self._records, self._private, self._aside = b"", 0, 0, 0
        self._found: dict[int, Damage] = {}  # by position: damage that is not set aside yet
        self._new_damage: list[Damage] = []  # that nobody asked about yet
        self._before_closing: Callable[[], object] | None = None
        self._closed = False
        with translated(path), ExitStack() as opened:
            opened.callback(os.close, own(path))
            self._writer = opened.enter_context(closing(open_writer(path, cache_kib=cache_kib)))
            [last] = self._writer.execute(queries.NEWEST).fetchone()
            self._pending = Layer.after(last)
            self._count()
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
        """Make everything staged durable, in one transaction, and set damaged rows aside. On an
        error it all stays staged; what is staged meanwhile belongs to the next commit."""
        with self._writing, translated(self.path):
            with self._lock:
                batches, found = tuple(self._batches), tuple(self._found.values())
            if not batches and not found:
                return
            self._write(batches, found)
            with self._lock:
                self._count()
                for damage in found:
                    del self._found[damage.position]
                del self._batches[: len(batches)]
                if batches:
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
        for start in range(0, len(missing), KEYS_PER_QUERY):
            some = missing[start : start + KEYS_PER_QUERY]
            for row in self._query(queries.READ.format(ids=", ".join("?" * len(some))), some):
                for record in self._record(row, erased):
                    found[record.id] = record
        return [found[wanted] for wanted in ids if wanted in found]

    def scan(self, *, bodies_of: Iterable[str] | None = None, after: int = 0) -> Iterator[Record]:
        """Every record past the position `after`, in the order of arrival. With `bodies_of`, only
        these kinds keep bodies, and the others' are not even read."""
        kinds = None if bodies_of is None else tuple(bodies_of)
        names: dict[str, Any] = {f"kind{number}": kind for number, kind in enumerate(kinds or ())}
        wanted = ", ".join(f":{name}" for name in names)
        body = "body" if kinds is None else f"CASE WHEN kind IN ({wanted}) THEN body END"
        for page in self._pages(queries.SCAN.format(body=body), after=after, **names):
            for row in page.rows:
                yield from self._record(row, page.erased)
            for _, record in page.tail.records.values():
                yield record if kinds is None or record.kind in kinds else record.without_body()

    def of_kinds(self, kinds: Iterable[str], *, up_to: int) -> Iterator[Record]:
        """The durable records of these kinds up to a position, in the order of arrival. Rows of
        other kinds are not read."""
        rows = heapq.merge(
            *(self._of_kind(kind, up_to) for kind in dict.fromkeys(kinds)), key=lambda row: row[0]
        )
        for row in rows:
            yield from self._record(row, frozenset())

    def latest(
        self, kind: str, *, limit: int, before: int | None = None
    ) -> list[tuple[int, Record]]:
        """The newest arrivals of one kind, newest first, each with its position in the log."""
        with self._lock:
            newest = self._pending.latest(kind, limit=limit, before=before)
            erased = frozenset(self._pending.erased)
            beneath = self._pending.base + 1
        below = beneath if before is None else min(before, beneath)
        while len(newest) < limit:
            wanted = limit - len(newest)
            rows = self._query(queries.LATEST, {"kind": kind, "below": below, "limit": wanted})
            for row in rows:
                newest += [(row[0], record) for record in self._record(row, erased)]
            if len(rows) < wanted:
                break
            below = rows[-1][0]  # there is more, should damaged ones have been left out
        return newest

    def memories(self) -> Iterator[Memory]:
        """Every memory that has a body, shared and private, in the order of arrival."""
        for page in self._pages(queries.MEMORIES, kind=MEMORY):
            for row in page.rows:
                memory = self._memory(row, page.erased)
                if memory:
                    yield memory
            yield from (memory for _, memory in page.tail.memories())

    def memories_after(
        self, after: int, *, limit: int, up_to: int | None = None
    ) -> tuple[list[Memory], int]:
        """The memories past a position, at most so many, and the position that they reach."""
        page = next(self._pages(queries.MEMORIES, after=after, limit=limit, kind=MEMORY))
        placed = [
            (row[0], memory) for row in page.rows if (memory := self._memory(row, page.erased))
        ]
        last = page.rows[-1][0] if page.rows else after
        if len(page.rows) < limit:  # else there may be more on the disk
            placed += page.tail.memories(after=after)
            last = max(after, page.tail.last)
        return a_page(placed, limit=limit, last=last, up_to=up_to)

    def memory(self, memory_id: bytes) -> Memory | None:
        """One memory, shared or private."""
        with self._lock:
            if memory_id in self._pending:
                return self._pending.memory(memory_id)
        for row in self._query(queries.ONE_MEMORY, {"id": memory_id}):
            return self._memory(row, erased=frozenset())
        return None

    def memories_with(self, ids: Mapping[bytes, int]) -> dict[bytes, Memory]:
        """The memories with these ids, shared and private, of those that were read before. Each is
        looked for at its position first: that is half as long a way."""
        with self._lock:
            pending = self._pending
            here = {wanted: pending.memory(wanted) for wanted in ids if wanted in pending}
        found = {wanted: memory for wanted, memory in here.items() if memory is not None}
        beneath = {wanted: at for wanted, at in ids.items() if wanted not in here}
        places = [at for at in beneath.values() if at]
        found.update(self._shared(queries.SHARED_AT, places, beneath))
        missing = [wanted for wanted in beneath if wanted not in found]
        found.update(self._shared(queries.SHARED_WITH, missing, beneath))
        for wanted in missing:
            if wanted not in found and (private := self.memory(wanted)) is not None:
                found[wanted] = private
        return found

    def _shared(
        self, query: str, keys: Sequence[object], wanted: Container[bytes]
    ) -> Iterator[tuple[bytes, Memory]]:
        """Those that are wanted: at a position that is out of date stands any record."""
        for start in range(0, len(keys), KEYS_PER_QUERY):
            some = keys[start : start + KEYS_PER_QUERY]
            for row in self._query(query.format(keys=", ".join("?" * len(some))), some):
                position, kind, *columns = row
                if kind != MEMORY or columns[0] not in wanted:
                    continue
                try:
                    memory = to_memory(columns)
                except DamagedError as error:
                    self.note(position, private=False, problem=str(error))
                    continue
                if memory is not None:
                    yield memory.id, memory

    def counts(self) -> tuple[int, int]:
        """How many records, and how many private memories, erased ones included."""
        with self._lock:
            pending = self._pending
            return self._records + len(pending.records), self._private + len(pending.private)

    # For what is derived from this log, and kept beside it.

    @property
    def lineage(self) -> bytes:
        """Another one whenever rows left this log, or it was made from another."""
        with self._lock:
            return self._lineage

    @property
    def last_position(self) -> int:
        """Of the newest thing staged."""
        with self._lock:
            return self._pending.last

    @property
    def damaged(self) -> int:
        """How many rows are lost for now: noticed, and not brought again by a peer."""
        with self._lock:
            return len(self._found) + self._aside

    @property
    def damage_waits(self) -> bool:
        """Whether the next commit has damaged rows to set aside."""
        with self._lock:
            return bool(self._found)

    def new_damage(self) -> list[Damage]:
        """The damaged rows that were met since this was last asked."""
        with self._lock:
            new, self._new_damage = self._new_damage, []
        return new

    def last_id(self, *, up_to: int) -> bytes:
        """The id of the last durable record up to a position; empty when there is none."""
        found = b""
        for row in self._query(queries.LAST_ID, {"position": up_to}):
            found = row[0]
        return found

    def before_closing(self, act: Callable[[], object]) -> None:
        """Do this when all is durable and the files are still ours."""
        with self._lock:
            self._before_closing = act

    def close(self) -> None:
        """Commit and let go of the files, even when the commit fails."""
        try:
            self.commit()
            with self._lock:
                act, self._before_closing = self._before_closing, None
            if act is not None:
                act()
        finally:
            with self._lock:
                self._closed = True
            with self._writing:
                while self._idle_readers:
                    self._idle_readers.pop().close()
                self._files.close()

    def _count(self) -> None:
        """Note what the last commit made of the log. One small row, in the writer's cache."""
        counts = self._writer.execute(queries.COUNTS).fetchone()
        self._lineage, self._records, self._private, self._aside = counts

    def _write(self, batches: Sequence[Batch], found: Sequence[Damage]) -> None:
        """Set these damaged rows aside and write these batches, in one transaction."""
        rows = RowWriter()
        records = private = 0
        with self._writer as connection:  # commits, or rolls back after any error
            connection.execute("BEGIN IMMEDIATE")
            for damage in found:
                moved = set_aside(connection, damage)
                records -= moved * (not damage.private)
                private -= moved * damage.private
            for batch in batches:
                records += connection.executemany(
                    queries.INSERT_RECORD, (rows.record(*placed) for placed in batch.records)
                ).rowcount
                private += connection.executemany(
                    queries.INSERT_PRIVATE, (rows.private(*placed) for placed in batch.private)
                ).rowcount
                if found or self._aside:
                    connection.executemany(queries.HEALED, ((one.id,) for _, one in batch.records))
                for erase in queries.ERASE:
                    connection.executemany(erase, ((erased,) for erased in batch.erased))
            connection.execute(queries.COUNT, (records, private, bool(found)))

    def _of_kind(self, kind: str, up_to: int) -> Iterator[Row]:
        after = 0
        while True:
            bounds = {"kind": kind, "after": after, "base": up_to, "limit": PAGE_ROWS}
            rows = self._query(queries.OF_KIND, bounds)
            yield from rows
            if len(rows) < PAGE_ROWS:
                return
            after = rows[-1][0]

    def _pages(
        self, query: str, *, after: int = 0, limit: int = PAGE_ROWS, **arguments: Any
    ) -> Iterator[_Page]:
        """The answers to a query over positions, up to the newest. The last page has the tail.

        No transaction stays open from one page to the next, however slowly they are taken: it
        would keep the write-ahead log from being emptied.
        """
        while True:
            with self._lock:
                pending = self._pending.copy()
            bounds = {"after": after, "base": pending.base, "limit": limit}
            rows = self._query(query, {**bounds, **arguments})
            last = len(rows) < limit
            tail = pending if last else Layer.after(pending.base)
            yield _Page(rows, frozenset(pending.erased), tail)
            if last:
                return
            after = rows[-1][0]

    def _query(self, query: str, arguments: Mapping[str, Any] | Sequence[Any]) -> list[Row]:
        with translated(self.path):
            reader = self._take_reader()
            try:
                return reader.execute(query, arguments).fetchall()
            finally:
                self._give_back(reader)

    def _take_reader(self) -> sqlite3.Connection:
        """A connection for this thread alone, from those at rest or a new one."""
        with self._lock:
            if self._closed:
                raise StorageError(f"{self.path} is closed: this spore is shutting down")
            if self._idle_readers:
                return self._idle_readers.pop()
        return open_reader(self.path, cache_kib=self._reader_cache_kib)

    def _give_back(self, reader: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed and len(self._idle_readers) < IDLE_READERS_MAX:
                self._idle_readers.append(reader)
                return
        reader.close()

    def _record(self, row: Sequence[Any], erased: frozenset[bytes]) -> Iterator[Record]:
        """The record of a row; none when the row is damaged."""
        position, *columns = row
        try:
            record = to_record(columns)
        except DamagedError as error:
            self.note(position, private=False, problem=str(error))
        else:
            yield record.without_body() if record.id in erased else record

    def _memory(self, row: Row, erased: frozenset[bytes]) -> Memory | None:
        *columns, created_ms = row
        position, memory_id, header, _, _, body, _ = columns
        if body is None or memory_id in erased:
            return None
        if header is not None:
            for record in self._record(columns, erased):
                return from_record(record, position=position)
            return None
        try:
            private = to_private((memory_id, created_ms, body))
            return from_private(private, position=position)
        except DamagedError as error:
            self.note(position, private=True, problem=str(error))
            return None

    def note(self, position: int, *, private: bool, problem: str) -> None:
        """A row is not what was written: say so once, and have the next commit set it aside."""
        with self._lock:
            known = position in self._found
        if known:
            return
        rows = self._query(*describe(position, private=private))
        damage = Damage.of(rows[0], position, private=private, problem=problem) if rows else None
        if damage is None:
            return  # set aside by now: what was read is from before that
        with self._lock:
            if self._found.setdefault(position, damage) is not damage:
                return
            self._new_damage.append(damage)
        _log.error("log_row_damaged", id=damage.id.hex(), kind=damage.kind, problem=problem)
