"""From weighted positions to a posterior over answers: collapse is code, not a model.

    h_f(k) = sum of credibility x share of family f's votes for k / max(1, all of f's votes)
    S(k)   = sum over f of  w_f h_f(k) / (1 + sum over u != f of max(0, rho_fu) h_u(k) m_uf)
             + T x sum over checks of k of their log likelihood ratios
    P(k)   = exp(S_k / T) / (exp(N / T) + sum_j exp(S_j / T))
    N      = none + doubt x D        the score of "none of these"
    D      = 1 - max over k of sum_f w_f h_f(k) / sum over k of sum_f w_f h_f(k)      discord

Scores are in nats. A family votes once, however many spores serve it. Families err together, so
each further supporter adds less; m_uf = min(1, w_u / w_f) keeps a voice that is worth little from
taking away much more than it brings. They err together on what is hard, so discord says that a
task is hard, and that nobody may be right. T stands for what is not known of that, so a check,
whose rates are known, counts in full whatever T is. This module knows no grades: `Judgement` says
what they came to. Sources and measurements: `docs/evidence.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from synapse.core.reasoning.canonical import grouped
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.model_routing import EXTRACTIVE

ERROR_CORRELATION: Final = 0.35  # between families, before any grades; measured 0.33 to 0.43
TEMPERATURE: Final = 2.5  # of the posterior; fitted on replayed teams, where it was 2 to 3
DECIDED: Final = 0.8  # posterior that is enough; see `stopping` for when asking ends
WEAK_MAX: Final = 0.8  # prose that nobody checked is never surer than this
DISSENT_MIN: Final = 0.05
RATE_MIN: Final = 0.01  # no checker is believed to be wrong less often: |LLR| stays under 4.6 nats


@dataclass(frozen=True, slots=True)
class Vote:
    """One hypothesis of one position, as the count sees it.

    A position of several hypotheses is several votes whose shares sum to 1 or less.
    """

    answer: str
    family: str
    share: float = 1.0  # of the position's voice, 0 to 1
    credibility: float = 1.0  # of the operator who says that this family answered so, 0 to 1


@dataclass(frozen=True, slots=True)
class Check:
    """What a checker found of one answer, and how far such a finding is to be believed."""

    answer: str
    passed: bool
    true_positive: float  # how often it passes right answers
    false_positive: float  # how often it passes wrong ones
    credibility: float = 1.0  # of the operator who ran it, 0 to 1

    @property
    def evidence(self) -> float:
        """The log likelihood ratio in nats: ln(tp / fp) or ln((1 - tp) / (1 - fp)), bounded."""
        right, wrong = _rate(self.true_positive), _rate(self.false_positive)
        ratio = right / wrong if self.passed else (1 - right) / (1 - wrong)
        return _share(self.credibility) * math.log(ratio)


class Judgement(Protocol):
    """What trust says of one kind of task now."""

    @property
    def temperature(self) -> float:
        """T of the posterior, above 0."""

    @property
    def none(self) -> float:
        """The score of "none of these" where all say the same, in nats."""

    @property
    def doubt(self) -> float:
        """What full discord would add to the score of "none of these", in nats, 0 or more."""

    @property
    def fitted(self) -> bool:
        """Whether graded tasks have said how sure to be: else T and N are guesses."""

    def weight(self, family: str) -> float:
        """The vote of a family, in nats, 0 or more."""

    def chance(self, family: str) -> float:
        """How likely the family's next answer is right, 0 to 1."""

    def correlation(self, one: str, other: str) -> float:
        """How far two families' errors come together, -1 to 1."""


@dataclass(frozen=True, slots=True)
class Untaught:
    """The judgement of whoever knows weights and nothing else: priors for the rest."""

    weigh: Callable[[str], float]
    temperature: float = TEMPERATURE
    none: float = 0.0
    doubt: float = 0.0
    fitted: bool = False

    def weight(self, family: str) -> float:
        """What `weigh` says."""
        return self.weigh(family)

    def chance(self, family: str) -> float:
        """What the posterior would be if the family spoke alone."""
        return 1 / (1 + math.exp((self.none - self.weight(family)) / self.temperature))

    def correlation(self, one: str, other: str) -> float:
        """The prior, for any two families."""
        return ERROR_CORRELATION


