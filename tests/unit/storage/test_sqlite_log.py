"""What only a log on a real disk can get wrong."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from synapse.core.errors import StorageError, StorageFull
from synapse.core.memory.memory import from_private
from synapse.storage.sqlite_file import SCHEMA_VERSION
from synapse.storage.sqlite_log import PAGE_ROWS, SqliteLog
from tests.making import memory_chain, memory_record, private

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    opened = SqliteLog(path)
    yield opened
    opened.close()


def on_disk(path: Path) -> bytes:
    """Everything in the data folder, the write-ahead log included."""
    return b"".join(each.read_bytes() for each in sorted(path.parent.iterdir()))


def change(path: Path, statement: str, *values: object) -> None:
    """Do to the closed file what this log would never do."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def flipped(data: bytes) -> bytes:
    """The same bytes but for one bit in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


# Opening


def test_a_second_opener_is_refused_and_told_which_folder_is_taken(path: Path) -> None:
    first = SqliteLog(path)
    with pytest.raises(StorageError, match=rf"{path.parent}; stop it, or give"):
        SqliteLog(path)
    first.close()
    SqliteLog(path).close()


def test_a_file_of_a_newer_synapse_is_refused_and_left_alone(path: Path) -> None:
    SqliteLog(path).close()
    change(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = on_disk(path)
    with pytest.raises(StorageError, match=rf"{path} was written by a newer Synapse.*upgrade"):
        SqliteLog(path)
    assert on_disk(path) == before


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    change(path, "CREATE TABLE recipes (name TEXT)")
    before = on_disk(path)
    with pytest.raises(StorageError, match=rf"{path} is some other program's database"):
        SqliteLog(path)
    assert on_disk(path) == before


@pytest.mark.parametrize("garbage", [b"hello", b"not a database at all " * 999, bytes(8_192)])
def test_a_file_of_garbage_is_refused_and_left_alone(path: Path, garbage: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(garbage)
    with pytest.raises(StorageError, match=rf"{path} is damaged.*restore a backup"):
        SqliteLog(path)
    assert on_disk(path) == garbage


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot use"):
        SqliteLog(tmp_path / "file" / "log.db")


def test_only_its_owner_may_read_the_file(log: SqliteLog, path: Path) -> None:
    assert {each.stat().st_mode & 0o077 for each in path.parent.iterdir()} == {0}


def test_a_commit_waits_for_the_disk_and_an_erasure_overwrites(log: SqliteLog) -> None:
    def setting(name: str) -> object:
        return log._writer.execute(f"PRAGMA {name}").fetchone()[0]

    assert (setting("journal_mode"), setting("synchronous")) == ("wal", 2)
    assert setting("secure_delete") == 1


# Closing and dying


def test_closing_commits_and_a_closed_log_says_so(path: Path) -> None:
    log = SqliteLog(path)
    [shared] = memory_chain(1)
    log.stage([shared])
    log.close()
    log.close()
    with pytest.raises(StorageError, match="is closed"):
        log.read([shared.id])
    with closing(SqliteLog(path)) as again:
        assert list(again.scan()) == [shared]


def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    script = """
import sys
from pathlib import Path
from synapse.storage.sqlite_log import SqliteLog
from tests.making import memory_chain
log = SqliteLog(Path(sys.argv[1]))
for each in memory_chain(1_000):
    log.stage([each])
    log.commit()
    print(each.header.seq, flush=True)
