"""Tasks, positions and outcomes as a fold over records: any spore can answer for any task.

The fold does not depend on the order of arrival. A position may come before its task; it waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from synapse.core.memory.record import OUTCOME, POSITION, TASK, Record

TASK_BYTES_MAX: Final = 16_384  # of a task's text: four pages, which small models can hold
EXTRACT: Final = "extract"  # the stop reason of an answer that only quotes
TASKS_MAX: Final = 10_000  # kept in memory, about 2 kB each; older answered ones stay in the log
ORPHANS_MAX: Final = 10_000
POSITIONS_MAX: Final = 64  # of one task; ours need at most 15
ANSWER_CHARACTERS_MAX: Final = 4_000  # two pages; what is longer is cut, whoever wrote it
ANSWER_BYTES_MAX: Final = 4 * ANSWER_CHARACTERS_MAX  # with the claims, half of a record's body
CLAIMS_MAX: Final = 8
CLAIM_CHARACTERS_MAX: Final = 500
CLAIM_BYTES_MAX: Final = 4 * CLAIM_CHARACTERS_MAX
LABEL_CHARACTERS_MAX: Final = 64  # of the name of a family; a model's may be twice as long
LABEL_BYTES_MAX: Final = 4 * LABEL_CHARACTERS_MAX


@dataclass(frozen=True, slots=True)
class Position:
    """One answer one model gave in one cycle."""

    id: bytes
    author: bytes  # the spore that asked the model
    answer: str
    claims: tuple[str, ...]
    cites: tuple[bytes, ...]
    confidence: float
    model: str
    family: str
    cycle: int
    created_ms: int


@dataclass(frozen=True, slots=True)
class Dissent:
    """An answer that did not win, and how much spoke for it."""

    answer: str
    posterior: float
    families: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task came to. `answer` is None when nothing known bears on it."""

    id: bytes
    author: bytes
    answer: str | None
    stop_reason: str
    posterior: float
    weak: bool
    cycles: int
    cites: tuple[bytes, ...]
    supporters: tuple[bytes, ...]  # ids of the positions that say so
    dissent: tuple[Dissent, ...]
    created_ms: int

    @property
    def support(self) -> float | None:
        """The posterior of an answer that was reasoned; quoting supports nothing."""
        weighed = self.answer is not None and self.stop_reason != EXTRACT
        return self.posterior if weighed else None


@dataclass(slots=True)
class Task:
    """A question and everything known about it."""

    id: bytes
    text: str
    author: bytes
    operator: bytes
    created_ms: int
    positions: list[Position] = field(default_factory=list)
    outcome: Outcome | None = None

    def add(self, position: Position) -> None:
        """Add one, in the order of time. Of too many the asker's own stay, then the earliest, so
        that what is kept does not depend on the order of arrival."""
        positions = [*self.positions, position]
        positions.sort(key=lambda one: (one.author != self.author, one.created_ms, one.id))
        del positions[POSITIONS_MAX:]
        self.positions = sorted(positions, key=lambda one: (one.created_ms, one.id))


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

    def absorb(self, record: Record) -> Task | None:
        """Fold one record in; the task it changed, if any."""
        if record.kind == TASK:
            return self._open(record)
        if record.kind not in (POSITION, OUTCOME) or not record.header.refs:
            return None
        task = self._tasks.get(record.header.refs[0])
        if task is None:
            self._keep_orphan(record)
            return None
        return self._attach(task, record)

    def withdraw(self, record: Record) -> None:
        """Show no longer what its operator took back: a task, a position or an outcome."""
        if record.kind == TASK:
            self._tasks.pop(record.id, None)
        if record.kind not in (POSITION, OUTCOME) or not record.header.refs:
            return
        task_id = record.header.refs[0]
        waiting = self._orphans.get(task_id, [])
        self._orphan_count -= len(waiting)
        waiting[:] = [one for one in waiting if one.id != record.id]
        self._orphan_count += len(waiting)
        task = self._tasks.get(task_id)
        if task is not None:
            task.positions = [one for one in task.positions if one.id != record.id]
            if task.outcome is not None and task.outcome.id == record.id:
                task.outcome = None

    def _open(self, record: Record) -> Task | None:
        text = record.content().get("text")
        if record.id in self._tasks or not isinstance(text, str) or not text.strip():
            return None
        if len(text.encode("utf-8")) > TASK_BYTES_MAX:
            return None  # nobody is asked what no prompt should hold
        header = record.header
        task = Task(record.id, text, header.writer, header.operator, header.hlc.ms)
        self._tasks[record.id] = task
        orphans = self._orphans.pop(record.id, [])
        self._orphan_count -= len(orphans)
        for orphan in orphans:
            self._attach(task, orphan)
        self._bound()
        return task

    def _attach(self, task: Task, record: Record) -> Task | None:
        if record.kind == POSITION:
            position = _position(record)
            known = any(one.id == record.id for one in task.positions)
            if position is None or known:
                return None
            task.add(position)
            return task
        outcome = _outcome(record)
        # Whoever asked decides: a stranger's outcome would be a forged answer.
        if outcome is None or record.header.operator != task.operator:
            return None
        if task.outcome is None or (outcome.created_ms, outcome.id) < (
            task.outcome.created_ms,
            task.outcome.id,
        ):
            task.outcome = outcome
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


