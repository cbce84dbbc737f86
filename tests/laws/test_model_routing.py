"""Whatever calls are made, however they end: no limit is overdrawn, and one probe is in flight.

A law is checked against a twin that remembers every call and counts the dumb way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from synapse.core.events import Limit
from synapse.core.reasoning.cooling import DAY_MS, HOUR_MS, MINUTE_MS
from synapse.core.reasoning.model_routing import URGENT, Routing, Target

NOW_MS = 1_700_000_000_000
REQUESTS_A_MINUTE, TOKENS_A_MINUTE, REQUESTS_A_DAY, AT_ONCE = 6, 3_000, 20, 3
LIMITS = (
    Limit("requests", MINUTE_MS, REQUESTS_A_MINUTE),
    Limit("tokens", MINUTE_MS, TOKENS_A_MINUTE),
    Limit("requests", DAY_MS, REQUESTS_A_DAY),
)
SHARED = (
    Target("a", "polar", "one", shared_quota=True, limits=LIMITS, concurrency=AT_ONCE),
    Target("b", "solar", "one", shared_quota=True, limits=LIMITS, concurrency=AT_ONCE),
)
TARGETS = tuple(Target(name, name, "one") for name in "abc")
LONG_MS = 60_000  # a call may take so long, and no longer

waits = st.sampled_from((0, 1, 300, 5_000, 30_000, 10 * MINUTE_MS, 7 * HOUR_MS))
asks = st.tuples(st.just("ask"), st.sampled_from(("position", "check")), st.integers(0, 1_500))
ends = st.tuples(
    st.sampled_from(("replied", "no_credit", "rate_limited", "refused", "unreachable", "released")),
    st.integers(0, 5),
    st.integers(0, 2_000),
)
restarts = st.tuples(st.just("restart"), st.just(0), st.just(0))
Step = tuple[int, tuple[str, str | int, int]]


@dataclass
class Called:
    """One call, as the twin remembers it."""

    number: int
    name: str
    at_ms: int
    amount: int
    counted: bool = True
    under_way: bool = True


@dataclass
class World:
    """A routing, a clock, and every call there ever was."""

    models: Routing
    now_ms: int = NOW_MS
    calls: list[Called] = field(default_factory=list)

    def under_way(self) -> list[Called]:
        """Calls that have not ended; those that are lost have."""
        for one in self.calls:
            one.under_way = one.under_way and one.at_ms + LONG_MS > self.now_ms
        return [one for one in self.calls if one.under_way]

    def ask(self, purpose: str, tokens: int) -> Called | None:
        target = self.models.choose(now_ms=self.now_ms, tokens=tokens, purpose=purpose)
        if target is None:
            return None
        made = Called(len(self.calls), target.name, self.now_ms, tokens)
        self.models.called(target.name, now_ms=self.now_ms, tokens=tokens, call=made.number)
        self.calls.append(made)
        return made

    def end(self, how: str, number: int, tokens: int) -> Called | None:
        flying = self.under_way()
        if not flying:
            return None
        one = flying[number % len(flying)]
        one.under_way = False
        if how == "replied":
            one.amount = tokens or one.amount
            self.models.replied(
                one.name, now_ms=self.now_ms, call=one.number, tokens_in=tokens, limits=self.said()
            )
        elif how == "released":
            self.models.released(one.name, now_ms=self.now_ms, call=one.number)
        else:
            one.counted = how != "unreachable"
            self.models.failed(one.name, how, now_ms=self.now_ms, call=one.number)
        return one

    def restart(self, targets: Sequence[Target]) -> None:
        saved = json.loads(json.dumps(self.models.snapshot()))
        self.models = Routing(targets, Random(len(self.calls)))
        self.models.restore(saved, self.now_ms)
        for one in self.calls:
            one.under_way = False  # nobody will tell the new process

    def since(self, start_ms: int) -> list[Called]:
        """What the provider counted after a moment."""
        return [one for one in self.calls if one.counted and one.at_ms > start_ms]

    def said(self) -> tuple[Limit, ...]:
        """What an honest provider says with a reply."""
        left = REQUESTS_A_MINUTE - len(self.since(self.now_ms - MINUTE_MS))
        return (Limit("requests", MINUTE_MS, REQUESTS_A_MINUTE, max(0, left), 10_000),)


@given(st.lists(st.tuples(waits, asks | asks | ends | restarts), max_size=150))
def test_no_limit_is_overdrawn_whatever_the_order_of_calls(steps: list[Step]) -> None:
    world = World(Routing(SHARED, Random(1)))
    for wait_ms, (verb, which, tokens) in steps:
        world.now_ms += wait_ms
        if verb == "restart":
            world.restart(SHARED)
        elif verb != "ask":
            world.end(verb, int(which), tokens)
        elif world.ask(str(which), tokens) is not None:
            last_minute = world.since(world.now_ms - MINUTE_MS)
            today = world.since(world.now_ms - world.now_ms % DAY_MS - 1)
            of_today = REQUESTS_A_DAY if which in URGENT else REQUESTS_A_DAY * 4 // 5
            assert len(last_minute) <= REQUESTS_A_MINUTE
            assert sum(one.amount for one in last_minute) <= TOKENS_A_MINUTE
            assert len(today) <= of_today
            assert len(world.under_way()) <= AT_ONCE


probing_ends = st.tuples(
    st.sampled_from(("replied", "no_credit", "refused", "overloaded", "released")),
    st.integers(0, 5),
    st.just(0),
)


@given(st.lists(st.tuples(waits, asks | probing_ends), max_size=150))
def test_at_most_one_probe_of_an_account_is_in_flight(steps: list[Step]) -> None:
    world = World(Routing(TARGETS, Random(1)))
    suspect, rests_until_ms = False, 0
    probe: Called | None = None
    for wait_ms, (verb, which, tokens) in steps:
        world.now_ms += wait_ms
        flying = world.under_way()
        probe = probe if probe in flying else None
        if verb == "ask":
            made = world.ask(str(which), tokens)
            if made is not None and suspect:
                assert world.now_ms >= rests_until_ms, "it rests"
                assert probe is None, "somebody is finding out"
                probe = made
            continue
        ended = world.end(verb, int(which), tokens)
        if ended is None:
            continue
        if verb == "no_credit":
            state = world.models.state(world.models.target(ended.name), now_ms=world.now_ms)
            suspect, rests_until_ms = True, max(rests_until_ms, state.until_ms)
        elif verb == "replied" and ended is probe and world.now_ms >= rests_until_ms:
            suspect = False
        probe = None if ended is probe else probe


numbers = st.permutations(range(4))


@given(st.lists(st.tuples(numbers, st.sampled_from(("replied", "failed", "released"))), max_size=8))
def test_calls_without_a_number_leak_no_place(rounds: list[tuple[list[int], str]]) -> None:
    target = Target("a", "polar", "one", concurrency=4)
    models, now_ms = Routing([target], Random(1)), NOW_MS
    for order, how in rounds:
        while models.choose(now_ms=now_ms) is not None:
            models.called("a", now_ms=now_ms)
        for _ in order[: models.state(target, now_ms=now_ms).in_flight]:
            if how == "failed":
                models.failed("a", "overloaded", now_ms=now_ms)
            else:
                getattr(models, how)("a", now_ms=now_ms)
        assert models.state(target, now_ms=now_ms).in_flight == 0
        now_ms = max(now_ms, models.state(target, now_ms=now_ms).until_ms)
        assert models.choose(now_ms=now_ms) == target
