"""What one spore believes of families and operators now: evidence, weighed by policy.

    right = own + advice, each grade halved every 90 days
    p     = Beta mean of (prior + other kinds, as at most 8 grades + this kind)
    w     = max(0, ln(p / (1 - p)) - ln q)                       nats

Everything here follows from the grades met, whose spore this is, and the time. Each grade is
counted where it belongs when it comes (`tallies`), and weighed when somebody asks: a judgement
costs what is known of the families asked about, however many grades there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from synapse.core.crdt.trust_counts import BUCKET_MS
from synapse.core.trust import policy, weights
from synapse.core.trust.calibration import TEMPERATURE, Calibration, Outcome, fitted
from synapse.core.trust.evidence import FAMILY, OPERATOR, Evidence, Grade
from synapse.core.trust.kinship import Kinship
from synapse.core.trust.policy import STRANGERS, Advisers, Hearing, Speaker, Standing
from synapse.core.trust.tallies import Said, Subject, Tally, rest, together

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
    """What a count needs to know of one kind of task. Good until the next grade."""

    calibration: Calibration
    chances: Mapping[str, float]
    kinship: Kinship
    fitted: bool = False  # whether graded tasks have said how sure to be

    @property
    def temperature(self) -> float:
        """T of the posterior."""
        return self.calibration.temperature

    @property
    def none(self) -> float:
        """The score of "none of these" where all say the same, in nats."""
        return self.calibration.none

    @property
    def doubt(self) -> float:
        """What full discord would add to that score, in nats."""
        return self.calibration.doubt

    def weight(self, family: str) -> float:
        """The family's vote in nats."""
        return weights.vote(self.chance(family), self.kinship.collision_rate)

    def chance(self, family: str) -> float:
        """How likely its next answer is right."""
        return self.chances.get(family, weights.probability(0, 0))

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
        self._subjects: dict[str, Subject] = {}
        self._advisers = Advisers(own)
        self._kinships: dict[str, Kinship] = {}
        self._served: dict[str, dict[bytes, Grade]] = {}  # our grades, by whose answer it was
        self._reliable: dict[str, None] = {}  # operators whose answers tell of their families
        self._unsettled: dict[str, None] = {}  # operators whose standing may have changed
        self._believed: Mapping[str, float] = MappingProxyType({})
        evidence.follow(self._change)

    def judgement(self, kind: str, *, now_ms: int) -> Judgement:
        """Weights, correlations and temperature for one kind of task."""
        self._refresh(now_ms)
        if kind not in self._judgements:
            kinship = self._kinships.get(kind, Kinship())
            self._judgements[kind] = Judgement(
                self._calibrations.get(kind, _uncalibrated(kinship)),
                _Chances(self, kind),
                kinship,
                kind in self._calibrations,
            )
        return self._judgements[kind]

    def calibrate(
        self, kind: str, tasks: Sequence[Sequence[Outcome]], *, now_ms: int
    ) -> Calibration:
        """Fit the posterior of one kind to graded tasks, each with one outcome or more, scored by
        what is believed now; too few of them leave the default."""
        default = _uncalibrated(self.judgement(kind, now_ms=now_ms).kinship)
        self._calibrations.pop(kind, None)
        if (fit := fitted(tasks, default=default)) != default:
            self._calibrations[kind] = fit
        del self._judgements[kind]
        return fit

    def credibility(self, operator: bytes, *, now_ms: int) -> float:
        """How far an operator is believed about what its spores found, 0 to 1.

        For votes use `heard`, which also bounds what many operators amount to together.
        """
        self._refresh(now_ms)
        return 1.0 if operator == self._own else self._standing(operator.hex()).mean

    def believed(self, *, now_ms: int) -> Mapping[str, float]:
        """How far each operator (hexadecimal) is believed whose answers we graded. It is the same
        mapping until one of them changes; what others say of an operator is not in it."""
        self._refresh(now_ms)
        return self._believed

    def quarantined(self, operator: bytes, *, now_ms: int) -> bool:
        """Whether our own grades met enough of an operator's answers and found most of them wrong.

        What it wrote stays and travels on; recall shows it to whoever asks for it.
        """
        self._refresh(now_ms)
        standing = self._standing(operator.hex())
        return operator != self._own and standing.known and not standing.reliable

    def heard(self, speakers: Sequence[Speaker], kind: str, *, now_ms: int) -> list[Hearing]:
        """How each speaker of one count is heard, in the order given."""
        judgement = self.judgement(kind, now_ms=now_ms)
        judged = [
            one for one in dict.fromkeys(s.family for s in speakers) if self.judged(FAMILY + one)
        ]
        chances = {one: judgement.chances[one] for one in judged}
        operators = dict.fromkeys(one.operator for one in speakers)
        return policy.heard(
            speakers,
            own=self._own,
            standing={one: self._standing(one.hex()) for one in operators},
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
        portions, elsewhere = self._weighed(subject, kind)
        right, wrong = _counted(portions)
        p = weights.probability(right + elsewhere[0], wrong + elsewhere[1])
        newest = self._evidence.about(subject, kind, GRADES_SHOWN)
        return Explanation(
            subject=subject,
            kind=kind,
            probability=p,
            weight=weights.vote(p, judgement.kinship.collision_rate),
            right=right,
            wrong=wrong,
            right_elsewhere=elsewhere[0],
            wrong_elsewhere=elsewhere[1],
            portions=tuple(portions),
            grades=tuple(grade.id for grade in newest),
        )

    def totals(self, subject: str) -> tuple[int, int]:
        """How often anyone found a subject (right, wrong): for display, not for counting."""
        whole = self._subjects.get(subject, Subject()).whole
        return together((whole.ours(), whole.others)).total()

    def judged(self, subject: str) -> bool:
        """Whether we graded it ourselves: what others say of a family does not make it real."""
        found = self._subjects.get(subject)
        return found is not None and bool(found.whole.own)

    # Counting.

    def _change(self, before: Grade | None, after: Grade | None) -> None:
        """What one observer says of one position is another thing now."""
        self._advisers.change(before, after)
        if before is not None:
            self._count(before, -1)
        if after is not None:
            self._count(after, 1)

    def _count(self, grade: Grade, by: int) -> None:
        ours, operator = grade.observer == self._own, grade.operator.hex()
        parties = [(FAMILY + grade.family, operator)]
        if operator:
            parties.append((OPERATOR + operator, grade.family))
        for name, other in parties:
            subject = self._subjects.setdefault(name, Subject())
            subject.count(grade, other, by, ours=ours)
            if not subject.kinds:
                del self._subjects[name]
        if not ours:
            return
        if operator:
            served = self._served.setdefault(operator, {})
            if by > 0:
                served[grade.id] = grade
            else:
                del served[grade.id]
            self._unsettled[operator] = None
        if not self._is_stranger(operator):
            self._relate(grade, by)

    def _relate(self, grade: Grade, by: int) -> None:
        kinship = self._kinships.setdefault(grade.task_kind, Kinship())
        if by > 0:
            kinship.add(grade)
        else:
            kinship.remove(grade)

    def _refresh(self, now_ms: int) -> None:
        """Settle what other grades, or another month, may have changed."""
        as_of = (self._evidence.version, now_ms // BUCKET_MS)
        if as_of == self._as_of:
            return
        if as_of[1] != self._as_of[1]:
            self._unsettled = dict.fromkeys(self._served)
        self._as_of = as_of
        self._judgements.clear()
        if self._unsettled:
            believed = dict(self._believed)
            for operator in self._unsettled:
                self._settle(operator, believed)
            self._unsettled = {}
            self._believed = MappingProxyType(believed)

    def _settle(self, operator: str, believed: dict[str, float]) -> None:
        """Judge an operator anew; if its answers now tell of families, or no more, its grades
        enter the kinships, or leave them."""
        strange, standing = self._is_stranger(operator), self._standing(operator)
        believed[operator] = standing.mean
        if standing.reliable:
            self._reliable[operator] = None
        else:
            self._reliable.pop(operator, None)
        if self._is_stranger(operator) != strange:
            for grade in self._served[operator].values():
                self._relate(grade, 1 if strange else -1)
        if not self._served[operator]:
            del self._served[operator], believed[operator]

    # Weighing.

    def _chance(self, family: str, kind: str) -> float:
        portions, elsewhere = self._weighed(FAMILY + family, kind)
        right, wrong = _counted(portions)
        return weights.probability(right + elsewhere[0], wrong + elsewhere[1])

    def _standing(self, operator: str) -> Standing:
        """An operator's record by our own grades, over all kinds of task."""
        subject = self._subjects.get(OPERATOR + operator, Subject())
        return Standing(*subject.whole.ours().worth(self._as_of[1]))

    def _weighed(self, subject: str, kind: str) -> tuple[list[Portion], tuple[float, float]]:
        """The counts on one kind, by origin; and what all other kinds say together, bounded as
        those of one kind and scaled down to at most OTHER_KINDS_GRADES."""
        found = self._subjects.get(subject, Subject())
        here = found.kinds.get(kind, Said())
        portions = self._portions(subject, here, Said())
        right, wrong = _counted(self._portions(subject, found.whole, here))
        scale = min(1.0, OTHER_KINDS_GRADES / (right + wrong)) if right + wrong else 0.0
        return portions, (scale * right, scale * wrong)

    def _portions(self, subject: str, said: Said, less: Said) -> list[Portion]:
        """What is said of a subject, less a part of it, by origin, and what of each counts."""
        now, of_family = self._as_of[1], subject.startswith(FAMILY)
        own, strangers, unknown = Tally(), Tally(), rest(said.others, less.others)
        for other, tally in said.own.items():
            origin = strangers if of_family and self._is_stranger(other) else own
            origin.gather(rest(tally, less.own.get(other)))
        advised = [0.0, 0.0]
        for observer, worth in self._advisers.among(said.observers):
            advice = rest(said.observers[observer], less.observers.get(observer))
            unknown.gather(advice, -1)
            right, wrong = advice.worth(now)
            advised[0], advised[1] = advised[0] + worth * right, advised[1] + worth * wrong
        found: list[tuple[str, tuple[float, float], float]] = [
            ("own", own.worth(now), math.inf),
            ("own of strangers", strangers.worth(now), policy.STRANGER_GRADES),
            ("advisers", (advised[0], advised[1]), policy.KNOWN_ADVICE),
            ("unknown", unknown.worth(now), policy.UNKNOWN_ADVICE),
        ]
        return [
            Portion(origin, right, wrong, min(1.0, most / (right + wrong)))
            for origin, (right, wrong), most in found
            if right + wrong > 0
        ]

    def _is_stranger(self, operator: str) -> bool:
        """Whether this is another operator whose answers say little of the family it claims."""
        return operator not in ("", self._own.hex()) and operator not in self._reliable


class _Chances(Mapping[str, float]):
    """The chance of each graded family, computed when it is asked for: peers may name any number
    of families, and a count asks about a few."""

    def __init__(self, beliefs: Beliefs, kind: str) -> None:
        self._beliefs = beliefs
        self._kind = kind
        self._known: dict[str, float] = {}

    def __getitem__(self, family: str) -> float:
        if family not in self._known:
            if FAMILY + family not in self._beliefs._subjects:
                raise KeyError(family)
            self._known[family] = self._beliefs._chance(family, self._kind)
        return self._known[family]

    def __iter__(self) -> Iterator[str]:
        return iter(self._beliefs._evidence.families())

    def __len__(self) -> int:
        return len(self._beliefs._evidence.families())


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
