"""From what was said of a task to votes and checks: which positions speak, and how loudly.

A family's latest position at each spore counts. What a stranger shows after an answer was shown
may have been copied from it, and counts half. A challenger's answer was demanded, not believed:
it has no vote, and wins on checks or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from synapse.core.reasoning import tools
from synapse.core.reasoning.aggregation import (
    ALL_ON,
    Check,
    Judgement,
    Mechanisms,
    Verdict,
    Vote,
    count,
)
from synapse.core.reasoning.canonical import canonical, grouped
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.model_routing import EXTRACTIVE
from synapse.core.reasoning.task import Position, Task
from synapse.core.reasoning.tools import Result

EXACT_RIGHT: Final = 0.999  # how often an exact tool passes a right answer; its bugs are the rest
EXACT_WRONG: Final = 0.001
REFUTES_RIGHT: Final = 0.4  # how often a model refutes a right answer, and a wrong one: little
REFUTES_WRONG: Final = 0.6  # better than chance, as a weak check in simulation; no live source
STRANGER_RIGHT: Final = 0.8  # a checker that we do not have ourselves: fair, and discounted by
STRANGER_WRONG: Final = 0.2  # what its operator is worth
COPIED: Final = 0.5  # of a voice that could have been copied; no source but caution

Hear = Callable[[Sequence[tuple[bytes, str]], Kind], Sequence[tuple[str, float]]]
"""For each (operator, family it claims) that speaks about such a task: whose vote that is, and
what part of it, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """What is counted. `positions[i]` is where `votes[i]` came from."""

    positions: tuple[Position, ...]
    votes: tuple[Vote, ...]
    checks: tuple[Check, ...]
    kind: Kind
    choices: tuple[str, ...]

    def count(self, judgement: Judgement, mechanisms: Mechanisms = ALL_ON) -> Verdict | None:
        """The verdict; None when nobody has said anything."""
        if not self.votes:
            return None
        return count(
            self.votes,
            judgement,
            checks=self.checks,
            kind=self.kind,
            choices=self.choices,
            mechanisms=mechanisms,
        )

    def and_if(self, family: str, answer: str) -> Ballot:
        """The ballot as it were if this family gave this answer too."""
        supposed = Vote(answer, family)
        return Ballot(
            (*self.positions, self.positions[0]) if self.positions else (),
            (*self.votes, supposed),
            self.checks,
            self.kind,
            self.choices,
        )


@dataclass(slots=True)
class Checker:
    """The exact tools on the answers of one task, each asked once."""

    task: str
    _found: dict[str, tools.Check | None] = field(default_factory=dict)

    @property
    def knows(self) -> bool:
        """Whether some tool can check answers to this task."""
        return tools.check(self.task, "?") is not None

    def check(self, answer: str) -> tools.Check | None:
        """What a tool says of this answer; None when none knows the task, or cannot tell."""
        if answer not in self._found:
            self._found[answer] = tools.check(self.task, answer)
        found = self._found[answer]
        return found if found is not None and found.result is not Result.UNKNOWN else None


def kind_of(task: Task, answers: Iterable[str]) -> Kind:
    """The form of the answer: as the asker said, else as the answers are."""
    if task.wish.kind is not None:
        return task.wish.kind
    if task.wish.choices:
        return Kind.CHOICE
    forms = [canonical(answer) for answer in answers]
    if not forms:
        return Kind.FREE
    if all(form is not None and form.startswith("=") for form in forms):
        return Kind.NUMBER
    # What a tool checks to the letter is compared to the letter.
    return Kind.CODE if tools.check(task.text, "?") is not None else Kind.FREE


def fits(task: Task, answer: str) -> bool:
    """Whether an answer is one of the choices, when there are any."""
    form = canonical(answer, Kind.CHOICE, task.wish.choices) if task.wish.choices else "#"
    return form is not None and form.startswith("#")


def gather(
    task: Task,
    positions: Sequence[Position],
    *,
    copyable: Callable[[Position], bool],
    hear: Hear,
    checker: Checker,
) -> Ballot:
    """The ballot of the latest of these positions; `copyable` says of which ones the answer may
    have been taken from ours."""
    speaking = latest(positions)
    kind = kind_of(task, (one.answer for one in speaking))
    heard = _heard(speaking, kind, hear)
    spoken: list[Position] = []
    votes: list[Vote] = []
    for one, (family, believed) in zip(speaking, heard, strict=True):
        if copyable(one):
            believed *= COPIED
        for answer, share in one.hypotheses:
            spoken.append(one)
            votes.append(Vote(answer, family, 0.0 if one.challenge else share, believed))
    believed_of = {one.operator: part for one, (_, part) in zip(speaking, heard, strict=True)}
    checks = _checks(task, speaking, kind, believed_of, checker)
    return Ballot(tuple(spoken), tuple(votes), tuple(checks), kind, task.wish.choices)


def _heard(positions: Sequence[Position], kind: Kind, hear: Hear) -> Sequence[tuple[str, float]]:
    """How each is heard. Whoever only quotes speaks for no family."""
    speakers = [(one.operator, one.family) for one in positions if one.family != EXTRACTIVE]
    heard = iter(hear(speakers, kind))
    return [(EXTRACTIVE, 1.0) if one.family == EXTRACTIVE else next(heard) for one in positions]


def latest(positions: Sequence[Position]) -> list[Position]:
    """The last position of each spore's each family: revisions replace what they revise, but a
    challenge replaces nothing."""
    newest: dict[tuple[bytes, str, bool], Position] = {}
    for one in positions:
        key = (one.author, one.family, one.challenge)
        if key not in newest or one.cycle >= newest[key].cycle:
            newest[key] = one
    return sorted(newest.values(), key=lambda one: (one.created_ms, one.id))


def _checks(
    task: Task,
    positions: Sequence[Position],
    kind: Kind,
    believed: Mapping[bytes, float],
    checker: Checker,
) -> list[Check]:
    """What is known for or against each distinct answer, once for each way of knowing it."""
    groups = grouped([one.answer for one in positions], kind, task.wish.choices).groups
    answers: Mapping[bytes, tuple[int, str]] = {
        one.id: (group, one.answer) for one, group in zip(positions, groups, strict=True)
    }
    found: dict[tuple[int, str], Check] = {}
    for group, answer in answers.values():
        check = checker.check(answer)
        if check is not None:
            passed = check.result is Result.PASS
            found[group, check.tool] = Check(answer, passed, EXACT_RIGHT, EXACT_WRONG)
    for verdict in task.verdicts:
        if verdict.position in answers and verdict.tool not in tools.TOOLS:
            group, answer = answers[verdict.position]
            part = believed.get(verdict.operator, 0.0)  # who says nothing itself is not believed
            its = Check(answer, verdict.passed, STRANGER_RIGHT, STRANGER_WRONG, part)
            found.setdefault((group, verdict.tool), its)
    for one in positions:
        for refuted in one.refutes:
            if refuted in answers and one.family != EXTRACTIVE:
                group, answer = answers[refuted]
                key = (group, f"refuted by {one.family}")
                against = Check(answer, False, 1 - REFUTES_RIGHT, 1 - REFUTES_WRONG)
                found.setdefault(key, against)
    return list(found.values())
