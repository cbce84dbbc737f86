"""Annealing: the worked numbers of the formula, and its edges."""

from __future__ import annotations

import pytest

from synapse.core.reasoning.schedule import Annealing


@pytest.mark.parametrize(("cycle", "temperature"), [(0, 1.0), (1, 0.65), (2, 0.3)])
def test_three_cycles_cool_from_hottest_to_coldest(cycle: int, temperature: float) -> None:
    # 0.3 + 0.7 * (1 + cos(pi * cycle / 2)) / 2
    assert Annealing().temperature(cycle, cycles=3) == pytest.approx(temperature)


def test_five_cycles_follow_the_cosine() -> None:
    annealing = Annealing(hottest=1.2, coldest=0.2)
    found = [annealing.temperature(cycle, cycles=5) for cycle in range(5)]
    assert found == pytest.approx([1.2, 1.053553, 0.7, 0.346447, 0.2], abs=1e-6)


@pytest.mark.parametrize("cycles", [0, 1])
def test_a_lone_cycle_is_in_between(cycles: int) -> None:
    assert Annealing().temperature(0, cycles=cycles) == pytest.approx(0.65)


def test_past_the_last_cycle_it_stays_coldest() -> None:
    assert Annealing().temperature(99, cycles=3) == pytest.approx(0.3)


def test_it_never_warms_up_again() -> None:
    for cycles in range(2, 40):
        found = [Annealing().temperature(cycle, cycles=cycles) for cycle in range(cycles)]
        assert found == sorted(found, reverse=True)
