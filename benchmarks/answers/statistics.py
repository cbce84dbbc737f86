"""Intervals for paired comparisons, correction for many of them, and calibration.

Everything is seeded: two runs on the same data print the same intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

ROUNDS: Final = 2_000  # of the bootstrap; an end of the interval then moves by under 0.05 points
LEVEL: Final = 0.95
BINS: Final = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval, and the two-sided p of its being 0."""

    value: float
    low: float
    high: float
    p: float


def paired_bootstrap(outcomes: Floats, *, seed: int, rounds: int = ROUNDS) -> Estimate:
    """The mean over rows of their means, resampling columns and rows.

    A row is a team, a column an item, a cell how much better one rule did than another (or just
    how well it did); NaN marks an item that this team was not tested on. Items come first: they
    are shared by all teams, so that teams alone would understate what is not known.
    """
    rows, columns = outcomes.shape
    tested = ~np.isnan(outcomes)
    assert tested.any(axis=1).all(), "every team was tested on something"
    filled = np.where(tested, outcomes, 0.0)
    items = _resampled(columns, rounds, (seed, 0))
    teams = _resampled(rows, rounds, (seed, 1)) / rows
    by_team = (filled @ items.T) / np.maximum(tested.astype(float) @ items.T, 1.0)
    drawn = (by_team * teams.T).sum(axis=0)
    value = float((filled.sum(axis=1) / tested.sum(axis=1)).mean())
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    tail = min(float((drawn <= 0).mean()), float((drawn >= 0).mean()))
    return Estimate(value, float(low), float(high), min(1.0, max(2 * tail, 1 / rounds)))


@lru_cache(maxsize=8)
def _resampled(number: int, rounds: int, seed: tuple[int, int]) -> Floats:
    """How often each of so many is drawn, by round."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(number, np.full(number, 1 / number), size=rounds).astype(float)


def calibration_interval(
    said: Floats, right: NDArray[np.bool_], *, seed: int, rounds: int = ROUNDS // 4
) -> Estimate:
    """ECE over all cells that are not NaN, with its interval, resampling columns.

    ECE is never below 0 and chance only adds to it: the interval leans to the right of the truth.
    """
    place = np.where(
        np.isnan(said), -1, np.minimum((np.nan_to_num(said) * BINS).astype(int), BINS - 1)
    )
    off = np.where(np.isnan(said), 0.0, np.nan_to_num(said) - right)
    by_item = np.array([np.where(place == one, off, 0.0).sum(axis=0) for one in range(BINS)])
    number = (place >= 0).sum(axis=0)
    items = _resampled(said.shape[1], rounds, (seed, 2))
    drawn = np.abs(items @ by_item.T).sum(axis=1) / (items @ number)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = float(np.abs(by_item.sum(axis=1)).sum() / number.sum())
    return Estimate(value, min(value, float(low)), max(value, float(high)), 0.0)


def holm(ps: Sequence[float]) -> list[float]:
    """P values corrected for how many there are (Holm 1979), in the order given."""
    corrected, largest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: (ps[i], i))):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        corrected[index] = largest
    return corrected


def calibration_error(
    probabilities: Floats, right: NDArray[np.bool_], *, bins: int = BINS
) -> float:
    """ECE: by equal bins of probability, how far its mean is from the share that was right."""
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    total = 0.0
    for one in range(bins):
        inside = place == one
        if inside.any():
            total += inside.sum() * abs(probabilities[inside].mean() - right[inside].mean())
    return float(total / len(probabilities))
