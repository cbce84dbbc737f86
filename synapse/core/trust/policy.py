"""What strangers' words are worth: the promises that make a thousand made-up operators harmless.

1. Our own operator's grades count in full. Others' grades are advice: worth as much as they agreed
   with ours on the same positions, and all of it together a bounded number of grades.
2. All operators unknown to us, however many, count as one grader and a quarter of a voter; so do,
   by themselves, all whose answers were found much worse than those of the family they claim.
3. A family that only strangers speak for has no vote of its own: such families share one.
4. Who speaks for a family that our own spores serve is heard beside them, never above them.
5. Grades of what strangers' spores answered say little about the family they claim.

An operator is known once our own grades have met enough of its positions (or grades). Costs of
that: a newcomer's first answers count little, and graders who copy what we graded before they
could know it are told apart only by the time they claim, hence the bound on advice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from synapse.core.trust.evidence import Grade

STRANGERS: Final = "strangers"  # the one family of all families that only strangers speak for

# Only UNKNOWN_VOICE was measured: with 0.5 a fifth of all nodes, new here and claiming the best
# model, cost 0.9 points on replayed answers. The others have no source.
KNOWN_GRADES: Final = 3.0  # of an operator's positions, before it is known
STANDING_RIGHT: Final = 1.0  # an unknown operator is believed one time in four:
STANDING_WRONG: Final = 3.0
RELIABLE_MIN: Final = 0.5  # below it a known speaker is doubted: heard with all such as a stranger
UNKNOWN_VOICE: Final = 0.25  # of one voter: all unknown operators of a count together
STRANGER_GRADES: Final = 4.0  # what our grades of strangers' answers move a family by, at most
UNKNOWN_ADVICE: Final = 3.0  # grades: all unknown graders together
KNOWN_ADVICE: Final = 20.0  # grades: all known advisers together
SHARED_POSITIONS_MIN: Final = 5  # graded by us and by an adviser, before it is known


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who says that a family answered so."""

    operator: bytes
    family: str


@dataclass(frozen=True, slots=True)
class Hearing:
    """How a speaker's vote enters the count."""

    family: str  # the family it claims, or STRANGERS
    credibility: float  # 0 to 1


@dataclass(frozen=True, slots=True)
class Standing:
    """What our grades say of an operator's answers."""

    right: float
    wrong: float

    @property
    def known(self) -> bool:
        """Whether enough of its positions were graded."""
        return self.right + self.wrong >= KNOWN_GRADES

    @property
    def mean(self) -> float:
        """The chance that its next answer is right, from a low prior."""
        whole = self.right + self.wrong + STANDING_RIGHT + STANDING_WRONG
        return (self.right + STANDING_RIGHT) / whole

    @property
    def reliable(self) -> bool:
        """Whether its answers say something about the family it claims."""
        return self.known and self.mean >= RELIABLE_MIN


def heard(
    speakers: Sequence[Speaker],
    *,
    own: bytes,
    standing: Mapping[bytes, Standing],
    chance: Mapping[str, float],
    vote: Mapping[str, float],
    prior_vote: float,
) -> list[Hearing]:
    """How each speaker of one count is heard, in the order given.

    `chance` is the chance of being right of each family that we have evidence about, `vote` its
    vote in nats, `prior_vote` that of a family nobody knows.
    """
    served = {one.family for one in speakers if one.operator == own}
    beside = _number(one for one in speakers if one.operator != own)
    claimed: dict[bytes, int] = {}  # families, by operator
    for speaker in beside:
        claimed[speaker.operator] = claimed.get(speaker.operator, 0) + 1

    def likely(speaker: Speaker) -> float:
        """How likely it speaks for its family: its record over what the family's would be."""
        return min(1.0, standing[speaker.operator].mean / chance.get(speaker.family, 1.0))

    unknown = {one.operator for one in beside if not standing[one.operator].known}
    doubted = {
        one.operator for one in beside if one.operator not in unknown and likely(one) < RELIABLE_MIN
    }
    raw: list[Hearing] = []
    for one in speakers:
        if one.operator == own:
            raw.append(Hearing(one.family, 1.0))
            continue
        family = one.family if one.family in served or one.family in chance else STRANGERS
        part = 1.0 / beside[one]
        for crowd, believed in ((unknown, 1.0), (doubted, likely(one))):
            if one.operator in crowd:
                # Who claims a good family's name does not get its weight with it.
                level = min(1.0, prior_vote / vote[family]) if vote.get(family, 0.0) > 0 else 1.0
                share = UNKNOWN_VOICE / len(crowd) / claimed[one.operator]
                raw.append(Hearing(family, part * share * believed * level))
                break
        else:
            raw.append(Hearing(family, part * likely(one)))
    return _beside_ours(raw, speakers, own)