def _position(record: Record) -> Position | None:
    fields = record.content()
    answer = _text(fields, "answer")
    if not answer.strip():
        return None
    return Position(
        id=record.id,
        author=record.header.writer,
        answer=answer[:ANSWER_CHARACTERS_MAX],
        claims=tuple(
            claim[:CLAIM_CHARACTERS_MAX] for claim in _strings(fields.get("claims"))[:CLAIMS_MAX]
        ),
        cites=_ids(fields, "cites"),
        confidence=_probability(fields.get("confidence")),
        model=_text(fields, "model")[: 2 * LABEL_CHARACTERS_MAX],
        family=_text(fields, "family")[:LABEL_CHARACTERS_MAX] or "unknown",
        cycle=_number(fields, "cycle"),
        created_ms=record.header.hlc.ms,
    )


def _outcome(record: Record) -> Outcome | None:
    fields = record.content()
    reason = _text(fields, "stop_reason")
    if not reason:
        return None
    return Outcome(
        id=record.id,
        author=record.header.writer,
        answer=_text(fields, "answer")[:ANSWER_CHARACTERS_MAX] or None,
        stop_reason=reason[:LABEL_CHARACTERS_MAX],
        posterior=_probability(fields.get("posterior")),
        weak=fields.get("weak") == 1,
        cycles=_number(fields, "cycles"),
        cites=_ids(fields, "cites"),
        supporters=_ids(fields, "supporters"),
        dissent=tuple(filter(None, map(_dissent, _list(fields, "dissent")))),
        created_ms=record.header.hlc.ms,
    )


def _dissent(value: object) -> Dissent | None:
    if not isinstance(value, list) or len(value) != 3 or not isinstance(value[0], str):
        return None
    answer, posterior, families = value
    return Dissent(
        answer[:ANSWER_CHARACTERS_MAX],
        _probability(posterior),
        tuple(one[:LABEL_CHARACTERS_MAX] for one in _strings(families)),
    )


# A body's fields are whatever its author wrote: each reader gives a value of the right type.


def _text(fields: Any, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _list(fields: Any, name: str) -> list[Any]:
    value = fields.get(name)
    return value[:64] if isinstance(value, list) else []


def _strings(value: object) -> list[str]:
    return [one for one in value[:64] if isinstance(one, str)] if isinstance(value, list) else []


def _ids(fields: Any, name: str) -> tuple[bytes, ...]:
    return tuple(one for one in _list(fields, name) if isinstance(one, bytes) and len(one) == 32)


def _number(fields: Any, name: str) -> int:
    value = fields.get(name)
    return value if type(value) is int and 0 <= value < 1 << 31 else 0


def _probability(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else 0.0
