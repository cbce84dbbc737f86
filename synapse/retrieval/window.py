"""From hits to a context: as much as a token budget holds, and little of it twice.

Maximal marginal relevance (Carbonell and Goldstein 1998): the next hit is the one that is relevant
and unlike what was taken already. Near-duplicates are left out and named, so that a reader can say
how often a thing was told.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from synapse.core.memory.memory import Memory
from synapse.ports import Hit
from synapse.retrieval import bm25
from synapse.retrieval.analysis import keys

ALIKE: Final = 0.92  # cosine from which two memories say the same; measured on retold ones
RELEVANCE_SHARE: Final = 0.7  # of relevance against novelty, as the paper's examples have it
CONSIDERED_MAX: Final = 64  # the work grows with its square: a millisecond or two

Vector = dict[int, float]  # of length 1, by key


@dataclass(frozen=True, slots=True)
class Window:
    """What goes into a context, in the order it was chosen."""

    chosen: tuple[Hit, ...]
    tokens: int
    alike: tuple[tuple[bytes, bytes], ...]  # ids left out, each with the chosen one it repeats
    crowded_out: tuple[bytes, ...]  # ids for which there was no room


def pack(
    found: Sequence[tuple[Hit, Memory]],
    *,
    tokens_max: int,
    tokens_of: Callable[[str], int],
    relevance_share: float = RELEVANCE_SHARE,
) -> Window:
    """Choose among hits, best first, until the budget is spent. Ties go to the better rank."""
    left = list(range(min(len(found), CONSIDERED_MAX)))
    vectors = [_vector(found[nth][1].text) for nth in left]
    best = max((found[nth][0].score for nth in left), default=1.0)
    likeness = [0.0] * len(left)  # to the chosen one that is most alike
    likest = [b""] * len(left)
    chosen: list[Hit] = []
    alike: list[tuple[bytes, bytes]] = []
    crowded_out: list[bytes] = []
    tokens = 0

    def worth(nth: int) -> tuple[float, int]:
        relevance = found[nth][0].score / best
        return relevance_share * relevance - (1 - relevance_share) * likeness[nth], -nth

    while left:
        nth = max(left, key=worth)
        left.remove(nth)
        hit, memory = found[nth]
        needed = tokens_of(memory.text)
        if likeness[nth] >= ALIKE:
            alike.append((hit.id, likest[nth]))
        elif tokens + needed > tokens_max:
            crowded_out.append(hit.id)
        else:
            chosen.append(hit)
            tokens += needed
            for other in left:
                similarity = _cosine(vectors[nth], vectors[other])
                if similarity > likeness[other]:
                    likeness[other], likest[other] = similarity, hit.id
    return Window(tuple(chosen), tokens, tuple(alike), tuple(crowded_out))


def _vector(text: str) -> Vector:
    counts = Counter(keys(text))
    length = counts.total()
    impacts = {key: bm25.impact(count, length) for key, count in counts.items()}
    norm = math.sqrt(sum(impact * impact for impact in impacts.values()))
    return {key: impact / norm for key, impact in impacts.items()}


def _cosine(one: Vector, other: Vector) -> float:
    if len(other) < len(one):
        one, other = other, one
    return math.fsum(weight * other[key] for key, weight in one.items() if key in other)
