"""Collapse: worked examples by hand, and what a count may never do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random

import pytest

from synapse.core.reasoning.aggregation import (
    DECIDED,
    WEAK_MAX,
    Check,
    Mechanisms,
    Untaught,
    Vote,
    count,
)
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.model_routing import EXTRACTIVE

WEIGHTS = {"north": 2.0, "south": 1.0, "east": 1.5, EXTRACTIVE: 1.5}


def weigh(family: str) -> float:
    return WEIGHTS.get(family, 1.0)


def votes(*said: tuple[str, str]) -> list[Vote]:
    return [Vote(answer, family) for family, answer in said]


@dataclass(frozen=True)
class Judged:
    """A judgement with everything written down."""

    weights: Mapping[str, float] = field(default_factory=dict)
    correlations: Mapping[tuple[str, str], float] = field(default_factory=dict)
    temperature: float = 1.0
    none: float = 0.0
    doubt: float = 0.0
    fitted: bool = True

    def weight(self, family: str) -> float:
        return self.weights.get(family, 1.0)

    def chance(self, family: str) -> float:
        return 1 / (1 + math.exp(self.none - self.weight(family)))

    def correlation(self, one: str, other: str) -> float:
        return self.correlations.get((min(one, other), max(one, other)), 0.0)


def test_the_worked_example() -> None:
    verdict = count(votes(("north", "Paris"), ("east", "Rome"), ("south", "paris")), weigh)

    # S(Paris) = 2.0 / (1 + 0.35 * 1.0 / 2.0) + 1.0 / (1 + 0.35) = 1.70213 + 0.74074 = 2.44287,
    # S(Rome) = 1.5; both over the temperature 2.5: exp(0.97715) = 2.65686, exp(0.6) = 1.82212,
    # and 1 for "none of these": 5.47898 in all.
    assert verdict.shares == (
        (0, pytest.approx(0.48492, abs=1e-5)),
        (1, pytest.approx(0.33257, abs=1e-5)),
    )
    assert (verdict.leader, verdict.supporters, verdict.families) == (0, (0, 2), 3)
    assert verdict.posterior == pytest.approx(0.48492, abs=1e-5)
    assert verdict.none_posterior == pytest.approx(0.18252, abs=1e-5)
    # Weights 2, 1.5, 1 and 0.35 between each two: 4.5^2 / (7.25 + 2 * 0.35 * 6.5).
    assert verdict.independence == pytest.approx(20.25 / 11.8)
    assert verdict.agreement == pytest.approx(3 / 4.5)
    assert verdict.uncertainty_bits == pytest.approx(
        -sum(p * math.log2(p) for p in (0.48492, 0.33257, 0.18252)), abs=1e-4
    )
    assert not verdict.weak
    assert not verdict.decided


def test_one_voter_alone_is_believed_as_often_as_it_is_right() -> None:
    collision = 0.2
    for p in (0.3, 0.6, 0.95):
        weight = math.log(p / (1 - p)) - math.log(collision)
        judged = Judged({"a": weight}, none=-math.log(collision))
        assert count([Vote("7", "a")], judged).posterior == pytest.approx(p)


def test_discord_makes_it_likelier_that_nobody_is_right() -> None:
    said = votes(("a", "7"), ("b", "7"), ("c", "8"), ("d", "9"))
    weights = {"a": 2.0, "b": 1.0, "c": 0.6, "d": 0.4}
    judged = Judged(weights, none=1.0, doubt=2.0)
    # 3 of 4 nats are for 7, so "none of these" has 1 + 2 x 0.25 = 1.5 nats beside 3, 0.6 and 0.4.
    whole = sum(math.exp(one) for one in (1.5, 3.0, 0.6, 0.4))
    assert count(said, judged).none_posterior == pytest.approx(math.exp(1.5) / whole)
    assert count(said, judged).posterior == pytest.approx(math.exp(3.0) / whole)
    calm = replace(judged, doubt=0.0)
    assert count(said, judged).leader == count(said, calm).leader
    for agreed in (said[:1], said[:2]):
        assert count(agreed, judged).posterior == count(agreed, calm).posterior


def test_who_only_dissents_earns_no_credit_and_voices_of_no_weight_are_in_no_discord() -> None:
    said = votes(("a", "7"), ("b", "7"), ("c", "8"))
    credit = count(said, Judged(none=1.0, doubt=2.0)).credit
    assert credit == (pytest.approx(0.5), pytest.approx(0.5), 0.0)
    mute = Judged({"a": 0.0, "b": 0.0}, none=1.0, doubt=2.0)
    apart = count(votes(("a", "7"), ("b", "8")), mute)
    assert apart.none_posterior == pytest.approx(math.e / (2 + math.e))


def test_a_family_votes_once_however_many_spores_serve_it() -> None:
    alone = count(votes(("east", "Rome"), ("north", "Paris")), weigh)
    crowd = count(votes(*[("east", "Rome")] * 1_000, ("north", "Paris")), weigh)
    shares = [share for _, share in crowd.shares]
    assert shares == pytest.approx([share for _, share in alone.shares])
    assert crowd.families == alone.families == 2


def test_a_family_that_disagrees_with_itself_divides_its_vote() -> None:
    divided = count(votes(("east", "Rome"), ("east", "Oslo")), weigh)
    assert divided.shares[0][1] == divided.shares[1][1]
    # 1.5 nats, half for each: exp(0.3) / (1 + 2 exp(0.3)).
    assert divided.posterior == pytest.approx(math.exp(0.3) / (1 + 2 * math.exp(0.3)))


def test_each_further_supporter_adds_less() -> None:
    posteriors = []
    for size in range(1, 8):
        team = [(f"family {number}", "Paris") for number in range(size)]
        posteriors.append(count(votes(*team), weigh).posterior)
    gains = [later - earlier for earlier, later in pairwise(posteriors)]
    assert all(gain > 0 for gain in gains)
    assert gains == sorted(gains, reverse=True)


def test_no_number_of_agreeing_families_is_certain() -> None:
    for size in (1, 10, 200):
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
    assert spoken.credit == (0.0, 0.0, 1.0)


def test_prose_alone_is_never_surer_than_the_cap() -> None:
    prose = "The tides follow the moon, which pulls the sea towards it twice a day."
    team = [(f"family {number}", prose) for number in range(5)]
    verdict = count(votes(*team), lambda _: 5.8)
    assert verdict.weak
    assert verdict.posterior == WEAK_MAX < verdict.shares[0][1]
    checked = count(votes(*team), lambda _: 5.8, checks=[Check(prose, True, 0.8, 0.2)])
    assert checked.weak
    assert checked.posterior > WEAK_MAX


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
    assert (verdict.agreement, verdict.independence) == (1.0, 1.0)
    judged = Untaught({"good": 2.0, "worthless": 0.0}.__getitem__)
    alone = count(votes(("good", "Rome")), judged)
    joined = count(votes(("good", "Rome"), ("worthless", "Rome")), judged)
    assert joined.posterior == alone.posterior


def test_support_never_makes_an_answer_much_less_likely() -> None:
    rng, gains = Random(3), []
    for _ in range(1_000):
        families = [f"family {number}" for number in range(rng.randrange(1, 6))]
        weights = {family: rng.uniform(0, 4) for family in [*families, "late"]}
        said = [Vote("yes" if rng.random() < 0.7 else "no", family) for family in families]
        said[0] = Vote("yes", families[0])
        judged = Untaught(weights.__getitem__)
        before = count(said, judged)
        share = rng.random()
        after = count([*said, Vote("yes", "late", share=share)], judged)
        gains.append(dict(after.shares)[0] - dict(before.shares)[0])
    assert min(gains) > -0.005
    assert sum(gains) / len(gains) > 0.02


# Hypotheses, credibility, checks.


def test_hypotheses_divide_one_voice() -> None:
    judged = Judged({"a": 2.0})
    verdict = count([Vote("7", "a", share=0.75), Vote("8", "a", share=0.25)], judged)
    whole = 1 + math.exp(1.5) + math.exp(0.5)
    assert verdict.posterior == pytest.approx(math.exp(1.5) / whole)
    assert verdict.agreement == pytest.approx(0.75)


def test_a_discount_takes_no_more_than_the_share_of_a_supporter() -> None:
    judged = Judged({"a": 2.0, "b": 2.0}, {("a", "b"): 0.5})
    said = [Vote("7", "a"), Vote("7", "b", share=0.5), Vote("8", "b", share=0.5)]
    verdict = count(said, judged)
    seven = 2.0 / (1 + 0.5 * 0.5) + 1.0 / (1 + 0.5 * 1.0)
    expected = math.exp(seven) / (1 + math.exp(seven) + math.exp(1.0))
    assert verdict.posterior == pytest.approx(expected)


def test_families_that_err_oppositely_are_not_discounted() -> None:
    judged = Judged({"a": 1.0, "b": 1.0}, {("a", "b"): -0.5})
    verdict = count(votes(("a", "7"), ("b", "7")), judged)
    assert verdict.posterior == pytest.approx(math.exp(2) / (1 + math.exp(2)))


def test_who_is_little_believed_speaks_softly() -> None:
    judged = Judged({"a": 2.0})
    verdict = count([Vote("7", "a", credibility=0.25)], judged)
    assert verdict.posterior == pytest.approx(math.exp(0.5) / (1 + math.exp(0.5)))


@pytest.mark.parametrize("wild", [-1.0, 2.0, math.nan, math.inf])
def test_wild_shares_and_rates_stay_within_bounds(wild: float) -> None:
    said = [Vote("7", "a", share=wild, credibility=wild), Vote("8", "b")]
    checks = [Check("7", True, wild, wild, wild), Check("8", False, wild, 0.5)]
    verdict = count(said, Judged(), checks=checks)
    total = sum(share for _, share in verdict.shares) + verdict.none_posterior
    assert total == pytest.approx(1.0)
    assert all(math.isfinite(one) for one in verdict.credit)


def test_a_check_adds_its_log_likelihood_ratio_whatever_the_temperature() -> None:
    assert Check("7", True, 0.8, 0.2).evidence == pytest.approx(math.log(4))
    assert Check("7", False, 0.8, 0.2).evidence == pytest.approx(-math.log(4))
    assert Check("7", True, 0.8, 0.2, credibility=0.5).evidence == pytest.approx(math.log(2))
    assert Check("7", True, 1.0, 0.0).evidence == pytest.approx(math.log(99))
    for temperature in (0.5, 1.0, 2.5):
        judged = Judged({"a": 0.0}, temperature=temperature)
        verdict = count([Vote("7", "a")], judged, checks=[Check("7", True, 0.8, 0.2)])
        assert verdict.posterior == pytest.approx(4 / 5)


def test_a_failed_check_moves_the_lead_and_is_reported() -> None:
    said = votes(("a", "7"), ("b", "7"), ("c", "8"), ("d", "9"))
    checks = [Check("7.0", False, 0.95, 0.02), Check("8", True, 0.95, 0.02), Check("5", True, 1, 0)]
    verdict = count(said, Judged(), checks=checks)
    assert verdict.leader == 2
    assert verdict.checked == {0: False, 2: True, 3: None}


def test_checks_that_cancel_say_nothing() -> None:
    checks = [Check("7", True, 0.8, 0.2), Check("7", False, 0.8, 0.2)]
    assert count([Vote("7", "a")], Judged(), checks=checks).checked == {0: None}


# Mechanisms.


def test_without_superposition_a_family_speaks_for_its_favourite_alone() -> None:
    said = [Vote("7", "a", share=0.6), Vote("8", "a", share=0.4)]
    verdict = count(said, Judged({"a": 2.0}), mechanisms=Mechanisms(superposition=False))
    whole = 1 + math.exp(2.0) + 1
    assert verdict.posterior == pytest.approx(math.exp(2.0) / whole)
    assert [answer for answer, _ in verdict.shares] == [0, 1]


def test_without_interference_a_failed_check_subtracts_nothing() -> None:
    failed = [Check("7", False, 0.8, 0.2)]
    off = Mechanisms(interference=False)
    without = count([Vote("7", "a")], Judged(), checks=failed, mechanisms=off)
    assert without.posterior == count([Vote("7", "a")], Judged()).posterior
    assert without.checked == {0: False}
    passed = [Check("7", True, 0.8, 0.2)]
    on = count([Vote("7", "a")], Judged(), checks=passed)
    assert count([Vote("7", "a")], Judged(), checks=passed, mechanisms=off) == on


def test_without_entanglement_supporters_count_as_if_they_erred_alone() -> None:
    judged = Judged({"a": 1.0, "b": 1.0}, {("a", "b"): 0.5})
    said = votes(("a", "7"), ("b", "7"))
    off = count(said, judged, mechanisms=Mechanisms(entanglement=False))
    assert off.posterior == pytest.approx(math.exp(2) / (1 + math.exp(2)))
    assert count(said, judged).posterior < off.posterior


# Credit and settling.


def test_credit_is_what_the_leader_would_lose() -> None:
    said = votes(("a", "7"), ("b", "7"), ("c", "8"))
    judged = Judged({"a": 3.0, "b": 2.5, "c": 1.0})
    verdict = count(said, judged)
    left_out = []
    for index in range(2):
        rest = count(said[:index] + said[index + 1 :], judged)
        left_out.append(math.log(verdict.posterior) - math.log(rest.posterior))
    assert verdict.credit == pytest.approx((*(one / sum(left_out) for one in left_out), 0.0))


def test_credit_of_a_family_is_shared_by_the_spores_that_said_so() -> None:
    said = votes(("a", "7"), ("a", "7"), ("b", "7"))
    one, other, alone = count(said, Judged()).credit
    assert one == other == pytest.approx(alone / 2)
    assert one + other + alone == pytest.approx(1.0)


def test_nobody_has_credit_where_nobody_did_anything() -> None:
    assert count(votes(("a", "7"), ("b", "7")), lambda _: 0.0).credit == (0.0, 0.0)


def test_the_kind_of_task_decides_what_is_the_same_answer() -> None:
    said = votes(("a", "B) Paris"), ("b", "paris"))
    verdict = count(said, Judged(), kind=Kind.CHOICE, choices=["Rome", "Paris"])
    assert (len(verdict.shares), verdict.weak) == (1, False)
    assert len(count(said, Judged()).shares) == 2
