"""Hybrid logical clock: physical time that never runs backwards and respects causality.

Kulkarni et al., "Logical Physical Clocks" (2014). The wall clock is an argument. Other spores may
pull ours ahead by at most a minute, so that one liar cannot drag the swarm into the future.
"""

from __future__ import annotations

from dataclasses import dataclass

FOLLOW_MS_MAX = 60_000  # how far another spore's clock may pull ours ahead of the wall
COUNT_MAX = 0xFFFF  # the count is 16 bits on the wire; past it the clock borrows a millisecond
MS_MAX = (1 << 48) - 1  # 48 bits of milliseconds reach the year 10889


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point of hybrid logical time: milliseconds since 1970 and a count within them."""

    ms: int
    count: int


class HybridClock:
    """One spore's clock. Each `tick` is later than every tick and observation before it."""

    def __init__(self, latest: Timestamp = Timestamp(0, 0)) -> None:
        self._latest = latest

    def tick(self, *, now_ms: int) -> Timestamp:
        """The timestamp of a new local record."""
        if now_ms > self._latest.ms:
            self._latest = Timestamp(now_ms, 0)
        elif self._latest.count < COUNT_MAX:
            self._latest = Timestamp(self._latest.ms, self._latest.count + 1)
        else:
            self._latest = Timestamp(self._latest.ms + 1, 0)
        return self._latest

    def observe(self, remote: Timestamp, *, now_ms: int) -> None:
        """Follow a timestamp seen on another spore's record, at most a minute past the wall."""
        if remote.ms <= now_ms + FOLLOW_MS_MAX:
            self._latest = max(self._latest, remote)

    def restore(self, own: Timestamp) -> None:
        """Go on from a timestamp of our own, whatever the wall clock says now."""
        self._latest = max(self._latest, own)