@dataclass(frozen=True, slots=True)
class Mechanisms:
    """Which terms of the count are on. Off is for measuring what each is worth."""

    superposition: bool = True  # off: a family's whole vote goes to the answer it favours
    interference: bool = True  # off: failed checks subtract nothing
    entanglement: bool = True  # off: supporters are counted as if they erred alone


ALL_ON: Final = Mechanisms()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a count. Indices point into the votes that were counted.

    An answer is named by the first vote for it.
    """

    leader: int
    posterior: float
    weak: bool
    shares: tuple[tuple[int, float], ...]  # (answer, posterior) of all answers, best first
    members: Mapping[int, tuple[int, ...]]  # answer: every vote for it
    families: int
    none_posterior: float = 0.0  # that none of these is right
    agreement: float = 1.0  # weighted share of the leader, 0 to 1
    uncertainty_bits: float = 0.0  # entropy over all answers and "none of these"
    independence: float = 1.0  # how many independent votes the families amount to
    credit: tuple[float, ...] = ()  # of each vote for the leader's posterior; sums to 1, or all 0
    checked: Mapping[int, bool | None] = field(default_factory=dict)  # answer: passed, failed, not
    evidence: Mapping[int, float] = field(default_factory=dict)  # of checks, in nats, by answer

    @property
    def supporters(self) -> tuple[int, ...]:
        """The votes for the leading answer."""
        return self.members[self.leader]

    @property
    def decided(self) -> bool:
        """Whether the leader is sure enough, where nobody knows what asking more would bring."""
        return self.posterior >= DECIDED


def count(
    votes: Sequence[Vote],
    judgement: Judgement | Callable[[str], float],
    *,
    checks: Sequence[Check] = (),
    kind: Kind = Kind.FREE,
    choices: Sequence[str] = (),
    mechanisms: Mechanisms = ALL_ON,
) -> Verdict:
    """Count votes; there is at least one. A bare function is taken for the families' weights.

    Quoting is not reasoning: extracts count only while no model has spoken.
    """
    judged = Untaught(judgement) if callable(judgement) else judgement
    spoken = [i for i, vote in enumerate(votes) if vote.family != EXTRACTIVE] or list(
        range(len(votes))
    )
    assert spoken, "there is nothing to count"
    said = [votes[i].answer for i in spoken] + [check.answer for check in checks]
    grouping = grouped(said, kind, choices)
    groups = {i: spoken[group] for i, group in zip(spoken, grouping.groups, strict=False)}
    members: dict[int, list[int]] = {}
    for i in spoken:
        members.setdefault(groups[i], []).append(i)
    found: dict[int, list[Check]] = {answer: [] for answer in members}
    for check, group in zip(checks, grouping.groups[len(spoken) :], strict=True):
        if group < len(spoken):  # else it is about an answer that nobody gave
            found[spoken[group]].append(check)
    evidence = {answer: _evidence(each, mechanisms) for answer, each in found.items()}
    ballot = [(votes[i], groups[i]) for i in spoken]
    voices = heard(ballot, judged, mechanisms)
    support = _support(voices, judged, evidence, mechanisms)
    scored = _scored(support, judged, evidence)
    shares, none = posterior(scored, judged, discord(voices))
    leader, best = shares[0]
    checked = {answer: _passed(each) for answer, each in found.items()}
    credit = _credit(ballot, voices, support, scored, judged, leader)
    return Verdict(
        leader=leader,
        posterior=min(best, WEAK_MAX) if grouping.weak and not checked[leader] else best,
        weak=grouping.weak,
        shares=tuple(shares),
        members={answer: tuple(indices) for answer, indices in members.items()},
        families=len(voices),
        none_posterior=none,
        agreement=_agreement(voices, leader),
        uncertainty_bits=_entropy([*(share for _, share in shares), none]),
        independence=independence(voices, judged),
        credit=tuple(dict(zip(spoken, credit, strict=True)).get(i, 0.0) for i in range(len(votes))),
        checked=checked,
        evidence=evidence,
    )


@dataclass(frozen=True, slots=True)
class Voice:
    """What one family says: its weight, and how it spreads over answers."""

    family: str
    weight: float  # nats
    spread: Mapping[int, float]  # answer: h, which sum to 1 or less


def heard(
    ballot: Sequence[tuple[Vote, int]], judgement: Judgement, mechanisms: Mechanisms = ALL_ON
) -> list[Voice]:
    """Votes and the answers they are for, as one voice a family, in the order of first speaking."""
    spreads: dict[str, dict[int, float]] = {}
    for vote, answer in ballot:
        spread = spreads.setdefault(vote.family, {})
        part = _share(vote.share) * _share(vote.credibility)
        spread[answer] = spread.get(answer, 0.0) + part
    voices = []
    for family, spread in spreads.items():
        whole = sum(spread.values())
        if not mechanisms.superposition:
            spread = {max(spread, key=lambda one: (spread[one], -one)): whole}
        normal = {answer: part / max(1.0, whole) for answer, part in spread.items()}
        voices.append(Voice(family, judgement.weight(family), normal))
    return voices


def scores(
    voices: Sequence[Voice],
    judgement: Judgement,
    evidence: Mapping[int, float],
    mechanisms: Mechanisms = ALL_ON,
) -> dict[int, float]:
    """S(k) in nats for every answer that a voice or a check is about."""
    return _scored(_support(voices, judgement, evidence, mechanisms), judgement, evidence)


def _scored(
    support: Mapping[int, Sequence[_Support]], judgement: Judgement, evidence: Mapping[int, float]
) -> dict[int, float]:
    return {
        answer: judgement.temperature * evidence.get(answer, 0.0)
        + sum(one.weight / (1.0 + sum(one.overlaps.values())) for one in each)
        for answer, each in support.items()
    }


@dataclass(frozen=True, slots=True)
class _Support:
    """What one family brings to one answer, in nats, and how far others brought it before."""

    family: str
    weight: float
    overlaps: Mapping[str, float]  # other family: what it adds to the divisor


def _support(
    voices: Sequence[Voice],
    judgement: Judgement,
    evidence: Mapping[int, float],
    mechanisms: Mechanisms,
) -> dict[int, list[_Support]]:
    supporters: dict[int, list[Voice]] = {answer: [] for answer in evidence}
    for voice in voices:
        for answer in voice.spread:
            supporters.setdefault(answer, []).append(voice)
    return {
        answer: [
            _Support(
                voice.family,
                voice.weight * voice.spread[answer],
                _overlaps(voice, each, answer, judgement) if mechanisms.entanglement else {},
            )
            for voice in each
        ]
        for answer, each in supporters.items()
    }


def _overlaps(
    voice: Voice, supporters: Sequence[Voice], answer: int, judgement: Judgement
) -> dict[str, float]:
    return {
        other.family: overlap(voice, other, judgement.correlation(voice.family, other.family))
        * other.spread[answer]
        for other in supporters
        if other is not voice
    }


def overlap(voice: Voice, other: Voice, correlation: float) -> float:
    """What another's whole support of the same answer adds to the divisor of a voice."""
    if voice.weight <= 0:
        return 0.0
    return max(0.0, correlation) * min(1.0, other.weight / voice.weight)


