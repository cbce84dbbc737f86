"""Tasks as a fold over records: any spore can answer for any task.

The fold does not depend on the order of arrival. What comes before its task waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from synapse.core.memory.record import (
    ABSTENTION,
    COMMITMENT,
    LEASE,
    MEMORY,
    OUTCOME,
    POSITION,
    TASK,
    VERDICT,
    Record,
)
from synapse.core.reasoning.task import (
    TASK_BYTES_MAX,
    Abstention,
    CheckVerdict,
    Commitment,
    Lease,
    Outcome,
    Task,
    read_abstention,
    read_commitment,
    read_lease,
    read_outcome,
    read_position,
    read_verdict,
    read_wish,
    text_of,
)

TASKS_MAX: Final = 10_000  # kept in memory, about 2 kB each; older answered ones stay in the log
ORPHANS_MAX: Final = 10_000
NOTES_MAX: Final = 64  # of each kind and task: as many as there are positions
Note = TypeVar("Note", Commitment, Abstention, CheckVerdict)

ABOUT_A_TASK: Final = (POSITION, COMMITMENT, ABSTENTION, VERDICT, LEASE, OUTCOME)


class TaskBook:
    """Every task met, newest last."""

    def __init__(self) -> None:
        self._tasks: dict[bytes, Task] = {}
        self._orphans: dict[bytes, list[Record]] = {}
        self._orphan_count = 0
        self.forgotten = 0  # tasks that are only in the log now

    def __len__(self) -> int:
        return len(self._tasks) + self.forgotten

    def __iter__(self) -> Iterator[Task]:
        """Newest first."""
        return iter(sorted(self._tasks.values(), key=lambda t: (-t.created_ms, t.id)))

    def get(self, task_id: bytes) -> Task | None:
        """The task with this id."""
        return self._tasks.get(task_id)

    def keep(self, task: Task) -> None:
        """Keep a task that no record holds: a private one."""
        self._tasks[task.id] = task
        self._bound()

    def absorb(self, record: Record) -> Task | None:
        """Fold one record in; the task it changed, if any."""
        if record.kind == TASK:
            return self._open(record)
        if not record.header.refs:
            return None
        task = self._tasks.get(record.header.refs[0])
        if record.kind == MEMORY and task is not None and len(task.findings) < NOTES_MAX:
            task.findings[record.id] = record.header.operator
        if record.kind not in ABOUT_A_TASK:
            return None
        if task is None:
            self._keep_orphan(record)
            return None
        return task if _attach(task, record) else None

    def withdraw(self, record: Record) -> None:
        """Show no longer what its operator took back."""
        if record.kind == TASK:
            self._tasks.pop(record.id, None)
        if not record.header.refs:
            return
        task_id = record.header.refs[0]
        waiting = self._orphans.get(task_id, [])
        self._orphan_count -= len(waiting)
        waiting[:] = [one for one in waiting if one.id != record.id]
        self._orphan_count += len(waiting)
        task = self._tasks.get(task_id)
        if task is None:
            return
        task.findings.pop(record.id, None)
        task.positions = [one for one in task.positions if one.id != record.id]
        task.verdicts = [one for one in task.verdicts if one.id != record.id]
        if task.outcome is not None and task.outcome.id == record.id:
            task.outcome = None

    def _open(self, record: Record) -> Task | None:
        text = text_of(record.content(), "text")
        if record.id in self._tasks or not text.strip():
            return None
        if len(text.encode("utf-8")) > TASK_BYTES_MAX:
            return None  # nobody is asked what no prompt should hold
        header = record.header
        wish = read_wish(record.content())
        task = Task(record.id, text, header.writer, header.operator, header.hlc.ms, wish)
        self._tasks[record.id] = task
        orphans = self._orphans.pop(record.id, [])
        self._orphan_count -= len(orphans)
        for orphan in orphans:
            _attach(task, orphan)
        self._bound()
        return task

    def _keep_orphan(self, record: Record) -> None:
        if self._orphan_count >= ORPHANS_MAX:
            oldest = next(iter(self._orphans))
            self._orphan_count -= len(self._orphans.pop(oldest))
        self._orphans.setdefault(record.header.refs[0], []).append(record)
        self._orphan_count += 1

    def _bound(self) -> None:
        if len(self._tasks) > TASKS_MAX:
            oldest = min(
                self._tasks.values(), key=lambda t: (t.outcome is None, t.created_ms, t.id)
            )
            del self._tasks[oldest.id]
            self.forgotten += 1


def _attach(task: Task, record: Record) -> bool:
    """Add what a record says of its task; whether that was news."""
    match record.kind:
        case "position":
            return _add_position(task, record)
        case "commitment":
            return _note(task.commitments, read_commitment(record))
        case "abstention":
            return _note(task.abstentions, read_abstention(record))
        case "verdict":
            return _note(task.verdicts, _verdict(record))
        case "lease":
            return _take_lease(task, read_lease(record))
        case _:
            return _take_outcome(task, record)


def _add_position(task: Task, record: Record) -> bool:
    header = record.header
    position = read_position(
        record.content(),
        position_id=record.id,
        author=header.writer,
        operator=header.operator,
        at_ms=header.hlc.ms,
    )
    if position is None or task.position(record.id) is not None:
        return False
    task.add(position)
    return True


def _note(kept: list[Note], note: Note | None) -> bool:
    """Keep a note, the earliest of too many, in the order of time."""
    if note is None or note in kept:
        return False
    kept.append(note)
    kept.sort(key=lambda one: (one.created_ms, one.id))
    del kept[NOTES_MAX:]
    return note in kept


def _verdict(record: Record) -> CheckVerdict | None:
    header = record.header
    return read_verdict(
        record.content(),
        verdict_id=record.id,
        author=header.writer,
        operator=header.operator,
        refs=header.refs,
        at_ms=header.hlc.ms,
    )


def _take_lease(task: Task, lease: Lease | None) -> bool:
    """The highest term drives; of two that took the same term, the smaller key."""
    if lease is None:
        return False
    held = task.lease
    if held is not None and (-held.term, held.author) <= (-lease.term, lease.author):
        return False
    task.lease = lease
    return True


def _take_outcome(task: Task, record: Record) -> bool:
    header = record.header
    outcome = read_outcome(
        record.content(), outcome_id=record.id, author=header.writer, at_ms=header.hlc.ms
    )
    if outcome is None:
        return False
    if header.operator != task.operator and outcome.term == 0:
        return False  # whoever asked decides; another needs a lease to speak for it
    if task.outcome is not None and _rank(task, task.outcome) <= _rank(task, outcome):
        return False
    task.outcome = outcome
    return True


def _rank(task: Task, outcome: Outcome) -> tuple[bool, int, int, bytes]:
    """Which outcome counts: the asker's own, then the latest term's, then the first."""
    return (outcome.term > 0, -outcome.term, outcome.created_ms, outcome.id)
