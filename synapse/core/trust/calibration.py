"""The two numbers of a posterior, fitted so that answers given 80 % are right 80 % of the time.

Guo et al. (2017) scale a classifier's logits by one number, the temperature. Here the logits are
the scores of the answers to one task, and "none of these" is one more class, whose score is the
second number. In 1 / T and none / T the log loss is convex, so Newton's steps find its minimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

OUTCOMES_MIN: Final = 50  # fewer say less than the default does
TEMPERATURE: Final = 1.0  # without outcomes: scores are log-odds; fitted, it was 0.6 to 1.1
STRENGTH: Final = 0.1  # of the pull to the default: it only keeps extremes finite
STEPS: Final = 25  # Newton's; ten are enough for a billionth
INVERSE_MIN, INVERSE_MAX = 0.05, 4.0  # of 1 / T

Outcome = tuple[Sequence[float], int | None]
"""(scores of the answers in nats, which of them was right); None when none of them was."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns scores into a posterior."""

    temperature: float
    none: float  # the score of "none of these", in nats


def fitted(outcomes: Sequence[Outcome], *, default: Calibration) -> Calibration:
    """The calibration of least log loss on graded outcomes; `default` when they are too few."""
    if len(outcomes) < OUTCOMES_MIN:
        return default
    start = (1 / default.temperature, default.none / default.temperature)
    at, loss = start, _penalised(outcomes, start, start)
    for _ in range(STEPS):
        step = _newton(outcomes, at, start)
        length = 1.0
        while length > 1e-4:
            inverse = min(max(at[0] - length * step[0], INVERSE_MIN), INVERSE_MAX)
            tried = (inverse, at[1] - length * step[1])
            tried_loss = _penalised(outcomes, tried, start)
            if tried_loss < loss:
                at, loss = tried, tried_loss
                break
            length /= 2
        else:
            break
    return Calibration(1 / at[0], at[1] / at[0])


def log_loss(outcomes: Sequence[Outcome], calibration: Calibration) -> float:
    """The mean of -ln P(what was right), in nats."""
    at = (1 / calibration.temperature, calibration.none / calibration.temperature)
    return _loss(outcomes, at) / len(outcomes) if outcomes else 0.0


Point = tuple[float, float]
"""(1 / T, none / T)"""


def _loss(outcomes: Sequence[Outcome], at: Point) -> float:
    total = 0.0
    for scores, right in outcomes:
        logits = [at[1], *(at[0] * score for score in scores)]
        top = max(logits)
        total += top + math.log(sum(math.exp(logit - top) for logit in logits))
        total -= logits[0 if right is None else right + 1]
    return total


def _penalised(outcomes: Sequence[Outcome], at: Point, start: Point) -> float:
    away = (at[0] - start[0]) ** 2 + (at[1] - start[1]) ** 2
    return _loss(outcomes, at) + STRENGTH * away / 2


def _newton(outcomes: Sequence[Outcome], at: Point, start: Point) -> Point:
    """The inverse Hessian times the gradient of the penalised loss."""
    slope = [STRENGTH * (at[0] - start[0]), STRENGTH * (at[1] - start[1])]
    bend = [STRENGTH, 0.0, STRENGTH]
    for scores, right in outcomes:
        logits = [at[1], *(at[0] * score for score in scores)]
        top = max(logits)
        odds = [math.exp(logit - top) for logit in logits]
        whole = sum(odds)
        none, chances = odds[0] / whole, [one / whole for one in odds[1:]]
        mean = sum(p * score for p, score in zip(chances, scores, strict=True))
        square = sum(p * score * score for p, score in zip(chances, scores, strict=True))
        slope[0] += mean - (scores[right] if right is not None else 0.0)
        slope[1] += none - (right is None)
        bend[0] += square - mean * mean
        bend[1] -= mean * none
        bend[2] += none - none * none
    determinant = bend[0] * bend[2] - bend[1] * bend[1]
    return (
        (bend[2] * slope[0] - bend[1] * slope[1]) / determinant,
        (bend[0] * slope[1] - bend[1] * slope[0]) / determinant,
    )
