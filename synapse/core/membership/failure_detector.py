"""Which peers answer, judged from our own exchanges alone.

A peer that fails is tried again after a delay that doubles up to an hour. When more than a third
of the peers seem to fail at once it is probably this spore that is cut off (the local health of
Lifeguard, Dadgar et al., arXiv 1707.00788): then nobody is given up for it, and every peer is
tried again within half a minute, so that a laptop that was closed for the night is back at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FAILURES_MAX: Final = 3  # misses in a row before a peer counts as down
BACKOFF_MS: Final = 2_000
BACKOFF_MS_MAX: Final = 3_600_000
CUT_OFF_MS_MAX: Final = 30_000
SILENT_MS: Final = 60_000  # a spore nobody can dial is alive while it polls at least this often


class State(StrEnum):
    """What we believe of one peer."""

    ALIVE = "alive"
    SUSPECT = "suspect"  # missed once or twice
    DOWN = "down"


@dataclass(slots=True)
class Health:
    """What our own exchanges say of one peer."""

    heard_ms: int = 0  # the last message from it
    answered_ms: int = 0  # the last answer to a request of ours
    failures: int = 0  # in a row
    retry_ms: int = 0  # not dialled before

    @property
    def untried(self) -> bool:
        """Whether we know nothing of it, good or bad."""
        return not self.heard_ms and not self.failures

    def heard(self, *, now_ms: int) -> None:
        """It said something, to whomever's request."""
        self.heard_ms = now_ms
        self.failures = 0
        self.retry_ms = 0

    def failed(self, *, now_ms: int, cut_off: bool = False) -> None:
        """It did not answer; `cut_off` when that is probably our own fault."""
        self.failures += 1
        delay_ms = BACKOFF_MS << min(self.failures - 1, 16)
        self.retry_ms = now_ms + min(delay_ms, CUT_OFF_MS_MAX if cut_off else BACKOFF_MS_MAX)

    @property
    def answers(self) -> bool:
        """Whether our own requests reach it; one that cannot be dialled never shows that."""
        return self.answered_ms > 0 and self.failures < FAILURES_MAX

    def state(self, *, now_ms: int, dialable: bool) -> State:
        """Alive, suspect or down."""
        if self.failures >= FAILURES_MAX or not self.heard_ms:
            return State.DOWN
        if not dialable and now_ms - self.heard_ms > SILENT_MS:
            return State.DOWN
        return State.SUSPECT if self.failures else State.ALIVE
