"""The exact scan: scores every memory by the formula, one after the other.

It is what the inverted index is held against. Nothing here is clever, and nothing may become so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from synapse.core.memory.memory import Memory
from synapse.ports import ANY, Filter, Hit, Hits, Labels, Ranking, Share, Why
from synapse.retrieval import bm25, spans
from synapse.retrieval import ranking as rank
from synapse.retrieval.analysis import QUERY_TERMS_MAX, analyse, key, keys
from synapse.retrieval.labels import passes, profile_of
from synapse.retrieval.layout import POSITION_BITS, Profile


@dataclass(slots=True)
class _Analysed:
    counts: Counter[int]  # of its terms, by key
    profile: Profile
    created_s: int
    verified_s: int
    position: int


class ScanIndex:
    """An `Index` that keeps every analysed memory and looks at all of them for every query."""

    def __init__(self) -> None:
        self._analysed: dict[bytes, _Analysed] = {}
        self._covered: spans.Spans = ()

    def add(
        self,
        memories: Sequence[Memory],
        *,
        labels: Sequence[Labels] | None = None,
        covers: spans.Span | None = None,
    ) -> None:
        """Make these searchable at once. An id that is there already is left as it is."""
        for memory, given in zip(memories, labels or [Labels()] * len(memories), strict=True):
            if memory.id not in self._analysed:
                created_s = rank.seconds(memory.created_ms)
                self._analysed[memory.id] = _Analysed(
                    Counter(keys(memory.text)),
                    profile_of(memory, given),
                    created_s,
                    created_s,
                    memory.position & POSITION_BITS,
                )
        self._covered = spans.joined((*self._covered, *([covers] if covers else [])))

    def remove(self, ids: Sequence[bytes]) -> None:
        """Stop finding these. Unknown ids are ignored."""
        for memory_id in ids:
            self._analysed.pop(memory_id, None)

    def verified(self, ids: Sequence[bytes], *, at_ms: int) -> None:
        """These proved useful then: they age from there. Unknown ids are ignored."""
        for memory_id in ids:
            if memory_id in self._analysed:
                one = self._analysed[memory_id]
                one.verified_s = max(one.verified_s, rank.seconds(at_ms))

    def search(
        self,
        query: str,
        *,
        limit: int,
        wanted: Filter = ANY,
        ranking: Ranking | None = None,
        budget: int | None = None,
    ) -> Hits:
        """The best `limit` matches, best first, ties by id. A budget changes nothing here."""
        everything = list(self._analysed.values())
        weights = {
            key: asked * bm25.weight(sum(key in one.counts for one in everything), len(self))
            for key, asked in Counter(keys(query)[:QUERY_TERMS_MAX]).items()
        }
        found = []
        for memory_id, one in self._analysed.items():
            total = sum(
                weight * bm25.impact(one.counts[key], one.counts.total())
                for key, weight in weights.items()
                if key in one.counts
            )
            factor = _factor(one, wanted, ranking)
            if total and factor and total * factor >= _least_rank(ranking):
                hit = Hit(memory_id, rank.score(total, factor), one.position)
                found.append((-total * factor, hit))
        return Hits(hit for _, hit in sorted(found)[: max(0, limit)])

    def why(self, query: str, memory_id: bytes, *, ranking: Ranking | None = None) -> Why | None:
        """What a memory's score for a query is made of; None for one that is not there."""
        one = self._analysed.get(memory_id)
        if one is None:
            return None
        shares, total = [], 0
        asked = Counter(analyse(query)[:QUERY_TERMS_MAX])
        for term, times in asked.items():
            if key(term) in one.counts:
                holders = sum(key(term) in each.counts for each in self._analysed.values())
                part = times * bm25.weight(holders, len(self))
                part *= bm25.impact(one.counts[key(term)], one.counts.total())
                shares.append(Share(term, times, holders, bm25.score(part)))
                total += part
        decay, trust = _decay_and_trust(one, ranking)
        return Why(
            tuple(shares),
            relevance=bm25.score(total),
            decay=decay / rank.ONE,
            trust=trust / rank.ONE,
            score=rank.score(total, rank.product(decay, trust)),
        )

    def missing(self, upto: int) -> spans.Spans:
        """Which positions (after, upto] of the log have to be fed, up to this one."""
        return spans.without(((0, upto),), self._covered)

    def maintain(self, *, steps: int = 1) -> bool:
        """Nothing is ever due."""
        return False

    def checkpoint(self) -> None:
        """Nothing is ever durable."""

    def close(self) -> None:
        """There is nothing to let go of."""

    def __len__(self) -> int:
        """How many memories are searchable."""
        return len(self._analysed)


def _factor(one: _Analysed, wanted: Filter, asked: Ranking | None) -> int:
    """Decay times trust; 0 for what the filter keeps out."""
    since_s, until_s = rank.window_s(wanted)
    if not (passes(one.profile, wanted) and since_s <= one.created_s < until_s):
        return 0
    return rank.product(*_decay_and_trust(one, asked))


def _decay_and_trust(one: _Analysed, asked: Ranking | None) -> tuple[int, int]:
    decay = trust = rank.ONE
    if asked is not None and asked.trust is not None:
        trust = rank.trust_factor(one.profile.operator, asked.trust, asked.trust_unknown)
    if asked is not None and asked.half_life_days is not None:
        age_s = rank.seconds(asked.now_ms) - one.verified_s
        decay = rank.decay(asked.half_life_days).at(age_s)
    return decay, trust


def _least_rank(asked: Ranking | None) -> int:
    return 0 if asked is None else rank.least_rank(asked.min_score)
