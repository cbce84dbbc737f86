"""Who was right: grades from a user's word, and what follows from them for like tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from synapse.core.memory.record import Draft
from synapse.core.reasoning import drafts
from synapse.core.reasoning.ballot import Ballot, kind_of
from synapse.core.reasoning.canonical import grouped
from synapse.core.reasoning.drafts import Share
from synapse.core.reasoning.model_routing import EXTRACTIVE
from synapse.core.reasoning.task import Position, Task
from synapse.core.text import words

LATER_TASKS_MAX: Final = 8  # like tasks that one right answer grades: recent ones say most


def by_right_answer(task: Task, right_answer: str, *, source: str, share: Share) -> list[Draft]:
    """A grade for every position: right where it says the same."""
    positions = graded_positions(task)
    answers = [right_answer, *(one.answer for one in positions)]
    kind = kind_of(task, answers)
    groups = grouped(answers, kind, task.wish.choices).groups[1:]
    return [
        drafts.grade(task, one, kind=kind, right=group == 0, source=source, share=share)
        for one, group in zip(positions, groups, strict=True)
    ]


def by_position(task: Task, position: Position, *, right: bool, share: Share) -> list[Draft]:
    """Every position that says the same is as right; when it is right, the others are wrong."""
    positions = graded_positions(task)
    answers = [position.answer, *(one.answer for one in positions)]
    kind = kind_of(task, answers)
    groups = grouped(answers, kind, task.wish.choices).groups[1:]
    return [
        drafts.grade(task, one, kind=kind, right=right == (group == 0), source="user", share=share)
        for one, group in zip(positions, groups, strict=True)
        if right or group == 0
    ]


def right_besides(task: Task, wrong: str, right: Collection[bytes]) -> str | None:
    """The first answer given by one of the positions in `right` that does not say what is wrong."""
    answers = [wrong, *(one.answer for one in task.positions)]
    groups = grouped(answers, kind_of(task, answers), task.wish.choices).groups[1:]
    told = zip(task.positions, groups, strict=True)
    return next((one.answer for one, group in told if group and one.id in right), None)


def later_tasks(task: Task, tasks: Iterable[Task]) -> list[Task]:
    """Earlier tasks that asked the same in the same words: what is right there is right here."""
    asked = words(task.text)
    alike = (
        one for one in tasks if one.id != task.id and one.positions and words(one.text) == asked
    )
    return [one for one, _ in zip(alike, range(LATER_TASKS_MAX), strict=False)]


def graded_positions(task: Task) -> list[Position]:
    """What a grade is about: each spore's and family's first belief, taken before it saw others'.

    Revised ones err together, so they say less of who is right by itself.
    """
    first: dict[tuple[bytes, str], Position] = {}
    for one in sorted(task.positions, key=lambda one: (one.cycle, one.created_ms, one.id)):
        if one.family != EXTRACTIVE and not one.challenge:
            first.setdefault((one.author, one.family), one)
    return list(first.values())


def carried(ballot: Ballot, task: Task, right: Mapping[bytes, bool]) -> dict[bytes, bool]:
    """What grades of first beliefs say of the positions that are counted, which may be revised:
    who says the same is as right. Nothing of answers that nobody graded."""
    told = [one for one in task.positions if one.id in right]
    answers = [one.answer for one in (*told, *ballot.positions)]
    groups = grouped(answers, ballot.kind, ballot.choices).groups
    known = {group: right[one.id] for one, group in zip(told, groups, strict=False)}
    counted = zip(ballot.positions, groups[len(told) :], strict=True)
    return {one.id: known[group] for one, group in counted if group in known}
