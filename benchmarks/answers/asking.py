"""Members asked one after another, by the shipped gate and the shipped rule for stopping.

What they said is known beforehand, so all that is asked of the shipped code is how many to ask
next. Its answer depends on who said the same as whom and on nothing else of an item, and there are
few such patterns: each is asked about once a team.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.answers.recorded import NO_ANSWER
from synapse.core.reasoning.aggregation import ALL_ON, Judgement, Vote
from synapse.core.reasoning.ballot import Ballot
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.stopping import enough_to_end, worth_asking


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known after some members have spoken, and how many are asked next."""

    asked: int
    more: int  # 0: asking ends here
    posterior: float
    leader: int  # the first member with the leading answer, or NO_ANSWER


@dataclass(slots=True)
class Asking:
    """One team in the order in which it is asked."""

    names: tuple[str, ...]
    judgement: Judgement
    gaining: bool = True  # False: only the posterior ends asking, and they are asked one by one
    _met: dict[tuple[int, ...], Standing] = field(default_factory=dict)

    def ends(self, groups: Sequence[int]) -> Standing:
        """Where asking ends when member m answers `groups[m]`."""
        standing = self._standing(())
        while standing.more:
            standing = self._standing(_pattern(groups[: standing.asked + standing.more]))
        return standing

    def _standing(self, said: tuple[int, ...]) -> Standing:
        if said not in self._met:
            self._met[said] = self._judge(said)
        return self._met[said]

    def _judge(self, said: tuple[int, ...]) -> Standing:
        spoke = [m for m, group in enumerate(said) if group != NO_ANSWER]
        votes = tuple(Vote(str(said[m]), self.names[m]) for m in spoke)
        ballot = Ballot((), votes, (), Kind.NUMBER, ())
        verdict = ballot.count(self.judgement)
        leader = spoke[verdict.leader] if verdict is not None else NO_ANSWER
        left = self.names[len(said) :]
        if self.gaining:
            ended = not worth_asking(ballot, verdict, left, self.judgement, ALL_ON)
        else:
            ended = verdict is not None and verdict.decided
        more = 0 if ended else min(1, len(left))
        if self.gaining and more:
            leading = str(said[leader]) if verdict is not None else "0"
            more = enough_to_end(ballot, left, self.judgement, leading=leading, mechanisms=ALL_ON)
        return Standing(len(said), more, verdict.posterior if verdict else 0.0, leader)


def _pattern(groups: Sequence[int]) -> tuple[int, ...]:
    """Who said the same as whom: answers numbered as they first appear."""
    numbers: dict[int, int] = {}
    return tuple(
        NO_ANSWER if group == NO_ANSWER else numbers.setdefault(group, len(numbers))
        for group in groups
    )
