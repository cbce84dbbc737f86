"""The seams, on one page. Each has two implementations, one of them in memory, and one contract
suite in `tests/contract` that every implementation passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from synapse.core.effects import ModelRequest
from synapse.core.events import Limit
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
    operator: str | None = None
    family: str | None = None
    task: str | None = None
    since_ms: int | None = None  # made then or later; whole seconds count
    until_ms: int | None = None  # made before then
    operators_left_out: frozenset[str] = frozenset()  # those in quarantine, for one


ANY = Filter()


@dataclass(frozen=True, slots=True)
class Labels:
    """What filters and trust ask about a memory and the memory itself does not say."""

    operator: str = ""  # empty: its author
    family: str = ""  # of the model that wrote it
    task: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What weighs in beside relevance: a hit's score is relevance * decay * trust.

    Decay halves with every `half_life_days` since the memory was made or last verified, down to
    0.15: old memories lose rank and never disappear. Trust, 0 to 1, is the operator's; it weighs
    0.7 + 0.3 * trust. Whoever is not in `trust` has `trust_unknown`. The mapping must not change:
    a new one is handed over when anything does, and is best handed over again when nothing did.
    """

    now_ms: int
    half_life_days: float | None = None  # None: nothing decays
    trust: Mapping[str, float] | None = None  # None: all are trusted alike, and fully
    trust_unknown: float = 0.5
    min_score: float = 0.0


class Hit(NamedTuple):
    """One search result. Scores compare within one query; higher is better and above zero."""

    id: bytes
    score: float
    position: int = 0  # where the log had it; 0: look for it


class Hits(list[Hit]):
    """Search results, best first."""

    exact: bool = True  # False: the budget was spent before all that matters was read
    reranked: bool = False  # True: the order, and the scores, are of words and meaning both


@dataclass(frozen=True, slots=True)
class Share:
    """What one term of a query adds to a hit's relevance."""

    term: str
    asked: int  # times
    holders: int  # memories that hold the term
    points: float


@dataclass(frozen=True, slots=True)
class Why:
    """What a hit's score is made of: score = relevance * decay * trust, rounded a little.

    `cosine` is how near the question's meaning is, where hits were reordered by that.
    """

    terms: tuple[Share, ...]
    relevance: float
    decay: float
    trust: float
    score: float
    cosine: float | None = None


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What a model said, which model and family really served it, and at what price.

    `tokens_reasoning` is the part of `tokens_out` that was thought and not said. `cost_usd` None:
    nobody told. `hedged`: a second call was made, and what the loser cost is not known.
    """

    text: str
    model: str
    family: str
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_reasoning: int = 0
    cost_usd: float | None = None
    limits: tuple[Limit, ...] = ()
    hedged: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to one model, as the ledger keeps it. Nothing in it was written by a person.

    `outcome` is "ok" or one of `model_routing.FAILURES`; `left_ms` is what was left of the time the
    call was given; `task` is the id of the task it was made for, in hexadecimal digits.
    """

    at_ms: int
    target: str
    outcome: str
    took_ms: int
    left_ms: int
    purpose: str
    task: str = ""
    cycle: int = 0
    model: str = ""  # the one that served; "" when none did
    family: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_reasoning: int = 0
    cost_usd: float | None = None
    retry_after_ms: int | None = None
    hedged: bool = False


