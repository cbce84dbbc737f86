"""Intervals cover what they should, corrections correct, and calibration is measured."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.answers.statistics import calibration_error, holm, paired_bootstrap


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(1), 0
    for seed in range(100):
        skill = np.clip(rng.normal(0.6, 0.05, size=(20, 1)), 0, 1)
        easy = np.clip(skill + rng.normal(0, 0.2, size=(1, 80)), 0, 1)
        cells = (rng.random((20, 80)) < easy).astype(float)
        found = paired_bootstrap(cells, seed=seed, rounds=250)
        held += found.low <= 0.6 <= found.high
        assert found.low <= found.value <= found.high
    assert held >= 88


def test_what_was_not_tested_counts_for_nothing() -> None:
    cells = np.array([[1.0, 0.0, np.nan], [np.nan, 1.0, 1.0]])
    assert paired_bootstrap(cells, seed=1).value == pytest.approx((0.5 + 1.0) / 2)


def test_the_same_seed_gives_the_same_interval() -> None:
    cells = np.random.default_rng(3).random((5, 40))
    assert paired_bootstrap(cells, seed=2) == paired_bootstrap(cells, seed=2)
    assert paired_bootstrap(cells, seed=2) != paired_bootstrap(cells, seed=3)


def test_a_clear_difference_has_a_small_p_and_none_a_large_one() -> None:
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 1, size=(30, 200))
    assert paired_bootstrap(noise + 1, seed=1).p < 0.01
    assert paired_bootstrap(noise - noise.mean(), seed=1).p > 0.5


def test_holm_by_hand() -> None:
    # Sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.9 x 1; never smaller than the one before.
    assert holm([0.02, 0.9, 0.01, 0.03]) == pytest.approx([0.06, 0.9, 0.04, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_calibration_error_by_hand() -> None:
    said = np.array([0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False])
    # Half of the items are 0.05 off in one bin, the other half 0.05 in another.
    assert calibration_error(said, right) == pytest.approx(0.05)
    assert calibration_error(np.array([1.0]), np.array([True])) == 0.0
