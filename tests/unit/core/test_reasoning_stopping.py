"""When asking ends: a worked example, a dumb twin, and who is asked whatever the gain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from random import Random

import pytest

from synapse.core.reasoning.aggregation import (
    ALL_ON,
    Check,
    Mechanisms,
    Untaught,
    Verdict,
    Voice,
    Vote,
    count,
    heard,
    scores,
)
from synapse.core.reasoning.ballot import Ballot
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.model_routing import EXTRACTIVE
from synapse.core.reasoning.stopping import CALL_WORTH, enough_to_end, gain_per_call, worth_asking


@dataclass(frozen=True)
class Judged:
    """A judgement from chances of being right, with wrong answers that agree 3 times in 10."""

    chances: Mapping[str, float] = field(default_factory=dict)
    rho: float = 0.0
    temperature: float = 1.0
    none: float = -math.log(0.3)
    doubt: float = 0.0
    fitted: bool = True

    def chance(self, family: str) -> float:
        return self.chances.get(family, 0.6)

    def weight(self, family: str) -> float:
        p = self.chance(family)
        return max(0.0, math.log(p / (1 - p)) - math.log(0.3))

    def correlation(self, one: str, other: str) -> float:
        return self.rho


def ballot(*said: tuple[str, str], checks: tuple[Check, ...] = ()) -> Ballot:
    votes = tuple(Vote(answer, family) for family, answer in said)
    return Ballot((), votes, checks, Kind.NUMBER, ())


def counted(votes: Ballot, judged: Judged | Untaught) -> Verdict:
    verdict = votes.count(judged)
    assert verdict is not None
    return verdict


def gain(votes: Ballot, left: list[str], judged: Judged) -> float:
    return gain_per_call(counted(votes, judged), votes.votes, left, judged, ALL_ON)


def test_the_worked_example() -> None:
    judged = Judged({"a": 0.7, "b": 0.8, "c": 0.75})
    said = ballot(("a", "7"))
    # One voice is believed as often as it is right: "none of these" has 0.3. b outweighs a, so the
    # next call gains 0.3 x 0.8; asking c too, whom b makes unnecessary or who outweighs a as well,
    # gains 0.3 x (1 - 0.2 x 0.25) = 0.285, or 0.1425 a call.
    assert gain(said, ["b"], judged) == pytest.approx(0.24)
    assert gain(said, ["b", "c"], judged) == pytest.approx(0.24)
    # d and e weigh less than a each, and more together: 0.3 x 0.6 x 0.65 in two calls.
    weak = Judged({"a": 0.7, "d": 0.6, "e": 0.65})
    assert gain(said, ["d"], weak) == 0.0
    assert gain(said, ["d", "e"], weak) == pytest.approx(0.3 * 0.6 * 0.65 / 2)


def test_who_errs_together_is_not_expected_to_put_it_right() -> None:
    said = ballot(("a", "7"))
    gains = [gain(said, ["b"], Judged({"a": 0.7, "b": 0.8}, rho)) for rho in (0.0, 0.2, 0.4)]
    assert gains == sorted(gains, reverse=True)
    # P(both wrong) = 0.3 x 0.2 + 0.4 sqrt(0.3 x 0.7 x 0.2 x 0.8) = 0.13332: of the 0.3 in which a
    # is wrong, b is right in 0.16668.
    assert gains[-1] == pytest.approx(0.16668, abs=1e-5)


def supposed(votes: Ballot, left: list[str], judged: Judged, mechanisms: Mechanisms) -> float:
    """`gain_per_call`, every way in which those left may answer written out and counted."""
    verdict = counted(votes, judged)
    given = [(votes.votes[i], k) for k, each in verdict.members.items() for i in each]
    voices = heard(given, judged, mechanisms)
    to_beat = scores(voices, judged, {}, mechanisms)[verdict.leader]
    rivals = [*verdict.shares[1:], (99, verdict.none_posterior)]
    best = 0.0
    for number in range(1, len(left) + 1):
        total = 0.0
        for rival, likely in rivals:
            for way in product((True, False), repeat=number):
                part, carried, behind = likely, False, list(voices)
                for family, right in zip(left, way, strict=False):
                    chance = likely_right(family, rival, voices, judged, mechanisms)
                    part *= chance if right else 1 - chance
                    if right:
                        behind.append(Voice(family, judged.weight(family), {rival: 1.0}))
                        score = scores(behind, judged, {}, mechanisms)[rival]
                        carried = carried or score > to_beat
                total += part * carried
        best = max(best, total / number)
    return best


def likely_right(
    family: str, answer: int, voices: list[Voice], judged: Judged, mechanisms: Mechanisms
) -> float:
    p, rho = judged.chance(family), judged.rho if mechanisms.entanglement else 0.0
    nats = math.log(p / (1 - p))
    sides = [[voice for voice in voices if (answer in voice.spread) == of] for of in (True, False)]
    for side, were_right in zip(sides, (True, False), strict=True):
        for voice in side:
            q = judged.chance(voice.family)
            shared = rho * math.sqrt(p * (1 - p) * q * (1 - q))
            right = (p * q + shared) / p, ((1 - p) * q - shared) / (1 - p)
            wrong = (p * (1 - q) - shared) / p, ((1 - p) * (1 - q) + shared) / (1 - p)
            with_it, without = right if were_right else wrong
            nats += math.log(with_it / without) / (1 + rho * (len(side) - 1))
    return 1 / (1 + math.exp(-nats))


@pytest.mark.parametrize("mechanisms", [ALL_ON, Mechanisms(entanglement=False)])
def test_the_gain_is_what_writing_out_every_way_gives(mechanisms: Mechanisms) -> None:
    rng, telling = Random(4), 0
    for _ in range(150):
        families = [f"f{number}" for number in range(rng.randint(2, 6))]
        judged = Judged({one: rng.uniform(0.55, 0.85) for one in families}, rng.choice([0.0, 0.3]))
        asked = rng.randrange(1, len(families))
        said = ballot(*((one, rng.choice("123")) for one in families[:asked]))
        left = families[asked:]
        found = gain_per_call(counted(said, judged), said.votes, left, judged, mechanisms)
        verdict = said.count(judged, mechanisms)
        if verdict is not None and verdict == counted(said, judged):
            assert found == pytest.approx(supposed(said, left, judged, mechanisms), abs=1e-9)
            telling += found > 0.0
    assert telling > 30


def test_nobody_left_brings_nothing() -> None:
    assert gain(ballot(("a", "7")), [], Judged()) == 0.0
    assert gain(ballot(("a", "7")), ["a"], Judged()) == 0.0  # it has spoken


def test_when_those_left_cannot_change_the_leader_nobody_is_asked() -> None:
    rng, met = Random(8), 0
    for _ in range(400):
        families = [f"family {number}" for number in range(6)]
        judged = Untaught({family: rng.uniform(0, 4) for family in families}.__getitem__)
        said = [Vote(rng.choice("123"), family) for family in families]
        asked = rng.randrange(1, 6)
        before = Ballot((), tuple(said[:asked]), (), Kind.FREE, ())
        verdict = counted(before, judged)
        if not (verdict.decided or worth_asking(before, verdict, families[asked:], judged, ALL_ON)):
            met += 1
            assert count(said, judged).leader == verdict.leader
    assert met > 50


def test_a_small_gain_is_asked_for_until_it_is_known_how_sure_to_be() -> None:
    said = ballot(("a", "7"), ("b", "7"))
    left = ["c", "d", "e"]
    known = Judged({"a": 0.8, "b": 0.8, "c": 0.8, "d": 0.8, "e": 0.8}, 0.1)
    assert 0 < gain(said, left, known) < CALL_WORTH
    assert not worth_asking(said, counted(said, known), left, known, ALL_ON)
    guessed = replace(known, fitted=False, temperature=5.0)
    assert not counted(said, guessed).decided
    assert worth_asking(said, counted(said, guessed), left, guessed, ALL_ON)


def test_where_calls_are_known_to_add_enough_no_posterior_ends_asking() -> None:
    said, left = ballot(("a", "7")), ["b"]
    judged = Judged({"a": 0.9, "b": 0.95})
    assert counted(said, judged).decided
    assert gain(said, left, judged) > CALL_WORTH
    assert worth_asking(said, counted(said, judged), left, judged, ALL_ON)
    guessed = replace(judged, fitted=False)
    assert not worth_asking(said, counted(said, guessed), left, guessed, ALL_ON)


def test_while_checks_speak_or_memory_is_only_quoted_members_are_asked() -> None:
    judged = Judged({"a": 0.7})
    unclear = ballot(("a", "7"), checks=(Check("7", True, 0.5, 0.4),))
    quoted = ballot((EXTRACTIVE, "7"))
    passed = ballot(("a", "7"), checks=(Check("7", True, 0.9, 0.1),))
    assert not worth_asking(passed, counted(passed, judged), ["b"], judged, ALL_ON)
    for said in (unclear, quoted):
        assert worth_asking(said, counted(said, judged), ["b"], judged, ALL_ON)
        assert not worth_asking(said, counted(said, judged), [], judged, ALL_ON)
    assert worth_asking(ballot(), None, ["b"], judged, ALL_ON)


def test_as_many_are_asked_at_once_as_would_end_it_if_they_agreed() -> None:
    left = ["a", "b", "c", "d"]

    def gate(judged: Judged, *said: tuple[str, str]) -> int:
        return enough_to_end(ballot(*said), left, judged, leading="7", mechanisms=ALL_ON)

    assert gate(Judged({"a": 0.9}, fitted=False)) == 1
    assert gate(Judged({"a": 0.98})) == 1
    assert gate(Judged({"a": 0.9})) == 2
    assert gate(Judged(dict.fromkeys(left, 0.7), 0.35)) == 2
    assert gate(Judged(dict.fromkeys(left, 0.3), fitted=False)) == 4
