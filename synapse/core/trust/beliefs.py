"""What one spore believes of families and operators now: evidence, weighed by policy.

    right = own + advice, each grade halved every 90 days
    p     = Beta mean of (prior + other kinds, as at most 8 grades + this kind)
    w     = max(0, ln(p / (1 - p)) - ln q)                       nats

Everything here follows from the grades met, whose spore this is, and the time. Nothing is kept
but answers already computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from synapse.core.crdt.trust_counts import BUCKET_MS
from synapse.core.trust import policy, weights
from synapse.core.trust.calibration import TEMPERATURE, Calibration, Outcome, fitted
from synapse.core.trust.evidence import FAMILY, OPERATOR, Evidence
from synapse.core.trust.kinship import Kinship
from synapse.core.trust.policy import STRANGERS, Hearing, Speaker, Standing

OTHER_KINDS_GRADES: Final = 8.0  # what all other kinds of task together say, at most; no source
GRADES_SHOWN: Final = 50  # ids in an explanation, the newest


@dataclass(frozen=True, slots=True)
class Portion:
    """Grades of one origin, and what of them counts."""

    origin: str  # own, own of strangers, advisers, unknown advisers
    right: float  # decayed counts, before the factor
    wrong: float
    factor: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a number comes from: the counts behind it, by origin, and the newest grades."""

    subject: str
    kind: str
    probability: float
    weight: float  # nats
    right: float  # on this kind, after decay and policy
    wrong: float
    right_elsewhere: float  # on other kinds, as they count here
    wrong_elsewhere: float
    portions: tuple[Portion, ...]
    grades: tuple[bytes, ...]  # ids of the grades, newest first, at most GRADES_SHOWN


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a count needs to know of one kind of task."""

    calibration: Calibration
    chances: Mapping[str, float]
    kinship: Kinship

    @property
    def temperature(self) -> float:
        """T of the posterior."""
        return self.calibration.temperature

    @property
    def none(self) -> float:
        """The score of "none of these", in nats."""
        return self.calibration.none

    def weight(self, family: str) -> float:
        """The family's vote in nats."""
        p = self.chances.get(family, weights.probability(0, 0))
        return weights.vote(p, self.kinship.collision_rate)

    def correlation(self, one: str, other: str) -> float:
        """How far their errors come together, -1 to 1."""
        return self.kinship.correlation(one, other)


