"""What counts are worth: a mean of a Beta distribution, and the log-odds vote it gives.

Nitzan and Paroush (1982): the best weight of an independent voter is the log-odds of being right.
A wrong answer that others give too counts for more than one that nobody shares, hence the
collision rate. Grades age: their weight halves every 90 days (`docs/evidence.md` has the
measurements; the half-life has no source but that providers replace models about that often).
"""

from __future__ import annotations

import math
from typing import Final

PRIOR_RIGHT: Final = 1.2  # an unknown family is believed to be right 3 times in 5, and little so:
PRIOR_WRONG: Final = 0.8  # two grades move it as much as the prior holds it
COLLISION_RATE: Final = 0.3  # how often two wrong answers agree; measured 0.15 to 0.48
PROBABILITY_MAX: Final = 0.99  # no count of grades makes anyone infallible
HALF_LIFE_DAYS: Final = 90.0
BUCKET_DAYS: Final = 30.0  # grades are counted by the month, so that counts can be joined


def probability(right: float, wrong: float) -> float:
    """Mean of Beta(prior + counts): the chance that the next answer is right."""
    mean = (right + PRIOR_RIGHT) / (right + wrong + PRIOR_RIGHT + PRIOR_WRONG)
    return min(mean, PROBABILITY_MAX)


def vote(p: float, collision_rate: float = COLLISION_RATE) -> float:
    """The vote of a family that is right with chance p, in nats: max(0, ln(p / (1 - p)) - ln q)."""
    return max(0.0, math.log(p / (1 - p)) - math.log(collision_rate)) if p > 0 else 0.0


def weight(right: float, wrong: float) -> float:
    """The vote of a family with these grades, in nats."""
    return vote(probability(right, wrong))


def decay(bucket: int, *, now: int) -> float:
    """What a grade of one month is worth in another, both counted from 1970: 1 when it is new."""
    return float(0.5 ** (max(0, now - bucket) * BUCKET_DAYS / HALF_LIFE_DAYS))
