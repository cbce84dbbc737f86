"""A set from which elements can be removed, for tables of at most some thousand rows.

Two add-only sets: additions by tag, and the tags that were removed. An element is present while
one of its tags is not removed, so a removal reaches exactly the additions its author had seen and
a concurrent addition wins. Absorbing a delta costs the delta.
"""

from __future__ import annotations

from synapse.core.crdt.add_only_set import AddOnlySet


class ObservedRemoveSet:
    """Strings with unique tags. A set is also the form of its deltas."""

    def __init__(self) -> None:
        self._added = AddOnlySet()
        self._removed = AddOnlySet()

    def add(self, element: str, *, tag: str) -> ObservedRemoveSet:
        """Add under a tag that no other addition has, and return the delta to send."""
        delta = ObservedRemoveSet()
        delta._added.insert(element, tag)
        self.absorb(delta)
        return delta

    def remove(self, element: str) -> ObservedRemoveSet:
        """Remove the additions seen here, and return the delta to send."""
        delta = ObservedRemoveSet()
        for tag in sorted(self._added.tags(element)):
            delta._removed.insert(element, tag)
        self.absorb(delta)
        return delta

    def absorb(self, delta: ObservedRemoveSet) -> None:
        """Merge a delta, or a whole replica, in place."""
        self._added.absorb(delta._added)
        self._removed.absorb(delta._removed)

    def __contains__(self, element: str) -> bool:
        return bool(self._added.tags(element) - self._removed.tags(element))

    def elements(self) -> list[str]:
        """What is present, sorted."""
        return sorted({element for element, _ in self._added.items() if element in self})

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ObservedRemoveSet)
            and self._added == other._added
            and self._removed == other._removed
        )

    __hash__ = None  # type: ignore[assignment]  # mutable
