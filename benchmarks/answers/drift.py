"""Is trust that fades worth having when members change behind their names?

Months pass. In each, every member is swapped with some chance for another recorded model, under the
name it had, as when a provider replaces what it serves and says nothing. The questions of a month
are answered by what the grades of earlier months teach, and then graded. Nothing of the shipped
decay is replaced: with a half-life of 90 days the grades carry the months they were made in; of 30
days, months three times as long; off, the present month.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import twin
from benchmarks.answers.recorded import NO_ANSWER, Recorded
from benchmarks.answers.statistics import Estimate, paired_bootstrap
from benchmarks.answers.teaching import NOW_MS, Teacher
from synapse.core.crdt.trust_counts import BUCKET_MS

DRIFTS: Final = (0.0, 0.05, 0.30)  # chance that a member is swapped, by month
MONTHS: Final = 24
ITEMS_A_MONTH: Final = 25  # at most: MATH-5 has 721 in all
HALF_LIVES: Final = {"90 days": 1, "30 days": 3, "off": 0}  # how many months a month counts as
SHIPPED: Final = "90 days"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Members(Protocol):
    """The team that a stream begins with."""

    @property
    def members(self) -> Ints:
        """Models."""

    @property
    def names(self) -> tuple[str, ...]:
        """What each is voted for as."""


class Drift:
    """The experiment on one set of recorded answers."""

    def __init__(self, data: Recorded, teams: Sequence[Members], *, seed: int) -> None:
        """A stream of months for each team."""
        self.data = data
        self.teams = teams
        self.seed = seed

    def figures(self, rate: float) -> Iterator[tuple[str, Estimate, bool]]:
        """Accuracy and differences in points; whether a hypothesis is tested."""
        cells = {
            half_life: np.full((len(self.teams), self.data.items), np.nan)
            for half_life in HALF_LIVES
        }
        for row, team in enumerate(self.teams):
            rng = np.random.default_rng((self.seed, row, round(1_000 * rate)))
            months = self._months(rng)
            served = self._served(team.members, rate, rng)
            for half_life, stretch in HALF_LIVES.items():
                hits = self._stream(team.names, months, served, stretch)
                for items, hit in zip(months[1:], hits, strict=True):
                    cells[half_life][row, items] = hit
        drift = f"{rate:.0%} of members swapped a month"
        off = cells["off"]
        yield f"{drift}: the count", self._estimate(cells[SHIPPED]), False
        yield (
            f"ablation: decoherence of trust on - off, {drift}",
            self._estimate(cells[SHIPPED] - off),
            True,
        )
        yield f"{drift}: half-life of 30 days - off", self._estimate(cells["30 days"] - off), False

    def _estimate(self, cells: Floats) -> Estimate:
        return paired_bootstrap(100 * cells, seed=self.seed)

    def _months(self, rng: np.random.Generator) -> list[Ints]:
        """The items of each month."""
        number = min(ITEMS_A_MONTH, self.data.items // MONTHS)
        order = rng.permutation(self.data.items)
        return [order[month * number : (month + 1) * number] for month in range(MONTHS)]

    def _served(self, members: Ints, rate: float, rng: np.random.Generator) -> list[Ints]:
        """Which models stand behind the names in each month."""
        served = [np.array(members)]
        for _ in range(1, MONTHS):
            now = served[-1].copy()
            for place in np.flatnonzero(rng.random(len(now)) < rate):
                others = np.setdiff1d(np.arange(len(self.data.models)), now)
                now[place] = rng.choice(others)
            served.append(now)
        return served

    def _stream(
        self, names: tuple[str, ...], months: list[Ints], served: list[Ints], stretch: int
    ) -> Iterator[Floats]:
        """Whether the count is right on the items of every month but the first."""
        teacher = Teacher()
        beliefs, began = teacher.beliefs(), NOW_MS // BUCKET_MS
        for month, (items, models) in enumerate(zip(months, served, strict=True)):
            at_ms = (began + month * stretch) * BUCKET_MS
            if month:
                judgement = beliefs.judgement(self.data.kind, now_ms=at_ms)
                weights = np.array([judgement.weight(name) for name in names])
                shares = twin.spread(self.data.groups[models][:, items])
                lead = twin.leaders(
                    twin.scores(shares, weights, twin.correlations(judgement, names))
                )
                hit = self.data.right[models[np.maximum(lead, 0)], items]
                yield np.where(lead != NO_ANSWER, hit, False).astype(float)
            self._grade(teacher, names, models, items, at_ms)

    def _grade(
        self, teacher: Teacher, names: tuple[str, ...], models: Ints, items: Ints, at_ms: int
    ) -> None:
        for item in items.tolist():
            for name, model in zip(names, models.tolist(), strict=True):
                if self.data.groups[model, item] != NO_ANSWER:
                    teacher.grade(
                        family=name,
                        item=item,
                        right=bool(self.data.right[model, item]),
                        kind=self.data.kind.value,
                        answer=self.data.digests[model, item],
                        at_ms=at_ms,
                    )
