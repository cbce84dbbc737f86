"""Right and wrong answers by (subject, kind of task), as observers graded them: a join semilattice.

What is held only grows: marks, each under a tag of its own, and the tags that were taken back. A
join is the union of both, so replicas that met different grades agree once they have met the same
ones, whatever came first, twice or through whom. Of the marks one observer left on one position
the latest that was not taken back stands, so whoever corrects a grade does not count twice. A
plain counter an observer would lose grades where two replicas met different ones.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

BUCKET_MS: Final = 30 * 86_400_000  # marks are counted by the 30 days they fall in, for decay


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


Slot = tuple[str, str]
"""(observer, position)"""


class TrustCounts:
    """Every mark met that nobody took back, and which of them stand.

    A change costs the marks of one slot at worst, and a search among them as a rule: an observer
    that grades one position ten thousand times must not make each grade dearer than the last.
    """

    def __init__(self) -> None:
        self._marks: dict[str, Mark] = {}
        self._taken_back: set[str] = set()
        self._slots: dict[Slot, list[Mark]] = {}  # what may stand, by `order`: the last one does

    def add(self, mark: Mark) -> bool:
        """Keep a mark; whether that was new, and not taken back already."""
        if mark.tag in self._marks or mark.tag in self._taken_back:
            return False
        self._marks[mark.tag] = mark
        slot = self._slots.setdefault((mark.observer, mark.about), [])
        insort(slot, mark, key=lambda one: one.order)
        return True

    def take_back(self, tag: str) -> None:
        """Count the mark with this tag no more, also if it is yet to come."""
        self._taken_back.add(tag)
        mark = self._marks.pop(tag, None)
        if mark is not None:
            slot = self._slots[mark.observer, mark.about]
            del slot[bisect_left(slot, mark.order, key=lambda one: one.order)]
            if not slot:
                del self._slots[mark.observer, mark.about]

    def absorb(self, other: TrustCounts) -> None:
        """Join with another replica, in place."""
        for tag in sorted(other._taken_back):
            self.take_back(tag)
        for mark in other._marks.values():
            self.add(mark)

    def stands(self, observer: str, about: str) -> Mark | None:
        """What this observer says of this position now."""
        slot = self._slots.get((observer, about))
        return slot[-1] if slot else None

    def standing(self) -> Iterator[Mark]:
        """The marks that count, in no order that means anything but always the same."""
        return (self._slots[slot][-1] for slot in sorted(self._slots))

    def __len__(self) -> int:
        return len(self._slots)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TrustCounts)
            and self._marks == other._marks
            and self._taken_back == other._taken_back
        )

    __hash__ = None  # type: ignore[assignment]  # mutable
