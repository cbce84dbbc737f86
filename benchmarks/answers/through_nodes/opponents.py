"""Other rules on the same tasks: what a swarm must beat.

Each call of a member is as good as one of the protocol's: the same steps, the same members. Rules
that need to know who is good learn it from the same graded tasks as the protocol.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import numpy as np

from benchmarks.answers import baselines
from benchmarks.answers.recorded import NO_ANSWER
from benchmarks.answers.solvers.members import Member
from benchmarks.answers.solvers.tasks import Task, is_right
from synapse.core.reasoning import tools
from synapse.core.reasoning.canonical import grouped
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.tools import Result

TEMPERATURE: Final = 0.7  # of every draw
FLAT_TRUST: Final = 0.4  # what the reference's trust comes to for everyone


@dataclass(frozen=True, slots=True)
class Drawn:
    """One member's answer to one task; empty where it abstained."""

    answer: str
    right: bool
    weight: float  # that its author gives it among its hypotheses


@dataclass(frozen=True, slots=True)
class Panel:
    """Seven members, the tasks that were graded for all, and how a task is put to them."""

    seed: int
    members: tuple[Member, ...]
    graded: tuple[Task, ...]
    said: tuple[tuple[Drawn, ...], ...]  # by member, of the graded tasks
    prefix: str  # before every task's text

    @property
    def scores(self) -> list[int]:
        """How many of the graded tasks each member had right."""
        return [sum(one.right for one in own) for own in self.said]

    @property
    def best_first(self) -> list[Member]:
        """The members by what they had right."""
        order = sorted(range(len(self.members)), key=lambda at: (-self.scores[at], at))
        return [self.members[at] for at in order]


def panel(seed: int, members: Sequence[Member], graded: Sequence[Task], prefix: str) -> Panel:
    """These members after the graded tasks."""
    said = tuple(
        tuple(draw(member, task, prefix, seed, nth=0) for task in graded) for member in members
    )
    return Panel(seed, tuple(members), tuple(graded), said, prefix)


def draw(
    member: Member, task: Task, prefix: str, seed: int, *, nth: int, others: Sequence[str] = ()
) -> Drawn:
    """The nth answer of a member, alone or after others' answers."""
    text = prefix + task.text
    rng = Random(f"{seed} {member.name} {'revision' if others else 'baseline'} {nth} {text}")
    given = member.answer(text, temperature=TEMPERATURE, rng=rng, others=others)
    if given.abstained:
        return Drawn("", False, 0.0)
    return Drawn(given.answer, is_right(task, given.answer), given.hypotheses[0][1])


def ruled(panel: Panel, tasks: Sequence[Task], calls: Sequence[int]) -> dict[str, list[float]]:
    """What every rule is worth, task by task; those "at equal calls" may ask so often."""
    rows: dict[str, list[float]] = {}
    blind = [[_drawn(panel, one, task, 0) for one in panel.members] for task in tasks]
    labelled = dict(enumerate(_dawid_skene(panel, blind)))
    for at, (task, each) in enumerate(zip(tasks, blind, strict=True)):
        for name, one in _each(panel, task, each, calls[at]).items():
            rows.setdefault(name, []).append(float(one.right if one is not None else 0.0))
        rows.setdefault("Dawid-Skene", []).append(labelled[at])
        rows.setdefault("mean member", []).append(sum(one.right for one in each) / len(each))
        rows.setdefault("any member right", []).append(float(any(one.right for one in each)))
        for number, one in enumerate(each):
            rows.setdefault(f"member {number}", []).append(float(one.right))
    return rows


