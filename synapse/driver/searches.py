"""Searches beside the event loop: a few at once, a queue with an end, and then a plain refusal.

They have threads of their own. The disk's and the index's writers share another pool: however many
ask, nothing that must become durable waits behind a question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from synapse.core.errors import Busy

AT_ONCE: Final = 4  # more than cores, because some wait for the disk; the hot loops run in parallel
WAITING_MAX: Final = 256  # at a millisecond or two each, the last one waits for a tenth of a second
RETRY_AFTER_MS: Final = 1_000

Result = TypeVar("Result")


class Searches:
    """Runs work in threads, for one event loop."""

    def __init__(self, *, at_once: int = AT_ONCE, waiting_max: int = WAITING_MAX) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="recall")
        self._unfinished_max = at_once + waiting_max
        self._unfinished = 0
        self._closed = False

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises. Raises Busy when too many wait already.

        Whoever stops waiting frees no place: the thread goes on until its work is done.
        """
        if self._closed:
            raise Busy("this spore is stopping", retry_after_ms=5 * RETRY_AFTER_MS)
        if self._unfinished >= self._unfinished_max:
            raise Busy(
                "more is being searched for than this spore can find; try again",
                retry_after_ms=RETRY_AFTER_MS,
            )
        self._unfinished += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(self._finished)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Begin nothing more, and let the threads end."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _finished(self, future: asyncio.Future[Any]) -> None:
        self._unfinished -= 1
        if not future.cancelled():
            future.exception()  # if nobody waits any more, nobody need hear of it
