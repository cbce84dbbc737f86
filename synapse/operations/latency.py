"""How long things took: counts in buckets, as Prometheus' histograms have them."""

from __future__ import annotations

import functools
import time
from bisect import bisect_left
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

# Seconds. No source but what is of interest: a recall takes one to ten milliseconds, a commit to
# the disk one to fifty, a task up to a minute and, at most, an hour.
QUICK_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SLOW_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0)


class Histogram:
    """How many observations were at most so large."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds` rise; what is above the last is counted too."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # each bound's own, not those below it
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)


class Timed(Protocol):
    """What has verbs that are timed."""

    latency: dict[str, Histogram]


Self = TypeVar("Self", bound=Timed)
Asked = ParamSpec("Asked")
Reply = TypeVar("Reply")
Verb = Callable[Concatenate[Self, Asked], Coroutine[Any, Any, Reply]]


def timed(verb: Verb[Self, Asked, Reply]) -> Verb[Self, Asked, Reply]:
    """A verb whose successes are timed, under its name. What it refuses is over at once, and would
    make it look fast."""
    name = getattr(verb, "__name__", "verb")

    @functools.wraps(verb)
    async def measured(self: Self, /, *asked: Asked.args, **named: Asked.kwargs) -> Reply:
        began = time.perf_counter()
        reply = await verb(self, *asked, **named)
        self.latency.setdefault(name, Histogram(QUICK_S)).observe(time.perf_counter() - began)
        return reply

    return measured
