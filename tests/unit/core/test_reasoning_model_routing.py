"""Which model to ask next: what each failure rests, for how long, and who is asked meanwhile."""

from __future__ import annotations

import json
from random import Random

import pytest

from synapse.core.events import Limit
from synapse.core.reasoning.buckets import CLOCK_MS
from synapse.core.reasoning.cooling import (
    DAY_MS,
    FAILURES,
    LIMIT_WAIT_MS_MAX,
    RETRY_AFTER_MS_MAX,
    RETRY_AFTER_MS_MIN,
    Scope,
)
from synapse.core.reasoning.model_routing import (
    ASK_AGAIN_MS,
    EXACT,
    EXTRACTIVE,
    JITTER_MS_MAX,
    REST_MS_MAX,
    Routing,
    Target,
)
from synapse.core.reasoning.track_record import LATENCY_MS

NOW_MS = 1_700_000_000_000  # 14 November 2023, 22:13:20 UTC
MIDNIGHT_MS = 1_700_006_400_000
MINUTE = 60_000
HOUR = 60 * MINUTE

# One model behind two accounts of one vendor; two models of the first account share its key.
NORTH = Target("north", "polar", account="one", model="vendor/polar")
NORTH_MINI = Target("north-mini", "polar-mini", account="one", model="vendor/mini")
NORTH_SPARE = Target("north-spare", "polar", account="two", model="vendor/polar")
SOUTH = Target("south", "polar", account="other")
QUOTER = Target("quoter", EXTRACTIVE, account="none")
ALL = (NORTH, NORTH_MINI, NORTH_SPARE, SOUTH, QUOTER)

ACCOUNT = {"north", "north-mini"}
MODEL = {"north", "north-spare"}

# Class of failure: what of it rests and who with it, how long at first and at most (up to a tenth
# of jitter comes on top), and with which failure in a row.
TABLE = [
    ("rate_limited", Scope.QUOTA, {"north"}, 30_000, 10 * MINUTE, 1),
    ("no_credit", Scope.ACCOUNT, ACCOUNT, 30 * MINUTE, 6 * HOUR, 1),
    ("auth", Scope.KEY, ACCOUNT, 6 * HOUR, 24 * HOUR, 1),
    ("gone", Scope.MODEL, MODEL, 24 * HOUR, 24 * HOUR, 1),
    ("request", Scope.NOTHING, set(), 0, 0, 1),
    ("refused", Scope.NOTHING, set(), 0, 0, 1),
    ("overloaded", Scope.MODEL, MODEL, 2_000, 5 * MINUTE, 1),
    ("slow", Scope.MODEL, MODEL, 10_000, 10 * MINUTE, 1),
    ("unreachable", Scope.ACCOUNT, ACCOUNT, 5_000, 5 * MINUTE, 1),
    ("bad_reply", Scope.MODEL, MODEL, MINUTE, MINUTE, 3),
]
RESTING = [(name, base, cap, after) for name, _, who, base, cap, after in TABLE if who]
LONE = [name for name, *_ in RESTING if name != "bad_reply"]  # one failure is enough


def routing(*targets: Target, seed: int = 1) -> Routing:
    return Routing(targets or ALL, Random(seed))


def rest_ms(models: Routing, target: Target = NORTH, *, now_ms: int = NOW_MS) -> int:
    """How long this target still rests."""
    state = models.state(models.target(target.name), now_ms=now_ms)
    return state.until_ms - now_ms if state.state == "resting" else 0


