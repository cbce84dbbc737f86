"""Self-review: own answers again, in the light of tools and grades that came later.

Nothing is rewritten. What a tool finds becomes a verdict and grades; what was found right for a
task that asked the same becomes a grade by "later task"; a finding of ours that a later grade
contradicts is taken back, and so is whatever repeats a text that its author took back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from synapse.core.memory.record import Draft
from synapse.core.reasoning import drafts, grading
from synapse.core.reasoning.ballot import Checker, kind_of
from synapse.core.reasoning.canonical import grouped
from synapse.core.reasoning.idle.desk import POOL_MAX, Desk, Done, Ruling
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.model_routing import EXTRACTIVE
from synapse.core.reasoning.task import EXTRACT, Outcome, Position, Task
from synapse.core.reasoning.tools import Result
from synapse.core.text import words

REVIEWED_MAX: Final = 16  # tasks a step; each may cost a tool some milliseconds
DRAFTS_MAX: Final = 64  # records a step; a task has about as many positions as that at most
CHECKER: Final = "checker"
LATER_TASK: Final = "later task"

_Said = tuple[str, bool, int]
"""An answer, whether it is right, and since when that is known."""


@dataclass(slots=True)
class Review:
    """Goes through our own answered tasks, oldest first and round again. Tasks that were graded
    since they were seen last come first."""

    _cursor: tuple[int, bytes] = (0, b"")
    _seen: dict[bytes, int] = field(default_factory=dict)  # graded tasks: rulings at the last look

    def step(self, desk: Desk) -> Done:
        """One bounded step."""
        found = _taken_back(desk)
        looked = len(found)
        alike = _graded_by_wording(desk)
        for task in self._next(desk):
            if len(found) >= DRAFTS_MAX:
                break
            looked += 1
            found += _reviewed(desk, task, alike.get(tuple(words(task.text)), []))
        found = found[:DRAFTS_MAX]
        return Done(tuple(found), "" if found else "nothing_new", looked, len(found))

    def _next(self, desk: Desk) -> list[Task]:
        own = [task for task in desk.tasks if _reviewable(desk, task)]
        own.sort(key=lambda one: (one.created_ms, one.id))
        graded = [task for task in own if task.id in desk.notebook.graded]
        fresh: list[Task] = []
        for task in graded:
            rulings = sum(not _concluded(one) for one in desk.rulings(task))
            if rulings > self._seen.get(task.id, 0) and len(fresh) < REVIEWED_MAX:
                self._seen[task.id] = rulings
                fresh.append(task)
        self._seen = {one.id: self._seen[one.id] for one in graded if one.id in self._seen}
        start = sum((one.created_ms, one.id) <= self._cursor for one in own)
        taken = {one.id for one in fresh}
        rest = [one for one in [*own[start:], *own[:start]] if one.id not in taken]
        walked = rest[: REVIEWED_MAX - len(fresh)]
        if walked:
            self._cursor = (walked[-1].created_ms, walked[-1].id)
        return [*fresh, *walked]


def corrections(desk: Desk, task: Task) -> list[Draft]:
    """What the grades of a task make of our findings about it: for when one has just come."""
    if not _reviewable(desk, task):
        return []
    kind = kind_of(task, (one.answer for one in grading.graded_positions(task)))
    return _findings(desk, task, kind, _known(desk, task), Checker(task.text))


def _concluded(ruling: Ruling) -> bool:
    """Whether it is a conclusion of our own, which teaches us nothing new."""
    return ruling.own and ruling.source in (CHECKER, LATER_TASK)


def _reviewable(desk: Desk, task: Task) -> bool:
    """Whether it is a task of ours that was answered, and not only by quoting."""
    outcome = task.outcome
    return (
        task.author == desk.key
        and outcome is not None
        and outcome.answer is not None
        and outcome.stop_reason != EXTRACT
        and not task.wish.private
    )


def _graded_by_wording(desk: Desk) -> dict[tuple[str, ...], list[Task]]:
    """Graded tasks by the words they ask in."""
    found: dict[tuple[str, ...], list[Task]] = {}
    for task_id in desk.notebook.graded:
        task = desk.tasks.get(task_id)
        if task is not None and not task.wish.private:
            found.setdefault(tuple(words(task.text)), []).append(task)
    return found


def _reviewed(desk: Desk, task: Task, like: Sequence[Task]) -> list[Draft]:
    """What there is to say of one task now."""
    assert task.outcome is not None, "only answered tasks are reviewed"
    positions = grading.graded_positions(task)
    kind = kind_of(task, (one.answer for one in positions))
    checker = Checker(task.text)
    rulings = desk.rulings(task)
    ungraded = [
        one
        for one in positions
        if not any(ruling.own and ruling.position == one.id for ruling in rulings)
    ]
    found = _verdicts(desk, task, checker)
    elsewhere = [one for other in like if other.id != task.id for one in _known(desk, other)]
    for one in ungraded:
        checked = checker.check(one.answer)
        right = _right(one.answer, elsewhere, kind, task)
        if checked is not None:
            passed = checked.result is Result.PASS
            found.append(_grade(desk, task, one, kind, right=passed, source=CHECKER))
        elif right is not None:
            found.append(_grade(desk, task, one, kind, right=right, source=LATER_TASK))
    return found + _findings(desk, task, kind, [*_known(desk, task), *elsewhere], checker)


def _known(desk: Desk, task: Task) -> list[_Said]:
    """What people and tools have ruled about the answers to one task. Our own conclusions from
    other tasks are left out, so that no error feeds on itself."""
    answers = {one.id: one.answer for one in task.positions}
    return [
        (answers[ruling.position], ruling.right, ruling.at_ms)
        for ruling in desk.rulings(task)
        if ruling.position in answers and ruling.source != LATER_TASK
    ]


def _right(answer: str, known: Sequence[_Said], kind: Kind, task: Task) -> bool | None:
    """Whether an answer is right by what is known of answers; None when nothing says so, or both
    is said."""
    groups = grouped([answer, *(one for one, _, _ in known)], kind, task.wish.choices).groups[1:]
    same = [right for (_, right, _), group in zip(known, groups, strict=True) if group == 0]
    if same:
        return same[0] if all(one is same[0] for one in same) else None
    return False if any(right for _, right, _ in known) else None


def _verdicts(desk: Desk, task: Task, checker: Checker) -> list[Draft]:
    """What our tools find of answers that have no verdict yet."""
    ruled = {one.position for one in task.verdicts}
    decided = {one.answer for one in task.positions if one.id in ruled}
    first: dict[str, Position] = {}
    for one in task.positions:
        first.setdefault(one.answer, one)
    checks = [
        (position, checker.check(answer))
        for answer, position in first.items()
        if answer not in decided
    ]
    return [
        drafts.verdict(task, position, check, share=desk.share)
        for position, check in checks
        if check is not None
    ]


def _findings(
    desk: Desk, task: Task, kind: Kind, known: Sequence[_Said], checker: Checker
) -> list[Draft]:
    """Take back our findings about a task that are contradicted, and write the right one in their
    place if it is known; or the first, when a tool now passes an answer that none could check."""
    found: list[Draft] = []
    replaces: list[bytes] = []
    holds = False
    for record, answer in ((one.record, one.answer) for one in desk.findings.standing(task)):
        since = [one for one in known if one[2] > record.header.hlc.ms]
        checked = checker.check(answer)
        failed = checked is not None and checked.result is Result.FAIL
        if failed or _right(answer, since, kind, task) is False:
            found.append(desk.retraction(record))
            replaces.append(record.id)
        else:
            holds = True
    outcome = task.outcome
    assert outcome is not None, "only answered tasks are reviewed"
    if holds or outcome.answer is None or _by_tools_alone(task, outcome):
        return found
    right = next((answer for answer, right, _ in known if right), None)
    checked = checker.check(outcome.answer)
    if found and right is not None and _right(right, known, kind, task):
        found.append(drafts.finding(task, right, how="graded", replaces=replaces, share=desk.share))
    elif not outcome.checked and not known and checked and checked.result is Result.PASS:
        found.append(drafts.finding(task, outcome.answer, how="checked", share=desk.share))
    return found


def _taken_back(desk: Desk) -> list[Draft]:
    """Take back what repeats a text that its author took back: its turn of our own records."""
    derived = desk.notebook.derived
    found: list[Draft] = []
    for own in list(derived)[:POOL_MAX]:
        refs = derived.pop(own)
        records = [one for one in desk.read((own,)) if one.body is not None]
        if not records:
            continue
        derived[own] = refs  # to the end: the others have their turn first
        if any(one.body is None for one in desk.read(refs)):
            found.append(desk.retraction(records[0]))
    return found


def _by_tools_alone(task: Task, outcome: Outcome) -> bool:
    """Whether no model was needed: what a tool finds again at no cost is not worth remembering."""
    spoke = [one for one in task.positions if one.id in outcome.supporters]
    return all(one.family.startswith("tool:") or one.family == EXTRACTIVE for one in spoke)


def _grade(
    desk: Desk, task: Task, position: Position, kind: Kind, *, right: bool, source: str
) -> Draft:
    return drafts.grade(task, position, kind=kind, right=right, source=source, share=desk.share)
