"""Keeps the index in step with the log, off the event loop.

The index is derived. What of the log it has not seen, it says itself, in positions: at the start
that is what came after its last checkpoint, and all of it when it was damaged or never there.
Afterwards it follows what becomes durable, within milliseconds. Searching goes on meanwhile, over
what is there; what was taken back and is still found is dropped by whoever reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from synapse.core.memory.record import RETRACTION
from synapse.driver.news import News
from synapse.ports import Index, RecordLog

CHUNK: Final = 2_000  # memories a step; a step takes less than a tenth of a second
UPKEEP_S: Final = 0.25  # between steps of upkeep while there is nothing to index
UPKEEP_EVERY: Final = 8_192  # memories: about what the index keeps in memory before it writes


class Indexer:
    """Feeds one index from one log."""

    def __init__(self, log: RecordLog, index: Index, news: News) -> None:
        self.filled = False  # whether all of the log was searchable once
        self.indexed = 0  # memories given to the index since the start
        self._log = log
        self._index = index
        self._news = news
        self._durable = log.last_position  # what may be indexed: the rest may never be committed
        self._erased: list[bytes] = []
        self._wanted = asyncio.Event()
        self._since_upkeep = 0

    def want(self, *, erased: Sequence[bytes]) -> None:
        """More became durable; these ids must no longer be found."""
        self._durable = self._log.last_position
        self._erased += erased
        self._wanted.set()

    async def fill(self) -> None:
        """Index what came since the last checkpoint."""
        await asyncio.to_thread(self._remove_retracted)
        await self._catch_up()
        await asyncio.to_thread(self._index.checkpoint)
        self._since_upkeep = 0
        self.filled = True

    async def follow(self) -> None:
        """Index what is wanted, and look after the segments in between, until cancelled."""
        more = True
        while True:
            try:
                async with asyncio.timeout(UPKEEP_S if more else None):
                    await self._wanted.wait()
            except TimeoutError:
                more = await asyncio.to_thread(self._index.maintain)
                await self._catch_up()  # upkeep may have found damage
                continue
            self._wanted.clear()
            await self._catch_up()
            more = True

    async def _catch_up(self) -> None:
        """Index everything durable that the index has not seen."""
        while spans := self._index.missing(self._durable):
            after, upto = spans[0]
            await self._feed(after, upto)
        await self._remove()

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
            await asyncio.to_thread(self._index.maintain)

    async def _remove(self) -> None:
        if self._erased:
            erased, self._erased = self._erased, []
            await asyncio.to_thread(self._index.remove, erased)

    def _remove_retracted(self) -> None:
        """What was taken back after the last checkpoint is still in the index."""
        for after, _ in self._index.missing(self._durable) if len(self._index) else ():
            named = [
                ref
                for record in self._log.scan(bodies_of=(), after=after)
                if record.kind == RETRACTION
                for ref in record.header.refs
            ]
            gone = [one.id for one in self._log.read(named) if one.body is None]
            if gone:
                self._index.remove(gone)
