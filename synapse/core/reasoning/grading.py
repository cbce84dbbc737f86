"""Who was right: grades from a user's word, and what follows from them for like tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from synapse.core.memory.record import Draft
from synapse.core.reasoning import drafts
from synapse.core.reasoning.ballot import kind_of
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
