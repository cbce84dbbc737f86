"""Who was right, as grades say: the fold of every grade record into monotone counts.

Subjects are served model families, never nodes: a thousand nodes on one model are one voter. A
grade counts once, in its observer's own slot, however often and in whatever order it arrives.
"""

from __future__ import annotations

from dataclasses import dataclass

from synapse.core.crdt.trust_counts import TrustCounts
from synapse.core.memory.record import GRADE, Record


@dataclass(frozen=True, slots=True)
class Grade:
    """One statement that a family's answer to some kind of task was right or wrong."""

    family: str
    task_kind: str
    right: bool
    source: str  # checker, user, later task


class Evidence:
    """All grades met so far."""

    def __init__(self) -> None:
        self.counts = TrustCounts()
        self._counted: set[bytes] = set()

    def absorb(self, record: Record) -> Grade | None:
        """Count a grade record; None when it is none, nonsense, or counted already."""
        fields = record.content()
        family, task_kind, right = (
            fields.get("family"),
            fields.get("task_kind"),
            fields.get("right"),
        )
        if (
            record.kind != GRADE
            or record.id in self._counted
            or not isinstance(family, str)
            or not isinstance(task_kind, str)
            or right not in (0, 1)
        ):
            return None
        self._counted.add(record.id)
        observer = record.header.operator.hex()
        self.counts.count((family, task_kind), observer=observer, right=bool(right))
        source = fields.get("source")
        return Grade(family, task_kind, bool(right), source if isinstance(source, str) else "")
