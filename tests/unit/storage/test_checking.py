"""A check finds whatever is damaged, begins where it stopped, and can set things aside."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from synapse.core.errors import StorageError
from synapse.core.memory.record_set import RecordSet
from synapse.storage import checking
from synapse.storage.checking import CHUNK_ROWS, set_aside, sitting_path, verify
from synapse.storage.sqlite_log import SqliteLog
from tests.making import memory_chain
from tests.unit.storage.logs import PRIVATE, all_of, damage, filled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spore" / "log.db"


class Interruption(Exception):
    """The operator has seen enough."""


def silent(done: int, total: int) -> None:
    assert 0 <= done <= total


def test_a_sound_log_is_well_and_has_the_fingerprint_of_its_records(path: Path) -> None:
    records = filled(path)
    held = RecordSet()
    held.restore(records)
    report = verify(path, anew=False, progress=silent)
    assert report.well
    assert report.proof.fingerprint == held.fingerprint().hex()
    assert (report.proof.records, report.proof.private_memories) == (len(records), len(PRIVATE))
    assert not sitting_path(path).exists()


@pytest.mark.promise("authored")
@pytest.mark.parametrize("column", ["header", "body", "signature"])
def test_every_kind_of_damage_is_found(path: Path, column: str) -> None:
    records = filled(path)
    damage(path, column, records[0].id)
    damage(path, "body", PRIVATE[0].id, table="private_memories")
    report = verify(path, anew=False, progress=silent)
    assert not report.well
    assert [(flaw.id, flaw.private) for flaw in report.flaws] == [
        (records[0].id.hex(), False),
        (PRIVATE[0].id.hex(), True),
    ]
    assert report.proof.records == len(records) - 1


@pytest.mark.promise("authored")
def test_a_signature_that_was_never_right_is_found(path: Path) -> None:
    """One that was written by a program that did not check it, say."""
    records = filled(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE records SET signature = ?, signature_sum = NULL WHERE id = ?",
            (records[1].signature, records[0].id),
        )
    [flaw] = verify(path, anew=False, progress=silent).flaws
    assert flaw.id == records[0].id.hex()
    assert "signature" in flaw.problem


def test_what_is_set_aside_can_come_again(path: Path) -> None:
    records = filled(path)
    damage(path, "body", records[0].id)
    report = verify(path, anew=False, progress=silent)
    assert set_aside(path, report.flaws) == 1

    after = verify(path, anew=False, progress=silent)
    assert (after.flaws, after.set_aside, after.well) == ((), 1, False)
    with closing(SqliteLog(path)) as log:
        log.stage([records[0]])
    assert verify(path, anew=False, progress=silent).well
    assert all_of(path)[0] == sorted(records, key=lambda one: one.id)


def test_a_spore_must_be_stopped_to_set_things_aside_and_not_to_check(path: Path) -> None:
    records = filled(path)
    damage(path, "body", records[0].id)
    with closing(SqliteLog(path)):
        report = verify(path, anew=False, progress=silent)
        with pytest.raises(StorageError, match="another spore is using"):
            set_aside(path, report.flaws)


def test_an_interrupted_check_goes_on_where_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SqliteLog(path)) as log:
        records = memory_chain(20 * CHUNK_ROWS)
        log.stage(records, private=PRIVATE)
    damage(path, "body", records[10].id)
    damage(path, "body", records[-10].id)
    whole = verify(path, anew=True, progress=silent)

    def stop_in_the_middle(done: int, total: int) -> None:
        if done >= total // 2:
            raise Interruption

    with pytest.raises(Interruption):
        verify(path, anew=False, progress=stop_in_the_middle)
    assert sitting_path(path).exists()
    report = verify(path, anew=False, progress=silent)
    assert report.resumed_at >= 10 * CHUNK_ROWS
    assert (report.proof, report.flaws) == (whole.proof, whole.flaws)
    assert not sitting_path(path).exists()

    with pytest.raises(Interruption):
        verify(path, anew=False, progress=stop_in_the_middle)
    assert verify(path, anew=True, progress=silent).resumed_at == 0


@pytest.mark.parametrize("note", [b"", b"{}", b"[1]", b'{"lineage": "00"}', b"\xff"])
def test_a_note_that_makes_no_sense_costs_only_time(path: Path, note: bytes) -> None:
    filled(path)
    sitting_path(path).write_bytes(note)
    report = verify(path, anew=False, progress=silent)
    assert (report.resumed_at, report.well) == (0, True)


def test_a_note_about_another_log_is_not_gone_on_with(path: Path) -> None:
    filled(path)
    checking._save(sitting_path(path), checking._Sitting("00" * 16, records_to=600, checked=600))
    assert verify(path, anew=False, progress=silent).resumed_at == 0


def test_no_log_is_an_error_that_says_where_it_was_looked_for(path: Path) -> None:
    with pytest.raises(StorageError, match=str(path)):
        verify(path, anew=False, progress=silent)
