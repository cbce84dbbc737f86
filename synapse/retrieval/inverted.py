"""The inverted index: for every term, which memories hold it and how much it says about each.

Everything lives in memory and is derived from the log. A memory gets the next slot, a small
integer; a posting packs the slot and the term's 8-bit impact into 32 bits. What a filter asks for
(kind, author, tag, shared) is posted like a term, under a key no text can contain. idf comes from
live counts when a query is asked, so nothing written changes with what comes later.

One lock is held for the insertion of one memory and for a whole search, never during analysis. It
serves better than a snapshot would: a writer in another thread that meets the lock gives up the
interpreter at once, where it would otherwise keep it for 5 ms each time numpy lets go of it.
"""

from __future__ import annotations

import heapq
import threading
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from synapse.core.memory.memory import Memory
from synapse.ports import ANY, Filter, Hit
from synapse.retrieval import bm25
from synapse.retrieval.analysis import analyse, query_terms

Facet = tuple[str, str]
Integers = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]

_IMPACT_BITS: Final = 8
_SPARE_SLOTS: Final = 1024  # fewer removed memories than this are not worth a compaction
_GROUPS_PER_HIT: Final = 64  # so many that the best hits rarely share a group


class InvertedIndex:
    """An `Index` for up to a million memories. Gives the very answers of `ScanIndex`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: list[bytes] = []  # by slot, removed ones included
        self._alive = bytearray()  # by slot, 1 or 0
        self._slots: dict[bytes, int] = {}  # of the living
        self._postings: defaultdict[str | Facet, array[int]] = defaultdict(lambda: array("I"))

    def add(self, memories: Sequence[Memory]) -> None:
        """Make these searchable at once. An id that is there already is left as it is."""
        for memory in memories:
            counts = Counter(analyse(memory.text))
            with self._lock:
                if memory.id not in self._slots:
                    self._insert(memory, counts)

    def remove(self, ids: Sequence[bytes]) -> None:
        """Stop finding these. Unknown ids are ignored."""
        with self._lock:
            for memory_id in ids:
                slot = self._slots.pop(memory_id, None)
                if slot is not None:
                    self._alive[slot] = 0
            if self._removed() > len(self._slots) + _SPARE_SLOTS:
                self._compact()

    def search(self, query: str, *, limit: int, wanted: Filter = ANY) -> list[Hit]:
        """The best `limit` matches, best first, ties by id. Nothing matches an empty query."""
        if limit < 1:
            return []
        terms = query_terms(query)
        with self._lock:
            totals = self._totals(terms)
            if self._removed() or wanted != ANY:
                totals *= self._eligible(wanted)
            leaders = _leaders(totals, limit)
            ranked = zip(totals[leaders].tolist(), leaders.tolist(), strict=True)
            best = heapq.nsmallest(limit, ((-total, self._ids[slot]) for total, slot in ranked))
        return [Hit(memory_id, bm25.score(-total)) for total, memory_id in best]

    def __len__(self) -> int:
        """How many memories are searchable."""
        return len(self._slots)

    def _insert(self, memory: Memory, counts: Counter[str]) -> None:
        slot = len(self._ids)
        assert slot < bm25.MEMORIES_MAX, "the next slot does not fit into a posting"
        length = counts.total()
        for term, count in counts.items():
            self._postings[term].append(slot << _IMPACT_BITS | bm25.impact(count, length))
        for facet in _facets(memory):
            self._postings[facet].append(slot << _IMPACT_BITS)
        self._ids.append(memory.id)
        self._alive.append(1)
        self._slots[memory.id] = slot

    def _totals(self, terms: Counter[str]) -> Integers:
        """By slot, the sum over the terms of weight times impact."""
        totals = np.zeros(len(self._ids), dtype=np.uint32)
        for term, asked in terms.items():
            slots, impacts = self._posted(term)
            if holders := self._living(slots):
                np.add.at(totals, slots, impacts * (asked * bm25.weight(holders, len(self))))
        return totals

    def _eligible(self, wanted: Filter) -> Mask:
        """By slot, whether it holds a memory that was not removed and passes the filter."""
        eligible = np.array(self._alive, dtype=np.bool_)
        for facet in _demands(wanted):
            slots, _ = self._posted(facet)
            posted = np.zeros_like(eligible)
            posted[slots] = True
            eligible &= posted
        return eligible

    def _posted(self, key: str | Facet) -> tuple[Integers, Integers]:
        """The slots that hold a term or a facet, ascending, and its impact in each."""
        packed = np.frombuffer(self._postings.get(key, b""), dtype=np.uint32)
        return np.right_shift(packed, _IMPACT_BITS), np.bitwise_and(packed, bm25.IMPACT_MAX)

    def _living(self, slots: Integers) -> int:
        """How many of these slots hold a memory that was not removed."""
        if not self._removed():
            return len(slots)
        return int(np.count_nonzero(np.frombuffer(self._alive, dtype=np.bool_)[slots]))

    def _removed(self) -> int:
        """How many slots hold a memory that was removed."""
        return len(self._ids) - len(self._slots)

    def _compact(self) -> None:
        """Forget the removed memories: one pass over all postings, paid for by as many removals."""
        alive = np.array(self._alive, dtype=np.bool_)
        renumbered = np.cumsum(alive, dtype=np.uint32) - 1
        for key in list(self._postings):
            slots, impacts = self._posted(key)
            kept = (renumbered[slots] << _IMPACT_BITS | impacts)[alive[slots]]
            self._postings[key] = array("I", kept.tobytes())
            if not len(kept):
                del self._postings[key]
        self._ids = list(self._slots)
        self._slots = {memory_id: slot for slot, memory_id in enumerate(self._ids)}
        self._alive = bytearray(b"\x01" * len(self._ids))


def _facets(memory: Memory) -> Iterator[Facet]:
    """The keys under which a memory answers to filters."""
    yield "kind", memory.kind
    yield "author", memory.author
    for tag in memory.tags:
        yield "tag", tag
    yield "shared", str(memory.shared)


def _demands(wanted: Filter) -> Iterator[Facet]:
    """The keys a memory must have been posted under to pass the filter."""
    if wanted.kind is not None:
        yield "kind", wanted.kind
    if wanted.author is not None:
        yield "author", wanted.author
    if wanted.tag is not None:
        yield "tag", wanted.tag
    if wanted.shared is not None:
        yield "shared", str(wanted.shared)


def _leaders(totals: Integers, limit: int) -> npt.NDArray[np.intp]:
    """Every slot that may be among the best `limit`, ties included, and few others.

    The best total of each of many groups is taken; no slot below the `limit`-th best of those can
    be among the best, since at least `limit` groups hold a better one.
    """
    groups = min(len(totals), _GROUPS_PER_HIT * limit)
    rows = len(totals) // max(1, groups)
    maxima = totals[: rows * groups].reshape(rows, groups).max(axis=0, initial=0)
    floor = np.sort(maxima)[-limit] if groups >= limit else 0
    return np.flatnonzero(totals >= max(floor, 1))
