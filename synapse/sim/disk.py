"""A disk that tells the truth and no more: what was not synced is gone after a crash."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from synapse.core.effects import Persist
from synapse.core.memory.memory import Memory, PrivateMemory, from_record
from synapse.core.memory.record import MEMORY, Record
from synapse.core.text import words


class Disk:
    """An append-only log of `Persist`s. Reads see what is staged; a crash leaves what is synced."""

    def __init__(self) -> None:
        self._log: list[Persist] = []
        self._synced = 0
        self._records: dict[bytes, Record] = {}
        self._private: dict[bytes, PrivateMemory] = {}

    def __contains__(self, record_id: bytes) -> bool:
        return record_id in self._records

    def __len__(self) -> int:
        return len(self._records)

    def stage(self, entry: Persist) -> None:
        """Take this in; it is safe after the next `sync`."""
        self._log.append(entry)
        self._apply(entry)

    def sync(self) -> None:
        """Make everything staged durable."""
        self._synced = len(self._log)

    def crash(self) -> None:
        """Lose what was staged since the last `sync`."""
        del self._log[self._synced :]
        self._records, self._private = {}, {}
        for entry in self._log:
            self._apply(entry)

    def read(self, ids: Sequence[bytes]) -> list[Record]:
        """The records with these ids, in this order; unknown ones are left out."""
        return [self._records[one] for one in ids if one in self._records]

    def records(self) -> Collection[Record]:
        """Every record in the order of arrival."""
        return self._records.values()

    def private(self) -> Collection[PrivateMemory]:
        """Every private memory."""
        return self._private.values()

    def restored(self) -> tuple[Record, ...]:
        """What a node is given when it starts: as the real log does, without memories' bodies."""
        return tuple(
            record.without_body() if record.kind == MEMORY else record
            for record in self._records.values()
        )

    def search(self, query: str, limit: int) -> list[Memory]:
        """Shared memories that have words in common with `query`, the most first."""
        wanted = set(words(query))
        found = [
            (-len(wanted.intersection(words(memory.text))), memory.id, memory)
            for memory in self._memories()
        ]
        return [memory for overlap, _, memory in sorted(found)[:limit] if overlap]

    def _memories(self) -> Iterator[Memory]:
        return filter(None, map(from_record, self._records.values()))

    def _apply(self, entry: Persist) -> None:
        for record in entry.records:
            assert record.id not in self._records, "a record is persisted once"
            self._records[record.id] = record
        for memory in entry.private:
            self._private[memory.id] = memory
        for record_id in entry.erased:
            self._private.pop(record_id, None)
            if record_id in self._records:
                self._records[record_id] = self._records[record_id].without_body()
