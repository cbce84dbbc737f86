"""One SQLite file that is ours alone: who owns it, what is in it, and what its errors mean.

Durability is SQLite's: a write-ahead log that is flushed to the disk before a commit returns.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from synapse.core.errors import StorageError, StorageFull

APPLICATION_ID: Final = 0x53796E70  # "Synp"; tells our files from other SQLite databases
SCHEMA_VERSION: Final = 2
BUSY_TIMEOUT_S: Final = 5.0  # readers and the writer only meet in a checkpoint, for milliseconds
FREE_BYTES_MIN: Final = 1 << 20  # with less, an input/output error means that the disk is full
WRITER_CACHE_KIB: Final = 16_384  # the inner pages of the index of ids of ten million records
JOURNAL_BYTES_MAX: Final = 64 << 20  # what a long backup made it grow beyond is given back
READER_CACHE_KIB: Final = 2_048  # of each of a few connections; the system caches the file too

FIRST_SCHEMA: Final = """
CREATE TABLE records (
    position INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    hlc_ms INTEGER NOT NULL,
    header BLOB NOT NULL,
    signature BLOB NOT NULL,
    body BLOB,
    packed INTEGER NOT NULL
);
CREATE INDEX records_by_kind ON records (kind, position);
CREATE TABLE private_memories (
    position INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    body BLOB
);
"""
# 2: signatures have a sum; damaged rows are set aside; counts need no counting. The lineage is
# another whenever rows left or a file was made from another one, so that what was derived from a
# log can tell whether it still belongs to it.
_TO_SECOND: Final = """
ALTER TABLE records ADD COLUMN signature_sum INTEGER;
CREATE TABLE damaged (
    position INTEGER PRIMARY KEY, id BLOB, problem TEXT NOT NULL, private INTEGER NOT NULL,
    kind BLOB, ms, header, signature, body, packed
);
CREATE INDEX damaged_by_id ON damaged (id);
CREATE TABLE log (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    lineage BLOB NOT NULL,
    records INTEGER NOT NULL,
    private_memories INTEGER NOT NULL
);
INSERT INTO log VALUES (
    1, randomblob(16), (SELECT count(*) FROM records), (SELECT count(*) FROM private_memories)
);
"""


def own(path: Path) -> int:
    """Make sure that no other process, and nobody else in this one, uses the file at `path`.

    Returns the descriptor that holds the lock; closing it, or dying, lets go. Raises StorageError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StorageError(
            f"another spore is using the data folder {path.parent}; "
            "stop it, or give this one a folder of its own"
        ) from None
    return descriptor


def open_writer(path: Path, *, cache_kib: int = WRITER_CACHE_KIB) -> sqlite3.Connection:
    """The one connection that writes. Makes the file when there is none; raises StorageError.

    A file that is not ours, or that a newer Synapse made, is left as it is.
    """
    path.touch(mode=0o600)  # private memories are for one pair of eyes
    connection = _connect(path)
    with ExitStack() as unless_open:
        unless_open.callback(connection.close)
        new = not _pragma(connection, "schema_version")
        if not new:
            check_schema(path, connection)
        for setting in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "fullfsync = ON",  # only macOS heeds it: there, a plain flush may stay in the drive
            "secure_delete = ON",  # erased text is overwritten with zeros
            f"cache_size = -{cache_kib}",
            f"journal_size_limit = {JOURNAL_BYTES_MAX}",
        ):
            connection.execute(f"PRAGMA {setting}")
        if new:
            _upgrade(connection, FIRST_SCHEMA + _TO_SECOND)
        elif _pragma(connection, "user_version") < SCHEMA_VERSION:
            _upgrade(connection, _TO_SECOND)
        unless_open.pop_all()
    return connection


def open_reader(path: Path, *, cache_kib: int = READER_CACHE_KIB) -> sqlite3.Connection:
    """A connection that cannot write, for one thread at a time."""
    connection = _connect(path)
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    return connection


def open_observer(path: Path) -> sqlite3.Connection:
    """A connection to a file that may be another process's, to read it only."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
    )
    connection.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
    return connection


def empty_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Move the write-ahead log into the database and cut it to nothing, so that text which was
    erased from the one is not left in the other. When a reader is in the way that waits for the
    next erasure, or for the file to be closed."""
    with suppress(sqlite3.Error):  # what was committed is durable in either file
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into StorageError or StorageFull."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _storage_error(path, error) from error


def _storage_error(path: Path, error: Exception) -> StorageError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte; the rest is detail
    if (
        code == sqlite3.SQLITE_FULL
        or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        or (code == sqlite3.SQLITE_IOERR and _free_bytes(path) < FREE_BYTES_MIN)
    ):
        return StorageFull(
            f"no room to write {path} ({error}); nothing stored is lost: free some space"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StorageError(
            f"{path} is damaged ({error}); it was left as it is: "
            "move it aside and restore a backup, or start empty and let the peers refill it"
        )
    return StorageError(
        f"cannot use {path} ({error}); check that the disk is there and the folder can be written"
    )


def _free_bytes(path: Path) -> float:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:  # the disk is gone, and so not full
        return math.inf


def _upgrade(connection: sqlite3.Connection, statements: str) -> None:
    """Bring the file to the newest schema, wholly or not at all."""
    connection.executescript(
        f"BEGIN IMMEDIATE; {statements}"
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )


def check_schema(path: Path, connection: sqlite3.Connection, *, newest: bool = False) -> None:
    """Raise StorageError unless this file is a log that this Synapse understands; with `newest`,
    unless it is of the schema of today."""
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise StorageError(
            f"{path} is some other program's database; "
            "it was left as it is: give this spore a data folder of its own"
        )
    version = _pragma(connection, "user_version")
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{path} was written by a newer Synapse (schema {version}, this one knows "
            f"{SCHEMA_VERSION}); it was left as it is: upgrade this spore"
        )
    if newest and version < SCHEMA_VERSION:
        raise StorageError(
            f"{path} was written by an older Synapse; it was left as it is: "
            "start the spore once, which brings it up to date"
        )


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