def discord(voices: Sequence[Voice]) -> float:
    """D: the weighted share of voices that are not for what most are for, 0 to 1."""
    said: dict[int, float] = {}
    for voice in voices:
        for answer, part in voice.spread.items():
            said[answer] = said.get(answer, 0.0) + voice.weight * part
    total = sum(said.values())
    return 1 - max(said.values()) / total if total > 0 else 0.0


def posterior(
    scored: Mapping[int, float], judgement: Judgement, apart: float
) -> tuple[list[tuple[int, float]], float]:
    """P(k) of every answer, best first and of equals the first named, and of "none of these".

    `apart` is the discord of the voices that were scored.
    """
    score_of_none = judgement.none + judgement.doubt * apart
    top = max(score_of_none, *scored.values())
    odds = {
        answer: math.exp((score - top) / judgement.temperature) for answer, score in scored.items()
    }
    none = math.exp((score_of_none - top) / judgement.temperature)
    total = none + sum(odds.values())
    shares = sorted(
        ((answer, one / total) for answer, one in odds.items()), key=lambda one: (-one[1], one[0])
    )
    return shares, none / total


def independence(voices: Sequence[Voice], judgement: Judgement) -> float:
    """n_eff = (sum w)^2 / (w' R w): how many families that err alone would be worth as much."""
    loud = [(voice, voice.weight * sum(voice.spread.values())) for voice in voices]
    if not any(weight for _, weight in loud):
        loud = [(voice, 1.0) for voice in voices]  # nothing tells them apart
    together = 0.0
    for voice, weight in loud:
        for other, its in loud:
            same = voice.family == other.family
            rho = 1.0 if same else max(0.0, judgement.correlation(voice.family, other.family))
            together += weight * its * rho
    return float(sum(weight for _, weight in loud) ** 2 / together)


