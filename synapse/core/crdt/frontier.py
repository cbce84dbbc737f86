"""How far each writer's log is known: the highest sequence number below which nothing is missing.

For audit, health and the early sight of a writer that used one number twice. Replication does not
depend on it: gaps and forks are no obstacle to reconciling a set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crdt_merge import VectorClock


class Frontier:
    """Contiguous sequence numbers by log, and those held beyond the first gap."""

    def __init__(
        self,
        contiguous: Mapping[str, int] | None = None,
        ahead: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """An empty frontier, or what `contiguous` and `ahead` of another were."""
        self._contiguous = dict(contiguous or {})
        self._ahead = {log: set(numbers) for log, numbers in (ahead or {}).items()}

    def add(self, log: str, seq: int) -> bool:
        """Note that number `seq` (from 1) of `log` is held. False when it already was."""
        reached = self._contiguous.get(log, 0)
        ahead = self._ahead.get(log)
        if seq <= reached or (ahead is not None and seq in ahead):
            return False
        if seq != reached + 1:
            self._ahead.setdefault(log, set()).add(seq)
            return True
        if ahead is not None:
            while seq + 1 in ahead:
                seq += 1
                ahead.discard(seq)
            if not ahead:
                del self._ahead[log]
        self._contiguous[log] = seq
        return True

    def reached(self, log: str) -> int:
        """The highest number of `log` below which nothing is missing; 0 when it is unknown."""
        return self._contiguous.get(log, 0)

    def contiguous(self) -> dict[str, int]:
        """By log, what `reached` says; later changes leave it alone."""
        return dict(self._contiguous)

    def ahead(self) -> dict[str, list[int]]:
        """By log, the numbers beyond the first gap, sorted; later changes leave it alone."""
        return {log: sorted(numbers) for log, numbers in self._ahead.items()}

    def gaps(self) -> int:
        """How many logs have records beyond a missing one."""
        return len(self._ahead)

    def clock(self) -> VectorClock:
        """The frontier as a vector clock, to compare and merge with another spore's."""
        return VectorClock(self._contiguous)