"""
    acknowledged = 0
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as spore:
        assert spore.stdout
        while acknowledged < 20:
            acknowledged = int(spore.stdout.readline())
        spore.kill()

    with closing(SqliteLog(path)) as log:
        found = list(log.scan())
    assert found == memory_chain(len(found))
    assert len(found) >= acknowledged


# Errors while writing


def test_a_full_disk_loses_nothing(log: SqliteLog, path: Path) -> None:
    first, *others = memory_chain(100)
    log.stage([first])
    log.commit()
    log._writer.execute("PRAGMA max_page_count = 10")
    own = private("staged")
    log.stage(others, private=[own], erased=[first.id])

    with pytest.raises(StorageFull, match=rf"no room to write {path}.*free some space"):
        log.commit()
    everything = [first.without_body(), *others]
    assert list(log.scan()) == everything
    assert log.counts() == (100, 1)

    log._writer.execute("PRAGMA max_page_count = 10000")
    log.commit()
    log.close()
    with closing(SqliteLog(path)) as again:
        assert list(again.scan()) == everything
        assert again.memory(own.id) == from_private(own)


def test_a_write_that_fails_is_not_called_a_full_disk(log: SqliteLog) -> None:
    records = memory_chain(100)
    log.stage(records)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="can be written") as caught:
            log.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not isinstance(caught.value, StorageFull)
    log.commit()
    assert list(log.scan()) == records


def test_a_slow_iteration_does_not_hold_up_a_checkpoint(log: SqliteLog) -> None:
    log.stage(memory_chain(PAGE_ROWS + 1))
    log.commit()
    iteration = log.scan()
    next(iteration)
    busy, *_ = log._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy


# Erasure and damage


def test_erased_text_leaves_the_disk(log: SqliteLog, path: Path) -> None:
    secrets = [memory_record(f"secret {seq:04}", seq=seq) for seq in range(1, 200)]
    log.stage(secrets)
    log.commit()
    log.stage(memory_chain(200)[199:])
    log.commit()
    assert on_disk(path).count(b"secret") > 0

    log.stage([], erased=[each.id for each in secrets])
    log.commit()

    assert on_disk(path).count(b"secret") == 0
    assert on_disk(path).count(b"memory 200") == 1


@pytest.mark.parametrize("column", ["header", "body"])
@pytest.mark.parametrize("text", ["stored as it is", "stored in less space " * 100])
def test_a_flipped_bit_is_noticed_when_it_is_read(path: Path, column: str, text: str) -> None:
    good, bad = memory_record("good", seq=1), memory_record(text, seq=2)
    with closing(SqliteLog(path)) as log:
        log.stage([good, bad])
    with closing(sqlite3.connect(path)) as connection:
        [stored] = connection.execute(
            f"SELECT {column} FROM records WHERE id = ?", (bad.id,)
        ).fetchone()
    before = path.read_bytes()
    assert before.count(stored) == 1
    path.write_bytes(before.replace(stored, flipped(stored)))

    with closing(SqliteLog(path)) as log:
        with pytest.raises(StorageError, match=rf"{path} is damaged"):
            log.read([bad.id])
        with pytest.raises(StorageError, match=rf"{path} is damaged"):
            list(log.memories())
        assert log.read([good.id]) == [good]


def test_a_flipped_bit_in_a_private_memory_is_noticed(path: Path) -> None:
    own = private("the key is under the mat")
    with closing(SqliteLog(path)) as log:
        log.stage([], private=[own])
    with closing(sqlite3.connect(path)) as connection:
        [stored] = connection.execute("SELECT body FROM private_memories").fetchone()
    change(path, "UPDATE private_memories SET body = ?", flipped(stored))
    with closing(SqliteLog(path)) as log, pytest.raises(StorageError, match="is damaged"):
        log.memory(own.id)


def test_a_file_cut_short_is_refused(path: Path) -> None:
    with closing(SqliteLog(path)) as log:
        log.stage(memory_chain(100))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError, match=rf"{path} is damaged"), closing(SqliteLog(path)) as log:
        list(log.scan())


def test_a_body_that_would_unpack_without_end_is_refused(path: Path) -> None:
    shared = memory_record("small " * 100)
    with closing(SqliteLog(path)) as log:
        log.stage([shared])
    bomb = zstandard.ZstdCompressor().compress(bytes(100_000_000))
    change(path, "UPDATE records SET body = ?", bomb)
    with closing(SqliteLog(path)) as log, pytest.raises(StorageError, match="larger than 65536"):
        log.read([shared.id])