def _credit(
    ballot: Sequence[tuple[Vote, int]],
    voices: Sequence[Voice],
    support: Mapping[int, Sequence[_Support]],
    scored: Mapping[int, float],
    judgement: Judgement,
    leader: int,
) -> list[float]:
    """What each vote did for the leader; never negative, summing to 1 unless nobody did anything.

    A family's credit is how far ln P(leader) falls without it. Its votes for the leader divide
    that by what they were heard for: of two spores of one family neither alone is missed.
    """
    best = dict(posterior(scored, judgement, discord(voices))[0])[leader]
    missed = {}
    for family in dict.fromkeys(vote.family for vote, _ in ballot):
        without = {
            answer: score - _brought(support[answer], family) for answer, score in scored.items()
        }
        others = [voice for voice in voices if voice.family != family]
        left = dict(posterior(without, judgement, discord(others))[0])[leader]
        missed[family] = max(0.0, math.log(best) - math.log(left))
    heard_for = [
        _share(vote.share) * _share(vote.credibility) if answer == leader else 0.0
        for vote, answer in ballot
    ]
    whole: dict[str, float] = {}
    for (vote, _), part in zip(ballot, heard_for, strict=True):
        whole[vote.family] = whole.get(vote.family, 0.0) + part
    credit = [
        missed[vote.family] * part / whole[vote.family] if part > 0 else 0.0
        for (vote, _), part in zip(ballot, heard_for, strict=True)
    ]
    total = sum(credit)
    return [one / total if total > 0 else 0.0 for one in credit]


def _brought(support: Sequence[_Support], family: str) -> float:
    """How much of an answer's score, in nats, is only there because of this family."""
    if all(one.family != family for one in support):
        return 0.0
    brought = 0.0
    for one in support:
        divisor = 1.0 + sum(one.overlaps.values())
        brought += one.weight / divisor
        if one.family != family:
            brought -= one.weight / (divisor - one.overlaps.get(family, 0.0))
    return brought


def _agreement(voices: Sequence[Voice], leader: int) -> float:
    for weigh in (lambda voice: voice.weight, lambda _: 1.0):
        total = sum(weigh(voice) * sum(voice.spread.values()) for voice in voices)
        if total > 0:
            return float(
                sum(weigh(voice) * voice.spread.get(leader, 0.0) for voice in voices) / total
            )
    return 0.0


def _entropy(probabilities: Sequence[float]) -> float:
    return -sum(p * math.log2(p) for p in probabilities if p > 0)


def _evidence(checks: Sequence[Check], mechanisms: Mechanisms) -> float:
    found = [check.evidence for check in checks]
    return sum(found) if mechanisms.interference else sum(max(0.0, one) for one in found)


def _passed(checks: Sequence[Check]) -> bool | None:
    """What the checks of one answer come to together; None when they say nothing."""
    total = sum(check.evidence for check in checks)
    return total > 0 if abs(total) > 1e-9 else None


def _rate(value: float) -> float:
    return min(max(value, RATE_MIN), 1 - RATE_MIN) if value == value else 0.5


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0) if value == value else 0.0
