"""Keeps the index in step with the log, off the event loop.

The index is derived. What of the log it has not seen, it says itself, in positions: at the start
that is what came after its last checkpoint, and all of it when it was damaged or never there.
Afterwards it follows what becomes durable, within milliseconds. Searching goes on meanwhile, over
what is there; what was taken back and is still found is dropped by whoever reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from synapse.core.errors import StorageError
from synapse.core.memory.record import RETRACTION
from synapse.driver.embedder import Embedder
from synapse.driver.news import News
from synapse.driver.usage import Used
from synapse.ports import Index, RecordLog
from synapse.retrieval.corroboration import Corroboration

CHUNK: Final = 2_000  # memories a step; a step takes less than a tenth of a second
UPKEEP_S: Final = 0.25  # between steps of upkeep, each a tenth of a second or two
REST_S: Final = 1.0  # and when none is due: a thread that wakes costs two recalls a millisecond
UPKEEP_EVERY: Final = 8_192  # memories: about what the index keeps in memory before it writes
COMPARED: Final = 500  # memories a step; 20 us of computing for each, and as much for reading it
BREATH_S: Final = 0.01  # between steps when many wait: half the time is left to everything else
COMPARE_AGAIN_S: Final = 5.0  # after the disk failed
SAVE_EVERY: Final = 1 << 16  # memories; comparing them again after a crash takes some seconds

_log = structlog.get_logger(__name__)


class Indexer:
    """Feeds one index from one log."""

    def __init__(
        self,
        log: RecordLog,
        index: Index,
        news: News,
        *,
        said: Corroboration | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        """`said` keeps who said the same; by default in memory. `embedder` is told what it is."""
        self.filled = False  # whether all of the log was searchable once
        self.indexed = 0  # memories given to the index since the start
        self.said = said if said is not None else Corroboration()
        self._embedder = embedder
        self._log = log
        self._index = index
        self._news = news
        self._durable = log.last_position  # what may be indexed: the rest may never be committed
        self._erased: list[bytes] = []
        self._used: list[Used] = []
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()  # nothing durable waits to be indexed
        self._idle.set()
        self._since_upkeep = 0
        self._uncompared = asyncio.Event()
        self._unsaid: list[bytes] = []
        self._since_saved = 0

    def want(self, *, erased: Sequence[bytes], used: Iterable[Used] = ()) -> None:
        """More became durable; what was erased must no longer be found, what was used is as
        good as new."""
        self._durable = self._log.last_position
        self._erased += erased
        self._used += used
        self._unsaid += erased
        self._idle.clear()
        self._wanted.set()
        self._uncompared.set()
        if self._embedder is not None:
            self._embedder.want(erased=erased)

    async def fill(self) -> None:
        """Index what came since the last checkpoint."""
        await asyncio.to_thread(self._remove_retracted)
        await self._catch_up()
        await asyncio.to_thread(self._index.checkpoint)
        self._since_upkeep = 0
        self.filled = True

    async def follow(self) -> None:
        """Index what is wanted, look after the segments meanwhile, and find out who said the
        same, until cancelled."""
        async with asyncio.TaskGroup() as everything:
            everything.create_task(self._follow())
            everything.create_task(self._look_after())
            everything.create_task(self._compare())

    async def settled(self, *, within_s: float) -> None:
        """Wait until all that is durable now is searchable, but no longer than this."""
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            pass  # whoever asks now may miss what was written a moment ago

    async def _follow(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._catch_up()
            if not self._wanted.is_set():
                self._idle.set()

    async def _look_after(self) -> None:
        """Upkeep in bounded steps; what it finds damaged is fed again."""
        more = True
        while True:
            await asyncio.sleep(UPKEEP_S if more else REST_S)
            more = await asyncio.to_thread(self._index.maintain)
            if self._index.missing(self._durable):
                self._wanted.set()

    async def _catch_up(self) -> None:
        """Index everything durable that the index has not seen."""
        while spans := self._index.missing(self._durable):
            after, upto = spans[0]
            await self._feed(after, upto)
        await self._remove()
        used, self._used = self._used, []
        for each in used:
            await asyncio.to_thread(self._index.verified, each.ids, at_ms=each.at_ms)

    async def _feed(self, after: int, upto: int) -> None:
        """One step: at most a chunk of the memories between two positions."""
        memories, reached = await asyncio.to_thread(
            self._log.memories_after, after, limit=CHUNK, up_to=upto
        )
        reached = upto if len(memories) < CHUNK else reached
        await asyncio.to_thread(self._index.add, memories, covers=(after, reached))
        await self._remove()  # what was taken back on its way into the index
        if memories:
            self.indexed += len(memories)
            self._since_upkeep += len(memories)
            self._news.publish("indexed", {"memories": self.indexed})
        if self._since_upkeep >= UPKEEP_EVERY:
            self._since_upkeep = 0
            # Two: one writes what left memory, and every eighth time there is something to merge.
            await asyncio.to_thread(self._index.maintain, steps=2)

    async def _remove(self) -> None:
        if self._erased:
            erased, self._erased = self._erased, []
            await asyncio.to_thread(self._index.remove, erased)

    def _remove_retracted(self) -> None:
        """What was taken back after the last checkpoint is still in the index."""
        for after, _ in self._index.missing(self._durable) if len(self._index) else ():
            gone = self._retracted(after)
            if gone:
                self._index.remove(gone)

    def _retracted(self, after: int) -> list[bytes]:
        """What was taken back after this position."""
        named = [
            ref
            for record in self._log.scan(bodies_of=(), after=after)
            if record.kind == RETRACTION
            for ref in record.header.refs
        ]
        return [one.id for one in self._log.read(named) if one.body is None]

    # Who said the same. It may come later than being found, and costs more: it goes behind.

    async def _compare(self) -> None:
        """Compare what is durable with what was said before. A disk that fails is tried again:
        nothing that must be kept depends on it."""
        if len(self.said):
            self._unsaid += await asyncio.to_thread(self._retracted, self.said.position)
        while True:
            try:
                while self.said.position < self._durable or self._unsaid:
                    await self._compare_some()
            except StorageError as error:
                _log.warning("not_compared", problem=str(error))
                await asyncio.sleep(COMPARE_AGAIN_S)
                continue
            await self._uncompared.wait()
            self._uncompared.clear()

    async def _compare_some(self) -> None:
        """One step: at most so many memories, and what was taken back meanwhile."""
        after, upto = self.said.position, self._durable
        memories, reached = await asyncio.to_thread(
            self._log.memories_after, after, limit=COMPARED, up_to=upto
        )
        behind = len(memories) == COMPARED
        await asyncio.to_thread(self.said.add, memories, reached=reached if behind else upto)
        if self._unsaid:
            unsaid = tuple(self._unsaid)
            await asyncio.to_thread(self.said.remove, unsaid)
            del self._unsaid[: len(unsaid)]
        self._since_saved += len(memories)
        if self._since_saved >= SAVE_EVERY:
            self._since_saved = 0
            await asyncio.to_thread(self.said.save)
        if behind:
            await asyncio.sleep(BREATH_S)
