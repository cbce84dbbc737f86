"""The three numbers of a posterior, fitted so that answers given 80 % are right 80 % of the time.

Guo et al. (2017) scale a classifier's logits by one number, the temperature. Here the logits are
the scores of the answers to one task, and "none of these" is one more class. Its score is the
second number, and grows with the third where voices are in discord: families err together on what
is hard. Without that, tasks in which all agree are believed too little, and those in which they do
not too much, even when the other two are fitted to the very tasks that are measured
(`docs/evidence.md`). In 1 / T, none / T and doubt / T this is a conditional logit (McFadden 1974),
whose log loss is convex: Newton's steps find its minimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TASKS_MIN: Final = 50  # fewer say less than the default does
TEMPERATURE: Final = 1.0  # without outcomes: scores are log-odds; fitted, it was 0.6 to 1.1
STRENGTH: Final = 0.1  # of the pull to the default: it only keeps extremes finite
STEPS: Final = 25  # Newton's; ten are enough for a billionth
INVERSE_MIN, INVERSE_MAX = 0.05, 4.0  # of 1 / T

Outcome = tuple[Sequence[float], float, int | None]
"""(scores of the answers in nats, discord, which of them was right); None when none was."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns scores into a posterior."""

    temperature: float
    none: float  # the score of "none of these" where all say the same, in nats
    doubt: float = 0.0  # what full discord would add to it, in nats, 0 or more


def fitted(tasks: Sequence[Sequence[Outcome]], *, default: Calibration) -> Calibration:
    """The calibration of least log loss on graded tasks, each with one outcome or more; `default`
    when they are too few.

    Discord makes nobody surer: where it would, the best that is allowed is to do without.
    """
    if len(tasks) < TASKS_MIN:
        return default
    outcomes = [outcome for task in tasks for outcome in task]
    fit = _fitted(outcomes, default)
    if fit.doubt >= 0:
        return fit
    return _fitted([(scores, 0.0, right) for scores, _, right in outcomes], default)


def log_loss(outcomes: Sequence[Outcome], calibration: Calibration) -> float:
    """The mean of -ln P(what was right), in nats."""
    return _loss(outcomes, _point(calibration)) / len(outcomes) if outcomes else 0.0


Point = tuple[float, float, float]
"""(1 / T, none / T, doubt / T)"""


def _point(calibration: Calibration) -> Point:
    t = calibration.temperature
    return 1 / t, calibration.none / t, calibration.doubt / t


def _fitted(outcomes: Sequence[Outcome], default: Calibration) -> Calibration:
    start = _point(default)
    at, loss = start, _penalised(outcomes, start, start)
    for _ in range(STEPS):
        step = _newton(outcomes, at, start)
        length = 1.0
        while length > 1e-4:
            inverse = min(max(at[0] - length * step[0], INVERSE_MIN), INVERSE_MAX)
            tried = (inverse, at[1] - length * step[1], at[2] - length * step[2])
            tried_loss = _penalised(outcomes, tried, start)
            if tried_loss < loss:
                at, loss = tried, tried_loss
                break
            length /= 2
        else:
            break
    return Calibration(1 / at[0], at[1] / at[0], at[2] / at[0])


def _odds(scores: Sequence[float], discord: float, at: Point) -> tuple[list[float], float]:
    """The odds of "none of these" and of each answer, to one scale, and the logarithm of it."""
    logits = [at[1] + at[2] * discord, *(at[0] * score for score in scores)]
    top = max(logits)
    return [math.exp(logit - top) for logit in logits], top


def _loss(outcomes: Sequence[Outcome], at: Point) -> float:
    total = 0.0
    for scores, discord, right in outcomes:
        odds, top = _odds(scores, discord, at)
        said = at[1] + at[2] * discord if right is None else at[0] * scores[right]
        total += top + math.log(sum(odds)) - said
    return total


def _penalised(outcomes: Sequence[Outcome], at: Point, start: Point) -> float:
    away = sum((one - other) ** 2 for one, other in zip(at, start, strict=True))
    return _loss(outcomes, at) + STRENGTH * away / 2


def _newton(outcomes: Sequence[Outcome], at: Point, start: Point) -> Sequence[float]:
    """The inverse Hessian times the gradient of the penalised loss."""
    slope = [STRENGTH * (one - other) for one, other in zip(at, start, strict=True)]
    bend = [[STRENGTH if row == column else 0.0 for column in range(3)] for row in range(3)]
    for scores, discord, right in outcomes:
        odds, _ = _odds(scores, discord, at)
        whole = sum(odds)
        none, chances = odds[0] / whole, [one / whole for one in odds[1:]]
        mean = sum(p * score for p, score in zip(chances, scores, strict=True))
        square = sum(p * score * score for p, score in zip(chances, scores, strict=True))
        missed = none - (right is None)
        slope[0] += mean - (scores[right] if right is not None else 0.0)
        slope[1] += missed
        slope[2] += missed * discord
        bend[0][0] += square - mean * mean
        for row, its in ((1, 1.0), (2, discord)):
            bend[0][row] -= mean * none * its
            bend[row][1] += (none - none * none) * its
        bend[2][2] += (none - none * none) * discord * discord
    bend[1][0], bend[2][0], bend[1][2] = bend[0][1], bend[0][2], bend[2][1]
    return _solved(bend, slope)


def _solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> Sequence[float]:
    """The solution of a few linear equations with a positive definite matrix: no pivot is 0."""
    rows = [[*row, one] for row, one in zip(matrix, right, strict=True)]
    for place, pivot in enumerate(rows):
        for other, row in enumerate(rows):
            if other != place:
                ratio = row[place] / pivot[place]
                rows[other] = [a - ratio * b for a, b in zip(row, pivot, strict=True)]
    return [row[-1] / row[place] for place, row in enumerate(rows)]