class Beliefs:
    """Evidence as the spores of one operator see it."""

    def __init__(self, evidence: Evidence, *, own: bytes) -> None:
        """`own` is the key of the operator whose grades count in full."""
        self._evidence = evidence
        self._own = own
        self._calibrations: dict[str, Calibration] = {}
        self._as_of = (-1, -1)
        self._judgements: dict[str, Judgement] = {}
        self._advisers: dict[bytes, float] = {}
        self._standings: dict[bytes, Standing] = {}

    def judgement(self, kind: str, *, now_ms: int) -> Judgement:
        """Weights, correlations and temperature for one kind of task."""
        self._refresh(now_ms)
        if kind not in self._judgements:
            kinship = Kinship(
                grade
                for grade in self._evidence.grades()
                if grade.observer == self._own
                and grade.task_kind == kind
                and not self._is_stranger(grade.operator.hex())
            )
            self._judgements[kind] = Judgement(
                self._calibrations.get(kind, _uncalibrated(kinship)),
                {one: self._chance(one, kind) for one in self._evidence.families()},
                kinship,
            )
        return self._judgements[kind]

    def calibrate(self, kind: str, outcomes: Sequence[Outcome], *, now_ms: int) -> Calibration:
        """Fit the posterior of one kind to graded outcomes, with the scores they had before they
        were graded; too few of them leave the default."""
        default = _uncalibrated(self.judgement(kind, now_ms=now_ms).kinship)
        self._calibrations.pop(kind, None)
        if (fit := fitted(outcomes, default=default)) != default:
            self._calibrations[kind] = fit
        del self._judgements[kind]
        return fit

    def credibility(self, operator: bytes, *, now_ms: int) -> float:
        """How far an operator is believed about what its spores found, 0 to 1.

        For votes use `heard`, which also bounds what many operators amount to together.
        """
        self._refresh(now_ms)
        return 1.0 if operator == self._own else self._standing(operator).mean

    def heard(self, speakers: Sequence[Speaker], kind: str, *, now_ms: int) -> list[Hearing]:
        """How each speaker of one count is heard, in the order given."""
        judgement = self.judgement(kind, now_ms=now_ms)
        judged = [one for one in dict.fromkeys(s.family for s in speakers) if self._judged(one)]
        chances = {one: judgement.chances[one] for one in judged}
        return policy.heard(
            speakers,
            own=self._own,
            standing={one.operator: self._standing(one.operator) for one in speakers},
            chance=chances,
            vote={one: judgement.weight(one) for one in chances},
            prior_vote=judgement.weight(STRANGERS),
        )

    def order(self, families: Sequence[str], kind: str, *, now_ms: int) -> list[str]:
        """These families, the most useful first: the best, then always whoever would add most to
        those before it if all agreed."""
        judgement = self.judgement(kind, now_ms=now_ms)
        left, chosen = list(dict.fromkeys(families)), list[str]()
        while left:
            best = max(left, key=lambda one: (_gain(one, chosen, judgement), -left.index(one)))
            left.remove(best)
            chosen.append(best)
        return chosen

    def explain(self, subject: str, kind: str, *, now_ms: int) -> Explanation:
        """Every number behind one subject ("family:qwen", "operator:<hex>") on one kind."""
        judgement = self.judgement(kind, now_ms=now_ms)
        portions = self._portions(subject, kind)
        right, wrong = _counted(portions)
        right_elsewhere, wrong_elsewhere = self._elsewhere(subject, kind)
        p = weights.probability(right + right_elsewhere, wrong + wrong_elsewhere)
        name = subject.partition(":")[2]
        about = [
            grade
            for grade in self._evidence.grades()
            if grade.task_kind == kind
            and (name == (grade.family if subject.startswith(FAMILY) else grade.operator.hex()))
        ]
        about.sort(key=lambda grade: (-grade.at_ms, grade.id))
        return Explanation(
            subject=subject,
            kind=kind,
            probability=p,
            weight=weights.vote(p, judgement.kinship.collision_rate),
            right=right,
            wrong=wrong,
            right_elsewhere=right_elsewhere,
            wrong_elsewhere=wrong_elsewhere,
            portions=tuple(portions),
            grades=tuple(grade.id for grade in about[:GRADES_SHOWN]),
        )

    def _refresh(self, now_ms: int) -> None:
        """Forget what was computed from other evidence, or in another month."""
        as_of = (self._evidence.version, now_ms // BUCKET_MS)
        if as_of != self._as_of:
            self._as_of = as_of
            self._judgements.clear()
            self._standings.clear()
            self._advisers = policy.advisers(self._evidence.grades(), own=self._own)

    def _judged(self, family: str) -> bool:
        """Whether we graded this family ourselves: what others say of it does not make it real."""
        own = self._own.hex()
        return any(
            cell.observer == own
            for subject, kind in self._evidence.graded()
            if subject == FAMILY + family
            for cell in self._evidence.cells(subject, kind)
        )

    def _chance(self, family: str, kind: str) -> float:
        right, wrong = _counted(self._portions(FAMILY + family, kind))
        right_elsewhere, wrong_elsewhere = self._elsewhere(FAMILY + family, kind)
        return weights.probability(right + right_elsewhere, wrong + wrong_elsewhere)

    def _elsewhere(self, subject: str, kind: str) -> tuple[float, float]:
        """What other kinds of task say, scaled down to at most OTHER_KINDS_GRADES."""
        right = wrong = 0.0
        for graded, other_kind in self._evidence.graded():
            if graded == subject and other_kind != kind:
                more = _counted(self._portions(subject, other_kind))
                right, wrong = right + more[0], wrong + more[1]
        scale = min(1.0, OTHER_KINDS_GRADES / (right + wrong)) if right + wrong else 0.0
        return scale * right, scale * wrong

    def _standing(self, operator: bytes) -> Standing:
        """An operator's record by our own grades, over all kinds of task."""
        if operator not in self._standings:
            own, now, right, wrong = self._own.hex(), self._as_of[1], 0.0, 0.0
            subject = OPERATOR + operator.hex()
            for graded, kind in self._evidence.graded():
                if graded != subject:
                    continue
                for cell, count in self._evidence.cells(subject, kind).items():
                    if cell.observer == own:
                        worth = weights.decay(cell.bucket, now=now)
                        right, wrong = right + worth * count.right, wrong + worth * count.wrong
            self._standings[operator] = Standing(right, wrong)
        return self._standings[operator]

    def _portions(self, subject: str, kind: str) -> list[Portion]:
        """The counts of one subject on one kind, by origin, and what of each counts."""
        own, now = self._own.hex(), self._as_of[1]
        sums = {origin: [0.0, 0.0] for origin in ("own", "own of strangers", "advisers", "unknown")}
        for cell, count in sorted(
            self._evidence.cells(subject, kind).items(),
            key=lambda item: (item[0].observer, item[0].other, item[0].bucket),
        ):
            worth = weights.decay(cell.bucket, now=now)
            observer = bytes.fromhex(cell.observer)
            if cell.observer != own:
                origin = "advisers" if observer in self._advisers else "unknown"
                worth *= self._advisers.get(observer, 1.0)
            elif subject.startswith(FAMILY) and self._is_stranger(cell.other):
                origin = "own of strangers"
            else:
                origin = "own"
            sums[origin][0] += worth * count.right
            sums[origin][1] += worth * count.wrong
        most = {
            "own of strangers": policy.STRANGER_GRADES,
            "advisers": policy.KNOWN_ADVICE,
            "unknown": policy.UNKNOWN_ADVICE,
        }
        return [
            Portion(
                origin, right, wrong, min(1.0, most.get(origin, right + wrong) / (right + wrong))
            )
            for origin, (right, wrong) in sums.items()
            if right + wrong > 0
        ]

    def _is_stranger(self, operator: str) -> bool:
        """Whether this is another operator whose answers say little of the family it claims."""
        if operator in ("", self._own.hex()):
            return False
        return not self._standing(bytes.fromhex(operator)).reliable


def _uncalibrated(kinship: Kinship) -> Calibration:
    """Bayes' rule as it stands: an answer nobody gave is as likely as one that each wrong answer
    hits with the collision rate, so that one voter alone is believed as often as it is right."""
    return Calibration(TEMPERATURE, -math.log(kinship.collision_rate))


def _counted(portions: Sequence[Portion]) -> tuple[float, float]:
    return (
        sum(one.factor * one.right for one in portions),
        sum(one.factor * one.wrong for one in portions),
    )


def _gain(family: str, chosen: Sequence[str], judgement: Judgement) -> float:
    """What this family's vote would add to those of the chosen, roughly: its discounted weight."""
    known = sum(max(0.0, judgement.correlation(family, other)) for other in chosen)
    return judgement.weight(family) / (1 + known)
