"""Copies of a whole log, made while a spore runs on it and put where there is none.

A backup is a log file with one more table, which says what the file must come to when it is read.
It has everything but the keys: private memories too. A log that was restored is of another lineage,
and the spore that runs on it opens a new epoch as at every start, so it does not use a number of
its own log twice (`docs/decisions/0004-an-epoch-is-one-run.md`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from synapse.core.errors import StorageError
from synapse.storage.files import new_file
from synapse.storage.proof import Flaw, LogView, Progress, Proof, looking_at, prove
from synapse.storage.sqlite_file import own, translated

STEP_PAGES: Final = 1_024  # 4 MiB a step, between which others get their turn
_PROOF: Final = """
CREATE TABLE backup (fingerprint TEXT, records INTEGER, bodies INTEGER, private_memories INTEGER)
"""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that was made and read back, and what of it was damaged before it was copied."""

    proof: Proof
    flaws: tuple[Flaw, ...]
    size_bytes: int


def back_up(log_path: Path, target: Path, *, progress: Progress) -> Copy:
    """Copy the log as it is at this moment to a new file. Raises StorageError, StorageFull."""
    with looking_at(log_path) as view, new_file(target) as partial:
        _copy(view.connection, partial, progress=_first_half(progress))
        copied = _proved(partial, _second_half(progress))
        with _opened(partial) as connection:
            connection.execute(_PROOF)
            proof = copied.proof
            connection.execute(
                "INSERT INTO backup VALUES (?, ?, ?, ?)",
                (proof.fingerprint, proof.records, proof.bodies, proof.private_memories),
            )
    return copied


def restore(
    source: Path, log_path: Path, *, progress: Progress, expected: str | None = None
) -> Copy:
    """Make a log from a backup, where there is none, and prove that it is what was backed up.

    `expected` is the fingerprint that must come out; without it the backup's own word is compared.
    Raises StorageError; then nothing is left behind.
    """
    if log_path.exists():
        raise StorageError(
            f"there is a log at {log_path}; it was left as it is: name an empty data folder, "
            "or move the log aside"
        )
    log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with translated(log_path):
        lock = own(log_path)
    try:
        with looking_at(source) as view, new_file(log_path) as partial:
            promised = _promised(view)
            _copy(view.connection, partial, progress=_first_half(progress))
            with _opened(partial) as connection:
                connection.execute("DROP TABLE IF EXISTS backup")
                connection.execute("UPDATE log SET lineage = randomblob(16)")
            copied = _proved(partial, _second_half(progress))
            _compare(source, copied, promised=promised, expected=expected)
    finally:
        os.close(lock)
    return copied


def _compare(source: Path, copied: Copy, *, promised: Proof | None, expected: str | None) -> None:
    found = copied.proof
    if promised is not None and found != promised:
        raise StorageError(
            f"{source} is damaged: it was {promised.as_dict()} when it was made, and is "
            f"{found.as_dict()} now; nothing was restored: use another backup, or start empty and "
            "let the peers refill the spore"
        )
    if expected is not None and found.fingerprint != expected:
        raise StorageError(
            f"{source} has the fingerprint {found.fingerprint}, not {expected}; nothing was "
            "restored: look whether it is the right file"
        )


def _promised(view: LogView) -> Proof | None:
    """What a backup says of itself; None for the log of a spore that was copied as it stood."""
    query = "SELECT name FROM sqlite_schema WHERE name = 'backup'"
    if view.connection.execute(query).fetchone() is None:
        return None
    row = view.connection.execute(
        "SELECT fingerprint, records, bodies, private_memories FROM backup"
    ).fetchone()
    return Proof(*row) if row is not None else None


def _copy(source: sqlite3.Connection, target: Path, *, progress: Progress) -> None:
    """Copy page by page. The source's open transaction keeps it at its moment, so that what is
    written meanwhile neither enters nor makes us begin again."""

    def step(_: int, remaining: int, total: int) -> None:
        progress(total - remaining, total)

    with translated(target), closing(sqlite3.connect(target, isolation_level=None)) as copy:
        copy.execute("PRAGMA synchronous = FULL")
        source.backup(copy, pages=STEP_PAGES, progress=step)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, that can be carried away


def _proved(path: Path, progress: Progress) -> Copy:
    flaws: list[Flaw] = []
    with looking_at(path) as view:
        proof = prove(view, flaws, progress)
    return Copy(proof, tuple(flaws), path.stat().st_size)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The copy, to change it in one transaction."""
    with (
        translated(path),
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
        connection,
    ):
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def _first_half(progress: Progress) -> Progress:
    return lambda done, total: progress(done, 2 * total)


def _second_half(progress: Progress) -> Progress:
    return lambda done, total: progress(total + done, 2 * total)
