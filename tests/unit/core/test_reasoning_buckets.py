"""Buckets: what may still be asked in a window, as we count it and as the provider does."""

from __future__ import annotations

import datetime
import json
from random import Random

import pytest

from synapse.core.events import Limit
from synapse.core.reasoning.breaker import Flight
from synapse.core.reasoning.buckets import (
    BUCKETS_MAX,
    CLOCK_MS,
    LEARNT_MS,
    SLOTS,
    TOO_LARGE_MS,
    WAIT_MS_MIN,
    Bucket,
    BucketState,
    DayEnds,
    Pool,
    day_over_ms,
)
from synapse.core.reasoning.cooling import DAY_MS, HOUR_MS, MINUTE_MS

NOW_MS = 1_700_000_000_000  # 14 November 2023, 22:13:20 UTC
MIDNIGHT_MS = 1_700_006_400_000


def minute(limit: int, unit: str = "requests") -> Bucket:
    return Bucket(unit, MINUTE_MS, stated=limit)


def day(limit: int, *, late_ms: int = 0) -> Bucket:
    return Bucket("requests", DAY_MS, stated=limit, late_ms=late_ms)


def opens(bucket: Bucket, now_ms: int = NOW_MS, amount: int = 1, *, urgent: bool = False) -> int:
    """After how many milliseconds there is room."""
    return bucket.opens_ms(amount, now_ms=now_ms, urgent=urgent) - now_ms


def pool(*limits: Limit, concurrency: int | None = None) -> Pool:
    made = Pool(day_ends="utc", late_ms=0)
    made.state_limits(limits, concurrency)
    return made


def flight(number: int = 1, *, at_ms: int = NOW_MS, tokens: int = 0) -> Flight:
    return Flight("north", number, at_ms, at_ms + 4_000, at_ms + 60_000, tokens)


def full(made: Pool, now_ms: int = NOW_MS, *, tokens: int = 0) -> tuple[int, str] | None:
    return made.full(tokens, now_ms=now_ms, urgent=False)


def saved(bucket: Bucket, now_ms: int) -> Bucket:
    """The bucket after a restart."""
    again = Bucket(bucket.unit, bucket.window_ms, stated=bucket.stated)
    again.restore(json.loads(json.dumps(bucket.saved(now_ms))), now_ms=now_ms)
    return again


# A window


def test_a_bucket_lets_its_limit_through_and_no_more() -> None:
    bucket = minute(3)
    for _ in range(3):
        assert opens(bucket) == 0
        bucket.take(1, now_ms=NOW_MS)
    assert opens(bucket) > 0
    assert bucket.state(NOW_MS) == BucketState("requests", MINUTE_MS, 3, 0)


def test_room_comes_back_a_window_after_it_was_taken_and_at_most_a_sixtieth_later() -> None:
    bucket = minute(1)
    bucket.take(1, now_ms=NOW_MS)
    wait_ms = opens(bucket)
    assert MINUTE_MS <= wait_ms <= MINUTE_MS + MINUTE_MS // SLOTS
    assert opens(bucket, NOW_MS + wait_ms - 1) == 1
    assert opens(bucket, NOW_MS + wait_ms) == 0


def test_what_needs_more_room_waits_for_more_to_come_back() -> None:
    bucket = minute(100, "tokens")
    for second in (0, 10, 20):
        bucket.take(30, now_ms=NOW_MS + second * 1_000)
    now_ms = NOW_MS + 20_000
    waits_ms = [opens(bucket, now_ms, amount) for amount in (10, 40, 70, 100)]
    assert waits_ms[0] == 0
    for wait_ms, expected_ms in zip(waits_ms[1:], (40_000, 50_000, 60_000), strict=True):
        assert expected_ms <= wait_ms <= expected_ms + 1_000


