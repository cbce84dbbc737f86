"""Simulated annealing's idea in one formula: answers spread early and repeat late.

Kirkpatrick, Gelatt, Vecchi (1983); the cosine shape is Loshchilov and Hutter's (2017). It runs
over the cycles of one task, not over wall-clock time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Annealing:
    """The sampling temperature of each cycle of a task."""

    hottest: float = 1.0
    coldest: float = 0.3

    def temperature(self, cycle: int, *, cycles: int) -> float:
        """Hottest at cycle 0, cosine down to coldest at the last; a lone cycle is in between."""
        if cycles <= 1:
            return (self.hottest + self.coldest) / 2
        progress = min(cycle, cycles - 1) / (cycles - 1)
        return self.coldest + (self.hottest - self.coldest) * (1 + math.cos(math.pi * progress)) / 2
