"""How sure a Beta distribution is: its intervals. Pure arithmetic, for what people read.

Grades make a Beta distribution of the chance that a family is right; its mean is what votes count
with, and the interval says how little ten grades prove.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

from synapse.core.trust.weights import PRIOR_RIGHT, PRIOR_WRONG, PROBABILITY_MAX

LEVEL: Final = 0.9  # of the interval: five grades in a hundred lie beyond either end
_HALVINGS: Final = 20  # of 0 to 1: to a millionth, far below what is shown
_TERMS_MAX: Final = 1_000  # of the fraction; it needs about the root of all grades
_TINY: Final = 1e-300


@lru_cache(maxsize=256)  # counts change with a grade and with the month; pages ask more often
def interval(right: float, wrong: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Where the chance of being right lies, after these grades on top of the prior; like the mean
    it ends at PROBABILITY_MAX."""
    a, b = right + PRIOR_RIGHT, wrong + PRIOR_WRONG
    low, high = (quantile(share, a, b) for share in ((1 - level) / 2, (1 + level) / 2))
    return min(low, PROBABILITY_MAX), min(high, PROBABILITY_MAX)


def quantile(share: float, a: float, b: float) -> float:
    """The x below which this share of Beta(a, b) lies."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if below(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def below(x: float, a: float, b: float) -> float:
    """The share of Beta(a, b) that lies below x: the regularized incomplete beta function."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # there the fraction of the mirror image is the shorter one
        return 1 - below(1 - x, b, a)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(scale + a * math.log(x) + b * math.log1p(-x)) / a
    return front / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 + d1/(1 + d2/(1 + …)) from left to right (Lentz 1976), with the d of DLMF 8.17.22."""
    value = c = 1.0
    d = 0.0
    for term in range(1, _TERMS_MAX):
        m = term // 2
        if term % 2:
            step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            step = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _not_zero(1 + step * d)
        c = _not_zero(1 + step / c)
        value *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
