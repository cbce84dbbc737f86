"""A stretch of the log in memory: all of a `MemoryLog`, and what a `SqliteLog` has yet to write.

Positions are given out here, once, when a thing is staged. They grow by one with every record and
private memory, so one number orders both kinds of arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count, islice

from synapse.core.memory.memory import Memory, PrivateMemory, from_private, from_record
from synapse.core.memory.record import Record


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call of `stage` brought, each thing with its position; `last` is the newest."""

    records: tuple[tuple[int, Record], ...]
    private: tuple[tuple[int, PrivateMemory], ...]
    erased: tuple[bytes, ...]
    last: int


@dataclass(slots=True)
class Layer:
    """Everything that arrived after position `base`, up to `last`, in the order of arrival.

    It hides what lies beneath: `erased` are ids whose bodies are gone down there. The body of a
    thing in this layer is dropped here instead; a private memory without its text is None.
    """

    base: int
    last: int
    records: dict[bytes, tuple[int, Record]] = field(default_factory=dict)
    private: dict[bytes, tuple[int, PrivateMemory | None]] = field(default_factory=dict)
    erased: set[bytes] = field(default_factory=set)

    @classmethod
    def after(cls, position: int) -> Layer:
        """An empty layer over a log whose newest position is `position`."""
        return cls(base=position, last=position)

    def stage(
        self, records: Sequence[Record], private: Sequence[PrivateMemory], erased: Sequence[bytes]
    ) -> Batch:
        """Give these their positions and take them in."""
        positions = count(self.last + 1)
        batch = Batch(
            records=tuple((next(positions), record) for record in records),
            private=tuple((next(positions), memory) for memory in private),
            erased=tuple(erased),
            last=self.last + len(records) + len(private),
        )
        self.apply(batch)
        return batch

    def apply(self, batch: Batch) -> None:
        """Take in what has its positions already. An id that is here stays as it is."""
        for position, record in batch.records:
            self.records.setdefault(record.id, (position, record))
        for position, memory in batch.private:
            self.private.setdefault(memory.id, (position, memory))
        for erased in batch.erased:
            self._erase(erased)
        self.last = batch.last

    def _erase(self, erased: bytes) -> None:
        if erased in self.records:
            position, record = self.records[erased]
            self.records[erased] = (position, record.without_body())
        elif erased in self.private:
            self.private[erased] = (self.private[erased][0], None)
        else:
            self.erased.add(erased)

    def copy(self) -> Layer:
        """A layer that later changes to this one leave alone."""
        return Layer(
            base=self.base,
            last=self.last,
            records=self.records.copy(),
            private=self.private.copy(),
            erased=self.erased.copy(),
        )

    def __contains__(self, some_id: bytes) -> bool:
        """Whether this layer knows better than what lies beneath."""
        return some_id in self.records or some_id in self.private or some_id in self.erased

    def memory(self, memory_id: bytes) -> Memory | None:
        """The memory with this id, if it is in this layer and has its text."""
        if memory_id in self.records:
            return from_record(self.records[memory_id][1])
        _, private = self.private.get(memory_id, (0, None))
        return from_private(private) if private else None

    def latest(
        self, kind: str, *, limit: int, before: int | None = None
    ) -> list[tuple[int, Record]]:
        """The newest records of one kind below the position `before`, newest first."""
        newest = (
            (position, record)
            for position, record in reversed(self.records.values())
            if record.kind == kind and (before is None or position < before)
        )
        return list(islice(newest, limit))

    def memories(self, *, after: int = 0) -> list[tuple[int, Memory]]:
        """Every memory past a position that is in this layer with its text, each with its own
        position, in the order of arrival."""
        found = [
            (position, from_record(record, position=position))
            for position, record in self.records.values()
        ]
        found += [
            (position, from_private(memory, position=position))
            for position, memory in self.private.values()
            if memory
        ]
        found.sort(key=lambda placed: placed[0])
        return [(position, memory) for position, memory in found if memory and position > after]


def a_page(
    placed: list[tuple[int, Memory]], *, limit: int, last: int, up_to: int | None
) -> tuple[list[Memory], int]:
    """The first `limit` memories up to a position, and how far they reach: to `last`, or to that
    position, when none is left over."""
    if up_to is not None:
        placed = [one for one in placed if one[0] <= up_to]
        last = min(last, up_to)
    page = placed[:limit]
    return [memory for _, memory in page], last if len(page) == len(placed) else page[-1][0]
