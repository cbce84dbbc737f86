"""BM25 in integers: Robertson and Zaragoza (2009), "The Probabilistic Relevance Framework".

A memory's score for a query is the sum over the query's terms, each as often as it is asked for, of

    idf(term) * count * (k1 + 1) / (count + k1 * (1 - b + b * length / reference_length))

Two choices make every spore rank alike. The reference length is frozen where the paper has the
average, so nothing written changes with what comes later. Both factors are rounded to integers, so
that sums are equal in whatever order they are taken.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

# What is written holds impacts: a change to these three raises ANALYSER_VERSION.
K1: Final = 1.5  # the paper finds 1.2 to 2 and 0.5 to 0.8 to serve well; ours is flat there too
B: Final = 0.7
REFERENCE_LENGTH: Final = 56  # terms: about the mean of a memory; 36 and 64 rank almost as well
IMPACT_MAX: Final = 255  # one byte a posting; costs no nDCG on the judged collections
MEMORIES_MAX: Final = 1 << 24  # so that a slot and an impact share 32 bits

_WEIGHT_UNIT: Final = 1 / 2048  # 256 terms * 255 * 2048 * ln(1 + 2^24 / 1.5) stays below 2^32


@lru_cache(maxsize=4096)  # memories are short: few pairs of count and length ever occur
def impact(count: int, length: int) -> int:
    """How much `count` occurrences say about a memory of `length` terms: 1 to `IMPACT_MAX`."""
    saturated = count / (count + K1 * (1 - B + B * length / REFERENCE_LENGTH))
    return max(1, round(saturated * IMPACT_MAX))


def weight(holders: int, memories: int) -> int:
    """How much a term tells when `holders` of all `memories` hold it: idf in units of 1/2048 nat.

    The logarithm is ln(1 + (N - n + 0.5) / (n + 0.5)), which stays above zero for common terms.
    """
    return max(1, round(math.log1p((memories - holders + 0.5) / (holders + 0.5)) / _WEIGHT_UNIT))


def score(total: int) -> float:
    """The BM25 score for a sum of weights times impacts."""
    return total * _WEIGHT_UNIT * (K1 + 1) / IMPACT_MAX
