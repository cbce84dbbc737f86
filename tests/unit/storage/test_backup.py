"""A backup is made while others write, holds everything, and says when it does not any more."""

from __future__ import annotations

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from synapse.core.errors import StorageError, StorageFull
from synapse.core.memory.memory import from_private
from synapse.core.memory.record_set import RecordSet
from synapse.storage.backup import back_up, restore
from synapse.storage.sqlite_log import SqliteLog
from tests.making import memory_record
from tests.unit.storage.logs import PRIVATE, all_of, damage, filled, flipped


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spore" / "log.db"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere.backup"


def silent(done: int, total: int) -> None:
    assert 0 <= done <= total


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_restored_log_holds_everything_and_proves_it(path: Path, target: Path) -> None:
    records = filled(path)
    made = back_up(path, target, progress=silent)
    held = RecordSet()
    held.restore(records)
    assert made.proof.fingerprint == held.fingerprint().hex()
    assert (made.proof.records, made.proof.bodies) == (len(records), len(records) - 1)
    assert made.proof.private_memories == len(PRIVATE)

    again = target.parent / "again" / "log.db"
    restored = restore(target, again, progress=silent, expected=made.proof.fingerprint)
    assert restored.proof == made.proof
    assert all_of(again) == all_of(path)
    with closing(SqliteLog(again)) as log, closing(SqliteLog(path)) as first:
        assert log.memory(PRIVATE[0].id) == from_private(PRIVATE[0])
        assert log.lineage != first.lineage


def test_a_backup_is_of_one_moment_however_much_is_written_meanwhile(
    path: Path, target: Path
) -> None:
    records = filled(path)
    with closing(SqliteLog(path)) as log:

        def write_on(done: int, total: int) -> None:
            silent(done, total)
            seq = 10_000 + len(written)
            written.append(memory_record("written meanwhile " * 50, seq=seq))
            log.stage([written[-1]])
            log.commit()

        written: list[object] = []
        made = back_up(path, target, progress=write_on)
        assert len(written) > 1
        assert made.proof.records == len(records)
        assert log.counts()[0] == len(records) + len(written)


def test_only_its_owner_may_read_a_backup_which_is_one_file(path: Path, target: Path) -> None:
    filled(path)
    back_up(path, target, progress=silent)
    assert target.stat().st_mode & 0o077 == 0
    beside = [each.name for each in target.parent.iterdir() if each.is_file()]
    assert beside == [target.name]


def test_nothing_is_overwritten(path: Path, target: Path) -> None:
    filled(path)
    target.write_text("precious")
    with pytest.raises(StorageError, match="exists"):
        back_up(path, target, progress=silent)
    assert target.read_text() == "precious"
    target.unlink()
    back_up(path, target, progress=silent)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"there is a log at .*move the log aside"):
        restore(target, path, progress=silent)
    assert path.read_bytes() == before


@pytest.mark.parametrize("column", ["header", "body", "signature"])
def test_a_damaged_backup_is_not_restored(path: Path, target: Path, column: str) -> None:
    records = filled(path)
    back_up(path, target, progress=silent)
    damage(target, column, records[0].id)
    again = target.parent / "again" / "log.db"
    with pytest.raises(StorageError, match=r"is damaged.*use another backup"):
        restore(target, again, progress=silent)
    assert [each.name for each in again.parent.iterdir()] == ["log.db.lock"]


def test_a_backup_that_lacks_a_record_is_not_restored(path: Path, target: Path) -> None:
    filled(path)
    back_up(path, target, progress=silent)
    with closing(sqlite3.connect(target)) as connection, connection:
        connection.execute("DELETE FROM records WHERE position = 5")
    with pytest.raises(StorageError, match="is damaged"):
        restore(target, target.parent / "again" / "log.db", progress=silent)


def test_another_fingerprint_than_the_expected_one_is_refused(path: Path, target: Path) -> None:
    filled(path)
    back_up(path, target, progress=silent)
    with pytest.raises(StorageError, match=f"not {'0' * 32}"):
        restore(target, target.parent / "again" / "log.db", progress=silent, expected="0" * 32)


def test_what_is_no_backup_is_refused(target: Path) -> None:
    again = target.parent / "again" / "log.db"
    with pytest.raises(StorageError, match="there is no log"):
        restore(target, again, progress=silent)
    for content in (b"hello", b"not a database " * 999):
        target.write_bytes(content)
        with pytest.raises(StorageError, match="damaged"):
            restore(target, again, progress=silent)
    target.unlink()
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StorageError, match="some other program's"):
        restore(target, again, progress=silent)
    assert not again.exists()


def test_a_log_that_is_damaged_is_backed_up_as_far_as_it_goes(path: Path, target: Path) -> None:
    records = filled(path)
    damage(path, "body", records[3].id)
    made = back_up(path, target, progress=silent)
    assert [flaw.id for flaw in made.flaws] == [records[3].id.hex()]
    assert made.proof.records == len(records) - 1
    assert restore(target, target.parent / "again" / "log.db", progress=silent).proof == made.proof


def test_the_log_of_a_stopped_spore_that_was_copied_can_be_restored_too(
    path: Path, target: Path
) -> None:
    records = filled(path)
    target.write_bytes(path.read_bytes())
    restored = restore(target, target.parent / "again" / "log.db", progress=silent)
    assert restored.proof.records == len(records)


@pytest.mark.promise("durable")
def test_a_disk_without_room_leaves_nothing_behind(path: Path, target: Path) -> None:
    filled(path)
    with files_of_at_most(50_000), pytest.raises(StorageError):
        back_up(path, target, progress=silent)
    assert [each.name for each in target.parent.iterdir()] == ["spore"]
    back_up(path, target, progress=silent)
    again = target.parent / "again" / "log.db"
    with files_of_at_most(50_000), pytest.raises(StorageError):
        restore(target, again, progress=silent)
    assert [each.name for each in again.parent.iterdir()] == ["log.db.lock"]
    restore(target, again, progress=silent)


def test_a_full_disk_is_called_one(path: Path) -> None:
    filled(path)
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    nowhere = path.parent / "nowhere.partial"
    nowhere.symlink_to("/dev/full")
    with pytest.raises((StorageFull, StorageError)):
        back_up(path, path.parent / "nowhere", progress=silent)


def test_a_running_spore_is_not_restored_over(path: Path, target: Path) -> None:
    filled(path)
    back_up(path, target, progress=silent)
    with closing(SqliteLog(path)):
        path.unlink()
        with pytest.raises(StorageError, match="another spore is using"):
            restore(target, path, progress=silent)


def test_flipping_is_its_own_inverse() -> None:
    assert flipped(flipped(b"bees")) == b"bees"
