"""Intervals of Beta distributions, against those that have a formula of their own."""

from __future__ import annotations

import math
from random import Random

import pytest

from synapse.core.trust.weights import PROBABILITY_MAX, probability
from synapse.operations.beta import below, interval, quantile

SHARES = (0.05, 0.3, 0.5, 0.95)


@pytest.mark.parametrize("share", SHARES)
def test_quantiles_are_those_that_have_a_formula(share: float) -> None:
    assert quantile(share, 1, 1) == pytest.approx(share, abs=1e-5)
    assert quantile(share, 7, 1) == pytest.approx(share ** (1 / 7), abs=1e-5)
    assert quantile(share, 1, 7) == pytest.approx(1 - (1 - share) ** (1 / 7), abs=1e-5)
    assert quantile(share, 0.5, 0.5) == pytest.approx(math.sin(math.pi * share / 2) ** 2, abs=1e-5)


def test_what_lies_below_grows_from_nothing_to_all() -> None:
    shares = [below(step / 50, 3.2, 1.8) for step in range(-1, 52)]
    assert shares[:2] == [0, 0] and shares[-2:] == [1, 1]
    assert shares == sorted(shares)


def test_nine_draws_in_ten_lie_in_the_interval() -> None:
    draw = Random("beta")
    low, high = interval(8, 2)
    within = [low <= draw.betavariate(8 + 1.2, 2 + 0.8) <= high for _ in range(20_000)]
    assert sum(within) / len(within) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("right, wrong", [(0, 0), (1, 0), (0, 1), (3.5, 0.25), (60, 40), (0, 1e5)])
def test_the_mean_lies_in_the_interval_and_more_grades_narrow_it(
    right: float, wrong: float
) -> None:
    low, high = interval(right, wrong)
    assert 0 < low <= probability(right, wrong) <= high <= PROBABILITY_MAX
    narrower = interval(10 * right, 10 * wrong)
    assert narrower[1] - narrower[0] <= high - low


def test_no_count_of_grades_makes_anyone_infallible() -> None:
    assert interval(1e6, 0) == (PROBABILITY_MAX, PROBABILITY_MAX)
