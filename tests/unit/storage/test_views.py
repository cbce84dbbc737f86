"""A start from a snapshot gives what a start from the log gives, or is not made from it."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from synapse.core.clock import Timestamp
from synapse.core.crdt.frontier import Frontier
from synapse.core.memory.id_index import IdIndex
from synapse.core.memory.record import CERTIFICATE, RETRACTION, TASK, Record
from synapse.core.memory.record_set import RecordSet, dot_text
from synapse.storage import snapshot, views
from synapse.storage.memory_log import MemoryLog
from synapse.storage.rows import DamagedError
from synapse.storage.snapshot import Snapshot
from synapse.storage.sqlite_log import SqliteLog
from synapse.storage.views import Views, save, snapshot_path
from tests.making import START_MS, identity, made_up_id, memory_record, record

KINDS = (TASK, RETRACTION, CERTIFICATE)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    opened = SqliteLog(tmp_path / "log.db")
    yield opened
    opened.close()


def history() -> list[Record]:
    """Some of everything: gaps, a number used twice, a certificate, a retraction, a new kind."""
    one, two, three = identity(1), identity(2), identity(3)
    records = [memory_record(f"by one: {n}", seq=n, writer=one) for n in range(1, 1_200)]
    records += [memory_record(f"by two: {n}", seq=n, writer=two) for n in range(1, 900, 7)]
    records.append(memory_record("by two again", seq=8, writer=two, previous=made_up_id(99)))
    records.append(record({}, kind=CERTIFICATE, writer=one, seq=5_000, refs=[three.key]))
    records.append(record({"text": "why"}, kind=TASK, writer=three, operator=one))
    taken_back = records[10]
    dots = [dot_text(taken_back.header.dot)]
    records.append(
        record({"dots": dots}, kind=RETRACTION, writer=one, seq=5_001, refs=[taken_back.id])
    )
    records.append(record({"new": "kind"}, kind="unheard_of", writer=two, seq=5_002))
    Random(1).shuffle(records)
    return records


def keep(log: SqliteLog, records: Sequence[Record]) -> None:
    log.stage(records)
    log.commit()


def started(log: SqliteLog, *, own: bytes = b"") -> tuple[Views, RecordSet, list[Record]]:
    """A start: the views, the set they made, and what was read for it."""
    held, read = RecordSet(), list[Record]()
    followed = Views(log, held)
    for part in followed.restored(followed.load(), KINDS, own=own):
        for each in part:
            held.restore([each])
            read.append(each)
    return followed, held, read


def take_snapshot(log: SqliteLog) -> None:
    followed, _, _ = started(log)
    taken = followed.look(tail=1)
    assert taken is not None
    save(log, taken)


def insides(held: RecordSet) -> dict[str, Any]:
    """Everything in a set, so that what is new in it cannot be forgotten here."""
    held.fingerprint()
    found = dict(vars(held))
    found["_indexes"] = {
        key: list(index.keys(0, len(index))) for key, index in found["_indexes"].items()
    }
    found["frontier"] = vars(found["frontier"])
    found["_parked"] = len(found["_parked"])
    return found


def test_a_start_from_a_snapshot_holds_what_a_start_from_the_log_holds(log: SqliteLog) -> None:
    records = history()
    keep(log, records[:-50])
    take_snapshot(log)
    keep(log, records[-50:])

    _, quick, read = started(log)

    slow = RecordSet()
    slow.restore(records)
    assert insides(quick) == insides(slow)
    assert quick.fingerprint() == slow.fingerprint()
    of_views = [each for each in records[:-50] if each.kind in KINDS]
    assert [each.id for each in read] == [each.id for each in of_views + records[-50:]]


def test_a_set_from_a_snapshot_grows_like_any_other(log: SqliteLog) -> None:
    records = history()
    keep(log, records[:600])
    take_snapshot(log)
    keep(log, records[600:])
    _, quick, _ = started(log)
    slow = RecordSet()
    slow.restore(records)
    new = [memory_record(f"new {n}", seq=n, writer=identity(4)) for n in range(1, 700)]
    for each in [*new, *records[:300]]:
        now_ms = each.header.hlc.ms
        assert quick.admit(each, now_ms=now_ms) == slow.admit(each, now_ms=now_ms)
    assert insides(quick) == insides(slow)


@pytest.mark.parametrize("of_the_last_millisecond", [1, 2, 900])
def test_our_own_latest_records_are_read_for_their_clock(
    log: SqliteLog, of_the_last_millisecond: int
) -> None:
    own = [memory_record(f"{n}", seq=n) for n in range(1, 9)]
    last = [
        memory_record(f"{n}", seq=9 + n, hlc=Timestamp(START_MS + 99, n))
        for n in range(of_the_last_millisecond)
    ]
    keep(log, own + last)
    take_snapshot(log)
    _, _, read = started(log, own=identity(1).key)
    assert {each.id for each in read} == {each.id for each in last}


def test_nothing_but_views_is_read_when_nothing_came_since(log: SqliteLog) -> None:
    records = history()
    keep(log, records)
    take_snapshot(log)
    _, held, read = started(log)
    assert len(held) == len(records)
    assert {each.kind for each in read} == set(KINDS)


@pytest.mark.promise("durable")
def test_a_snapshot_with_any_flipped_bit_is_refused_and_the_log_is_read(
    log: SqliteLog, capsys: pytest.CaptureFixture[str]
) -> None:
    records, rng = history(), Random(2)
    keep(log, records)
    take_snapshot(log)
    path = snapshot_path(log.path)
    whole = path.read_bytes()
    for at in [0, 7, 8, 39, 40, 47, 48, len(whole) - 1, *rng.sample(range(len(whole)), 60)]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :])
        with pytest.raises(DamagedError):
            snapshot.read(path)
    for size in (0, 1, 39, 47, 48, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedError):
            snapshot.read(path)

    _, held, read = started(log)
    assert len(read) == len(held) == len(records)
    assert "snapshot_damaged" in capsys.readouterr().out


def test_a_snapshot_of_another_log_is_not_believed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with closing(SqliteLog(tmp_path / name / "log.db")) as log:
            keep(log, history())
            take_snapshot(log)
    strange = snapshot_path(tmp_path / "one" / "log.db")
    strange.replace(snapshot_path(tmp_path / "two" / "log.db"))
    with closing(SqliteLog(tmp_path / "two" / "log.db")) as log:
        _, held, read = started(log)
        assert len(read) == len(held)


def test_a_snapshot_that_is_ahead_of_its_log_is_not_believed(log: SqliteLog) -> None:
    records = history()
    keep(log, records)
    followed, _, _ = started(log)
    taken = followed.look(tail=1)
    assert taken is not None
    last = log.last_id(up_to=taken.position)
    ahead = replace(taken, position=taken.position + 1, last_id=made_up_id(1))
    snapshot.write(snapshot_path(log.path), ahead)
    assert followed.load() is None
    snapshot.write(snapshot_path(log.path), replace(taken, last_id=last))
    assert followed.load() is not None


def test_a_snapshot_waits_for_what_it_covers_to_be_durable(tmp_path: Path) -> None:
    with closing(SqliteLog(tmp_path / "log.db")) as log:
        followed, held, _ = started(log)
        records = history()
        log.stage(records)
        held.restore(records)
        log._writer.execute("PRAGMA max_page_count = 12")
        views._commit(log, followed.look(tail=1))
        assert not snapshot_path(log.path).exists(), "the disk took none of it"
        log._writer.execute("PRAGMA max_page_count = 100000")


def test_a_disk_without_room_for_a_snapshot_keeps_the_one_before(
    log: SqliteLog, capsys: pytest.CaptureFixture[str]
) -> None:
    records = history()
    keep(log, records[:100])
    take_snapshot(log)
    before = snapshot_path(log.path).read_bytes()
    keep(log, records[100:])
    followed, _, _ = started(log)
    taken = followed.look(tail=1)
    assert taken is not None
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        save(log, taken)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "snapshot_not_written" in capsys.readouterr().out
    assert snapshot_path(log.path).read_bytes() == before
    assert [each.name for each in log.path.parent.iterdir() if "partial" in each.name] == []


def test_only_its_owner_may_read_a_snapshot(log: SqliteLog) -> None:
    keep(log, history())
    take_snapshot(log)
    assert snapshot_path(log.path).stat().st_mode & 0o077 == 0


def test_a_new_snapshot_is_made_when_enough_has_come(log: SqliteLog) -> None:
    followed, held, _ = started(log)
    records = history()
    taken = []
    for number, each in enumerate(records[:100], start=1):
        keep(log, [each])
        held.restore([each])
        if followed.look(tail=40) is not None:
            taken.append(number)
    assert taken == [40, 80]


@pytest.mark.promise("convergent")
def test_a_lost_record_leaves_the_set_and_may_come_again(log: SqliteLog) -> None:
    records = [memory_record(f"{n}", seq=n) for n in range(1, 700)]
    keep(log, records)
    followed, held, _ = started(log)
    whole, lost = insides(held), records[300]
    log.note(301, private=False, problem="made up by a test")

    assert followed.look(tail=10_000) is None
    assert lost not in held
    assert len(held) == len(records) - 1
    without = RecordSet()
    without.restore(each for each in records if each != lost)
    assert held.fingerprint() == without.fingerprint()

    log.commit()
    [entered] = held.admit(lost, now_ms=lost.header.hlc.ms).records
    keep(log, [entered])
    followed.look(tail=10_000)
    assert insides(held) == whole, "and nobody is said to have used a number twice"


def test_a_snapshot_never_claims_a_record_that_the_log_lost(log: SqliteLog) -> None:
    records = [memory_record(f"{n}", seq=n) for n in range(1, 100)]
    keep(log, records)
    followed, _, _ = started(log)
    before = followed.look(tail=1)
    assert before is not None
    log.note(50, private=False, problem="made up by a test")
    log.commit()
    save(log, before)  # taken before the loss, written after it
    _, held, _ = started(log)
    assert records[49] not in held


def test_keys_leave_memory_for_the_file_once_they_are_written(log: SqliteLog) -> None:
    records = history()
    keep(log, records)
    followed, held, _ = started(log)
    taken = followed.look(tail=1)
    assert taken is not None
    assert save(log, taken)
    found = followed.load()
    assert found is not None
    whole = insides(held)

    held.move(taken.held, found.held)
    found.release()

    blocks = [block for each in held.held().indexes.values() for block in each.keys]
    assert all(isinstance(block, memoryview) for block in blocks)
    assert insides(held) == whole


def test_keeping_ends_with_a_snapshot(tmp_path: Path) -> None:
    async def a_short_life() -> None:
        followed = Views(log, held)
        keeping = asyncio.create_task(followed.keep())
        await asyncio.sleep(0)
        log.stage(records)
        held.restore(records)
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
        log.close()

    records, held = history(), RecordSet()
    log = SqliteLog(tmp_path / "log.db")
    asyncio.run(a_short_life())
    with closing(SqliteLog(tmp_path / "log.db")) as reopened:
        _, again, read = started(reopened)
        assert again.fingerprint() == held.fingerprint()
        assert len(read) < 10


def test_a_log_without_a_disk_is_read_from_its_first_record() -> None:
    log, records = MemoryLog(), history()
    log.stage(records)
    held = RecordSet()
    followed = Views(log, held)
    for part in followed.restored(followed.load(), KINDS, own=b""):
        held.restore(part)
    asyncio.run(followed.keep())
    assert len(held) == len(records)


def test_a_snapshot_comes_back_as_it_was_written(tmp_path: Path) -> None:
    held = RecordSet()
    held.restore(history())
    written = Snapshot(bytes(16), 7, made_up_id(1), held.held())
    path = tmp_path / "some.views"
    snapshot.write(path, written)
    found = snapshot.read(path)
    assert found is not None
    for operator, blocks in found.held.indexes.items():
        mine = held.index(operator)
        index = IdIndex(blocks)
        assert list(index.keys(0, len(index))) == list(mine.keys(0, len(mine)))
        assert index.fingerprint(3, len(index) - 3) == mine.fingerprint(3, len(mine) - 3)
    empty = replace(written.held, indexes={})
    assert replace(found, held=replace(found.held, indexes={})) == replace(written, held=empty)
    assert isinstance(held.frontier, Frontier)
    assert all(one < two for one, two in pairwise(sorted(found.held.reached)))


def test_no_snapshot_is_none(tmp_path: Path) -> None:
    assert snapshot.read(tmp_path / "none.views") is None
