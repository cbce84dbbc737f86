"""What /metrics must see as it happens: how late the event loop is, and how long tasks took."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from synapse.core.memory.record import OUTCOME
from synapse.driver.driver import Driver
from synapse.operations.latency import QUICK_S, SLOW_S, Histogram
from synapse.transport.traffic import Traffic

WATCH_EVERY_S: Final = 0.25  # a stall that is shorter is seen in part


class Watch:
    """Watches one spore. Private tasks are not counted."""

    def __init__(self, driver: Driver, traffic: Traffic | None = None) -> None:
        """`traffic` is counted by whoever speaks to peers."""
        self.traffic = traffic if traffic is not None else Traffic()
        self.lag = Histogram(QUICK_S)
        self.tasks = Histogram(SLOW_S)
        self.finished: Counter[str] = Counter()  # own tasks, by why they stopped
        self._driver = driver
        self._seen = driver.news.latest_number()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watches while the application lives."""
        watcher = asyncio.create_task(self._run())
        try:
            yield
        finally:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher

    async def catch_up(self) -> None:
        """Take in what has happened since."""
        driver = self._driver
        news = driver.news
        if news.latest_number() <= self._seen:
            return
        notices = await news.after(self._seen)  # at once: there are some
        self._seen = notices[-1].number
        for notice in notices:
            if notice.topic != "task" or notice.data.get("status") != OUTCOME:
                continue
            task = driver.node.ledger.tasks.get(bytes.fromhex(notice.data["id"]))
            if task is None or task.outcome is None or task.wish.private:
                continue
            if task.author != driver.node.key:
                continue
            self.finished[task.outcome.stop_reason] += 1
            self.tasks.observe(max(0, task.outcome.created_ms - task.created_ms) / 1_000)

    async def _run(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(WATCH_EVERY_S)
            self.lag.observe(max(0.0, time.perf_counter() - began - WATCH_EVERY_S))
            await self.catch_up()
