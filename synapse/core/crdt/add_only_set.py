"""The library's `ORSet`, used as what it is sound for: a set that only grows.

Its `remove` is not observed-remove (a removed element returns from any stale replica), its `add`
draws a random tag and its `merge` copies everything. Here tags are passed in, and absorbing a
delta costs the delta. The element table is read directly, hence the pin on the library's version.
"""

from __future__ import annotations

from typing import Self

from crdt_merge import ORSet


class AddOnlySet(ORSet):
    """Elements with the tags of their additions. Both are strings."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library's __init__ has no types

    def insert(self, element: str, tag: str) -> bool:
        """Add `element` under `tag`; whether that was new."""
        tags = self._elements.setdefault(element, set())
        new = tag not in tags
        tags.add(tag)
        return new

    def tags(self, element: str) -> frozenset[str]:
        """The tags `element` was added under."""
        return frozenset(self._elements.get(element, ()))

    def absorb(self, other: Self) -> None:
        """Merge in place. The cost is the other's size, not ours."""
        for element, tags in other._elements.items():
            self._elements.setdefault(element, set()).update(tags)

    def items(self) -> list[tuple[str, str]]:
        """Every (element, tag), sorted: the canonical form of the set."""
        return sorted(
            (str(element), tag) for element, tags in self._elements.items() for tag in tags
        )

    def __len__(self) -> int:
        return len(self._elements)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AddOnlySet) and self.items() == other.items()

    __hash__ = None  # type: ignore[assignment]  # mutable
