"""Rows that are not what was written: what is known of them, and where they are put.

They are kept in a table of their own, for whoever wants to look, and leave the log. Of a record the
peers have copies; a private memory is only in backups.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final, Self

from synapse.core.errors import RecordError
from synapse.core.memory.record import Record
from synapse.storage.rows import Row

_DESCRIBE_RECORD: Final = """
SELECT id, CAST(kind AS BLOB), hlc_ms, header, signature FROM records WHERE position = ?
"""
_DESCRIBE_PRIVATE: Final = """
SELECT id, CAST('private' AS BLOB), created_ms, NULL, NULL FROM private_memories WHERE position = ?
"""
_COPY_RECORD: Final = """
INSERT INTO damaged
SELECT position, ?, ?, 0, CAST(kind AS BLOB), hlc_ms, header, signature, body, packed
FROM records WHERE position = ?
"""
_COPY_PRIVATE: Final = """
INSERT INTO damaged
SELECT position, ?, ?, 1, NULL, created_ms, NULL, NULL, body, 1
FROM private_memories WHERE position = ?
"""


@dataclass(frozen=True, slots=True)
class Damage:
    """One damaged row. What it says of itself may be what is wrong with it."""

    position: int
    id: bytes
    private: bool
    kind: str
    ms: int  # when it was written, by its author's clock
    problem: str

    @classmethod
    def of(cls, row: Row, position: int, *, private: bool, problem: str) -> Self:
        """What is known of the row that `describe` asked for."""
        row_id, kind, ms, header, signature = row
        return cls(
            position=position,
            id=_true_id(row_id, header, signature),
            private=private,
            kind=kind.decode("utf-8", "replace") if isinstance(kind, bytes) else "",
            ms=ms if type(ms) is int and ms >= 0 else 0,
            problem=problem,
        )


def describe(position: int, *, private: bool) -> tuple[str, tuple[int]]:
    """The query for what `Damage.of` reads, and its arguments."""
    return (_DESCRIBE_PRIVATE if private else _DESCRIBE_RECORD), (position,)


def set_aside(connection: sqlite3.Connection, damage: Damage) -> int:
    """Move a row to the table of damaged ones, in the transaction that is open. How many moved."""
    table = "private_memories" if damage.private else "records"
    connection.execute(
        _COPY_PRIVATE if damage.private else _COPY_RECORD,
        (damage.id, damage.problem, damage.position),
    )
    remove = f"DELETE FROM {table} WHERE position = ?"
    try:
        return connection.execute(remove, (damage.position,)).rowcount
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        # What the indexes hold of this row is right, and so not what the row says by now.
        connection.execute(f"REINDEX {table}")
        return connection.execute(remove, (damage.position,)).rowcount


def _true_id(row_id: object, header: object, signature: object) -> bytes:
    """The id of the record that was written here: when its header is signed, the header knows."""
    if isinstance(header, bytes) and isinstance(signature, bytes):
        try:
            return Record.verified(header, signature, None).id
        except RecordError:
            pass  # it is the header that is damaged
    return row_id if isinstance(row_id, bytes) else b""
