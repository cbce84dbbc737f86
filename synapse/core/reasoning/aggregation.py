"""From weighted positions to a posterior over answers: collapse is code, not a model.

    S(k) = sum over families v for k of  w_v / (1 + sum over other families u for k of rho)
    P(k) = exp(S_k / tau) / (1 + sum_j exp(S_j / tau))        the 1 is "none of these"

A family votes once, however many spores serve it, and splits its vote when they disagree. Families
err together, so each further
supporter adds less. Sources and measurements: `docs/evidence.md`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from synapse.core.reasoning.canonical import grouped
from synapse.core.reasoning.model_routing import EXTRACTIVE

ERROR_CORRELATION: Final = 0.35  # between families, before any grades; measured 0.33 to 0.43
TEMPERATURE: Final = 2.5  # of the posterior; fitted on replayed teams, where it was 2 to 3
DECIDED: Final = 0.8  # posterior at which asking more is not worth a call
WEAK_MAX: Final = 0.8  # prose that nobody checked is never surer than this
DISSENT_MIN: Final = 0.05


@dataclass(frozen=True, slots=True)
class Vote:
    """One position as the count sees it."""

    answer: str
    family: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a count. Indices point into the votes that were counted."""

    leader: int
    posterior: float
    weak: bool
    shares: tuple[tuple[int, float], ...]  # (first vote of the group, posterior), best first
    members: Mapping[int, tuple[int, ...]]  # first vote of a group: every vote in it
    families: int

    @property
    def supporters(self) -> tuple[int, ...]:
        """The votes for the leading answer."""
        return self.members[self.leader]

    @property
    def decided(self) -> bool:
        """Whether asking more is not worth it."""
        return self.posterior >= DECIDED


def count(votes: Sequence[Vote], weight: Callable[[str], float]) -> Verdict:
    """Count votes; `weight` gives a family's vote in nats. There is at least one vote.

    Quoting is not reasoning: extracts count only while no model has spoken.
    """
    spoken = [i for i, vote in enumerate(votes) if vote.family != EXTRACTIVE] or list(
        range(len(votes))
    )
    assert spoken, "there is nothing to count"
    grouping = grouped([votes[i].answer for i in spoken])
    members: dict[int, list[int]] = {}
    for index, group in zip(spoken, grouping.groups, strict=True):
        members.setdefault(spoken[group], []).append(index)
    families = {group: {votes[i].family for i in each} for group, each in members.items()}
    answers = Counter(family for group in families.values() for family in group)
    scores = {
        group: _score(voting, lambda family: weight(family) / answers[family])
        for group, voting in families.items()
    }
    total = 1 + sum(math.exp(score / TEMPERATURE) for score in scores.values())
    shares = sorted(
        ((group, math.exp(score / TEMPERATURE) / total) for group, score in scores.items()),
        key=lambda share: (-share[1], share[0]),
    )
    leader, posterior = shares[0]
    return Verdict(
        leader=leader,
        posterior=min(posterior, WEAK_MAX) if grouping.weak else posterior,
        weak=grouping.weak,
        shares=tuple(shares),
        members={group: tuple(indices) for group, indices in members.items()},
        families=len(answers),
    )


def _score(families: set[str], weight: Callable[[str], float]) -> float:
    discount = 1 + ERROR_CORRELATION * (len(families) - 1)
    return sum(weight(family) for family in sorted(families)) / discount
