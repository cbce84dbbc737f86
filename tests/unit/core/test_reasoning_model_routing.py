"""Which model to ask next: what each failure cools, for how long, and who is asked meanwhile."""

from __future__ import annotations

from random import Random

import pytest

from synapse.core.reasoning.model_routing import (
    EXTRACTIVE,
    FAILURES,
    RETRY_AFTER_MS_MAX,
    RETRY_AFTER_MS_MIN,
    Routing,
    Scope,
    Target,
)

NOW_MS = 1_700_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE

NORTH = Target("north", "polar", account="vendor")
NORTH_MINI = Target("north-mini", "polar-mini", account="vendor")
SOUTH = Target("south", "polar", account="other")
QUOTER = Target("quoter", EXTRACTIVE, account="none")
ALL = (NORTH, NORTH_MINI, SOUTH, QUOTER)

# Class of failure: what rests, how long at first, and at most. Jitter adds up to a tenth.
TABLE = [
    ("rate_limited", Scope.TARGET, 30_000, 10 * MINUTE),
    ("quota_day", Scope.ACCOUNT, HOUR, 24 * HOUR),
    ("no_credit", Scope.ACCOUNT, 30 * MINUTE, 6 * HOUR),
    ("auth", Scope.ACCOUNT, 6 * HOUR, 24 * HOUR),
    ("gone", Scope.TARGET, 24 * HOUR, 24 * HOUR),
    ("request", Scope.NOTHING, 0, 0),
    ("refused", Scope.NOTHING, 0, 0),
    ("overloaded", Scope.TARGET, 2_000, 5 * MINUTE),
    ("slow", Scope.TARGET, 10_000, 10 * MINUTE),
    ("unreachable", Scope.TARGET, 5_000, 5 * MINUTE),
    ("bad_reply", Scope.TARGET, 5_000, MINUTE),
]
RESTING = [row for row in TABLE if row[1] is not Scope.NOTHING]


def routing(*targets: Target) -> Routing:
    return Routing(targets or ALL, Random(1))


def rest_ms(models: Routing, target: Target) -> int:
    return max(0, models.state(target).until_ms - NOW_MS)


