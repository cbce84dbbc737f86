"""Our findings about a task, which recall offers, and what a grade makes of them.

A finding that a grade contradicts is taken back at once: its text goes, its header and the task
with what was once believed of it stay. The right answer, if it is known, is written in its place
and names what it replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from synapse.core.memory.memory import FINDING, from_record
from synapse.core.memory.record import Draft, Record
from synapse.core.reasoning import drafts
from synapse.core.reasoning.ballot import kind_of
from synapse.core.reasoning.canonical import grouped
from synapse.core.reasoning.drafts import Share
from synapse.core.reasoning.session import Search
from synapse.core.reasoning.task import Task

HITS_MAX: Final = 8  # of the search for findings about a task


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of ours that has its text."""

    record: Record
    answer: str
    about: Task


@dataclass(frozen=True, slots=True)
class Findings:
    """Looks them up. `key` is this spore's; `retraction` drafts the taking back of a record."""

    key: bytes
    read: Callable[[Sequence[bytes]], Sequence[Record]]
    search: Search
    share: Share
    retraction: Callable[[Record], Draft]

    def standing(self, task: Task, alike: Sequence[Task] = ()) -> list[Finding]:
        """Our findings about a task, and about others that ask the same in the same words. They
        are searched for too, because a spore that was restarted may not have their ids at hand."""
        tasks = (task, *alike)
        known = [one for each in tasks for one in each.findings]
        hits = self.search(task.text, HITS_MAX)
        found = self.read(list(dict.fromkeys([*known, *(one.id for one in hits)])))
        pairs = ((record, from_record(record)) for record in found)
        return [
            Finding(record, memory.text.removeprefix(f"{about.text}\n"), about)
            for record, memory in pairs
            if memory is not None
            and memory.kind == FINDING
            and record.header.writer == self.key
            and (about := _asks(memory.text, tasks)) is not None
        ]

    def corrected(
        self, task: Task, alike: Sequence[Task], *, right: str | None, wrong: str | None
    ) -> list[Draft]:
        """What follows from knowing the right answer to a task, or a wrong one: also for the
        findings of tasks that asked the same in the same words."""
        taken_back: list[Finding] = []
        holds = False
        for one in self.standing(task, alike):
            if _contradicted(one, right=right, wrong=wrong):
                taken_back.append(one)
            elif one.about is task:
                holds = True
        found = [self.retraction(one.record) for one in taken_back]
        if right is not None and not holds:
            replaces = [one.record.id for one in taken_back]
            found.append(
                drafts.finding(task, right, how="graded", replaces=replaces, share=self.share)
            )
        return found


def _asks(text: str, tasks: Sequence[Task]) -> Task | None:
    """Which of these tasks a finding is about: its text begins with the question."""
    return next((one for one in tasks if text.startswith(f"{one.text}\n")), None)


def _contradicted(finding: Finding, *, right: str | None, wrong: str | None) -> bool:
    said = right if right is not None else wrong
    if said is None:
        return False
    task, answers = finding.about, [said, finding.answer]
    kind = kind_of(task, [*answers, *(one.answer for one in task.positions)])
    same = grouped(answers, kind, task.wish.choices).groups[1] == 0
    return same != (right is not None)