@dataclass(frozen=True, slots=True)
class AttemptTotals:
    """All attempts on one target, added up. `cost_usd` leaves out the `cost_unknown` replies."""

    calls: int = 0
    replies: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)  # by class
    took_ms: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_reasoning: int = 0
    cost_usd: float = 0.0
    cost_unknown: int = 0


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

    def scan(self, *, bodies_of: Iterable[str] | None = None, after: int = 0) -> Iterator[Record]:
        """Every record past a position, in the order of arrival. With `bodies_of`, only these
        kinds keep bodies."""

    def latest(
        self, kind: str, *, limit: int, before: int | None = None
    ) -> list[tuple[int, Record]]:
        """The newest arrivals of one kind, newest first, each with its position in the log.

        `before` is such a position: only older arrivals are returned.
        """

    def memories(self) -> Iterator[Memory]:
        """Every memory that has a body, shared and private, in the order of arrival."""

    def memories_after(
        self, after: int, *, limit: int, up_to: int | None = None
    ) -> tuple[list[Memory], int]:
        """Memories with a body that arrived after a position in the log, and the position that
        they reach: at most `limit`, and none past `up_to`."""

    @property
    def last_position(self) -> int:
        """The position of the newest arrival, 0 in an empty log."""

    @property
    def damaged(self) -> int:
        """How many rows are damaged, and not served."""

    def memory(self, memory_id: bytes) -> Memory | None:
        """One memory, shared or private."""

    def memories_with(self, ids: Mapping[bytes, int]) -> dict[bytes, Memory]:
        """The memories with these ids, shared and private, which `memories_after` gave before:
        their form is not checked again. Unknown and erased ones are left out. Each is looked for
        at its position first; 0 is none."""

    def counts(self) -> tuple[int, int]:
        """How many records, and how many private memories."""

    def close(self) -> None:
        """Commit and let go of the files."""


class Index(Protocol):
    """Full-text search over memories. Derived from the log, and rebuilt from it when in doubt.

    One thread may add and one maintain, and any remove or verify, while others search.
    """

    def add(
        self,
        memories: Sequence[Memory],
        *,
        labels: Sequence[Labels] | None = None,
        covers: tuple[int, int] | None = None,
    ) -> None:
        """Make these searchable at once. An id that is there already is left as it is.

        `covers` (after, upto) says that these are all the memories the log holds after one
        position, up to and with another, and that what those positions removed was removed.
        """

    def remove(self, ids: Sequence[bytes]) -> None:
        """Stop finding these. Unknown ids are ignored."""

    def verified(self, ids: Sequence[bytes], *, at_ms: int) -> None:
        """These proved useful then: they age from there. Unknown ids are ignored."""

    def search(
        self,
        query: str,
        *,
        limit: int,
        wanted: Filter = ANY,
        ranking: Ranking | None = None,
        budget: int | None = None,
    ) -> Hits:
        """The best `limit` matches, best first, ties by id. Nothing matches an empty query.

        `budget`: how many postings may be read before the answer need not be exact any more.
        """

    def why(self, query: str, memory_id: bytes, *, ranking: Ranking | None = None) -> Why | None:
        """What a memory's score for a query is made of; None for one that is not there."""

    def missing(self, upto: int) -> Sequence[tuple[int, int]]:
        """Which positions (after, upto] of the log have to be fed, up to this one."""

    def maintain(self, *, steps: int = 1) -> bool:
        """Do that many bounded steps of upkeep; whether more are due. Raises StorageError."""

    def checkpoint(self) -> None:
        """Make everything durable that was added, so that it need not be fed again."""

    def close(self) -> None:
        """Checkpoint, and let go of the files."""

    def __len__(self) -> int:
        """How many memories are searchable."""


class Provider(Protocol):
    """A way to ask a model: one request, one reply."""

    async def complete(self, target: str, request: ModelRequest, *, timeout_ms: int) -> ModelReply:
        """Ask the target once. Raises ProviderError; an error is never returned as text."""

    async def close(self) -> None:
        """Let go of connections."""


class AttemptLog(Protocol):
    """The ledger of calls to models: appended to, and never asked to forget one.

    Any thread may call. Losing a row is a pity and not a fault: no promise rests on one.
    """

    def append(self, attempt: Attempt) -> None:
        """Keep one more. Raises StorageError, StorageFull; then this one is not kept."""

    def recent(self, limit: int) -> list[Attempt]:
        """The latest attempts, latest first; at least a thousand of them are remembered."""

    def totals(self) -> Mapping[str, AttemptTotals]:
        """Everything ever appended, added up for each target."""

    def close(self) -> None:
        """Let go of the file."""


class Transport(Protocol):
    """One request to one peer; the reply carries the peer's messages."""

    async def introduce(self, url: str, *, trusted: bool) -> Record:
        """The self-description of whoever answers at `url`. Raises PeerError."""

    async def exchange(self, peer: bytes, url: str, messages: Sequence[Message]) -> list[Message]:
        """Give messages to the peer with this key, take its messages. Raises PeerError."""

    async def close(self) -> None:
        """Let go of connections."""