def with_jitter(base_ms: int) -> range:
    return range(base_ms, base_ms + min(base_ms // 10, JITTER_MS_MAX) + 1)


def fail(
    models: Routing, failure: str, *, now_ms: int = NOW_MS, asked_ms: int | None = None
) -> int:
    """Ask north, which fails; when it rests no more."""
    models.called("north", now_ms=now_ms)
    models.failed("north", failure, now_ms=now_ms, retry_after_ms=asked_ms)
    return now_ms + rest_ms(models, now_ms=now_ms)


def rests(models: Routing, failure: str, times: int, *, asked_ms: int | None = None) -> list[int]:
    """How long each of so many failures in a row makes north rest."""
    found, now_ms = [], NOW_MS
    for _ in range(times):
        until_ms = fail(models, failure, now_ms=now_ms, asked_ms=asked_ms)
        found.append(until_ms - now_ms)
        now_ms = max(until_ms, now_ms + 1)
    return found


def answer(models: Routing, name: str, *, now_ms: int = NOW_MS, took_ms: int = 0) -> None:
    models.called(name, now_ms=now_ms)
    models.replied(name, now_ms=now_ms, took_ms=took_ms)
    models.understood(name)


def chosen(models: Routing, *, now_ms: int = NOW_MS, **wish: object) -> str | None:
    target = models.choose(now_ms=now_ms, **wish)  # type: ignore[arg-type]  # a test's wishes
    return target.name if target is not None else None


def restarted(models: Routing, *targets: Target, now_ms: int = NOW_MS) -> Routing:
    """The same spore after a restart."""
    again = routing(*(targets or models.targets), seed=2)
    again.restore(json.loads(json.dumps(models.snapshot())), now_ms)
    return again


# The table of failures


def test_the_table_here_is_the_whole_table() -> None:
    assert {
        name: (row.scope, row.base_ms, row.cap_ms, row.after)
        for name, row in FAILURES.items()
        if not row.day
    } == {name: (scope, base, cap, after) for name, scope, _, base, cap, after in TABLE}
    assert [name for name, row in FAILURES.items() if row.day] == ["quota_day"]


@pytest.mark.parametrize(
    ("failure", "who", "base_ms", "after"),
    [(name, who, base, after) for name, _, who, base, _, after in TABLE],
)
def test_a_failure_rests_what_it_is_about(
    failure: str, who: set[str], base_ms: int, after: int
) -> None:
    models = routing()
    for _ in range(after):
        fail(models, failure)
    assert {one.name for one in models.view(NOW_MS) if one.state == "resting"} == who
    for target in ALL:
        assert rest_ms(models, target) in (with_jitter(base_ms) if target.name in who else (0,))
    assert models.state(NORTH).reason == failure


@pytest.mark.parametrize(("failure", "base_ms", "cap_ms", "after"), RESTING)
def test_failures_in_a_row_double_the_rest_up_to_a_cap(
    failure: str, base_ms: int, cap_ms: int, after: int
) -> None:
    found = rests(routing(), failure, 40)
    assert found[: after - 1] == [0] * (after - 1)
    for times, rested_ms in enumerate(found[after - 1 :]):
        assert rested_ms in with_jitter(min(base_ms << times, cap_ms))


@pytest.mark.parametrize("failure", [*LONE, "quota_day"])
def test_what_the_provider_asks_for_is_honoured(failure: str) -> None:
    assert rests(routing(), failure, 1, asked_ms=77_000)[0] in with_jitter(77_000)


@pytest.mark.parametrize("failure", [*LONE, "quota_day"])
def test_a_provider_cannot_ask_for_more_than_a_day(failure: str) -> None:
    for rested_ms in rests(routing(), failure, 3, asked_ms=10**15):
        assert rested_ms in with_jitter(RETRY_AFTER_MS_MAX)


@pytest.mark.parametrize("asked_ms", [0, -5])
def test_at_once_is_believed_less_each_time_it_is_said(asked_ms: int) -> None:
    for times, rested_ms in enumerate(rests(routing(), "overloaded", 6, asked_ms=asked_ms)):
        assert rested_ms in with_jitter(RETRY_AFTER_MS_MIN << times)


def test_a_reply_ends_the_row_of_failures() -> None:
    models = routing()
    now_ms = NOW_MS
    for _ in range(5):
        now_ms = fail(models, "overloaded", now_ms=now_ms)
    answer(models, "north", now_ms=now_ms)
    assert rest_ms(models, now_ms=now_ms) == 0
    assert fail(models, "overloaded", now_ms=now_ms) - now_ms in with_jitter(2_000)


def test_calls_that_fail_together_are_one_failure() -> None:
    models = routing()
    for _ in range(5):
        models.called("north", now_ms=NOW_MS)
    for _ in range(5):
        models.failed("north", "overloaded", now_ms=NOW_MS)
    assert rest_ms(models) in with_jitter(2_000)


def test_the_longest_of_several_reasons_to_rest_counts() -> None:
    models = routing()
    for failure in ("overloaded", "gone", "overloaded", "no_credit"):
        fail(models, failure)
    assert rest_ms(models) in with_jitter(24 * HOUR)
    assert models.state(NORTH).reason == "gone"


# Days


def test_a_day_quota_rests_the_whole_account_until_the_providers_midnight() -> None:
    models = routing()
    until_ms = fail(models, "quota_day")
    assert MIDNIGHT_MS + CLOCK_MS <= until_ms <= MIDNIGHT_MS + CLOCK_MS + 2 * JITTER_MS_MAX
    assert rest_ms(models, NORTH_MINI) == rest_ms(models, NORTH)
    assert rest_ms(models, NORTH_SPARE) == 0


def test_a_pacific_day_ends_eight_hours_later() -> None:
    models = routing(Target("north", "polar", "one", day_ends="pacific"))
    after_midnight_ms = fail(models, "quota_day") - MIDNIGHT_MS
    assert 8 * HOUR + CLOCK_MS <= after_midnight_ms <= 8 * HOUR + CLOCK_MS + 2 * JITTER_MS_MAX


@pytest.mark.parametrize(
    ("shared", "failure", "who"),
    [
        (True, "quota_day", {"north", "free"}),
        (True, "rate_limited", {"north", "free"}),
        (False, "quota_day", {"north"}),
        (False, "rate_limited", {"north"}),
        (None, "quota_day", {"north", "free", "paid"}),
        (None, "rate_limited", {"north"}),
    ],
)
def test_a_spent_quota_rests_those_who_share_it(
    shared: bool | None, failure: str, who: set[str]
) -> None:
    models = routing(
        Target("north", "polar", "one", shared_quota=shared),
        Target("free", "solar", "one", shared_quota=shared),
        Target("paid", "lunar", "one", shared_quota=False),
        Target("else", "lunar", "two", shared_quota=True),
    )
    fail(models, failure)
    assert {one.name for one in models.view(NOW_MS) if one.state == "resting"} == who


def test_a_rate_limit_that_asks_for_more_than_ten_minutes_is_a_quota() -> None:
    models = routing()
    fail(models, "rate_limited", asked_ms=LIMIT_WAIT_MS_MAX + 1)
    assert rest_ms(models, NORTH_MINI) in with_jitter(LIMIT_WAIT_MS_MAX + 1)
    assert models.state(NORTH).reason == "quota_day"
    models = routing()
    fail(models, "rate_limited", asked_ms=LIMIT_WAIT_MS_MAX)
    assert rest_ms(models, NORTH) in with_jitter(LIMIT_WAIT_MS_MAX)
    assert rest_ms(models, NORTH_MINI) == 0


def test_a_spent_day_that_asks_for_seconds_is_believed_once() -> None:
    first_ms, second_ms = rests(routing(), "quota_day", 2, asked_ms=30_000)
    assert first_ms in with_jitter(30_000)
    assert NOW_MS + first_ms + second_ms >= MIDNIGHT_MS + CLOCK_MS


# Bad replies


def test_only_bad_replies_in_a_row_make_a_model_rest() -> None:
    models = routing()
    fail(models, "bad_reply")
    fail(models, "bad_reply")
    answer(models, "north")
    assert rests(models, "bad_reply", 3)[:2] == [0, 0]


def test_a_reply_that_made_no_sense_does_not_end_the_row() -> None:
    models = routing()
    for times in range(3):
        assert rest_ms(models) == 0, times
        models.called("north", now_ms=NOW_MS)
        models.replied("north", now_ms=NOW_MS)
        models.failed("north", "bad_reply", now_ms=NOW_MS)
    assert rest_ms(models) in with_jitter(MINUTE)


# One probe


def test_after_a_rest_one_call_finds_out_for_all() -> None:
    models = routing(NORTH, NORTH_MINI)
    later_ms = fail(models, "no_credit")
    assert chosen(models, now_ms=later_ms - 1) is None
    assert chosen(models, now_ms=later_ms) == "north"

    models.called("north", now_ms=later_ms, call=1)
    assert [one.state for one in models.view(later_ms)] == ["probing", "probing"]
    assert chosen(models, now_ms=later_ms) is None
    unavailable = models.unavailable(now_ms=later_ms)
    assert unavailable.retry_at_ms == later_ms + LATENCY_MS
    assert unavailable.reasons == {"north": "no_credit", "north-mini": "no_credit"}

    models.replied("north", now_ms=later_ms, call=1)
    assert chosen(models, now_ms=later_ms, family="polar-mini") == "north-mini"


def test_a_probe_that_fails_rests_for_longer() -> None:
    first_ms, second_ms = rests(routing(), "no_credit", 2)
    assert first_ms in with_jitter(30 * MINUTE)
    assert second_ms in with_jitter(60 * MINUTE)


@pytest.mark.parametrize("failure", ["refused", "request", "slow"])
def test_a_probe_that_fails_for_another_reason_lets_the_next_one_try(failure: str) -> None:
    models = routing(NORTH, NORTH_MINI)
    later_ms = fail(models, "no_credit")
    models.called("north", now_ms=later_ms)
    models.failed("north", failure, now_ms=later_ms)
    assert chosen(models, now_ms=later_ms, family="polar-mini") == "north-mini"
    models.called("north-mini", now_ms=later_ms)
    assert chosen(models, now_ms=later_ms) is None


def test_a_probe_that_was_called_off_leaves_room_for_another() -> None:
    models = routing(NORTH)
    later_ms = fail(models, "overloaded")
    models.called("north", now_ms=later_ms)
    models.released("north", now_ms=later_ms)
    assert chosen(models, now_ms=later_ms) == "north"


def test_a_probe_of_which_nobody_tells_the_end_is_lost_in_the_end() -> None:
    models = routing(NORTH)
    later_ms = fail(models, "overloaded")
    models.called("north", now_ms=later_ms)
    lost_ms = later_ms + 2 * NORTH.timeout_ms
    assert chosen(models, now_ms=lost_ms - 1) is None
    assert chosen(models, now_ms=lost_ms) == "north"


def test_a_call_made_before_the_failure_does_not_end_the_rest() -> None:
    models = routing(NORTH)
    models.called("north", now_ms=NOW_MS, call=1)
    models.called("north", now_ms=NOW_MS, call=2)
    models.failed("north", "no_credit", now_ms=NOW_MS, call=2)
    later_ms = NOW_MS + rest_ms(models)
    models.called("north", now_ms=later_ms, call=3)
    models.replied("north", now_ms=later_ms, call=1)
    assert models.state(NORTH).state == "probing"
    models.replied("north", now_ms=later_ms, call=3)
    assert models.state(NORTH).state == "ready"


# What a provider sees of it


@pytest.mark.parametrize(
    ("failure", "asked_ms", "calls"),
    [
        ("rate_limited", 3_600_000, 1),
        ("rate_limited", 20_000, 3),
        ("rate_limited", None, 2),
        ("quota_day", None, 1),
        ("no_credit", None, 1),
        ("auth", None, 1),
        ("gone", None, 1),
        ("overloaded", None, 5),
        ("slow", None, 3),
        ("unreachable", None, 4),
        ("bad_reply", None, 3),
    ],
)
def test_who_always_fails_is_asked_a_few_times_a_minute_and_the_next_serves_meanwhile(
    failure: str, asked_ms: int | None, calls: int
) -> None:
    models = routing(Target("north", "wanted", "one"), SOUTH)
    for second in range(60):
        now_ms = NOW_MS + second * 1_000
        if chosen(models, now_ms=now_ms, family="wanted") == "north":
            fail(models, failure, now_ms=now_ms, asked_ms=asked_ms)
        assert chosen(models, now_ms=now_ms, family="wanted", without=["north"]) == "south"
        answer(models, "south", now_ms=now_ms)
    assert models.view(now_ms)[0].calls == calls


# Buckets


def test_nobody_is_asked_past_a_limit_that_the_catalogue_states() -> None:
    limited = Target("north", "polar", "one", limits=(Limit("requests", MINUTE, 2),))
    models = routing(limited, SOUTH)
    for name in ("north", "north", "south"):
        assert chosen(models) == name
        models.called(name, now_ms=NOW_MS)
    assert models.state(limited).state == "full"
    assert models.state(limited).reason == "requests/minute"


def test_tokens_are_counted_before_the_call_and_corrected_after_it() -> None:
    limited = Target("north", "polar", "one", limits=(Limit("tokens", MINUTE, 6_000),))
    models = routing(limited)
    models.called("north", now_ms=NOW_MS, tokens=4_000)
    assert chosen(models, tokens=3_000) is None
    models.replied("north", now_ms=NOW_MS, tokens_in=500, tokens_out=300)
    assert chosen(models, tokens=3_000) == "north"
    state = models.state(limited)
    assert (state.tokens_in, state.tokens_out, state.buckets[0].left) == (500, 300, 5_200)
    assert models.unavailable(now_ms=NOW_MS, tokens=6_001).retry_at_ms > NOW_MS + MINUTE


def test_a_fifth_of_the_day_is_for_synthesis_and_checks() -> None:
    models = routing(Target("north", "polar", "one", limits=(Limit("requests", DAY_MS, 5),)))
    for _ in range(4):
        answer(models, "north")
    for purpose in ("position", "revision", "challenge"):
        assert chosen(models, purpose=purpose) is None
    for purpose in ("synthesis", "check"):
        assert chosen(models, purpose=purpose) == "north"
    answer(models, "north")
    assert chosen(models, purpose="synthesis") is None


def test_models_of_an_account_with_one_quota_use_it_up_together() -> None:
    limits = (Limit("requests", MINUTE, 2),)
    for shared, left in ((True, None), (False, "b")):
        models = routing(
            Target("a", "polar", "one", shared_quota=shared, limits=limits),
            Target("b", "solar", "one", shared_quota=shared, limits=limits),
        )
        answer(models, "a")
        answer(models, "a")
        assert chosen(models) == left


def test_limits_are_learnt_from_replies_and_from_failures() -> None:
    spent = (Limit("requests", MINUTE, limit=30, remaining=0, reset_ms=10_000),)
    models = routing(NORTH, SOUTH)
    models.called("north", now_ms=NOW_MS)
    models.replied("north", now_ms=NOW_MS, limits=spent)
    models.called("south", now_ms=NOW_MS)
    models.failed("south", "request", now_ms=NOW_MS, limits=spent)
    assert chosen(models) is None
    unavailable = models.unavailable(now_ms=NOW_MS)
    assert unavailable.reasons == {"north": "requests/minute", "south": "requests/minute"}
    assert unavailable.retry_at_ms - NOW_MS in with_jitter(10_000)
    assert chosen(models, now_ms=unavailable.retry_at_ms) is not None


@pytest.mark.parametrize("end", ["replied", "failed", "released"])
def test_a_call_that_ended_makes_room_for_the_next(end: str) -> None:
    models = routing(Target("north", "polar", "one", concurrency=1))
    models.called("north", now_ms=NOW_MS, call=7)
    assert chosen(models) is None
    if end == "failed":
        models.failed("north", "refused", now_ms=NOW_MS, call=7)
    else:
        getattr(models, end)("north", now_ms=NOW_MS, call=7)
    assert chosen(models) == "north"


def test_an_unreachable_provider_uses_up_no_quota() -> None:
    limited = Target("north", "polar", "one", limits=(Limit("requests", DAY_MS, 10),))
    models = routing(limited)
    fail(models, "unreachable")
    assert [one.left for one in models.state(limited).buckets] == [10]


# Who is asked


def test_of_equals_the_operators_first_is_asked() -> None:
    models = routing()
    assert chosen(models) == "north"
    until_ms = fail(models, "overloaded")
    assert chosen(models) == "north-mini"
    assert chosen(models, now_ms=until_ms) == "north"


def test_the_wanted_family_comes_first_while_one_of_it_is_awake() -> None:
    models = routing()
    assert chosen(models, family="polar-mini") == "north-mini"
    assert chosen(models, family="polar", without=["north"]) == "north-spare"
    fail(models, "auth")  # takes north-mini with it
    assert chosen(models, family="polar-mini") == "north-spare"
    assert chosen(models, family="never heard of") == "north-spare"


def test_nobody_is_asked_twice_and_nobody_who_rests() -> None:
    models = routing(NORTH, QUOTER)
    fail(models, "quota_day")
    assert chosen(models, without=["quoter"]) is None
    assert chosen(routing(NORTH), without=["north"]) is None


def test_who_fails_often_is_asked_after_who_does_not_and_is_forgiven_in_time() -> None:
    models = routing(NORTH, SOUTH)
    now_ms = NOW_MS
    for _ in range(3):
        now_ms = fail(models, "overloaded", now_ms=now_ms)
    assert chosen(models, now_ms=now_ms) == "south"
    assert chosen(models, now_ms=now_ms + HOUR) == "north"


def test_who_is_much_slower_is_asked_later() -> None:
    models = routing(NORTH, SOUTH)
    for _ in range(10):
        answer(models, "north", took_ms=30_000)
        answer(models, "south", took_ms=2_500)
    assert chosen(models) == "south"
    assert (models.state(NORTH).latency_ms, models.state(SOUTH).latency_ms) == (27_208, 2_661)
    for _ in range(20):
        answer(models, "north", took_ms=2_000)
    assert chosen(models) == "north"


def test_the_last_quarter_of_a_quota_is_spared_while_an_equal_has_more() -> None:
    limits = (Limit("requests", MINUTE, 8),)
    models = routing(Target("a", "polar", "one", limits=limits), SOUTH)
    asked = []
    for _ in range(9):
        name = chosen(models)
        assert name is not None
        models.called(name, now_ms=NOW_MS)
        asked.append(name)
    assert asked == ["a"] * 7 + ["south"] * 2
    assert chosen(models, without=["south"]) == "a"


def test_quota_errors_are_not_held_against_a_model() -> None:
    models = routing(NORTH, SOUTH)
    now_ms = NOW_MS
    for _ in range(5):
        now_ms = fail(models, "rate_limited", now_ms=now_ms)
    assert chosen(models, now_ms=now_ms) == "north"


def test_families_are_those_of_models_each_once() -> None:
    exact = Target(EXACT, EXACT, EXACT)
    assert routing(*ALL, exact).families() == ["polar", "polar-mini"]


def test_exact_tools_are_asked_by_name_only() -> None:
    exact = Target(EXACT, EXACT, EXACT)
    models = routing(exact)
    assert chosen(models) is None
    assert models.named(EXACT) == exact
    assert models.named("else") is None
    assert models.unavailable(now_ms=NOW_MS).reasons == {}


def test_one_target_can_be_asked_about() -> None:
    models = routing()
    assert models.admits("north", now_ms=NOW_MS)
    until_ms = fail(models, "overloaded")
    assert not models.admits("north", now_ms=NOW_MS)
    assert models.admits("north", now_ms=until_ms)


# Nobody


@pytest.mark.promise("no_failure_is_an_answer")
def test_unavailable_says_why_and_when_the_first_wakes() -> None:
    limited = Target("west", "solar", "west", limits=(Limit("requests", DAY_MS, 1),))
    models = routing(NORTH, NORTH_MINI, SOUTH, limited)
    models.failed("north", "auth", now_ms=NOW_MS)
    models.failed("south", "rate_limited", now_ms=NOW_MS, retry_after_ms=90_000)
    answer(models, "west")

    unavailable = models.unavailable(now_ms=NOW_MS)
    assert unavailable.retry_at_ms - NOW_MS in with_jitter(90_000)
    assert unavailable.reasons == {
        "north": "auth",
        "north-mini": "auth",
        "south": "rate_limited",
        "west": "requests/day",
    }


@pytest.mark.promise("no_failure_is_an_answer")
def test_somebody_can_be_asked_when_unavailable_said_so_and_nobody_before() -> None:
    for seed in range(20):
        models = routing(NORTH, NORTH_MINI, SOUTH, seed=seed)
        for number, failure in enumerate(Random(seed).choices(LONE, k=6)):
            models.failed(models.targets[number % 3].name, failure, now_ms=NOW_MS)
        retry_at_ms = models.unavailable(now_ms=NOW_MS).retry_at_ms
        if chosen(models) is None:
            assert chosen(models, now_ms=retry_at_ms - 1) is None
            assert chosen(models, now_ms=retry_at_ms) is not None


@pytest.mark.parametrize("failure", ["refused", "bad_reply"])
def test_unavailable_is_not_for_ever_when_nothing_rests(failure: str) -> None:
    models = routing(NORTH)
    models.failed("north", failure, now_ms=NOW_MS)
    unavailable = models.unavailable(now_ms=NOW_MS)
    assert unavailable.retry_at_ms == NOW_MS + ASK_AGAIN_MS
    assert unavailable.reasons == {"north": failure}


def test_who_refused_is_not_worth_waiting_for_when_somebody_else_will_wake() -> None:
    models = routing(NORTH, SOUTH)
    models.failed("north", "refused", now_ms=NOW_MS)
    models.failed("south", "rate_limited", now_ms=NOW_MS, retry_after_ms=90_000)
    assert models.unavailable(now_ms=NOW_MS).retry_at_ms - NOW_MS in with_jitter(90_000)


def test_spores_that_fail_together_do_not_wake_together() -> None:
    def waits(failure: str) -> set[int]:
        return {rests(routing(seed=seed), failure, 1)[0] for seed in range(50)}

    assert len(waits("rate_limited")) > 40
    wakes = waits("quota_day")
    assert max(wakes) - min(wakes) > JITTER_MS_MAX // 2


def test_days_do_not_begin_for_all_spores_at_once() -> None:
    limited = Target("north", "polar", "one", limits=(Limit("requests", DAY_MS, 1),))
    wakes = []
    for seed in range(50):
        models = routing(limited, seed=seed)
        answer(models, "north")
        wakes.append(models.unavailable(now_ms=NOW_MS).retry_at_ms - MIDNIGHT_MS - CLOCK_MS)
    assert min(wakes) >= 0
    assert JITTER_MS_MAX // 2 < max(wakes) - min(wakes) <= JITTER_MS_MAX


# For people, and across restarts


def test_the_view_tells_what_each_target_did() -> None:
    models = routing(NORTH, Target("west", "solar", "west", limits=(Limit("requests", DAY_MS, 9),)))
    models.called("west", now_ms=NOW_MS)
    models.replied("west", now_ms=NOW_MS + 900, tokens_in=10, tokens_out=5)
    models.called("west", now_ms=NOW_MS + 900)
    fail(models, "slow", now_ms=NOW_MS + 900)
    north, west = models.view(NOW_MS + 900)
    assert (north.state, north.reason, north.calls, north.replies) == ("resting", "slow", 1, 0)
    assert (north.failures, north.success, north.buckets) == ({"slow": 1}, 0.8, ())
    assert (west.state, west.reason, west.until_ms) == ("ready", "", 0)
    assert (west.calls, west.replies, west.in_flight) == (2, 1, 1)
    assert (west.latency_ms, west.tokens_in, west.tokens_out) == (3_380, 10, 5)
    assert [(one.unit, one.limit, one.left) for one in west.buckets] == [("requests", 9, 7)]


def test_a_restarted_spore_does_not_forget_a_days_quota() -> None:
    limited = Target("west", "solar", "west", limits=(Limit("requests", DAY_MS, 5),))
    models = routing(NORTH, limited)
    fail(models, "quota_day")
    for _ in range(4):
        answer(models, "west")
    again = restarted(models)
    assert rest_ms(again) == rest_ms(models)
    assert chosen(again) is None
    before, after = models.unavailable(now_ms=NOW_MS), again.unavailable(now_ms=NOW_MS)
    assert (after.retry_at_ms, after.reasons) == (before.retry_at_ms, before.reasons)


def test_a_row_of_failures_goes_on_after_a_restart() -> None:
    models = routing()
    now_ms = fail(models, "no_credit")
    fail(models, "no_credit", now_ms=now_ms)
    again = restarted(models, now_ms=now_ms)
    later_ms = now_ms + rest_ms(again, now_ms=now_ms)
    assert fail(again, "no_credit", now_ms=later_ms) - later_ms in with_jitter(120 * MINUTE)


def test_a_restart_gives_a_refused_key_another_chance() -> None:
    models = routing()
    fail(models, "auth")
    assert chosen(restarted(models)) == "north"


def test_what_belongs_to_targets_that_are_gone_is_left_behind() -> None:
    models = routing()
    fail(models, "quota_day")
    assert chosen(restarted(models, SOUTH)) == "south"


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"rests": [], "pools": 7},
        {"rests": {"account/one": ["love", NOW_MS + 9, 1]}},
        {"rests": {"account/one": ["auth", NOW_MS - 1, 1], "key/one": [1, 2]}},
        {"pools": {"target/north": [{"window_ms": "x"}]}},
    ],
)
def test_a_damaged_snapshot_rests_nobody(saved: dict[str, object]) -> None:
    models = routing()
    models.restore(saved, NOW_MS)
    assert chosen(models) == "north"


def test_no_snapshot_rests_anybody_for_more_than_a_day_and_an_hour() -> None:
    models = routing()
    models.restore({"rests": {"account/one": ["no_credit", 10**18, 10**18]}}, NOW_MS)
    assert rest_ms(models) == REST_MS_MAX
