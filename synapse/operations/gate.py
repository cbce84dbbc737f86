"""The Knowledge Wall at the door: what it let through and stopped since the start."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from synapse.core.errors import Refused
from synapse.core.text import SharedText
from synapse.core.wall.release import Wall
from synapse.replies import AuditEntry, WallCounts

AUDIT_KEPT: Final = 10


class Gate:
    """Releases what users share, and remembers how often it refused; never the text."""

    def __init__(self, wall: Wall, *, owner: str, clock: Callable[[], int]) -> None:
        """`owner` is the spore's public key in hexadecimal; `clock` gives milliseconds."""
        self.wall = wall
        self.audit: deque[AuditEntry] = deque(maxlen=AUDIT_KEPT)
        self._owner = owner
        self._clock = clock
        self._crossings = 0
        self._blocks = 0

    def released(self, text: str, *, bytes_max: int, name: str = "text") -> SharedText:
        """`text` as what may be shared. Raises TextError, Refused (`credential`)."""
        try:
            released = self.wall.release(text, bytes_max=bytes_max, name=name)
        except Refused as refusal:
            self._blocks += 1
            self.audit.append(
                AuditEntry(
                    timestamp=self._clock() / 1_000,
                    action="BLOCKED",
                    provenance=self._owner,
                    reason=refusal.reason,
                )
            )
            raise
        self._crossings += 1
        return released

    def counts(self) -> WallCounts:
        """What crossed and what was stopped."""
        judged = self._crossings + self._blocks
        return WallCounts(
            commander_id=self._owner,
            crossings=self._crossings,
            blocks=self._blocks,
            audit_entries=len(self.audit),
            conflict_classes=0,
            block_rate=self._blocks / judged if judged else 0.0,
        )
