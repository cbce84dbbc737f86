"""Who was right, as grades say: the fold of every grade record.

A grade names the task and the position it is about (its first two references), and says whose
answer that was: a served model family, and the operator whose spore served it. Both are subjects.
Nodes are not: a thousand nodes on one model are one voter. What a grade is worth is not decided
here (`policy` does), so the fold is the same on every spore that met the same records.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from synapse.core.crdt.trust_counts import Mark, TrustCounts
from synapse.core.memory.record import GRADE, Record
from synapse.core.memory.record_set import dot_text

LABEL_CHARACTERS_MAX: Final = 64  # of a family's name and a kind's, as in positions
DIGEST_BYTES_MAX: Final = 32
FAMILY: Final = "family:"
OPERATOR: Final = "operator:"


@dataclass(frozen=True, slots=True)
class Grade:
    """One statement that an answer to some kind of task was right or wrong."""

    id: bytes
    observer: bytes  # the operator who says so
    task: bytes
    position: bytes
    family: str
    operator: bytes  # whose spore gave the answer; empty when the grade does not say
    task_kind: str
    right: bool
    source: str  # checker, user, later task
    answer: bytes  # a digest of its canonical form; empty when there is none
    at_ms: int


Change = Callable[[Grade | None, Grade | None], None]
"""What one observer said of one position until now, and says from now on; None for nothing."""


class Evidence:
    """All grades met so far. `version` changes whenever what they say may have changed.

    Whatever is computed from grades is told of each change, so that a grade costs what it touches.
    """

    def __init__(self) -> None:
        self.version = 0
        self._marks = TrustCounts()
        self._grades: dict[str, Grade] = {}  # those met and not taken back, by tag
        self._dots: dict[tuple[bytes, str], list[str]] = {}  # tags, by operator and dot
        self._newest = _Newest()
        self._about: dict[str, dict[str, _Newest]] = {}  # by subject and kind
        self._of_task: dict[bytes, dict[bytes, Grade]] = {}
        self._followers: list[Change] = []

    def follow(self, change: Change) -> None:
        """Have every change told, beginning with what stands now."""
        for grade in self.grades():
            change(None, grade)
        self._followers.append(change)

    def absorb(self, record: Record) -> Grade | None:
        """Count a grade record; None when it is none, nonsense, taken back, or counted already."""
        grade = _read(record)
        if grade is None:
            return None
        mark = _mark(grade)
        before = self._marks.stands(mark.observer, mark.about)
        if not self._marks.add(mark):
            return None
        self._grades[mark.tag] = grade
        dot = (record.header.operator, dot_text(record.header.dot))
        self._dots.setdefault(dot, []).append(mark.tag)
        self._settle(mark.observer, mark.about, before)
        return grade

    def withdraw(self, record: Record) -> None:
        """Take a grade out of every count: its operator took it back.

        It may come with or without its body, before or after the grade itself.
        """
        if record.kind == GRADE and len(record.header.refs) >= 2:
            self._take_back(record.id.hex())

    def withdraw_dots(self, operator: bytes, dots: Iterable[str]) -> None:
        """Take back what an operator's retraction covers of the grades met so far: the retraction
        need not say what the ids are."""
        for dot in dots:
            for tag in self._dots.pop((operator, dot), []):
                self._take_back(tag)

    def graded(self) -> list[tuple[str, str]]:
        """Every (subject, kind) that a grade is about, sorted."""
        return [(subject, kind) for subject in sorted(self._about) for kind in self.kinds(subject)]

    def kinds(self, subject: str) -> list[str]:
        """The kinds of task on which a subject was graded, sorted."""
        return sorted(self._about.get(subject, {}))

    def subjects(self) -> Iterator[str]:
        """Everything that a grade is about, in no order that means anything."""
        return iter(self._about)

    def families(self) -> list[str]:
        """Every family that a grade is about, sorted."""
        return sorted(one.removeprefix(FAMILY) for one in self._about if one.startswith(FAMILY))

    def about(self, subject: str, kind: str, limit: int) -> list[Grade]:
        """The newest grades that stand of one subject on one kind, newest first."""
        newest = self._about.get(subject, {}).get(kind)
        return [self._grades[tag] for tag in newest.last(limit)] if newest is not None else []

    def newest(self, limit: int) -> list[Grade]:
        """The newest grades that stand, newest first."""
        return [self._grades[tag] for tag in self._newest.last(limit)]

    def grades(self) -> Iterator[Grade]:
        """The grades that stand, always in the same order."""
        return (self._grades[mark.tag] for mark in self._marks.standing())

    def of_task(self, task_id: bytes) -> list[Grade]:
        """The grades that stand about the answers to one task, by id."""
        return [grade for _, grade in sorted(self._of_task.get(task_id, {}).items())]

    def __len__(self) -> int:
        return len(self._marks)

    def _take_back(self, tag: str) -> None:
        grade = self._grades.get(tag)
        if grade is None:
            self._marks.take_back(tag)
            return
        observer, about = grade.observer.hex(), grade.position.hex()
        before = self._marks.stands(observer, about)
        self._marks.take_back(tag)
        self._settle(observer, about, before)
        del self._grades[tag]

    def _settle(self, observer: str, about: str, before: Mark | None) -> None:
        """Tell whoever follows what changed in one slot."""
        after = self._marks.stands(observer, about)
        if before == after:
            return
        self.version += 1
        old = self._grades[before.tag] if before is not None else None
        new = self._grades[after.tag] if after is not None else None
        if before is not None and old is not None:
            self._unlist(before, old)
        if after is not None and new is not None:
            self._list(after, new)
        for change in self._followers:
            change(old, new)

    def _list(self, mark: Mark, grade: Grade) -> None:
        self._newest.add(mark)
        self._of_task.setdefault(grade.task, {})[grade.id] = grade
        for subject, _ in mark.subjects:
            kinds = self._about.setdefault(subject, {})
            kinds.setdefault(mark.kind, _Newest()).add(mark)

    def _unlist(self, mark: Mark, grade: Grade) -> None:
        self._newest.remove(mark)
        of_task = self._of_task[grade.task]
        del of_task[grade.id]
        if not of_task:
            del self._of_task[grade.task]
        for subject, _ in mark.subjects:
            kinds = self._about[subject]
            kinds[mark.kind].remove(mark)
            if not kinds[mark.kind]:
                del kinds[mark.kind]
            if not kinds:
                del self._about[subject]


class _Newest:
    """Tags in the order of their time. What comes in is new as a rule, so it goes to the end."""

    def __init__(self) -> None:
        self._tags: list[tuple[int, str]] = []

    def add(self, mark: Mark) -> None:
        insort(self._tags, mark.order)

    def remove(self, mark: Mark) -> None:
        del self._tags[bisect_left(self._tags, mark.order)]

    def last(self, limit: int) -> list[str]:
        """The newest, newest first."""
        return [tag for _, tag in reversed(self._tags[-limit:])] if limit > 0 else []

    def __len__(self) -> int:
        return len(self._tags)


def _mark(grade: Grade) -> Mark:
    operator = grade.operator.hex()
    subjects = [(FAMILY + grade.family, operator)]
    if operator:
        subjects.append((OPERATOR + operator, grade.family))
    return Mark(
        tag=grade.id.hex(),
        observer=grade.observer.hex(),
        about=grade.position.hex(),
        subjects=tuple(subjects),
        kind=grade.task_kind,
        right=grade.right,
        at_ms=grade.at_ms,
    )


def _read(record: Record) -> Grade | None:
    """A grade record; None for anything else, and for one whose author wrote nonsense."""
    header = record.header
    if record.kind != GRADE or len(header.refs) < 2:
        return None
    fields = record.content()
    family, kind, right = fields.get("family"), fields.get("task_kind"), fields.get("right")
    if not _is_label(family) or not _is_label(kind) or right not in (0, 1):
        return None
    source = fields.get("source")
    operator, answer = fields.get("operator"), fields.get("answer")
    return Grade(
        id=record.id,
        observer=header.operator,
        task=header.refs[0],
        position=header.refs[1],
        family=str(family),
        operator=operator if isinstance(operator, bytes) and len(operator) == 32 else b"",
        task_kind=str(kind),
        right=bool(right),
        source=source[:LABEL_CHARACTERS_MAX] if isinstance(source, str) else "",
        answer=answer if isinstance(answer, bytes) and len(answer) <= DIGEST_BYTES_MAX else b"",
        at_ms=header.hlc.ms,
    )


def _is_label(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LABEL_CHARACTERS_MAX
