"""The seams, on one page. Each has two implementations, one of them in memory, and one contract
suite in `tests/contract` that every implementation passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from synapse.core.effects import ModelRequest
from synapse.core.memory.memory import Memory, PrivateMemory
from synapse.core.memory.record import Record
from synapse.core.messages import Message


@dataclass(frozen=True, slots=True)
class Filter:
    """Which memories a search may return. Applied inside the scan, never after it."""

    kind: str | None = None
    author: str | None = None
    tag: str | None = None
    shared: bool | None = None  # True: only shared ones, False: only private ones


ANY = Filter()


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result. Scores compare within one query; higher is better and above zero."""

    id: bytes
    score: float


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What a model said, and which model and family really served it."""

    text: str
    model: str
    family: str
    tokens_in: int = 0
    tokens_out: int = 0


class RecordLog(Protocol):
    """The append-only log: the one truth on disk.

    One thread writes (`stage`, then `commit`), others read. What is staged is visible to reads at
    once, and durable when `commit` returns. Methods raise StorageError, StorageFull.
    """

    def stage(
        self,
        records: Sequence[Record],
        *,
        private: Sequence[PrivateMemory] = (),
        erased: Sequence[bytes] = (),
    ) -> None:
        """Take in records whose ids are not in the log yet. Does not block.

        `erased` names records and private memories whose bodies are to go. What is staged is held
        in memory: whoever stages stops when `commit` fails.
        """

    def commit(self) -> None:
        """Make everything staged durable, in one transaction. On an error it all stays staged."""

    def read(self, ids: Sequence[bytes]) -> list[Record]:
        """The records with these ids, in this order; unknown ones are left out."""

    def scan(self, *, bodies_of: Iterable[str] | None = None) -> Iterator[Record]:
        """Every record in the order of arrival. With `bodies_of`, only these kinds keep bodies."""

    def latest(
        self, kind: str, *, limit: int, before: int | None = None
    ) -> list[tuple[int, Record]]:
        """The newest arrivals of one kind, newest first, each with its position in the log.

        `before` is such a position: only older arrivals are returned.
        """

    def memories(self) -> Iterator[Memory]:
        """Every memory that has a body, shared and private, in the order of arrival."""

    def memory(self, memory_id: bytes) -> Memory | None:
        """One memory, shared or private."""

    def counts(self) -> tuple[int, int]:
        """How many records, and how many private memories."""

    def close(self) -> None:
        """Commit and let go of the files."""


class Index(Protocol):
    """Full-text search over memories. Derived from the log, and rebuilt from it when in doubt.

    One thread may add or remove while others search.
    """

    def add(self, memories: Sequence[Memory]) -> None:
        """Make these searchable at once. An id that is there already is left as it is."""

    def remove(self, ids: Sequence[bytes]) -> None:
        """Stop finding these. Unknown ids are ignored."""

    def search(self, query: str, *, limit: int, wanted: Filter = ANY) -> list[Hit]:
        """The best `limit` matches, best first, ties by id. Nothing matches an empty query."""

    def __len__(self) -> int:
        """How many memories are searchable."""


class Provider(Protocol):
    """A way to ask a model: one request, one reply."""

    async def complete(self, target: str, request: ModelRequest, *, timeout_ms: int) -> ModelReply:
        """Ask the target once. Raises ProviderError; an error is never returned as text."""

    async def close(self) -> None:
        """Let go of connections."""


class Transport(Protocol):
    """One request to one peer; the reply carries the peer's messages."""

    async def introduce(self, url: str, *, trusted: bool) -> Record:
        """The self-description of whoever answers at `url`. Raises PeerError."""

    async def exchange(self, peer: bytes, url: str, messages: Sequence[Message]) -> list[Message]:
        """Give messages to the peer with this key, take its messages. Raises PeerError."""

    async def close(self) -> None:
        """Let go of connections."""
