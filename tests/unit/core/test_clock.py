"""The clock: always later than before, whatever the wall and the others say."""

from __future__ import annotations

from random import Random

import pytest

from synapse.core.clock import COUNT_MAX, FOLLOW_MS_MAX, HybridClock, Timestamp
from tests.making import START_MS


def test_a_tick_is_the_wall_clock_when_that_moved_on() -> None:
    clock = HybridClock()
    assert clock.tick(now_ms=START_MS) == Timestamp(START_MS, 0)
    assert clock.tick(now_ms=START_MS + 5) == Timestamp(START_MS + 5, 0)


def test_a_tick_counts_while_the_wall_clock_stands_still_or_goes_back() -> None:
    clock = HybridClock(Timestamp(START_MS, 7))
    assert clock.tick(now_ms=START_MS) == Timestamp(START_MS, 8)
    assert clock.tick(now_ms=START_MS - 3_600_000) == Timestamp(START_MS, 9)
    assert clock.tick(now_ms=0) == Timestamp(START_MS, 10)


def test_a_full_count_borrows_a_millisecond() -> None:
    clock = HybridClock(Timestamp(START_MS, COUNT_MAX - 1))
    assert clock.tick(now_ms=START_MS) == Timestamp(START_MS, COUNT_MAX)
    assert clock.tick(now_ms=START_MS) == Timestamp(START_MS + 1, 0)
    assert clock.tick(now_ms=START_MS + 1) == Timestamp(START_MS + 1, 1)


def test_a_record_seen_is_followed_by_later_ones() -> None:
    clock, seen = HybridClock(), Timestamp(START_MS + 50, 3)
    clock.observe(seen, now_ms=START_MS)
    assert clock.tick(now_ms=START_MS) == Timestamp(START_MS + 50, 4)


def test_an_older_record_changes_nothing() -> None:
    clock = HybridClock(Timestamp(START_MS, 4))
    clock.observe(Timestamp(START_MS, 3), now_ms=START_MS)
    clock.observe(Timestamp(START_MS - 1, 9), now_ms=START_MS)
    assert clock.tick(now_ms=START_MS) == Timestamp(START_MS, 5)


@pytest.mark.promise("bounded")
def test_nobody_pulls_the_clock_more_than_a_minute_past_the_wall() -> None:
    clock = HybridClock()
    clock.observe(Timestamp(START_MS + FOLLOW_MS_MAX + 1, 0), now_ms=START_MS)
    assert clock.tick(now_ms=START_MS) == Timestamp(START_MS, 0)
    clock.observe(Timestamp(START_MS + FOLLOW_MS_MAX, 0), now_ms=START_MS)
    assert clock.tick(now_ms=START_MS) == Timestamp(START_MS + FOLLOW_MS_MAX, 1)


def test_a_timestamp_of_our_own_is_followed_however_far_ahead() -> None:
    clock, own = HybridClock(), Timestamp(START_MS + 10 * FOLLOW_MS_MAX, 2)
    clock.restore(own)
    clock.restore(Timestamp(START_MS, 0))
    assert clock.tick(now_ms=START_MS) == Timestamp(own.ms, 3)


def test_every_tick_is_later_than_all_before_it() -> None:
    rng, clock, latest = Random(1), HybridClock(), Timestamp(0, 0)
    now_ms = START_MS
    for _ in range(5_000):
        now_ms += rng.choice([0, 0, 1, 7, -5, 60_000, -60_000])
        seen = Timestamp(now_ms + rng.randrange(-90_000, 90_000), rng.randrange(COUNT_MAX + 1))
        clock.observe(seen, now_ms=now_ms)
        if seen.ms <= now_ms + FOLLOW_MS_MAX:
            latest = max(latest, seen)
        ticked = clock.tick(now_ms=now_ms)
        assert ticked > latest
        assert ticked.count <= COUNT_MAX
        latest = ticked


def test_timestamps_are_ordered_by_milliseconds_and_then_by_count() -> None:
    assert Timestamp(1, 0) < Timestamp(1, 1) < Timestamp(2, 0) < Timestamp(10, 0)
