"""Graded tasks as lessons in how sure to be: what was counted, and what turned out right."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from synapse.core.reasoning.aggregation import Judgement, Verdict
from synapse.core.reasoning.ballot import Ballot

LESSONS_MAX: Final = 200  # of one kind of task; fitting them takes about 40 ms
FIT_EVERY: Final = 10  # lessons; between two fits the temperature moves little

Lesson = tuple[tuple[float, ...], int | None]
"""(scores of the answers in nats, which of them was right); None when none of them was."""


def lesson(
    ballot: Ballot, verdict: Verdict, right: Mapping[bytes, bool], judgement: Judgement
) -> Lesson:
    """What one graded task teaches. `right` says of graded positions whether they were right;
    `verdict` is what `judgement` made of the ballot, best before it knew."""
    none = math.log(verdict.none_posterior)
    scores = tuple(
        judgement.none + judgement.temperature * (math.log(share) - none)
        for _, share in verdict.shares
    )
    for place, (first, _) in enumerate(verdict.shares):
        if any(right.get(ballot.positions[index].id, False) for index in verdict.members[first]):
            return scores, place
    return scores, None


class Lessons:
    """The newest lessons of each kind of task, and when it is time to fit them."""

    def __init__(self, fit: Callable[[str, list[Lesson], int], object]) -> None:
        """`fit` takes a kind, its lessons and the time, and calibrates that kind."""
        self._fit = fit
        self._by_kind: dict[str, OrderedDict[bytes, Lesson]] = {}
        self._fresh = 0

    def add(self, kind: str, task_id: bytes, learnt: Lesson, *, now_ms: int) -> None:
        """One more, or the same task's again."""
        lessons = self._by_kind.setdefault(kind, OrderedDict())
        lessons[task_id] = learnt
        lessons.move_to_end(task_id)
        if len(lessons) > LESSONS_MAX:
            lessons.popitem(last=False)
        self._fresh += 1
        if self._fresh % FIT_EVERY == 0:
            self._fit(kind, list(lessons.values()), now_ms)
