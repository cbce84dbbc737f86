"""Keeps the index in step with the log, off the event loop.

The index is derived: at the start it is filled from the log, afterwards it follows what becomes
durable, within milliseconds. Searching goes on meanwhile, over what is there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from synapse.core.memory.memory import Memory
from synapse.driver.news import News
from synapse.ports import Index, RecordLog

CHUNK: Final = 2_000  # memories a step; a step takes a tenth of a second


class Indexer:
    """Feeds one index from one log."""

    def __init__(self, log: RecordLog, index: Index, news: News) -> None:
        self.filled = False  # whether all of the log has been read
        self.indexed = 0  # memories given to the index since the start
        self._log = log
        self._index = index
        self._news = news
        self._waiting: deque[Memory] = deque()
        self._erased: set[bytes] = set()
        self._wanted = asyncio.Event()

    def want(self, memories: Sequence[Memory], *, erased: Sequence[bytes]) -> None:
        """Memories that became durable, and ids that must no longer be found."""
        if erased:
            self._erased.update(erased)
            self._index.remove(erased)
        if memories or erased:
            self._waiting.extend(memories)
            self._wanted.set()

    async def fill(self) -> None:
        """Read everything the log holds."""
        loop = asyncio.get_running_loop()
        stored = self._log.memories()
        while chunk := await loop.run_in_executor(None, lambda: list(islice(stored, CHUNK))):
            await self._add(chunk)
        self.filled = True

    async def follow(self) -> None:
        """Index what is wanted until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._waiting:
                size = min(len(self._waiting), CHUNK)
                await self._add([self._waiting.popleft() for _ in range(size)])
            self._erased.clear()

    async def _add(self, memories: Sequence[Memory]) -> None:
        await asyncio.to_thread(self._index.add, memories)
        # Something may have been taken back while it was on its way into the index.
        self._index.remove([memory.id for memory in memories if memory.id in self._erased])
        self.indexed += len(memories)
        self._news.publish("indexed", {"memories": self.indexed})
