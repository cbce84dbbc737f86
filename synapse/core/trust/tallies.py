"""Right and wrong answers in whole numbers: what beliefs are read from.

A grade is added where it belongs and taken away from there, so it costs the same whatever else is
held. Nothing is weighed before it is asked for: whole numbers can be taken away again without a
trace, and a month more changes no row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from synapse.core.crdt.trust_counts import BUCKET_MS
from synapse.core.trust import weights
from synapse.core.trust.evidence import Grade


class Tally:
    """Right and wrong by month (of 30 days since 1970)."""

    __slots__ = ("_months",)

    def __init__(self) -> None:
        self._months: dict[int, list[int]] = {}

    def add(self, month: int, right: int, wrong: int) -> None:
        """So many more of a month; fewer when negative."""
        counts = self._months.setdefault(month, [0, 0])
        counts[0] += right
        counts[1] += wrong
        if counts == [0, 0]:
            del self._months[month]

    def gather(self, other: Tally, by: int = 1) -> None:
        """All of another's, so many times: -1 takes it away."""
        for month, (right, wrong) in other._months.items():
            self.add(month, by * right, by * wrong)

    def total(self) -> tuple[int, int]:
        """(right, wrong), not aged."""
        counts = self._months.values()
        return sum(one[0] for one in counts), sum(one[1] for one in counts)

    def worth(self, now: int) -> tuple[float, float]:
        """(right, wrong) in this month, each aged. The order of adding up is fixed."""
        right = wrong = 0.0
        for month in sorted(self._months):
            each = weights.decay(month, now=now)
            counts = self._months[month]
            right, wrong = right + each * counts[0], wrong + each * counts[1]
        return right, wrong

    def __bool__(self) -> bool:
        return bool(self._months)


class Said:
    """What is said of one subject: by us, of each other party, and by each other observer."""

    __slots__ = ("observers", "others", "own")

    def __init__(self) -> None:
        self.own: dict[str, Tally] = {}  # by the other party: whose spore it was, or which family
        self.others: Final = Tally()  # every observer but us
        self.observers: dict[str, Tally] = {}

    def count(self, grade: Grade, other: str, by: int, *, ours: bool) -> None:
        """One grade more, or one less."""
        month = grade.at_ms // BUCKET_MS
        right, wrong = (by, 0) if grade.right else (0, by)
        rows, key = (self.own, other) if ours else (self.observers, grade.observer.hex())
        if not ours:
            self.others.add(month, right, wrong)
        row = rows.setdefault(key, Tally())
        row.add(month, right, wrong)
        if not row:
            del rows[key]

    def ours(self) -> Tally:
        """All that we said, of whomever."""
        return together(self.own.values())

    def __bool__(self) -> bool:
        return bool(self.own or self.observers)


class Subject:
    """What is said of one subject, on each kind of task and on all of them."""

    __slots__ = ("kinds", "whole")

    def __init__(self) -> None:
        self.kinds: dict[str, Said] = {}
        self.whole: Final = Said()

    def count(self, grade: Grade, other: str, by: int, *, ours: bool) -> None:
        """One grade more, or one less."""
        self.whole.count(grade, other, by, ours=ours)
        said = self.kinds.setdefault(grade.task_kind, Said())
        said.count(grade, other, by, ours=ours)
        if not said:
            del self.kinds[grade.task_kind]


def together(tallies: Iterable[Tally]) -> Tally:
    """The sum."""
    whole = Tally()
    for one in tallies:
        whole.gather(one)
    return whole


def rest(whole: Tally, part: Tally | None) -> Tally:
    """What is left of a tally without a part of it."""
    left = together((whole,))
    if part is not None:
        left.gather(part, -1)
    return left
