"""Virtual time: a heap of things to do. Nothing waits; time jumps to whatever is due next."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[], None]


class VirtualClock:
    """Milliseconds since the start of the simulation."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._heap: list[tuple[int, int, Action]] = []
        self._numbers = count()  # of two things due at once, the one asked for first comes first

    def after(self, delay_ms: int, action: Action) -> None:
        """Do this `delay_ms` from now."""
        heapq.heappush(self._heap, (self.now_ms + delay_ms, next(self._numbers), action))

    def run(self, until_ms: int) -> None:
        """Do everything that is due up to `until_ms`, which becomes the time."""
        while self._heap and self._heap[0][0] <= until_ms:
            self.now_ms, _, action = heapq.heappop(self._heap)
            action()
        self.now_ms = until_ms

    def __len__(self) -> int:
        """How many things are still to be done."""
        return len(self._heap)
