"""What evidence is worth: a mean of a Beta distribution, and the log-odds vote it gives.

Nitzan and Paroush (1982): the best weight of an independent voter is the log-odds of being right.
A wrong answer that others give too counts for more than one that nobody shares, hence the
collision rate (`docs/evidence.md` has the measurements).
"""

from __future__ import annotations

import math
from typing import Final

PRIOR_RIGHT: Final = 1.2  # an unknown family is believed to be right 3 times in 5, and little so:
PRIOR_WRONG: Final = 0.8  # two grades move it as much as the prior holds it
COLLISION_RATE: Final = 0.3  # how often two wrong answers agree; measured 0.15 to 0.48
PROBABILITY_MAX: Final = 0.99  # no count of grades makes anyone infallible


def probability(right: int, wrong: int) -> float:
    """Mean of Beta(prior + counts): the chance that the next answer is right."""
    mean = (right + PRIOR_RIGHT) / (right + wrong + PRIOR_RIGHT + PRIOR_WRONG)
    return min(mean, PROBABILITY_MAX)


def weight(right: int, wrong: int) -> float:
    """The vote of a family with these grades, in nats: max(0, ln(p / (1 - p)) - ln q)."""
    p = probability(right, wrong)
    return max(0.0, math.log(p / (1 - p)) - math.log(COLLISION_RATE))
