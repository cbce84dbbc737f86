"""Memories that a verified answer rests on are as good as new."""

from __future__ import annotations

import pytest

from synapse.driver.clock import MonotonicClock
from synapse.ports import Ranking
from synapse.retrieval.scan import ScanIndex
from tests.driving import Driven, running, spore

pytestmark = pytest.mark.anyio

DAY_MS = 86_400_000
HALF_LIFE_DAYS = 90.0


class Clock:
    """The real one, and so much later."""

    def __init__(self) -> None:
        self.later_ms = 0
        self._now_ms = MonotonicClock().now_ms

    def __call__(self) -> int:
        return self._now_ms() + self.later_ms


def faded(spore: Driven, memory: str, now_ms: int) -> float:
    """What age leaves of a memory's score."""
    why = spore.index.why(
        "tides", bytes.fromhex(memory), ranking=Ranking(now_ms, HALF_LIFE_DAYS, {})
    )
    assert why is not None
    return why.decay


async def asked_after_180_days(right_answer: str) -> tuple[float, float]:
    """What age leaves of a cited memory, before its answer was graded and after."""
    clock = Clock()
    one = spore(
        index=ScanIndex(),
        clock=clock,
        scripts={"polar": ['{"answer": "The moon.", "cites": ["m1"]}']},
    )
    async with running(one):
        memory = await one.operations.remember("The tides follow the moon.")
        await one.indexed(1)
        clock.later_ms = 180 * DAY_MS
        task = await one.operations.submit_task("What do the tides follow?")
        await one.operations.finished_task(task.task_id, wait_ms=5_000)
        before = faded(one, memory.id, clock())
        await one.operations.grade_task(task.task_id, right_answer=right_answer)
        await one.indexed(2)  # the finding
        await one.driver.indexer.settled(within_s=5)
        return before, faded(one, memory.id, clock())


async def test_what_a_right_answer_cites_ages_from_then_on() -> None:
    before, after = await asked_after_180_days("The moon.")
    assert 0.2 < before < 0.3
    assert after > 0.99


async def test_what_a_wrong_answer_cites_stays_as_old_as_it_is() -> None:
    before, after = await asked_after_180_days("The sun and the moon together.")
    assert before == after
