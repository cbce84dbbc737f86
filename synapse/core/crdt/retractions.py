"""Which records their operators took back: one add-only set of dots an operator.

A retraction names exactly the dots its author had seen. A concurrent addition has another dot, so
add wins over everything; and since nothing is ever un-retracted, no erased body comes back.
"""

from __future__ import annotations

from synapse.core.crdt.add_only_set import AddOnlySet


class Retractions:
    """Retracted dots by operator. Only an operator's own retractions reach its records."""

    def __init__(self) -> None:
        self._sets: dict[bytes, AddOnlySet] = {}

    def add(self, operator: bytes, dot: str, *, tag: str) -> bool:
        """Retract one dot of `operator`; `tag` is the id of the record that says so."""
        return self._sets.setdefault(operator, AddOnlySet()).insert(dot, tag)

    def covers(self, operator: bytes, dot: str) -> bool:
        """Whether `operator` took this record back."""
        dots = self._sets.get(operator)
        return dots is not None and dots.contains(dot)

    def reasons(self, operator: bytes, dot: str) -> list[str]:
        """The tags under which `operator` took this dot back, sorted."""
        dots = self._sets.get(operator)
        return sorted(dots.tags(dot)) if dots is not None else []

    def absorb(self, other: Retractions) -> None:
        """Merge another replica's retractions in place."""
        for operator, dots in other._sets.items():
            self._sets.setdefault(operator, AddOnlySet()).absorb(dots)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Retractions) and self._sets == other._sets

    __hash__ = None  # type: ignore[assignment]  # mutable
