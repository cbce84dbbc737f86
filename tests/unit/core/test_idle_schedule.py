"""When idle work is due, and how the budget of a day is kept."""

from __future__ import annotations

from random import Random

import pytest

from synapse.core.reasoning.cooling import DAY_MS
from synapse.core.reasoning.idle.schedule import BANDS, QUIET_MS, Timetable, Work, interval_ms


def test_the_four_bands_are_each_slower_than_the_one_before() -> None:
    intervals = [band.interval_ms for band in BANDS]
    assert [band.name for band in BANDS] == ["fast", "medium", "slow", "daily"]
    assert intervals == sorted(set(intervals))


@pytest.mark.parametrize("calls_per_day", [1, 2, 3, 7, 12, 30, 100])
def test_the_shares_of_all_bands_fit_into_the_budget_of_a_day(calls_per_day: int) -> None:
    spaced = [interval_ms(band, calls_per_day) for band in BANDS if band.asks]
    assert sum(DAY_MS // one for one in spaced if one is not None) <= calls_per_day


def test_a_single_call_a_day_goes_to_consolidation() -> None:
    by_work = {band.work: interval_ms(band, 1) for band in BANDS}
    assert by_work[Work.EXPLORING] is None
    assert by_work[Work.CONSOLIDATING] == DAY_MS


def test_a_run_is_never_sooner_than_its_interval_and_the_first_waits_as_long() -> None:
    timetable = Timetable(12, Random(1))
    timetable.start(0)
    interval = timetable.intervals_ms[Work.EXPLORING]
    before_ms = 0
    for _ in range(50):
        due_ms = timetable.due_ms[Work.EXPLORING]
        assert interval <= due_ms - before_ms <= interval * 1.2 + 1
        timetable.done(Work.EXPLORING, spent=True, now_ms=due_ms)
        before_ms = due_ms


def test_restarts_spend_no_call() -> None:
    spent = 0
    for start_ms in range(0, DAY_MS, DAY_MS // 24):  # a spore that is restarted every hour
        timetable = Timetable(12, Random(start_ms))
        timetable.start(start_ms)
        spent += sum(
            timetable.due_ms[band.work] < start_ms + DAY_MS // 24 for band in BANDS if band.asks
        )
    assert spent == 0


def test_what_asks_nobody_begins_as_soon_as_things_have_settled() -> None:
    timetable = Timetable(1, Random(1))
    timetable.start(0)
    assert QUIET_MS <= timetable.due_ms[Work.REVIEWING] <= 1.2 * QUIET_MS


def test_two_spores_do_not_think_at_the_same_time() -> None:
    tables = [Timetable(12, Random(seed)) for seed in range(20)]
    for timetable in tables:
        timetable.start(0)
    assert len({timetable.due_ms[Work.EXPLORING] for timetable in tables}) == 20
