"""Collapse: a worked example by hand, and what a count may never do."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from synapse.core.reasoning.aggregation import DECIDED, WEAK_MAX, Vote, count
from synapse.core.reasoning.model_routing import EXTRACTIVE

WEIGHTS = {"north": 2.0, "south": 1.0, "east": 1.5, EXTRACTIVE: 1.5}


def weigh(family: str) -> float:
    return WEIGHTS.get(family, 1.0)


def votes(*said: tuple[str, str]) -> list[Vote]:
    return [Vote(answer, family) for family, answer in said]


def test_the_worked_example() -> None:
    verdict = count(votes(("north", "Paris"), ("east", "Rome"), ("south", "paris")), weigh)

    # S(Paris) = (2.0 + 1.0) / (1 + 0.35) = 2.2222, S(Rome) = 1.5; both over the temperature 2.5:
    # exp(0.88889) = 2.43242, exp(0.6) = 1.82212, and 1 for "none of these": 5.25454 in all.
    assert verdict.shares == (
        (0, pytest.approx(0.46292, abs=1e-5)),
        (1, pytest.approx(0.34677, abs=1e-5)),
    )
    assert (verdict.leader, verdict.supporters, verdict.families) == (0, (0, 2), 3)
    assert verdict.posterior == pytest.approx(0.46292, abs=1e-5)
    assert not verdict.weak
    assert not verdict.decided


def test_a_family_votes_once_however_many_spores_serve_it() -> None:
    alone = count(votes(("east", "Rome"), ("north", "Paris")), weigh)
    crowd = count(votes(*[("east", "Rome")] * 1_000, ("north", "Paris")), weigh)
    assert [share for _, share in crowd.shares] == [share for _, share in alone.shares]
    assert crowd.families == alone.families == 2


def test_each_further_supporter_adds_less() -> None:
    posteriors = []
    for size in range(1, 8):
        team = [(f"family {number}", "Paris") for number in range(size)]
        posteriors.append(count(votes(*team), weigh).posterior)
    gains = [later - earlier for earlier, later in pairwise(posteriors)]
    assert all(gain > 0 for gain in gains)
    assert gains == sorted(gains, reverse=True)


def test_no_number_of_agreeing_families_is_certain() -> None:
    for size in (1, 10, 1_000):
        team = [(f"family {number}", "Paris") for number in range(size)]
        assert count(votes(*team), lambda _: 4.6 + 1.2).posterior < 1
    # Correlation bounds what agreement is worth: S tends to w / 0.35 and not to infinity.
    assert count(votes(*team), lambda _: 1.0).posterior < 1 / (1 + math.exp(-1 / 0.35 / 2.5))


def test_extracts_count_only_while_no_model_has_spoken() -> None:
    quoted = votes((EXTRACTIVE, "42"), (EXTRACTIVE, "42"))
    assert count(quoted, weigh).supporters == (0, 1)

    spoken = count([*quoted, Vote("43", "south")], weigh)
    assert (spoken.leader, spoken.supporters, spoken.families) == (2, (2,), 1)
    assert len(spoken.shares) == 1


def test_prose_alone_is_never_surer_than_the_cap() -> None:
    prose = "The tides follow the moon, which pulls the sea towards it twice a day."
    team = [(f"family {number}", prose) for number in range(5)]
    verdict = count(votes(*team), lambda _: 5.8)
    assert verdict.weak
    assert verdict.posterior == WEAK_MAX < verdict.shares[0][1]


def test_labels_that_agree_strongly_enough_are_decided() -> None:
    team = [(f"family {number}", "Paris") for number in range(3)]
    verdict = count(votes(*team), lambda _: 3.0)
    assert verdict.posterior == pytest.approx(0.8926, abs=1e-4)  # 9 / 1.7 / 2.5 nats against 0
    assert verdict.decided
    assert verdict.posterior >= DECIDED


def test_a_tie_goes_to_whoever_stands_first() -> None:
    assert count(votes(("a", "Rome"), ("b", "Oslo")), weigh).leader == 0
    assert count(votes(("b", "Oslo"), ("a", "Rome")), weigh).leader == 0


def test_a_family_worth_nothing_moves_nothing() -> None:
    verdict = count(votes(("worthless", "Rome")), lambda _: 0.0)
    assert verdict.posterior == 0.5  # as likely as "none of these"
