"""The order of the best matches, by their words and by their meaning.

    score = 0.5 * (lexical score / best lexical score) + 0.5 * cosine

The sum of scaled scores (Bruch, Gai and Ingber 2023, "An Analysis of Fusion Functions for Hybrid
Retrieval") keeps how much better one match is than the next, which fusing ranks throws away. The
lexical score has decay and trust in it, the cosine has not: meaning can at most make up for half of
what they took. A cosine below zero counts as zero, so that every score stays above it.

A memory without a vector (it is private, or nobody has come to it yet) is taken to be as near as
those beside it that have one are on average, so that it is neither lifted nor pushed down for the
lack; and meaning has only that part of its share for which there are vectors. So the order goes
without a leap from that of words, where none has a vector, to the formula, where all have one, and
memories without vectors keep their order among each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from synapse.ports import Hits
from synapse.retrieval.semantic.column import Column, Numbers

MEANING_SHARE: Final = 0.5  # against words; measured on judged collections, see docs/semantic.md
RERANKED: Final = 100  # lexical hits that are worth asking for: their vectors are 40 KB


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one question means, as a vector of length 1, and what to hold it against."""

    question: Numbers
    column: Column

    def rerank(self, hits: Hits) -> Hits:
        """The same hits in the order above. In any thread."""
        return rerank(hits, self.question, self.column)

    def cosines(self, ids: Sequence[bytes]) -> list[float | None]:
        """How near to the question each memory is; None for one without a vector."""
        cosines = self.column.cosines(ids, self.question).tolist()
        return [None if math.isnan(each) else each for each in cosines]


def rerank(
    hits: Hits, question: Numbers, column: Column, *, meaning_share: float = MEANING_SHARE
) -> Hits:
    """The same hits in the order above, ties by id; as they were when no vector says anything.

    `question` is a vector of length 1.
    """
    cosines = column.cosines([hit.id for hit in hits], question)
    known = ~np.isnan(cosines)
    if not known.any():
        return hits
    nearness = np.where(known, np.maximum(cosines, 0.0), 0.0).astype(np.float64)
    nearness[~known] = nearness[known].mean()
    share = meaning_share * float(known.mean())
    best = max(hit.score for hit in hits)
    scored = [
        hit._replace(score=(1 - share) * hit.score / best + share * near)
        for hit, near in zip(hits, nearness.tolist(), strict=True)
    ]
    reranked = Hits(sorted(scored, key=lambda hit: (-hit.score, hit.id)))
    reranked.exact, reranked.reranked = hits.exact, True
    return reranked
