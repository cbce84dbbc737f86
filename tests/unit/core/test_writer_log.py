"""Our own log: consecutive numbers, a chain, and never one number for two records."""

from __future__ import annotations

from random import Random

import pytest

from synapse.core.clock import Timestamp
from synapse.core.errors import RecordError
from synapse.core.memory.record import BODY_BYTES_MAX, MEMORY, Draft, Record
from synapse.core.memory.writer_log import WriterLog
from synapse.core.text import SharedText
from tests.making import START_MS, identity, made_up_id


def a_life(*earlier: Record, number: int = 1) -> WriterLog:
    """The log of a spore that started, and found these records of its own on its disk."""
    log = WriterLog(identity(number), Random(1))
    for one in earlier:
        log.saw_own(one.header)
    return log


def draft(text: str = "a memory", refs: tuple[bytes, ...] = ()) -> Draft:
    return Draft(MEMORY, {"text": SharedText(text)}, refs)


def write(log: WriterLog, count: int = 1, *, now_ms: int = START_MS) -> list[Record]:
    return [log.write(draft(f"memory {n}"), now_ms=now_ms + n) for n in range(count)]


def test_records_are_numbered_from_1_and_name_the_one_before() -> None:
    records = write(a_life(), 5)
    assert [one.header.seq for one in records] == [1, 2, 3, 4, 5]
    assert [one.header.previous for one in records] == [b"", *(one.id for one in records[:-1])]
    assert {(one.header.epoch, one.header.epoch_start_ms) for one in records} == {
        (START_MS, START_MS)
    }


@pytest.mark.promise("authored")
def test_a_record_is_genuine_and_says_what_its_draft_said() -> None:
    log, refs = a_life(), (made_up_id(1), made_up_id(2))
    one = log.write(draft("the tide turns", refs=refs), now_ms=START_MS)
    assert Record.verified(one.header_data, one.signature, one.body) == one
    assert (one.kind, one.header.refs, one.content()["text"]) == (MEMORY, refs, "the tide turns")
    assert one.header.writer == one.header.operator == identity().key


def test_a_new_life_opens_a_new_epoch_when_it_first_writes() -> None:
    before = write(a_life(), 3)
    [after] = write(a_life(*before), now_ms=START_MS + 1_000)
    assert (after.header.seq, after.header.previous) == (1, b"")
    assert after.header.epoch == START_MS + 1_000
    assert after.header.hlc > before[-1].header.hlc


@pytest.mark.parametrize("back_ms", [0, 1, 3_600_000, START_MS])
def test_a_clock_that_went_back_reuses_no_number_and_no_time(back_ms: int) -> None:
    before = write(a_life(), 3, now_ms=START_MS)
    after = write(a_life(*before), 3, now_ms=START_MS - back_ms)
    dots = [one.header.dot for one in before + after]
    assert len(set(dots)) == len(dots)
    assert after[0].header.epoch > before[0].header.epoch
    times = [one.header.hlc for one in before + after]
    assert times == sorted(set(times))
    assert after[0].header.epoch_start_ms == after[0].header.hlc.ms


def test_lives_on_a_broken_clock_go_on_counting_epochs() -> None:
    seen: list[Record] = []
    for _ in range(20):
        seen += write(a_life(*seen), now_ms=0)
    assert [one.header.epoch for one in seen] == list(range(1, 21))


def test_a_spore_that_lost_its_disk_does_not_fork_its_old_log() -> None:
    before = write(a_life(), 3)
    after = write(a_life(), 3, now_ms=START_MS + 60_000)
    assert {one.header.epoch for one in before}.isdisjoint(one.header.epoch for one in after)


def test_records_of_other_spores_pull_the_clock() -> None:
    log = a_life()
    log.clock.observe(Timestamp(START_MS + 500, 0), now_ms=START_MS)
    [one] = write(log)
    assert one.header.hlc == Timestamp(START_MS + 500, 1)


def test_a_draft_that_is_too_large_leaves_no_gap() -> None:
    log = a_life()
    [first] = write(log)
    with pytest.raises(RecordError, match="more than the 65536"):
        log.write(draft("x" * BODY_BYTES_MAX), now_ms=START_MS)
    [second] = write(log)
    assert (second.header.seq, second.header.previous) == (2, first.id)
