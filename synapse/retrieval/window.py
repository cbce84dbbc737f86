"""From hits to a context: as much as a token budget holds, and little of it twice.

Maximal marginal relevance (Carbonell and Goldstein 1998): the next hit is the one that is relevant
and unlike what was taken already. What says the same again is left out and named, so that a reader
can tell how often a thing was said; what differs in a number or a denial says something else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from synapse.core.memory.memory import Memory
from synapse.ports import Hit
from synapse.retrieval import bm25
from synapse.retrieval.analysis import keys
from synapse.retrieval.engine import BEST, Words
from synapse.retrieval.figures import figures
from synapse.retrieval.snapshot import words_of

ALIKE: Final = 0.92  # cosine from which two memories say the same; measured on retold ones
RELEVANCE_SHARE: Final = 0.7  # of relevance against novelty, as the paper's examples have it
CONSIDERED_MAX: Final = 64  # notes of the usual size take 3 ms together

_COMPARED_MAX: Final = (
    8_000  # characters of a text that are compared; 64 texts take some 20 ms then
)

Vector = dict[int, float]  # of length 1, by key


@dataclass(frozen=True, slots=True)
class Sense:
    """What a text says, as far as it can be compared."""

    vector: Vector
    figures: tuple[str, ...]
    whole: str  # a text that is too long to be compared is like its equals only

    def likeness(self, other: Sense) -> float:
        """From 0 to 1."""
        return _cosine(self.vector, other.vector)

    def same(self, other: Sense, likeness: float) -> bool:
        """Whether both say the same, given how alike they are."""
        return likeness >= ALIKE and self.figures == other.figures and self.whole == other.whole


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
    count = min(len(found), CONSIDERED_MAX)
    said = [sense(memory.text) for _, memory in found[:count]]
    between = _likenesses(said)
    best = max((hit.score for hit, _ in found[:count]), default=1.0)
    relevance = np.array([hit.score / best for hit, _ in found[:count]])
    likeness = np.zeros(count)  # to the chosen one that is most alike
    likest = np.full(count, -1)
    left = np.ones(count, dtype=np.bool_)
    chosen: list[Hit] = []
    alike: list[tuple[bytes, bytes]] = []
    crowded_out: list[bytes] = []
    tokens = 0
    while left.any():
        worth = relevance_share * relevance - (1 - relevance_share) * likeness
        nth = int(np.argmax(np.where(left, worth, -np.inf)))  # the first of equals
        left[nth] = False
        hit, memory = found[nth]
        needed = tokens_of(memory.text)
        repeats = int(likest[nth])
        if repeats >= 0 and said[nth].same(said[repeats], float(likeness[nth])):
            alike.append((hit.id, found[repeats][0].id))
        elif tokens + needed > tokens_max:
            crowded_out.append(hit.id)
        else:
            chosen.append(hit)
            tokens += needed
            likest = np.where(between[nth] > likeness, nth, likest)
            likeness = np.maximum(likeness, between[nth])
    return Window(tuple(chosen), tokens, tuple(alike), tuple(crowded_out))


def sense(text: str) -> Sense:
    """What a text says."""
    compared = text[:_COMPARED_MAX]
    whole = text if len(text) > _COMPARED_MAX else ""
    return Sense(_vector(compared), figures(compared), whole)


@cache
def _words() -> Words:
    return words_of(BEST)


def _vector(text: str) -> Vector:
    found = _words().keys(text)
    counts = Counter(keys(text) if found is None else found)
    length = counts.total()
    impacts = {key: bm25.impact(count, length) for key, count in counts.items()}
    norm = math.sqrt(sum(impact * impact for impact in impacts.values()))
    return {key: impact / norm for key, impact in impacts.items()}


def _cosine(one: Vector, other: Vector) -> float:
    if len(other) < len(one):
        one, other = other, one
    return math.fsum(weight * other[key] for key, weight in one.items() if key in other)


def _likenesses(said: Sequence[Sense]) -> npt.NDArray[np.float64]:
    """Of each to each."""
    holders = Counter(key for one in said for key in one.vector)
    shared = [key for key, count in holders.items() if count > 1]
    columns = {key: column for column, key in enumerate(shared)}
    vectors = np.zeros((len(said), len(columns)))
    for nth, one in enumerate(said):
        for key, weight in one.vector.items():
            if key in columns:
                vectors[nth, columns[key]] = weight
    # Not `@`: its threads cost more than they do on so little, and keep a core from others.
    likenesses: npt.NDArray[np.float64] = np.einsum("ik,jk->ij", vectors, vectors)
    return likenesses
