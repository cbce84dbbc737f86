"""What a relevance is multiplied with: decay and trust, as integers.

A factor is a 16-bit fraction: 65,536 is 1. Decay comes from a table, one step for every 1/256 of
a half-life, so that every engine rounds alike. Both are bounded from below, and from above by 1:
a block whose newest memory or most trusted author cannot lift it over the worst of the best is
left out, and nothing is lost.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from synapse.ports import Filter
from synapse.retrieval import bm25

ONE: Final = 1 << 16
DECAY_LEAST: Final = 0.15  # the reference's floor; it is reached after 2.7 half-lives
TRUST_LEAST: Final = 0.7  # the reference weighs similarity 0.7 and trust 0.3
SECONDS_MAX: Final = (1 << 32) - 1

_STEPS: Final = 256  # of a half-life: neighbouring factors differ by 0.3 %
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Decay:
    """The factor by age: one entry a step, the last for everything older."""

    step_s: int
    factors: tuple[int, ...]
    packed: bytes  # the same, 32 bits each

    def at(self, age_s: int) -> int:
        """The factor of a memory that was verified so long ago."""
        return self.factors[min(max(0, age_s) // self.step_s, len(self.factors) - 1)]


@lru_cache(maxsize=16)
def decay(half_life_days: float) -> Decay:
    """The table for one half-life."""
    step_s = max(1, round(half_life_days * _DAY_S / _STEPS))
    steps = max(1, round(half_life_days * _DAY_S / step_s))
    last = math.ceil(steps * math.log2(1 / DECAY_LEAST))
    factors = (max(DECAY_LEAST, 0.5 ** (step / steps)) for step in range(last + 1))
    rounded = tuple(round(ONE * factor) for factor in factors)
    return Decay(step_s, rounded, array("I", rounded).tobytes())


def trust_factor(operator: str, trust: Mapping[str, float], unknown: float) -> int:
    """What an operator's memories are worth."""
    believed = min(1.0, max(0.0, trust.get(operator, unknown)))
    return round(ONE * (TRUST_LEAST + (1 - TRUST_LEAST) * believed))


def product(decay_factor: int, factor: int) -> int:
    """Both together; at least 1, unless something keeps the memory out."""
    return max(1, decay_factor * factor >> 16) if factor else 0


def seconds(ms: int) -> int:
    """Milliseconds since 1970 in whole seconds, from 0 to the year 2106."""
    return min(max(0, ms // 1000), SECONDS_MAX)


def score(total: int, factor: int) -> float:
    """The score of a total with its factor."""
    return bm25.score(total) * factor / ONE


def least_rank(min_score: float) -> int:
    """The least total times factor that scores `min_score`."""
    if min_score <= 0:
        return 0
    rank = math.ceil(min_score * ONE / bm25.score(1))
    return min(rank, (1 << 63) - 1)


def window_s(wanted: Filter) -> tuple[int, int]:
    """From which second on, and before which one."""
    since_s = 0 if wanted.since_ms is None else seconds(wanted.since_ms)
    until_s = SECONDS_MAX if wanted.until_ms is None else seconds(wanted.until_ms)
    return since_s, until_s
