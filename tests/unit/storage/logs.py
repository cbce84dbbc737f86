"""Logs on a disk for tests: filled, and damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from synapse.core.memory.memory import PrivateMemory
from synapse.core.memory.record import CERTIFICATE, RETRACTION, TASK, Record
from synapse.core.memory.record_set import dot_text
from synapse.storage.sqlite_log import SqliteLog
from tests.making import identity, memory_record, private, record


def flipped(data: bytes) -> bytes:
    """The same bytes but for one bit in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def damage(path: Path, column: str, some_id: bytes, *, table: str = "records") -> None:
    """Flip one bit of a column, on the disk."""
    with closing(sqlite3.connect(path)) as connection:
        query = f"SELECT {column} FROM {table} WHERE id = ?"
        [stored] = connection.execute(query, (some_id,)).fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.read_bytes()
    assert before.count(stored) == 1
    path.write_bytes(before.replace(stored, flipped(stored)))


def some_of_everything() -> list[Record]:
    """Memories in two scripts, a task, and a retraction and a certificate before their time."""
    one, two = identity(1), identity(2)
    taken_back = memory_record("said too much", seq=7, writer=one)
    return [
        *(memory_record(f"bees dance, {n}", seq=n, writer=one, tags=["蜂"]) for n in range(1, 7)),
        taken_back.without_body(),
        record({"text": "by a certified writer"}, kind=TASK, writer=two, operator=one),
        record({}, kind=CERTIFICATE, writer=one, seq=8, refs=[two.key]),
        record(
            {"dots": [dot_text(taken_back.header.dot)]},
            kind=RETRACTION,
            writer=one,
            seq=9,
            refs=[taken_back.id],
        ),
        *(memory_record(f"ünïcödé {n}", seq=n, writer=identity(3)) for n in range(1, 700)),
    ]


PRIVATE: Sequence[PrivateMemory] = (
    private("the key is under the mat", tags=["home"]),
    private("ж", number=2, kind="fact"),
)


def filled(path: Path) -> list[Record]:
    """A log with all of this; its records."""
    records = some_of_everything()
    with closing(SqliteLog(path)) as log:
        log.stage(records, private=PRIVATE)
    return records


def all_of(path: Path) -> tuple[list[Record], list[bytes]]:
    """Every record in a log, by id, and the ids of what memories it has."""
    with closing(SqliteLog(path)) as log:
        records = sorted(log.scan(), key=lambda one: one.id)
        return records, sorted(one.id for one in log.memories())
