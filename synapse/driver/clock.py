"""The real clock, made fit for the core: it never runs backwards."""

from __future__ import annotations

import time


class MonotonicClock:
    """Milliseconds since 1970: the wall clock at the start, and what has elapsed since.

    A wall clock that is set while we run does not move it. It is read again at the next start.
    """

    def __init__(self) -> None:
        self._start_ms = time.time_ns() // 1_000_000
        self._start_ns = time.monotonic_ns()

    def now_ms(self) -> int:
        """The time."""
        return self._start_ms + (time.monotonic_ns() - self._start_ns) // 1_000_000
