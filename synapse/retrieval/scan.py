"""The exact scan: scores every memory by the formula, one after the other.

It is what the inverted index is held against. Nothing here is clever, and nothing may become so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from synapse.core.memory.memory import Memory
from synapse.ports import ANY, Filter, Hit
from synapse.retrieval import bm25
from synapse.retrieval.analysis import analyse, query_terms


class ScanIndex:
    """An `Index` that keeps every analysed memory and looks at all of them for every query."""

    def __init__(self) -> None:
        self._analysed: dict[bytes, tuple[Memory, Counter[str]]] = {}

    def add(self, memories: Sequence[Memory]) -> None:
        """Make these searchable at once. An id that is there already is left as it is."""
        for memory in memories:
            self._analysed.setdefault(memory.id, (memory, Counter(analyse(memory.text))))

    def remove(self, ids: Sequence[bytes]) -> None:
        """Stop finding these. Unknown ids are ignored."""
        for memory_id in ids:
            self._analysed.pop(memory_id, None)

    def search(self, query: str, *, limit: int, wanted: Filter = ANY) -> list[Hit]:
        """The best `limit` matches, best first, ties by id. Nothing matches an empty query."""
        everything = list(self._analysed.values())
        weights = {
            term: asked * bm25.weight(sum(term in counts for _, counts in everything), len(self))
            for term, asked in query_terms(query).items()
        }
        found = []
        for memory, counts in everything:
            total = sum(
                weight * bm25.impact(counts[term], counts.total())
                for term, weight in weights.items()
                if term in counts
            )
            if total and _matches(memory, wanted):
                found.append((-total, memory.id))
        best = sorted(found)[: max(0, limit)]
        return [Hit(memory_id, bm25.score(-total)) for total, memory_id in best]

    def __len__(self) -> int:
        """How many memories are searchable."""
        return len(self._analysed)


def _matches(memory: Memory, wanted: Filter) -> bool:
    return (
        wanted.kind in (None, memory.kind)
        and wanted.author in (None, memory.author)
        and (wanted.tag is None or wanted.tag in memory.tags)
        and wanted.shared in (None, memory.shared)
    )