def with_jitter(base_ms: int) -> range:
    return range(base_ms, base_ms + base_ms // 10 + 1)


def test_the_table_here_is_the_whole_table() -> None:
    assert {
        name: (cooling.scope, cooling.base_ms, cooling.cap_ms) for name, cooling in FAILURES.items()
    } == {name: tuple(rest) for name, *rest in TABLE}


@pytest.mark.parametrize(("failure", "scope", "base_ms", "cap_ms"), TABLE)
def test_a_failure_cools_what_it_is_about(
    failure: str, scope: Scope, base_ms: int, cap_ms: int
) -> None:
    models = routing()
    models.failed("north", failure, now_ms=NOW_MS)

    assert rest_ms(models, NORTH) in with_jitter(base_ms)
    assert (rest_ms(models, NORTH_MINI) > 0) == (scope is Scope.ACCOUNT)
    assert rest_ms(models, SOUTH) == rest_ms(models, QUOTER) == 0
    assert models.state(NORTH).reason == ("" if scope is Scope.NOTHING else failure)


@pytest.mark.parametrize(("failure", "scope", "base_ms", "cap_ms"), RESTING)
def test_failures_in_a_row_double_the_rest_up_to_a_cap(
    failure: str, scope: Scope, base_ms: int, cap_ms: int
) -> None:
    models = routing()
    for times in range(40):
        models.failed("north", failure, now_ms=NOW_MS)
        assert rest_ms(models, NORTH) in with_jitter(min(base_ms << times, cap_ms))


@pytest.mark.parametrize("failure", [row[0] for row in RESTING])
def test_what_the_provider_asks_for_is_honoured(failure: str) -> None:
    models = routing()
    models.failed("north", failure, now_ms=NOW_MS, retry_after_ms=77_000)
    assert rest_ms(models, NORTH) in with_jitter(77_000)


def test_a_provider_cannot_ask_for_more_than_a_day() -> None:
    models = routing()
    models.failed("north", "overloaded", now_ms=NOW_MS, retry_after_ms=10**15)
    assert rest_ms(models, NORTH) in with_jitter(RETRY_AFTER_MS_MAX)


@pytest.mark.parametrize("asked_ms", [0, -5])
def test_at_once_is_believed_less_each_time_it_is_said(asked_ms: int) -> None:
    models = routing()
    for times in range(6):
        models.failed("north", "overloaded", now_ms=NOW_MS, retry_after_ms=asked_ms)
        assert rest_ms(models, NORTH) in with_jitter(RETRY_AFTER_MS_MIN << times)


@pytest.mark.parametrize("failure", ["overloaded", "auth"])
def test_a_reply_ends_the_rest_of_target_and_account(failure: str) -> None:
    models = routing()
    for _ in range(5):
        models.failed("north", failure, now_ms=NOW_MS)
    models.replied("north")
    assert rest_ms(models, NORTH) == rest_ms(models, NORTH_MINI) == 0

    models.failed("north", failure, now_ms=NOW_MS)
    assert rest_ms(models, NORTH) in with_jitter(FAILURES[failure].base_ms)


def test_models_are_asked_in_the_operators_order() -> None:
    models = routing()
    assert models.choose(now_ms=NOW_MS) == NORTH
    models.failed("north", "overloaded", now_ms=NOW_MS)
    assert models.choose(now_ms=NOW_MS) == NORTH_MINI
    assert models.choose(now_ms=models.state(NORTH).until_ms) == NORTH


def test_the_wanted_family_comes_first_while_one_of_it_is_awake() -> None:
    models = routing()
    assert models.choose(now_ms=NOW_MS, family="polar-mini") == NORTH_MINI
    assert models.choose(now_ms=NOW_MS, family="polar", without=["north"]) == SOUTH
    models.failed("north", "auth", now_ms=NOW_MS)  # takes north-mini with it
    assert models.choose(now_ms=NOW_MS, family="polar-mini") == SOUTH
    assert models.choose(now_ms=NOW_MS, family="never heard of") == SOUTH


def test_nobody_is_asked_twice_and_nobody_who_rests() -> None:
    models = routing()
    for name in ("north", "south"):
        models.failed(name, "quota_day", now_ms=NOW_MS)
    assert models.choose(now_ms=NOW_MS, without=["quoter"]) is None
    assert routing(NORTH).choose(now_ms=NOW_MS, without=["north"]) is None


def test_families_are_those_of_models_each_once() -> None:
    assert routing().families() == ["polar", "polar-mini"]


@pytest.mark.promise("no_failure_is_an_answer")
def test_unavailable_says_why_and_when_the_first_wakes() -> None:
    models = routing(NORTH, NORTH_MINI, SOUTH)
    models.failed("north", "auth", now_ms=NOW_MS)
    models.failed("south", "rate_limited", now_ms=NOW_MS, retry_after_ms=90_000)

    unavailable = models.unavailable(now_ms=NOW_MS)
    assert unavailable.retry_at_ms - NOW_MS in with_jitter(90_000)
    assert unavailable.reasons == {"north": "auth", "north-mini": "auth", "south": "rate_limited"}


def test_unavailable_is_not_for_ever_when_nothing_rests() -> None:
    models = routing(NORTH)
    models.failed("north", "refused", now_ms=NOW_MS)
    unavailable = models.unavailable(now_ms=NOW_MS)
    assert unavailable.retry_at_ms == NOW_MS + FAILURES["unreachable"].base_ms
    assert unavailable.reasons == {"north": "failed"}


def test_spores_that_fail_together_do_not_wake_together() -> None:
    waits = set()
    for seed in range(50):
        models = Routing(ALL, Random(seed))
        models.failed("north", "rate_limited", now_ms=NOW_MS)
        waits.add(rest_ms(models, NORTH))
    assert len(waits) > 40


def test_calls_and_replies_are_counted() -> None:
    models = routing()
    models.called("north")
    models.called("north")
    models.replied("north")
    models.failed(
        "north-mini", "auth", now_ms=NOW_MS
    )  # the account's rest keeps the target's count
    assert (models.state(NORTH).calls, models.state(NORTH).replies) == (2, 1)
