"""When idle work is due: four bands, from minutes to a day, and a budget kept by their spacing.

Two calls of one work are never closer than its interval, which is no shorter than its share of a
day, and the first comes a whole interval after the start. So the budget of a day holds whatever
restarts there are, and nothing about it has to be remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from synapse.core.reasoning.cooling import DAY_MS, HOUR_MS, MINUTE_MS

# The intervals have no source but the pace of what they look at; they are far below what costs.
FAST_MS: Final = 30 * MINUTE_MS  # people write some memories an hour: more often there is no news
MEDIUM_MS: Final = 2 * HOUR_MS  # a subject gathers its three memories more slowly than that
SLOW_MS: Final = 6 * HOUR_MS  # grades come when people look at answers: a few times a day
QUIET_MS: Final = 10 * MINUTE_MS  # after a start: views are filled and peers are met by then
LOOK_AGAIN_MS: Final = MINUTE_MS  # when a task was in the way: as long as tasks take by default
JITTER: Final = (
    0.2  # of an interval, later and never sooner, so that a swarm does not think at once
)


class Work(StrEnum):
    """What an idle spore does."""

    EXPLORING = "exploring"  # what is new, and what is worth checking about it
    CONSOLIDATING = "consolidating"  # many memories of one subject, brought together
    REVIEWING = "reviewing"  # own answers, in the light of tools and grades that came later
    ANNOUNCING = "announcing"  # the most novel finding of a day, to everybody


@dataclass(frozen=True, slots=True)
class Band:
    """How often one work is done."""

    name: str
    work: Work
    interval_ms: int
    asks: bool  # whether it asks a model


BANDS: Final = (
    Band("fast", Work.EXPLORING, FAST_MS, asks=True),
    Band("medium", Work.CONSOLIDATING, MEDIUM_MS, asks=True),
    Band("slow", Work.REVIEWING, SLOW_MS, asks=False),
    Band("daily", Work.ANNOUNCING, DAY_MS, asks=False),
)


@dataclass(frozen=True, slots=True)
class IdleSettings:
    """What an operator decides about idle cognition. `spared` names targets that are not asked:
    those that think about one thing at a time, where a task would wait behind idle work."""

    calls_per_day: int = 0  # 0: all of it is off
    spared: tuple[str, ...] = ()


OFF: Final = IdleSettings()


def interval_ms(band: Band, calls_per_day: int) -> int | None:
    """The shortest time between two runs; None when the budget leaves none.

    Summaries help to answer, thoughts only may: consolidation has the larger half of the calls.
    """
    if not band.asks:
        return band.interval_ms
    share = calls_per_day // 2
    if band.work is Work.CONSOLIDATING:
        share = calls_per_day - share
    return max(band.interval_ms, -(-DAY_MS // share)) if share else None


class Timetable:
    """When each work is due next."""

    def __init__(self, calls_per_day: int, rng: Random) -> None:
        self._rng = rng
        self.intervals_ms: dict[Work, int] = {}
        for band in BANDS:
            interval = interval_ms(band, calls_per_day)
            if interval is not None:
                self.intervals_ms[band.work] = interval
        self.due_ms: dict[Work, int] = {}

    def start(self, now_ms: int) -> None:
        """Begin: what asks models waits for a whole interval, the rest for things to settle."""
        for band in BANDS:
            if band.work in self.intervals_ms:
                wait_ms = self.intervals_ms[band.work] if band.asks else QUIET_MS
                self.due_ms[band.work] = now_ms + self._late(wait_ms)

    def due(self, now_ms: int) -> Work | None:
        """The work that has been due for longest."""
        work = min(self.due_ms, key=lambda one: self.due_ms[one], default=None)
        return work if work is not None and self.due_ms[work] <= now_ms else None

    def done(self, work: Work, *, spent: bool, now_ms: int) -> None:
        """It was this work's turn. What `spent` no call of its share is tried again sooner."""
        wait_ms = self.intervals_ms[work]
        self.due_ms[work] = now_ms + self._late(wait_ms if spent else min(wait_ms, FAST_MS))

    def next_ms(self, now_ms: int) -> int:
        """How long until something is due."""
        return max(1, min(self.due_ms.values()) - now_ms)

    def look_again_ms(self) -> int:
        """How long to leave the floor to tasks."""
        return self._late(LOOK_AGAIN_MS)

    def _late(self, wait_ms: int) -> int:
        return wait_ms + self._rng.randrange(int(wait_ms * JITTER) + 1)