@pytest.mark.parametrize("window_ms", [1_000, MINUTE_MS, HOUR_MS, 31 * DAY_MS])
def test_no_window_of_any_bucket_is_ever_overdrawn(window_ms: int) -> None:
    rng = Random(window_ms)
    bucket = Bucket("requests", window_ms, stated=20)
    taken: list[int] = []
    now_ms = NOW_MS
    for _ in range(3_000):
        now_ms += rng.randrange(window_ms // 15)
        if opens(bucket, now_ms, urgent=True) == 0:
            bucket.take(1, now_ms=now_ms)
            taken.append(now_ms)
    for first, last in zip(taken, taken[20:], strict=False):
        assert last - first >= window_ms
    assert len(taken) > 0.8 * 20 * (now_ms - NOW_MS) / window_ms  # nor is much left unused


def test_a_bucket_remembers_no_more_than_its_slots() -> None:
    bucket = minute(10**9)
    for now_ms in range(NOW_MS, NOW_MS + 3 * MINUTE_MS, 100):
        bucket.take(1, now_ms=now_ms)
        bucket.used(now_ms)
    assert len(bucket.saved(NOW_MS)["taken"]) <= SLOTS + 2


def test_a_call_that_fits_no_empty_bucket_is_looked_at_again_much_later() -> None:
    assert opens(minute(100, "tokens"), amount=101) == TOO_LARGE_MS


# A day


@pytest.mark.parametrize("day_ends", ["utc", "pacific"])
def test_a_day_is_over_just_after_the_providers_midnight(day_ends: DayEnds) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=0 if day_ends == "utc" else -8))
    for hour in range(48):
        now_ms = NOW_MS + hour * HOUR_MS
        today = datetime.datetime.fromtimestamp(now_ms / 1_000, zone).date()
        midnight = datetime.datetime.combine(
            today + datetime.timedelta(days=1), datetime.time(), zone
        )
        assert day_over_ms(now_ms, day_ends) == midnight.timestamp() * 1_000 + CLOCK_MS


def test_right_after_a_midnight_the_day_that_is_over_is_the_one_just_past() -> None:
    over_ms = MIDNIGHT_MS + CLOCK_MS
    assert day_over_ms(MIDNIGHT_MS - 1, "utc") == over_ms
    assert day_over_ms(MIDNIGHT_MS + 1, "utc") == over_ms
    assert day_over_ms(over_ms, "utc") == over_ms + DAY_MS
    assert day_over_ms(over_ms, "utc", late_ms=1_000) == over_ms + 1_000


def test_a_days_quota_is_back_when_the_day_is_over() -> None:
    bucket = day(5, late_ms=70_000)
    for _ in range(4):
        bucket.take(1, now_ms=NOW_MS)
    back_ms = MIDNIGHT_MS + CLOCK_MS + 70_000
    assert NOW_MS + opens(bucket) == back_ms
    assert opens(bucket, back_ms) == 0


@pytest.mark.parametrize("off_ms", [-CLOCK_MS, -1, 0, CLOCK_MS - 1])
def test_calls_around_midnight_count_in_both_days_as_clocks_are_never_equal(off_ms: int) -> None:
    bucket = day(5)
    bucket.take(4, now_ms=MIDNIGHT_MS + off_ms)
    next_over_ms = MIDNIGHT_MS + DAY_MS + CLOCK_MS
    assert bucket.opens_ms(1, now_ms=MIDNIGHT_MS + off_ms, urgent=False) == next_over_ms
    before = day(5)
    before.take(4, now_ms=MIDNIGHT_MS - CLOCK_MS - 1)
    assert opens(before, MIDNIGHT_MS + off_ms) > 0


def test_a_fifth_of_a_day_is_kept_for_synthesis_and_checks() -> None:
    bucket = day(50)
    bucket.take(40, now_ms=NOW_MS)
    assert opens(bucket) > 0
    assert opens(bucket, urgent=True) == 0
    bucket.take(10, now_ms=NOW_MS)
    assert opens(bucket, urgent=True) > 0


def test_nothing_is_kept_of_a_minute() -> None:
    bucket = minute(50)
    bucket.take(49, now_ms=NOW_MS)
    assert opens(bucket) == 0


# What the provider says


def learnt(bucket: Bucket, said: Limit, *, in_flight: int = 0, now_ms: int = NOW_MS) -> Bucket:
    bucket.learn(said, in_flight=in_flight, now_ms=now_ms)
    return bucket


def test_the_providers_limit_is_believed_over_the_catalogues_for_a_day() -> None:
    bucket = learnt(minute(20), Limit("requests", MINUTE_MS, limit=100))
    assert bucket.limit(NOW_MS + LEARNT_MS - 1) == 100
    assert bucket.limit(NOW_MS + LEARNT_MS) == 20


@pytest.mark.parametrize("limit", [0, -1, 10**13])
def test_a_limit_that_cannot_be_is_not_believed(limit: int) -> None:
    assert learnt(minute(20), Limit("requests", MINUTE_MS, limit=limit)).limit(NOW_MS) == 20


def test_what_others_used_of_the_account_counts_until_its_reset() -> None:
    bucket = learnt(minute(20), Limit("requests", MINUTE_MS, remaining=0, reset_ms=7_000))
    assert opens(bucket) == 7_000
    assert opens(bucket, NOW_MS + 7_000) == 0


