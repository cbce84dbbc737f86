"""The quantum-inspired mechanisms: each a term of the machine, with a switch and a unit.

The words are a metaphor; the formulas are classical. What each is worth is measured, with it on
and off, in `docs/evidence.md`. Here all are on; what the configuration leaves out follows that.

| word          | formula                                                       | unit        |
|---------------|---------------------------------------------------------------|-------------|
| annealing     | T_c = cold + (hot - cold)(1 + cos(pi c/(C - 1)))/2             | temperature |
| superposition | a position splits its vote over up to three answers           | probability |
| interference  | failed checks and refutations subtract from an answer's score | nats        |
| tunnelling    | one challenge that bars the leader; it wins on checks only     | events/task |
| entanglement  | correlated errors discount joint support                       | -1 to 1     |
| decoherence   | relevance halves every so many days since last verified use    | 1/day       |
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from synapse.core.reasoning.aggregation import Mechanisms
from synapse.core.reasoning.schedule import Annealing


@dataclass(frozen=True, slots=True)
class Quantum:
    """Which mechanisms are on."""

    annealing: bool = True
    superposition: bool = True
    interference: bool = True
    tunnelling: bool = True
    entanglement: bool = True
    decoherence: bool = True
    half_life_days: float = 90.0  # of a memory's relevance; as long as a grade's
    schedule: Annealing = field(default_factory=Annealing)

    @property
    def count(self) -> Mechanisms:
        """The switches that the count looks at."""
        return Mechanisms(
            superposition=self.superposition,
            interference=self.interference,
            entanglement=self.entanglement,
        )

    @property
    def decay_per_day(self) -> float:
        """Lambda of exp(-lambda age), in 1/day; 0 when nothing fades."""
        return math.log(2) / self.half_life_days if self.decoherence else 0.0

    def temperature(self, cycle: int, *, cycles: int, challenge: bool = False) -> float:
        """The sampling temperature of a call; a challenge searches as hot as the start."""
        if challenge:
            return self.schedule.hottest
        if not self.annealing:
            return self.schedule.coldest
        return self.schedule.temperature(cycle, cycles=cycles)


DEFAULTS: Final = Quantum()
