"""Who else said so: the groups of memories that say the same, kept beside the index.

Derived like the index, and by the same memories in the order of the log: `position` says how far
that came. Groups grow in a database as they are found; what finds them (see `duplicates`) is kept
in memory and written to a file now and then, together with the position it stands at. After a crash
what lies between is compared again, which changes nothing. Whatever is damaged is begun anew.

A memory belongs to one group at most, and says what the group's first memory says: a chain of small
changes leads nowhere. Operators are counted, not memories. Private memories are not compared, so
that no count tells of them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sqlite3
import threading
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from synapse.core.errors import StorageError, StorageFull
from synapse.core.memory.memory import Memory
from synapse.retrieval.analysis import ANALYSER_VERSION
from synapse.retrieval.duplicates import REMEMBERED, Duplicates, Likeness
from synapse.retrieval.engine import BEST, Engine

DATABASE: Final = "said.db"
REMEMBERED_FILE: Final = "said.bin"
OTHERS_MAX: Final = 8  # ids that are named of a group; a reader wants examples, not a list
_VERSION: Final = 1
_TOKEN_BYTES: Final = 16

_SCHEMA: Final = """
CREATE TABLE state(version INTEGER, token BLOB);
CREATE TABLE groups(id INTEGER PRIMARY KEY, signature BLOB NOT NULL, operators INTEGER NOT NULL);
CREATE TABLE members(
    id BLOB PRIMARY KEY, grp INTEGER NOT NULL, operator INTEGER NOT NULL, text INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX said_by ON members(grp, operator, id);
"""
# Jumps from operator to operator: whoever said a thing a million times costs one step.
_FIRST_OF_EACH: Final = """
WITH RECURSIVE speaking(operator) AS (
    SELECT MIN(operator) FROM members WHERE grp = ?1
    UNION ALL
    SELECT (SELECT MIN(operator) FROM members WHERE grp = ?1 AND operator > speaking.operator)
    FROM speaking WHERE operator IS NOT NULL LIMIT ?2
)
SELECT operator, (SELECT MIN(id) FROM members WHERE grp = ?1 AND members.operator = s.operator)
FROM speaking AS s WHERE operator IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Kin:
    """A memory's place among those that say the same."""

    group: int
    text: int  # equal for equal texts
    operator: int
    operators: int  # that are in the group, its own included


class Corroboration:
    """Finds and keeps who said the same. One thread adds, any may ask."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        remembered: int = REMEMBERED,
        engine: Engine = BEST,
    ) -> None:
        """Without a folder everything stays in memory. Raises StorageError."""
        self.position = 0  # of the log, up to which everything was compared
        self._folder = folder
        self._remembered = remembered
        self._engine = engine
        self._lock = threading.Lock()  # over the database
        self._seen = Duplicates(remembered=remembered, engine=engine)
        self._found: list[Likeness] = []  # that are not in the database yet
        self._token = b""
        self._database: sqlite3.Connection | None = None  # opened when there is something to keep
        if folder is not None:
            with _as_storage_error():
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                try:
                    self._open()
                except sqlite3.DatabaseError:
                    self._discard()
                    self._open()
                self._recall_seen(folder)

    def add(self, memories: Sequence[Memory], *, reached: int) -> None:
        """Compare these, the next of the log, up to a position.

        Raises StorageError; what was found is then kept the next time.
        """
        self._found += self._seen.add([memory for memory in memories if memory.shared])
        self.position = max(self.position, reached)
        try:
            self._keep_found()
        except StorageError as error:
            if not isinstance(error.__cause__, sqlite3.DatabaseError) or isinstance(
                error.__cause__, sqlite3.OperationalError
            ):
                raise
            self._begin_anew()

    def remove(self, ids: Sequence[bytes]) -> None:
        """These were taken back, and say nothing any more. Unknown ids are ignored. Raises
        StorageError."""
        self._seen.forget(ids)
        if self._database is not None:
            with self._writing() as database:
                for each in ids:
                    _unlink(database, each)

    def kin(self, ids: Sequence[bytes]) -> Mapping[bytes, Kin]:
        """The place of each that is in a group. Raises StorageError."""
        marks = ", ".join("?" * len(ids))
        rows = self._rows(
            "SELECT members.id, grp, text, operator, operators FROM members "
            f"JOIN groups ON groups.id = grp WHERE members.id IN ({marks})",
            *ids,
        )
        return {row[0]: Kin(*row[1:]) for row in rows}

    def others(self, kin: Kin, *, limit: int = OTHERS_MAX) -> list[bytes]:
        """The first memory of each other operator of the group, at most so many. Raises
        StorageError."""
        rows = self._rows(_FIRST_OF_EACH, kin.group, limit + 1)
        return [memory for operator, memory in rows if operator != kin.operator][:limit]

    def __len__(self) -> int:
        """How many memories are in a group. Raises StorageError."""
        return sum(count for (count,) in self._rows("SELECT COUNT(*) FROM members"))

    def save(self) -> None:
        """Make it so that nothing up to the position need be compared again. Raises StorageError.

        Some 35 MB at most, a tenth of a second.
        """
        if self._folder is None:
            return
        self._keep_found()
        head = _VERSION.to_bytes(4) + ANALYSER_VERSION.to_bytes(4) + self._token
        data = head + self.position.to_bytes(8) + self._seen.packed()
        self._rows("PRAGMA wal_checkpoint(FULL)")  # the groups must not be behind
        with _as_storage_error():
            partial = self._folder / f"{REMEMBERED_FILE}.tmp"
            with partial.open("wb") as file:
                file.write(data)
                file.write(zlib.crc32(data).to_bytes(4))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._folder / REMEMBERED_FILE)

    def close(self) -> None:
        """Save, and let go of the files. Raises StorageError."""
        try:
            self.save()
        finally:
            with self._lock:
                if self._database is not None:
                    self._database.close()

    # The files.

    def _open(self) -> sqlite3.Connection:
        path = ":memory:" if self._folder is None else str(self._folder / DATABASE)
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        with contextlib.ExitStack() as failing:
            failing.callback(database.close)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")  # a power cut costs it the last groups
            if not database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                database.executescript(_SCHEMA)
                token = secrets.token_bytes(_TOKEN_BYTES)
                database.execute("INSERT INTO state VALUES (?, ?)", (_VERSION, token))
            version, self._token = database.execute("SELECT version, token FROM state").fetchone()
            if version != _VERSION:
                raise sqlite3.DatabaseError("made by another version")
            failing.pop_all()
        weakref.finalize(self, database.close)
        self._database = database
        return database

    def _begin_anew(self) -> None:
        """The database is damaged: the log has all of it. Raises StorageError."""
        with self._lock, _as_storage_error():
            if self._database is not None:
                self._database.close()
            self._discard()
            self._open()
        self._seen = Duplicates(remembered=self._remembered, engine=self._engine)
        self._found, self.position = [], 0

    def _discard(self) -> None:
        if self._folder is not None:
            for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", REMEMBERED_FILE):
                (self._folder / name).unlink(missing_ok=True)

    def _recall_seen(self, folder: Path) -> None:
        """What was remembered at the last save, if that is whole and belongs to these groups."""
        try:
            data = (folder / REMEMBERED_FILE).read_bytes()
        except OSError:
            return
        head = _VERSION.to_bytes(4) + ANALYSER_VERSION.to_bytes(4) + self._token
        whole = zlib.crc32(data[:-4]).to_bytes(4) == data[-4:]
        if whole and data.startswith(head):
            at = len(head)
            seen = Duplicates.unpacked(data[at + 8 : -4], engine=self._engine)
            if seen.remembered == self._remembered:
                self._seen, self.position = seen, int.from_bytes(data[at : at + 8])

    def _keep_found(self) -> None:
        if self._found:
            with self._writing() as database:
                for likeness in self._found:
                    _link(database, likeness)
            self._found = []

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._lock, _as_storage_error():
            database = self._database
            return [] if database is None else database.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _as_storage_error():
            database = self._database or self._open()
            database.execute("BEGIN IMMEDIATE")
            with database:  # commits, or rolls back
                yield database


def _link(database: sqlite3.Connection, likeness: Likeness) -> None:
    """Put a memory into the group of the one that it repeats."""
    found = database.execute(
        "SELECT grp, signature FROM members JOIN groups ON groups.id = grp WHERE members.id = ?",
        (likeness.earlier,),
    ).fetchone()
    if found is None:
        made = database.execute(
            "INSERT INTO groups(signature, operators) VALUES (?, 0)",
            (likeness.earlier_mark.signature,),
        )
        group = made.lastrowid
        _join(database, likeness.earlier, group, likeness.earlier_mark.operator, likeness)
    elif likeness.mark.agrees(found[1]):
        group = found[0]
    else:
        return  # it has drifted from what the first one said
    _join(database, likeness.id, group, likeness.mark.operator, likeness)


def _join(
    database: sqlite3.Connection, memory: bytes, group: int | None, operator: int, by: Likeness
) -> None:
    text = by.mark.text if memory == by.id else by.earlier_mark.text
    heard = database.execute(
        "SELECT 1 FROM members WHERE grp = ? AND operator = ? LIMIT 1", (group, operator)
    ).fetchone()
    joined = database.execute(
        "INSERT OR IGNORE INTO members VALUES (?, ?, ?, ?)", (memory, group, operator, text)
    ).rowcount
    if joined and not heard:
        database.execute("UPDATE groups SET operators = operators + 1 WHERE id = ?", (group,))


def _unlink(database: sqlite3.Connection, memory: bytes) -> None:
    row = database.execute("SELECT grp, operator FROM members WHERE id = ?", (memory,)).fetchone()
    if row is None:
        return
    database.execute("DELETE FROM members WHERE id = ?", (memory,))
    if not database.execute(
        "SELECT 1 FROM members WHERE grp = ? AND operator = ? LIMIT 1", row
    ).fetchone():
        database.execute("UPDATE groups SET operators = operators - 1 WHERE id = ?", row[:1])


@contextlib.contextmanager
def _as_storage_error() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        kind = StorageFull if full else StorageError
        raise kind(f"what says the same cannot be kept: {error}") from error
    except OSError as error:
        kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
        raise kind(f"what says the same cannot be kept: {error.strerror}") from error
