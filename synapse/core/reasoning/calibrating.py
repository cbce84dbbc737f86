"""Graded tasks as lessons in how sure to be: what was said, and what turned out right.

Lessons are scored when they are fitted, by what is believed then. Their scores of old would not
do: they come from the few grades there were, and a posterior fitted to them is too sure later.
That each lesson's own grade is among those believed matters less. A lesson teaches twice: what all
that was said came to, and what its best voice alone would have. Fitted to whole teams only, one
voice was believed far less often than it was right (`docs/evidence.md`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from synapse.core.reasoning.aggregation import (
    ALL_ON,
    Judgement,
    Mechanisms,
    Verdict,
    Voice,
    Vote,
    discord,
    heard,
    scores,
)
from synapse.core.reasoning.ballot import Ballot

LESSONS_MAX: Final = 200  # of one kind of task; scoring and fitting them takes about 30 ms
FIT_EVERY: Final = 10  # lessons; between two fits the temperature moves little

Outcome = tuple[Sequence[float], float, int | None]
"""(scores of the answers in nats, discord, which of them was right); None when none was."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One graded task: the votes, each with the answer it was for, and which answer was right."""

    ballot: tuple[tuple[Vote, int], ...]
    right: int | None  # None when none of them was
    evidence: Mapping[int, float] = field(default_factory=dict)  # of checks, in nats, by answer

    def outcomes(self, judgement: Judgement, mechanisms: Mechanisms = ALL_ON) -> list[Outcome]:
        """What this judgement makes of all voices, and of the heaviest one had it spoken alone."""
        voices = heard(self.ballot, judgement, mechanisms)
        found = [self._outcome(voices, self.evidence, judgement, mechanisms)]
        if len(voices) > 1:
            best = max(voices, key=lambda voice: voice.weight)  # of equals the first
            known = {answer: self.evidence.get(answer, 0.0) for answer in best.spread}
            found.append(self._outcome([best], known, judgement, mechanisms))
        return found

    def _outcome(
        self,
        voices: Sequence[Voice],
        evidence: Mapping[int, float],
        judgement: Judgement,
        mechanisms: Mechanisms,
    ) -> Outcome:
        scored = scores(voices, judgement, evidence, mechanisms)
        answers = list(scored)
        place = answers.index(self.right) if self.right in scored else None
        return tuple(scored.values()), discord(voices), place


def lesson(ballot: Ballot, verdict: Verdict, right: Mapping[bytes, bool]) -> Lesson:
    """What one graded task teaches. `right` says of graded positions whether they were right;
    `verdict` is what the ballot came to."""
    said = tuple(
        (ballot.votes[index], answer) for answer, each in verdict.members.items() for index in each
    )
    found = (
        answer
        for answer, _ in verdict.shares
        if any(
            right.get(ballot.positions[index].id, False)
            and ballot.votes[index].answer == ballot.positions[index].answer  # no alternative of it
            for index in verdict.members[answer]
        )
    )
    return Lesson(said, next(found, None), dict(verdict.evidence))


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
