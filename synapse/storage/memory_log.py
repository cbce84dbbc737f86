"""The log without a disk, for tests and simulated spores: what is staged can be lost in a crash."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

from synapse.core.memory.memory import Memory, PrivateMemory
from synapse.core.memory.record import Record
from synapse.storage.layer import Batch, Layer, a_page


class MemoryLog:
    """A `RecordLog` whose "disk" is a second copy of everything, brought up to date by `commit`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # over the three below
        self._seen = Layer.after(0)
        self._durable = Layer.after(0)
        self._staged: list[Batch] = []

    def stage(
        self,
        records: Sequence[Record],
        *,
        private: Sequence[PrivateMemory] = (),
        erased: Sequence[bytes] = (),
    ) -> None:
        """Take in records whose ids are not in the log yet."""
        with self._lock:
            self._staged.append(self._seen.stage(records, private, erased))

    def commit(self) -> None:
        """Make everything staged survive a crash."""
        with self._lock:
            for batch in self._staged:
                self._durable.apply(batch)
            self._staged.clear()

    def crash(self) -> None:
        """Forget what was staged and not committed, as a power cut would."""
        with self._lock:
            self._staged.clear()
            self._seen = self._durable.copy()

    def read(self, ids: Sequence[bytes]) -> list[Record]:
        """The records with these ids, in this order; unknown ones are left out."""
        with self._lock:
            known = self._seen.records
            return [known[wanted][1] for wanted in ids if wanted in known]

    def scan(self, *, bodies_of: Iterable[str] | None = None, after: int = 0) -> Iterator[Record]:
        """Every record past a position, in the order of arrival. With `bodies_of`, only these
        kinds keep bodies."""
        kinds = None if bodies_of is None else frozenset(bodies_of)
        with self._lock:
            placed = list(self._seen.records.values())
        for position, record in placed:
            if position > after:
                yield record if kinds is None or record.kind in kinds else record.without_body()

    def latest(
        self, kind: str, *, limit: int, before: int | None = None
    ) -> list[tuple[int, Record]]:
        """The newest arrivals of one kind, newest first, each with its position in the log."""
        with self._lock:
            return self._seen.latest(kind, limit=limit, before=before)

    def memories(self) -> Iterator[Memory]:
        """Every memory that has a body, shared and private, in the order of arrival."""
        with self._lock:
            return iter([memory for _, memory in self._seen.memories()])

    def memories_after(
        self, after: int, *, limit: int, up_to: int | None = None
    ) -> tuple[list[Memory], int]:
        """The memories past a position, at most so many, and the position that they reach."""
        with self._lock:
            memories = self._seen.memories(after=after)
            return a_page(memories, limit=limit, last=self._seen.last, up_to=up_to)

    @property
    def last_position(self) -> int:
        """Of the newest thing staged."""
        with self._lock:
            return self._seen.last

    def memory(self, memory_id: bytes) -> Memory | None:
        """One memory, shared or private."""
        with self._lock:
            return self._seen.memory(memory_id)

    def memories_with(self, ids: Mapping[bytes, int]) -> dict[bytes, Memory]:
        """The memories with these ids, shared and private."""
        with self._lock:
            found = {wanted: self._seen.memory(wanted) for wanted in ids}
        return {wanted: memory for wanted, memory in found.items() if memory is not None}

    def counts(self) -> tuple[int, int]:
        """How many records, and how many private memories, erased ones included."""
        with self._lock:
            return len(self._seen.records), len(self._seen.private)

    @property
    def damaged(self) -> int:
        """How many rows the disk lost: there is no disk."""
        return 0

    def close(self) -> None:
        """Commit. There are no files to let go of."""
        self.commit()
