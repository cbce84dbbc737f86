"""Who was right, as grades say: the fold of every grade record.

A grade names the task and the position it is about (its first two references), and says whose
answer that was: a served model family, and the operator whose spore served it. Both are subjects.
Nodes are not: a thousand nodes on one model are one voter. What a grade is worth is not decided
here (`policy` does), so the fold is the same on every spore that met the same records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from synapse.core.crdt.trust_counts import Cell, Count, Mark, TrustCounts
from synapse.core.memory.record import GRADE, Record

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


@dataclass(frozen=True, slots=True)
class Tallies:
    """Plain sums over all observers, which no policy has weighed: for display, not for counting."""

    evidence: Evidence

    def totals(self, key: tuple[str, str]) -> tuple[int, int]:
        """How often anyone graded this (family, kind of task): (right, wrong)."""
        counts = self.evidence.cells(FAMILY + key[0], key[1]).values()
        return sum(one.right for one in counts), sum(one.wrong for one in counts)

    def graded(self) -> list[tuple[str, str]]:
        """Every (family, kind of task) that was graded, sorted."""
        return sorted(
            (subject.removeprefix(FAMILY), kind)
            for subject, kind in self.evidence.graded()
            if subject.startswith(FAMILY)
        )


class Evidence:
    """All grades met so far. `version` changes whenever what they say may have changed."""

    def __init__(self) -> None:
        self.version = 0
        self._counts = TrustCounts()
        self._grades: dict[str, Grade] = {}

    def absorb(self, record: Record) -> Grade | None:
        """Count a grade record; None when it is none, nonsense, or counted already."""
        grade = _read(record)
        if grade is None or not self._counts.add(_mark(grade)):
            return None
        self._grades[grade.id.hex()] = grade
        self.version += 1
        return grade

    def withdraw(self, record: Record) -> None:
        """Take a grade out of every count: its operator took it back.

        It may come with or without its body, before or after the grade itself.
        """
        if record.kind != GRADE or len(record.header.refs) < 2:
            return
        tag, about = record.id.hex(), record.header.refs[1].hex()
        self._counts.take_back(tag, observer=record.header.operator.hex(), about=about)
        self._grades.pop(tag, None)
        self.version += 1

    @property
    def counts(self) -> Tallies:
        """Sums by family and kind."""
        return Tallies(self)

    def cells(self, subject: str, kind: str) -> dict[Cell, Count]:
        """The counts of one subject on one kind of task."""
        return self._counts.cells((subject, kind))

    def graded(self) -> list[tuple[str, str]]:
        """Every (subject, kind) that a grade is about, sorted."""
        return self._counts.graded()

    def families(self) -> list[str]:
        """Every family that a grade is about, sorted."""
        found = {one.removeprefix(FAMILY) for one, _ in self.graded() if one.startswith(FAMILY)}
        return sorted(found)

    def grades(self) -> Iterator[Grade]:
        """The grades that stand, always in the same order."""
        return (self._grades[mark.tag] for mark in self._counts.standing())

    def of_task(self, task_id: bytes) -> list[Grade]:
        """The grades that stand about the answers to one task."""
        return [one for one in self.grades() if one.task == task_id]

    def __len__(self) -> int:
        return len(self._counts)


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