def test_what_is_in_flight_is_not_in_the_providers_count_yet() -> None:
    bucket = learnt(Bucket("requests", MINUTE_MS), Limit("requests", MINUTE_MS, remaining=3))
    assert bucket.state(NOW_MS).left == 3
    learnt(bucket, Limit("requests", MINUTE_MS, remaining=3), in_flight=2)
    assert bucket.state(NOW_MS).left == 1
    bucket.take(1, now_ms=NOW_MS)
    assert opens(bucket) > 0


def test_a_provider_that_counts_more_generously_than_we_do_is_not_overdrawn() -> None:
    bucket = minute(3)
    bucket.take(3, now_ms=NOW_MS)
    learnt(bucket, Limit("requests", MINUTE_MS, limit=3, remaining=3))
    assert opens(bucket) > 0


def test_nothing_left_without_a_reset_holds_for_a_window() -> None:
    bucket = learnt(minute(20), Limit("requests", MINUTE_MS, remaining=0))
    assert MINUTE_MS <= opens(bucket) <= MINUTE_MS + 1_000
    learnt(bucket, Limit("requests", MINUTE_MS, remaining=0, reset_ms=10**15))
    assert opens(bucket) <= MINUTE_MS + 1_000


# A pool


def test_the_smallest_of_what_targets_state_of_a_shared_quota_counts() -> None:
    made = pool(Limit("requests", MINUTE_MS, 20), concurrency=4)
    made.state_limits((Limit("requests", MINUTE_MS, 10),), 2)
    made.state_limits((Limit("requests", MINUTE_MS, 30),), None)
    assert made.states(NOW_MS) == (BucketState("requests", MINUTE_MS, 10, 10),)
    assert made.concurrency == 2


def test_a_call_takes_a_request_and_its_tokens() -> None:
    made = pool(Limit("requests", MINUTE_MS, 20), Limit("tokens", MINUTE_MS, 6_000))
    made.departed(flight(tokens=1_500))
    assert [one.left for one in made.states(NOW_MS)] == [19, 4_500]


def test_the_bucket_that_opens_last_says_why_a_pool_is_full() -> None:
    made = pool(Limit("requests", MINUTE_MS, 1), Limit("requests", DAY_MS, 1))
    assert full(made) is None
    made.departed(flight())
    assert full(made) == (MIDNIGHT_MS + CLOCK_MS, "requests/day")
    odd = pool(Limit("tokens", 900_000, 10))
    assert full(odd, tokens=11) == (NOW_MS + TOO_LARGE_MS, "tokens/900000 ms")


@pytest.mark.parametrize(("used", "left"), [(500, 5_500), (1_500, 4_500), (4_000, 2_000)])
def test_usage_corrects_the_estimate(used: int, left: int) -> None:
    made = pool(Limit("tokens", MINUTE_MS, 6_000))
    made.departed(flight(tokens=1_500))
    landed = made.land("north", 1, now_ms=NOW_MS + 3_000)
    assert landed is not None
    made.spent(landed, used, now_ms=NOW_MS + 3_000)
    assert [one.left for one in made.states(NOW_MS + 3_000)] == [left]


def test_what_is_given_back_is_given_back_once_and_where_it_was_taken() -> None:
    bucket = minute(100, "tokens")
    bucket.take(40, now_ms=NOW_MS)
    bucket.take(40, now_ms=NOW_MS + 30_000)
    bucket.give_back(30, taken_ms=NOW_MS)
    assert bucket.used(NOW_MS + 30_000) == 50
    assert bucket.used(NOW_MS + 62_000) == 40


def test_a_correction_reaches_what_the_provider_said_was_left_as_well() -> None:
    made = pool()
    made.learn(Limit("tokens", MINUTE_MS, remaining=2_000), now_ms=NOW_MS)
    made.departed(flight(tokens=1_500))
    landed = made.land("north", 1, now_ms=NOW_MS)
    assert landed is not None
    made.spent(landed, 500, now_ms=NOW_MS)
    assert [one.left for one in made.states(NOW_MS)] == [1_500]


def test_a_call_that_never_reached_the_provider_costs_nothing() -> None:
    made = pool(Limit("requests", DAY_MS, 10), Limit("tokens", MINUTE_MS, 6_000))
    made.departed(flight(tokens=1_500))
    landed = made.land("north", 1, now_ms=NOW_MS)
    assert landed is not None
    made.unasked(landed, now_ms=NOW_MS)
    assert [one.left for one in made.states(NOW_MS)] == [10, 6_000]