def _beside_ours(raw: Sequence[Hearing], speakers: Sequence[Speaker], own: bytes) -> list[Hearing]:
    """Others that speak for a family of ours, scaled so that together they are one more of us."""
    others: dict[str, float] = {}
    served = {one.family for one in speakers if one.operator == own}
    for one, speaker in zip(raw, speakers, strict=True):
        if speaker.operator != own and one.family in served:
            others[one.family] = others.get(one.family, 0.0) + one.credibility
    return [
        Hearing(one.family, one.credibility / max(1.0, others.get(one.family, 0.0)))
        if speaker.operator != own
        else one
        for one, speaker in zip(raw, speakers, strict=True)
    ]


def _number(speakers: Iterable[Speaker]) -> dict[Speaker, int]:
    """How many spores of one operator speak for one family."""
    numbers: dict[Speaker, int] = {}
    for one in speakers:
        numbers[one] = numbers.get(one, 0) + 1
    return numbers


class Advisers:
    """What other graders are worth, 0 to 1: how far above chance they agreed with us.

    Only positions that an adviser graded no later than we did tell anything. Those with too few
    of them are unknown. A grade costs those who graded the same position.
    """

    def __init__(self, own: bytes) -> None:
        self._own = own
        self._ours: dict[bytes, Grade] = {}  # by position
        self._theirs: dict[bytes, dict[bytes, Grade]] = {}  # by position and observer
        self._met: dict[bytes, list[int]] = {}  # by observer: agreed, of so many
        self._known: dict[str, None] = {}

    def change(self, before: Grade | None, after: Grade | None) -> None:
        """What an observer says of a position is another thing now."""
        one = after or before
        assert one is not None, "a change is from something or to something"
        mine = self._ours.get(one.position)
        if one.observer == self._own:
            for theirs in self._theirs.get(one.position, {}).values():
                self._compare(theirs, before, -1)
                self._compare(theirs, after, 1)
            _put(self._ours, one.position, after)
            return
        self._compare(before, mine, -1)
        self._compare(after, mine, 1)
        graders = self._theirs.setdefault(one.position, {})
        _put(graders, one.observer, after)
        if not graders:
            del self._theirs[one.position]

    def worth(self, observer: str) -> float | None:
        """How far this observer (its key, hexadecimal) is believed; None when it is unknown."""
        if observer not in self._known:
            return None
        agreed, met = self._met[bytes.fromhex(observer)]
        return max(0.0, 2 * (agreed + 1) / (met + 2) - 1)

    def among(self, observers: Mapping[str, object]) -> list[tuple[str, float]]:
        """Those of these observers that are known, sorted, with what they are worth."""
        fewer, more = sorted((self._known, observers), key=len)
        known = sorted(one for one in fewer if one in more)
        return [(one, worth) for one in known if (worth := self.worth(one)) is not None]

    def _compare(self, theirs: Grade | None, mine: Grade | None, by: int) -> None:
        if theirs is None or mine is None or theirs.at_ms > mine.at_ms:
            return
        met = self._met.setdefault(theirs.observer, [0, 0])
        met[0] += by * (theirs.right == mine.right)
        met[1] += by
        if met[1] >= SHARED_POSITIONS_MIN:
            self._known[theirs.observer.hex()] = None
        else:
            self._known.pop(theirs.observer.hex(), None)
        if not met[1]:
            del self._met[theirs.observer]


def _put(grades: dict[bytes, Grade], key: bytes, grade: Grade | None) -> None:
    if grade is None:
        grades.pop(key, None)
    else:
        grades[key] = grade
