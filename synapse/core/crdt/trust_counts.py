"""Right and wrong answers by (subject, kind of task), as observers graded them: a join semilattice.

What is held only grows: marks, each under a tag of its own, and the tags that were taken back. A
join is the union of both, so replicas that met different grades agree once they have met the same
ones, whatever came first, twice or through whom. Counts are read off: of the marks one observer
left on one position the latest that stands counts, so whoever corrects a grade does not count
twice. A plain counter an observer would lose grades where two replicas met different ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

BUCKET_MS: Final = 30 * 86_400_000  # marks are counted by the 30 days they fall in, for decay

Key = tuple[str, str]
"""(subject, kind of task)"""


@dataclass(frozen=True, slots=True)
class Mark:
    """One grade. `subjects` are (subject, the other party): a family and whose spore served it."""

    tag: str  # unique: the id of the record that says so
    observer: str
    about: str  # the position
    subjects: tuple[tuple[str, str], ...]
    kind: str
    right: bool
    at_ms: int

    @property
    def order(self) -> tuple[int, str]:
        """Of one observer's marks on one position the one with the largest order counts."""
        return (self.at_ms, self.tag)


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a mark is counted, within its (subject, kind)."""

    observer: str
    other: str  # the other party
    bucket: int  # of 30 days since 1970


@dataclass(slots=True)
class Count:
    """How many marks stand in one cell."""

    right: int = 0
    wrong: int = 0


Slot = tuple[str, str]
"""(observer, position)"""


class TrustCounts:
    """Every mark met, and the counts of those that stand."""

    def __init__(self) -> None:
        self._marks: dict[Slot, dict[str, Mark]] = {}
        self._taken_back: set[str] = set()
        self._standing: dict[Slot, Mark] = {}
        self._cells: dict[Key, dict[Cell, Count]] = {}

    def add(self, mark: Mark) -> bool:
        """Count a mark; whether that was new."""
        marks = self._marks.setdefault((mark.observer, mark.about), {})
        if mark.tag in marks:
            return False
        marks[mark.tag] = mark
        self._settle((mark.observer, mark.about))
        return True

    def take_back(self, tag: str, *, observer: str, about: str) -> None:
        """Count the mark with this tag no more, also if it is yet to come."""
        self._taken_back.add(tag)
        self._settle((observer, about))

    def absorb(self, other: TrustCounts) -> None:
        """Join with another replica, in place."""
        self._taken_back |= other._taken_back
        for slot, marks in other._marks.items():
            self._marks[slot] = {**self._marks.get(slot, {}), **marks}
        for slot in self._marks:
            self._settle(slot)

    def standing(self) -> Iterator[Mark]:
        """The marks that count, in no order that means anything but always the same."""
        return (self._standing[slot] for slot in sorted(self._standing))

    def cells(self, key: Key) -> dict[Cell, Count]:
        """The counts of one (subject, kind). Not to be changed."""
        return self._cells.get(key, {})

    def graded(self) -> list[Key]:
        """Everything that a standing mark is about, sorted."""
        return sorted(self._cells)

    def __len__(self) -> int:
        return len(self._standing)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TrustCounts)
            and self._marks == other._marks
            and self._taken_back == other._taken_back
        )

    __hash__ = None  # type: ignore[assignment]  # mutable

    def _settle(self, slot: Slot) -> None:
        """Count the mark of this slot that now stands, and no other."""
        standing = max(
            (
                mark
                for tag, mark in self._marks.get(slot, {}).items()
                if tag not in self._taken_back
            ),
            key=lambda mark: mark.order,
            default=None,
        )
        before = self._standing.pop(slot, None)
        if standing is not None:
            self._standing[slot] = standing
        if before != standing:
            if before is not None:
                self._change(before, -1)
            if standing is not None:
                self._change(standing, 1)

    def _change(self, mark: Mark, by: int) -> None:
        for subject, other in mark.subjects:
            key = (subject, mark.kind)
            cells = self._cells.setdefault(key, {})
            cell = Cell(mark.observer, other, mark.at_ms // BUCKET_MS)
            count = cells.setdefault(cell, Count())
            if mark.right:
                count.right += by
            else:
                count.wrong += by
            if not (count.right or count.wrong):
                del cells[cell]
            if not cells:
                del self._cells[key]
