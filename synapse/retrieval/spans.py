"""Which positions of the log an index has seen: half-open intervals (after, upto], in order.

A position is whatever the log counts by, as long as it grows. The index never looks inside.
"""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[int, int]  # after the first, up to and with the second
Spans = tuple[Span, ...]


def joined(spans: Iterable[Span]) -> Spans:
    """The same positions in as few intervals as can be."""
    found: list[Span] = []
    for after, upto in sorted(spans):
        if upto <= after:
            continue
        if found and after <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], upto))
        else:
            found.append((after, upto))
    return tuple(found)


def without(spans: Iterable[Span], gone: Iterable[Span]) -> Spans:
    """The positions of `spans` that are not in `gone`."""
    left = list(joined(spans))
    for after, upto in joined(gone):
        cut: list[Span] = []
        for start, end in left:
            cut += [(start, min(end, after)), (max(start, upto), end)]
        left = [(start, end) for start, end in cut if start < end]
    return joined(left)