def test_no_more_calls_are_in_flight_than_are_allowed_at_once() -> None:
    made = pool(concurrency=2)
    for number in (1, 2):
        assert full(made) is None
        made.departed(flight(number))
    assert full(made) == (NOW_MS + 4_000, "concurrency")
    assert full(made, NOW_MS + 9_000) == (NOW_MS + 9_000 + WAIT_MS_MIN, "concurrency")
    assert made.land("north", 2, now_ms=NOW_MS) is not None
    assert full(made) is None


def test_a_call_of_which_nobody_tells_the_end_is_lost_in_the_end() -> None:
    made = pool(concurrency=1)
    made.departed(flight())
    assert full(made, NOW_MS + 59_999) is not None
    assert full(made, NOW_MS + 60_000) is None
    assert made.land("north", 1, now_ms=NOW_MS + 60_000) is None


def test_calls_without_a_number_end_in_the_order_in_which_they_began() -> None:
    made = pool()
    for at_ms in (NOW_MS, NOW_MS + 1):
        made.departed(Flight("north", None, at_ms, at_ms, at_ms + 60_000, 0))
    made.departed(Flight("south", None, NOW_MS, NOW_MS, NOW_MS + 60_000, 0))
    landed = [made.land("north", None, now_ms=NOW_MS + 2) for _ in range(3)]
    assert [one.started_ms if one else None for one in landed] == [NOW_MS, NOW_MS + 1, None]
    assert made.in_flight(NOW_MS + 2) == 1


def test_limits_that_make_no_sense_are_passed_over_and_few_are_kept() -> None:
    made = pool()
    for said in (
        Limit("dollars", MINUTE_MS, 5),
        Limit("requests", 999, 5),
        Limit("requests", 32 * DAY_MS, 5),
    ):
        made.learn(said, now_ms=NOW_MS)
    assert made.states(NOW_MS) == ()
    for seconds in range(1, 100):
        made.learn(Limit("requests", seconds * 1_000, 5), now_ms=NOW_MS)
    assert len(made.states(NOW_MS)) == BUCKETS_MAX


# A restart


def test_a_restart_forgets_nothing_of_a_bucket() -> None:
    for bucket in (minute(20), day(20)):
        bucket.take(5, now_ms=NOW_MS)
        bucket.take(7, now_ms=NOW_MS + 2_000)
        learnt(bucket, Limit(bucket.unit, bucket.window_ms, limit=30, remaining=3))
        again = saved(bucket, NOW_MS + 3_000)
        for amount in (1, 5, 20):
            assert opens(again, NOW_MS + 3_000, amount) == opens(bucket, NOW_MS + 3_000, amount)
        assert again.state(NOW_MS + 3_000) == bucket.state(NOW_MS + 3_000)


def test_what_is_over_by_the_restart_is_left_behind() -> None:
    bucket = day(20)
    bucket.take(20, now_ms=NOW_MS)
    again = Bucket("requests", DAY_MS, stated=20)
    again.restore(bucket.saved(NOW_MS), now_ms=MIDNIGHT_MS + HOUR_MS)
    assert again.used(MIDNIGHT_MS + HOUR_MS) == 0


@pytest.mark.parametrize(
    "damage",
    [
        {"taken": 5, "learnt": None, "left": "x"},
        {"taken": [[1], ["a", "b"], [NOW_MS + 10**15, 9], [NOW_MS + 5, -9]]},
        {"learnt": [10**20, NOW_MS * 2], "left": [-1, NOW_MS + 5]},
        {"left": [0, NOW_MS + 10**15]},
    ],
)
def test_a_damaged_memory_of_a_bucket_shuts_nobody_out(damage: dict[str, object]) -> None:
    bucket = day(20)
    bucket.restore(damage, now_ms=NOW_MS)
    assert bucket.state(NOW_MS) == BucketState("requests", DAY_MS, 20, 20)


def test_a_pool_takes_up_what_it_saved_and_nothing_else() -> None:
    made = pool(Limit("requests", DAY_MS, 20))
    made.departed(flight())
    again = pool(Limit("requests", DAY_MS, 20))
    again.restore(
        ["x", {"unit": "requests"}, {"unit": "love", "window_ms": DAY_MS}, *made.saved(NOW_MS)],
        now_ms=NOW_MS,
    )
    assert again.states(NOW_MS) == made.states(NOW_MS)
