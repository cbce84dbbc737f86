"""Counts of right and wrong by (subject, kind of task), a slot an observer.

Each observer raises only its own slots, so a merge is a pointwise maximum and nobody can lower
what another has seen.
"""

from __future__ import annotations

from crdt_merge import GCounter

Key = tuple[str, str]
"""(subject, kind of task)"""


class TrustCounts:
    """Grow-only counters of right and wrong answers."""

    def __init__(self) -> None:
        self._right: dict[Key, GCounter] = {}
        self._wrong: dict[Key, GCounter] = {}

    def count(self, key: Key, *, observer: str, right: bool) -> None:
        """One more grade by `observer`."""
        table = self._right if right else self._wrong
        table.setdefault(key, GCounter()).increment(observer)

    def totals(self, key: Key) -> tuple[int, int]:
        """How often anyone graded this (right, wrong)."""
        return self._total(self._right, key), self._total(self._wrong, key)

    def graded(self) -> list[Key]:
        """Everything that was ever graded, sorted."""
        return sorted({*self._right, *self._wrong})

    def merged(self, other: TrustCounts) -> TrustCounts:
        """The join of two replicas' counts."""
        joined = TrustCounts()
        for table, mine, theirs in (
            (joined._right, self._right, other._right),
            (joined._wrong, self._wrong, other._wrong),
        ):
            for key in sorted({*mine, *theirs}):
                table[key] = mine.get(key, GCounter()).merge(theirs.get(key, GCounter()))
        return joined

    @staticmethod
    def _total(table: dict[Key, GCounter], key: Key) -> int:
        counter = table.get(key)
        return counter.value if counter is not None else 0
