"""The second request: when it is made, who is heard, and what it may cost."""

from __future__ import annotations

import asyncio

import pytest

from synapse.core.effects import ModelRequest
from synapse.core.errors import ProviderError
from synapse.ports import ModelReply
from synapse.providers.hedging import BUDGET, CALLS_MIN, Hedged
from tests.driving import until
from tests.unit.providers.asking import request

NEVER = -1


class Model:
    """A provider that takes `usual_ms` by the clock of the test, and goes as planned: each plan is
    how often a call lets others go first, and what it says then."""

    def __init__(self, usual_ms: int = 0) -> None:
        self.now_ms = 0
        self.plans: list[tuple[int, str | ProviderError]] = []
        self.calls = 0
        self.cancelled = 0
        self.closed = 0
        self.timeouts_ms: list[int] = []
        self._usual_ms = usual_ms

    async def complete(self, target: str, asked: ModelRequest, *, timeout_ms: int) -> ModelReply:
        self.calls += 1
        self.timeouts_ms.append(timeout_ms)
        turns, outcome = self.plans.pop(0) if self.plans else (0, "usual")
        try:
            if turns == NEVER:
                await asyncio.Event().wait()
            for _ in range(turns):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.now_ms += self._usual_ms
        if isinstance(outcome, ProviderError):
            raise outcome
        return ModelReply(outcome, "m", "f")

    async def close(self) -> None:
        self.closed += 1


def failing(message):
    return ProviderError("overloaded", message)


def outcome_of(*plans, warm=CALLS_MIN, target="near", model=None, timeout_ms=5_000):
    """The model, and what comes of a call after `warm` usual ones, its requests as planned."""
    asked = model or Model()

    async def run():
        hedged = Hedged(asked, targets=["near"], now_ms=lambda: asked.now_ms)
        for _ in range(warm):
            await hedged.complete(target, request(), timeout_ms=timeout_ms)
        asked.plans = list(plans)
        try:
            return await hedged.complete(target, request(), timeout_ms=timeout_ms)
        except ProviderError as error:
            return error
        finally:
            await hedged.close()

    outcome = asyncio.run(run())
    assert asked.closed == 1
    return asked, outcome


def test_a_late_call_is_made_twice_and_the_quicker_answer_is_heard():
    model, reply = outcome_of((NEVER, ""), (0, "quick"))
    assert (reply.text, reply.hedged) == ("quick", True)
    assert (model.calls, model.cancelled) == (CALLS_MIN + 2, 1)


def test_the_first_call_may_still_win():
    model, reply = outcome_of((9, "first"), (NEVER, ""))
    assert (reply.text, reply.hedged, model.cancelled) == ("first", True, 1)


def test_a_call_in_time_is_made_once():
    model, reply = outcome_of((0, "quick"))
    assert (reply.hedged, model.calls) == (False, CALLS_MIN + 1)


def test_the_second_call_has_the_time_that_is_left():
    model, _ = outcome_of((NEVER, ""), (0, "quick"), model=Model(usual_ms=10), timeout_ms=1_000)
    assert model.timeouts_ms[-2:] == [1_000, 990]


def test_too_few_calls_hold_no_percentile():
    model, reply = outcome_of((9, "late"), warm=CALLS_MIN - 1)
    assert (reply.text, reply.hedged, model.calls) == ("late", False, CALLS_MIN)


def test_a_call_that_has_less_time_than_lateness_takes_is_made_once():
    model, reply = outcome_of((9, "late"), model=Model(usual_ms=5_000), timeout_ms=5_000)
    assert (reply.hedged, model.calls) == (False, CALLS_MIN + 1)


def test_other_targets_are_never_asked_twice():
    model, reply = outcome_of((9, "late"), warm=50, target="hosted")
    assert (reply.hedged, model.calls) == (False, 51)


@pytest.mark.parametrize(
    ("first", "second", "heard"),
    [
        ((9, failing("one")), (20, "two"), "two"),
        ((20, "one"), (0, failing("two")), "one"),
        ((9, failing("one")), (0, failing("two")), "one"),
        ((9, failing("one")), (20, failing("two")), "one"),
    ],
)
def test_one_failure_leaves_the_other_call_and_two_are_the_first_ones(first, second, heard):
    _, outcome = outcome_of(first, second)
    assert (outcome.text if isinstance(outcome, ModelReply) else str(outcome)) == heard


def test_no_more_than_a_twentieth_of_calls_is_made_twice():
    model, calls = Model(), 400

    async def run():
        hedged = Hedged(model, targets=["near"], now_ms=lambda: model.now_ms)
        model.plans = [(9, "late")] * 2 * calls
        replies = [await hedged.complete("near", request(), timeout_ms=5_000) for _ in range(calls)]
        return sum(reply.hedged for reply in replies)

    assert 0 < asyncio.run(run()) <= BUDGET * calls
    assert model.calls <= (1 + BUDGET) * calls


def test_whoever_stops_waiting_stops_both_calls():
    model = Model()

    async def run():
        hedged = Hedged(model, targets=["near"], now_ms=lambda: model.now_ms)
        for _ in range(CALLS_MIN):
            await hedged.complete("near", request(), timeout_ms=5_000)
        model.plans = [(NEVER, ""), (NEVER, "")]
        call = asyncio.create_task(hedged.complete("near", request(), timeout_ms=5_000))
        await until(lambda: model.calls == CALLS_MIN + 2)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(run())
    assert model.cancelled == 2
