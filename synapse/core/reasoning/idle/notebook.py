"""What idle work knows of the records there are: ids only, of the newest, a bounded number of each.

Bodies are read from the log when they are needed, so what its author took back is never used. A
notebook that has forgotten something costs a repetition, never a wrong record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from synapse.core.memory.record import GRADE, MEMORY, Record

THOUGHT: Final = "thought"  # a record kind: a raw idea, kept in the log and never recalled
SPOTLIGHT: Final = "spotlight"  # a record kind: names the finding its author thinks worth seeing

RECENT_MAX: Final = 256  # memories; several times what one step looks at
MARKED_MAX: Final = 4_096  # ids of memories that were explored or summarised; 40 bytes each
DERIVED_MAX: Final = 512  # own records that repeat what others say
GRADED_MAX: Final = 256  # tasks; comparing the wording of one with these takes some milliseconds
THOUGHTS_MAX: Final = 64  # that people can look at
OPERATORS_MAX: Final = 64  # whose spotlight is remembered


@dataclass(frozen=True, slots=True)
class Spotlight:
    """An operator's finding of the day, by its own account."""

    id: bytes
    operator: bytes
    author: bytes
    finding: bytes
    at_ms: int


class Notebook:
    """The newest of what idle work may look at. `key` is this spore's."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._recent: dict[bytes, int] = {}  # when it was written
        self.thoughts: dict[bytes, None] = {}
        self.explored: dict[bytes, None] = {}  # memories that somebody has had a thought about
        self.summarised: dict[bytes, None] = {}  # memories that a memory cites
        self.tried: dict[bytes, None] = {}  # memories of which a summary was asked for
        self.derived: dict[bytes, tuple[bytes, ...]] = {}  # own: what they were made from
        self.graded: dict[bytes, None] = {}  # tasks
        self.spotlights: dict[bytes, Spotlight] = {}  # by operator

    def absorb(self, record: Record, *, believed: bool) -> None:
        """Note one record; `believed` says whether its operator's grades count as ours."""
        header = record.header
        own = header.writer == self._key
        if record.kind == MEMORY:
            self._note_recent(record)
        elif record.kind == THOUGHT:
            _keep(self.thoughts, record.id, THOUGHTS_MAX)
        elif record.kind == GRADE and believed and header.refs:
            self.note_graded(header.refs[0])
        elif record.kind == SPOTLIGHT:
            self._note_spotlight(record)
        if record.kind in (MEMORY, THOUGHT):
            marked = self.summarised if record.kind == MEMORY else self.explored
            for ref in header.refs:
                _keep(marked, ref, MARKED_MAX)
            if own and header.refs:
                self.derived[record.id] = header.refs
                if len(self.derived) > DERIVED_MAX:
                    del self.derived[next(iter(self.derived))]

    def recent(self, limit: int) -> list[bytes]:
        """The newest memories, newest first."""
        newest = sorted(self._recent, key=lambda one: (-self._recent[one], one))
        return newest[:limit]

    @property
    def memories(self) -> int:
        """How many it has the ids of."""
        return len(self._recent)

    def note_graded(self, task_id: bytes) -> None:
        """Somebody whose word counts as ours has graded an answer to this task."""
        _keep(self.graded, task_id, GRADED_MAX)

    def mark(self, kept: dict[bytes, None], ids: Sequence[bytes]) -> None:
        """Note in `explored` or `tried` that these had their turn."""
        for one in ids:
            _keep(kept, one, MARKED_MAX)

    def spotlight_of(self, operator: bytes) -> Spotlight | None:
        """The newest spotlight of an operator."""
        return self.spotlights.get(operator)

    def _note_recent(self, record: Record) -> None:
        self._recent[record.id] = record.header.hlc.ms
        if len(self._recent) > 2 * RECENT_MAX:  # sorting is done once for so many
            kept = self.recent(RECENT_MAX)
            self._recent = {one: self._recent[one] for one in reversed(kept)}

    def _note_spotlight(self, record: Record) -> None:
        header = record.header
        if len(header.refs) != 1:
            return
        told = Spotlight(
            record.id, header.operator, header.writer, header.refs[0], at_ms=header.hlc.ms
        )
        known = self.spotlights.get(header.operator)
        if known is None or (known.at_ms, known.id) < (told.at_ms, told.id):
            self.spotlights.pop(header.operator, None)
            self.spotlights[header.operator] = told
        if len(self.spotlights) > OPERATORS_MAX:
            oldest = min(self.spotlights.values(), key=lambda one: (one.at_ms, one.id))
            del self.spotlights[oldest.operator]


def _keep(kept: dict[bytes, None], one: bytes, most: int) -> None:
    """Keep the newest `most`."""
    kept.pop(one, None)
    kept[one] = None
    if len(kept) > most:
        del kept[next(iter(kept))]
