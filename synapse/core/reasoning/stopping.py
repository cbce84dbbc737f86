"""When asking more is not worth a call, and how many to ask at once.

Asking ends when no number of further calls is expected to make the answer right more often by
`CALL_WORTH` a call. For the next n members

    gain(n) = sum over rivals r of P(r) x P(enough of the n say r to carry it | r is right)

where r is an answer given, or one that nobody has given yet. The second factor is an exact sum
over the ways in which the n may be right and wrong, each scored as the count would score it. Were
r right, then whoever said something else was wrong, and errors come together, so that those left
are less often right than they are elsewhere:

    ln odds(f) = ln p_f / (1 - p_f) + sum over those who spoke of what that tells of f, in nats,
                 each over 1 + its correlations with others who were right, or wrong, with it
    P(f and g both wrong) = e_f e_g + rho_fg sqrt(e_f (1 - e_f) e_g (1 - e_g))

Who is wrong then is supposed to help nobody, so the gain is bounded from above. Until graded tasks
have said how sure to be, chances are guesses, and there is most to learn from what members say: so
long everyone is asked who could still change the answer, up to a posterior of `DECIDED`. So it is
where checks have spoken, for what the next one says is not in the sum. Nowhere else is a posterior
a reason to stop: how much more the others know is another thing on every kind of task. What the
rule is worth on recorded answers: `docs/evidence.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from synapse.core.reasoning.aggregation import (
    Judgement,
    Mechanisms,
    Verdict,
    Voice,
    Vote,
    heard,
    overlap,
)
from synapse.core.reasoning.ballot import Ballot
from synapse.core.reasoning.model_routing import EXTRACTIVE

# A call has to be expected to add half a point of accuracy. Chosen on recorded answers, where 0.004
# to 0.006 served; on GSM8K more costs a point, on MATH-5 less adds nothing.
CALL_WORTH: Final = 0.005
CHANCE_MIN: Final = 0.01  # no record makes anyone sure to be wrong, or right: odds stay finite


def worth_asking(
    ballot: Ballot,
    verdict: Verdict | None,
    left: Sequence[str],
    judgement: Judgement,
    mechanisms: Mechanisms,
) -> bool:
    """Whether asking families that are left may pay. `verdict` is what the ballot came to.

    Before anyone has spoken it does, and where memory was only quoted.
    """
    if verdict is None or ballot.votes[verdict.leader].family == EXTRACTIVE:
        return bool(left)
    if any(found is not None for found in verdict.checked.values()):
        return bool(left) and not verdict.decided
    if not judgement.fitted and verdict.decided:
        return False
    gain = gain_per_call(verdict, ballot.votes, left, judgement, mechanisms)
    return gain >= CALL_WORTH if judgement.fitted else gain > 0


def enough_to_end(
    ballot: Ballot,
    left: Sequence[str],
    judgement: Judgement,
    *,
    leading: str,
    mechanisms: Mechanisms,
) -> int:
    """The gate: how many of those left, in this order, would end asking if they all said `leading`.

    They are asked at once, which is faster, and costs nothing where they agree.
    """
    supposed = ballot
    for number, family in enumerate(left, start=1):
        supposed = supposed.and_if(family, leading)
        verdict = supposed.count(judgement, mechanisms)
        if judgement.fitted:
            rest = left[number:]
            ended = not worth_asking(supposed, verdict, rest, judgement, mechanisms)
        else:
            ended = verdict is not None and verdict.decided
        if ended:
            return number
    return len(left)


def gain_per_call(
    verdict: Verdict,
    votes: Sequence[Vote],
    left: Sequence[str],
    judgement: Judgement,
    mechanisms: Mechanisms,
) -> float:
    """The most that asking the next one, two, … of those left may add to the chance that the answer
    is right, divided by how many they are."""
    ballot = [(votes[i], answer) for answer, each in verdict.members.items() for i in each]
    voices = heard(ballot, judgement, mechanisms)
    spoken = {voice.family for voice in voices if sum(voice.spread.values()) >= 1.0}
    more = [family for family in left if family not in spoken]
    team = _Team.of(voices, more, judgement, mechanisms)
    to_beat = team.score(team.support(verdict.leader))
    gains = [0.0] * len(more)
    unsaid = len(votes)  # stands for every answer that nobody has given
    rivals = [(one, share) for one, share in verdict.shares if one != verdict.leader]
    for rival, likely in [*rivals, (unsaid, verdict.none_posterior)]:
        for number, carried in enumerate(team.carries(rival, to_beat)):
            gains[number] += likely * carried
    return max((gain / number for number, gain in enumerate(gains, start=1)), default=0.0)


@dataclass(frozen=True, slots=True)
class _Team:
    """Voices that were heard, and after them those of the families that are left."""

    voices: tuple[Voice, ...]
    asked: int
    overlaps: tuple[tuple[float, ...], ...]  # [i][j]: what j's support adds to i's divisor
    told: tuple[tuple[tuple[float, float], ...], ...]  # [f][g]: nats for f when g is right, wrong
    errs: tuple[tuple[float, ...], ...]  # correlation of errors
    odds: tuple[float, ...]  # ln p / (1 - p)

    @classmethod
    def of(
        cls,
        voices: Sequence[Voice],
        left: Sequence[str],
        judgement: Judgement,
        mechanisms: Mechanisms,
    ) -> _Team:
        """Everything that does not depend on which answer is right."""
        waiting = [Voice(family, judgement.weight(family), {}) for family in left]
        every = (*voices, *waiting)
        chances = [
            min(max(judgement.chance(one.family), CHANCE_MIN), 1 - CHANCE_MIN) for one in every
        ]
        errs = tuple(
            tuple(
                max(0.0, judgement.correlation(one.family, other.family))
                if mechanisms.entanglement
                else 0.0
                for other in every
            )
            for one in every
        )
        return cls(
            every,
            len(voices),
            tuple(
                tuple(overlap(one, other, errs[i][j]) if i != j else 0.0 for j, other in _at(every))
                for i, one in _at(every)
            ),
            tuple(
                tuple(_told(chances[f], chances[g], errs[f][g]) for g in range(len(voices)))
                for f in range(len(every))
            ),
            errs,
            tuple(math.log(chance / (1 - chance)) for chance in chances),
        )

    def support(self, answer: int) -> dict[int, float]:
        """Who of those asked is for an answer, and with what part of its voice."""
        return {
            i: voice.spread[answer]
            for i, voice in enumerate(self.voices[: self.asked])
            if answer in voice.spread
        }

    def score(self, support: Mapping[int, float]) -> float:
        """S of an answer with this support, in nats, as the count has it."""
        total = 0.0
        for i, part in support.items():
            row = self.overlaps[i]
            divisor = 1.0 + sum(row[j] * its for j, its in support.items())
            total += self.voices[i].weight * part / divisor
        return total

    def carries(self, rival: int, to_beat: float) -> list[float]:
        """Were this answer right: the chance that the next one, two, … of those left carry it."""
        support = self.support(rival)
        left = range(self.asked, len(self.voices))
        carried = [0.0] * len(left)
        if self.score({**support, **dict.fromkeys(left, 1.0)}) <= to_beat:
            return carried
        chances = [self._chance(f, rival) for f in left]

        def suppose(number: int, likely: float, support: Mapping[int, float]) -> None:
            """The ways in which those from this number on may answer."""
            if number == len(left):
                return
            right = {**support, left[number]: 1.0}
            both = likely * chances[number]
            if self.score(right) > to_beat:
                for later in range(number, len(left)):  # more who agree take nothing away
                    carried[later] += both
            else:
                suppose(number + 1, both, right)
            suppose(number + 1, likely - both, support)

        suppose(0, 1.0, support)
        return carried

    def _chance(self, f: int, answer: int) -> float:
        """How likely f is right, were this answer right."""
        asked = self.voices[: self.asked]
        right = [voice.spread.get(answer, 0.0) for voice in asked]
        wrong = [sum(v.spread.values()) - part for v, part in zip(asked, right, strict=True)]
        nats = self.odds[f]
        for side, parts in enumerate((right, wrong)):
            for g, part in enumerate(parts):
                if part > 0:
                    shared = sum(
                        self.errs[g][h] * its for h, its in enumerate(parts) if h != g and its > 0
                    )
                    nats += part * self.told[f][g][side] / (1.0 + shared)
        return 1 / (1 + math.exp(-nats))


def _told(p: float, other: float, rho: float) -> tuple[float, float]:
    """What it tells of one that is right with chance p that the other is right, or wrong: the log
    likelihood ratios of its being right."""
    shared = rho * math.sqrt(p * (1 - p) * other * (1 - other))
    both_right, both_wrong = p * other + shared, (1 - p) * (1 - other) + shared
    only, only_other = p - both_right, other - both_right
    least = CHANCE_MIN**2
    return (
        math.log(max(both_right, least) / p) - math.log(max(only_other, least) / (1 - p)),
        math.log(max(only, least) / p) - math.log(max(both_wrong, least) / (1 - p)),
    )


def _at(voices: Sequence[Voice]) -> list[tuple[int, Voice]]:
    return list(enumerate(voices))