def _each(panel: Panel, task: Task, each: Sequence[Drawn], calls: int) -> dict[str, Drawn | None]:
    """The answer of each rule to one task."""
    best = panel.best_first
    again = [_drawn(panel, best[0], task, nth) for nth in range(calls)]
    said: dict[str, Drawn | None] = {
        "best on calibration": again[0],
        "plurality": plurality(each),
        "log-odds": plurality(each, [_log_odds(score, panel) for score in panel.scores]),
        "the reference's rule": max(each, key=lambda one: FLAT_TRUST * one.weight),
        "self-consistency of the best": plurality(again),
    }
    for shown in (False, True):
        name = f"debate, counts {'shown' if shown else 'hidden'}"
        said[name] = plurality(debate(panel, task, calls, shown=shown))
    said["debate of all seven, counts hidden"] = plurality(
        debate(panel, task, 2 * len(panel.members), shown=False)
    )
    if not panel.prefix:
        said["best of as many with the same checks"] = _checked(task, again)
        many = [_drawn(panel, best[n % len(best)], task, n // len(best)) for n in range(calls)]
        said["as many members with the same checks"] = _checked(task, many)
    return said


def debate(panel: Panel, task: Task, calls: int, *, shown: bool) -> list[Drawn]:
    """The best members answer, then see the others' answers and answer again, while calls last.

    Counts shown: every answer as often as it was given, the commonest first. Hidden: each once, in
    any order. Where tools understand the task, nobody is shown what they refute.
    """
    first = panel.best_first[: math.ceil(calls / 2)]
    latest = [_drawn(panel, member, task, 0) for member in first]
    rng = Random(f"{panel.seed} debate {task.text}")
    said = list(latest)
    for at, member in enumerate(first[: calls - len(first)]):
        others = [one for number, one in enumerate(said) if number != at and one.answer]
        if not panel.prefix:
            others = [one for one in others if _found(task, one) is not Result.FAIL]
        counted = Counter(one.answer for one in others)
        texts = [text for text, many in counted.most_common() for _ in range(many)]
        if not shown:
            texts = sorted(counted)
            rng.shuffle(texts)
        if texts:
            latest[at] = draw(member, task, panel.prefix, panel.seed, nth=0, others=texts)
    return latest


def plurality(drawn: Sequence[Drawn], weights: Sequence[float] | None = None) -> Drawn | None:
    """The heaviest group of same answers, of equals the first; None when nobody spoke."""
    heavy = weights if weights is not None else [1.0] * len(drawn)
    said = [(one, weight) for one, weight in zip(drawn, heavy, strict=True) if one.answer]
    if not said:
        return None
    groups = grouped([one.answer for one, _ in said], Kind.CODE).groups
    total: dict[int, float] = {}
    for group, (_, weight) in zip(groups, said, strict=True):
        total[group] = total.get(group, 0.0) + weight
    return said[max(total, key=lambda group: (total[group], -group))][0]


def _log_odds(score: int, panel: Panel) -> float:
    """The log-odds of a member's accuracy, smoothed by one right and one wrong, beside three wrong
    answers that it could also have given: `baselines.ANSWERS`."""
    p = (score + 1) / (len(panel.graded) + 2)
    return max(0.0, math.log(p / (1 - p)) + math.log(baselines.ANSWERS))


def _dawid_skene(panel: Panel, blind: Sequence[Sequence[Drawn]]) -> list[float]:
    """Right or wrong by task, from the answers to these and to the graded tasks, without grades."""
    columns = [*zip(*panel.said, strict=True), *blind]
    groups = np.full((len(panel.members), len(columns)), NO_ANSWER, dtype=np.int64)
    for place, column in enumerate(columns):
        spoke = [at for at, one in enumerate(column) if one.answer]
        found = grouped([column[at].answer for at in spoke], Kind.CODE).groups
        groups[spoke, place] = [spoke[group] for group in found]
    leaders = baselines.dawid_skene(groups)[len(panel.graded) :]
    return [
        float(leader != NO_ANSWER and column[leader].right)
        for leader, column in zip(leaders, blind, strict=True)
    ]


def _checked(task: Task, drawn: Sequence[Drawn]) -> Drawn | None:
    """The first answer that passes; the largest group when none does."""
    for one in drawn:
        if one.answer and _found(task, one) is Result.PASS:
            return one
    return plurality(drawn)


def _found(task: Task, one: Drawn) -> Result | None:
    found = tools.check(task.text, one.answer)
    return found.result if found is not None else None


def _drawn(panel: Panel, member: Member, task: Task, nth: int) -> Drawn:
    return draw(member, task, panel.prefix, panel.seed, nth=nth)
