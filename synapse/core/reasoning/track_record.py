"""How one target has done: counts for ever, and averages of lately that decide who is asked first.

An average goes back to where it began while nothing is added, so that a model which had a bad hour
is met again with an open mind, and the operator's order holds.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

LEARNING_RATE: Final = 0.2  # of the averages: about the last five calls; no source
FADES_MS: Final = 600_000  # half of what we know of a model is stale by then; no source
LATENCY_MS: Final = 4_000  # of a model not met yet: a guess, so that fast ones stay in front
UNWELL: Final = ("overloaded", "slow", "unreachable", "bad_reply")  # what counts against a model


@dataclass(slots=True)
class Average:
    """Exponentially weighted, and fading to `prior`."""

    prior: float
    _value: float = 0.0
    _at_ms: int | None = None

    def at(self, now_ms: int) -> float:
        """What to expect now."""
        if self._at_ms is None:
            return self.prior
        weight = math.pow(0.5, max(0, now_ms - self._at_ms) / FADES_MS)
        return self.prior + (self._value - self.prior) * weight

    def add(self, sample: float, *, now_ms: int) -> None:
        """One more observation."""
        before = self.at(now_ms)
        self._value, self._at_ms = before + LEARNING_RATE * (sample - before), now_ms


@dataclass(slots=True)
class TrackRecord:
    """What one target has done. `success` is 0 to 1."""

    calls: int = 0
    replies: int = 0
    failures: Counter[str] = field(default_factory=Counter)  # by class
    last_failure: str = ""  # since the last reply
    success: Average = field(default_factory=lambda: Average(1.0))
    latency_ms: Average = field(default_factory=lambda: Average(LATENCY_MS))
    tokens_in: int = 0
    tokens_out: int = 0

    def replied(self, *, now_ms: int, took_ms: int, tokens_in: int, tokens_out: int) -> None:
        """It answered; `took_ms` 0 is not known."""
        self.replies += 1
        self.last_failure = ""
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out
        self.success.add(1.0, now_ms=now_ms)
        if took_ms > 0:
            self.latency_ms.add(took_ms, now_ms=now_ms)

    def failed(self, failure: str, *, now_ms: int, took_ms: int) -> None:
        """It did not. A spent quota is not its fault, and a refusal is not a fault."""
        self.failures[failure] += 1
        self.last_failure = failure
        if failure in UNWELL:
            self.success.add(0.0, now_ms=now_ms)
        if failure == "slow" and took_ms > 0:
            self.latency_ms.add(took_ms, now_ms=now_ms)

    def rank(self, now_ms: int) -> tuple[int, int]:
        """Sorts the best first. Coarse, so that the operator's order outlives small differences:
        success in halves, latency in doublings of a second."""
        latency_s = int(self.latency_ms.at(now_ms)) // 1_000
        return -round(2 * self.success.at(now_ms)), latency_s.bit_length()
