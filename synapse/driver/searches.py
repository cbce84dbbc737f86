"""Searches beside the event loop: a few at once, a queue with an end, and then a plain refusal.

They have threads of their own. The disk's and the index's writers share another pool: however many
ask, nothing that must become durable waits behind a question.

Going to a thread and back takes a fifth of a millisecond, and longer when others want the
interpreter. So while searches turn out to take next to nothing, they are run where they are asked
for. One of many may have to wait, for the disk or for anything else; a second one soon after it
sends the next ones back to threads.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from synapse.core.errors import Busy

AT_ONCE: Final = 4  # more than cores, because some wait for the disk; the hot loops run in parallel
WAITING_MAX: Final = 256  # at a millisecond or two each, the last one waits for a tenth of a second
RETRY_AFTER_MS: Final = 1_000
BRIEF_S: Final = 0.005  # a tenth of what the event loop may be late in a hundredth of all cases
STEADY: Final = 64  # brief ones for each that was not, before the next is trusted to be brief
DOUBT_MAX: Final = 2 * STEADY  # what is not known is doubted as much
LATELY_S: Final = 10.0  # what nobody has touched for longer may have left memory

Result = TypeVar("Result")


class Searches:
    """Runs work for one event loop: in threads, or on it."""

    def __init__(
        self,
        *,
        at_once: int = AT_ONCE,
        waiting_max: int = WAITING_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds that only ever grow."""
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="recall")
        self._unfinished_max = at_once + waiting_max
        self._unfinished = 0
        self._closed = False
        self._clock = clock
        self._doubt = DOUBT_MAX
        self._last_s = -math.inf  # when the last one ended

    async def run(self, work: Callable[[], Result], *, brief: bool = False) -> Result:
        """What `work` returns or raises. Raises Busy when too many wait already.

        `brief`: it is of those that may turn out to take next to nothing. Whoever stops waiting
        frees no place: the thread goes on until its work is done.
        """
        if self._closed:
            raise Busy("this spore is stopping", retry_after_ms=5 * RETRY_AFTER_MS)
        if brief and self._steady():
            return self._timed(work)
        if self._unfinished >= self._unfinished_max:
            raise Busy(
                "more is being searched for than this spore can find; try again",
                retry_after_ms=RETRY_AFTER_MS,
            )
        self._unfinished += 1
        if brief:
            work = partial(self._timed, work)
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(self._finished)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Begin nothing more, and let the threads end."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _steady(self) -> bool:
        """Whether the next one will be brief, as far as the last ones can tell."""
        if self._clock() - self._last_s > LATELY_S:
            self._doubt = DOUBT_MAX
        return self._doubt <= STEADY

    def _timed(self, work: Callable[[], Result]) -> Result:
        began_s = self._clock()
        try:
            return work()
        finally:  # in any thread: should one be miscounted, no harm is done
            self._last_s = self._clock()
            brief = self._last_s - began_s < BRIEF_S
            self._doubt = max(0, self._doubt - 1) if brief else min(self._doubt + STEADY, DOUBT_MAX)

    def _finished(self, future: asyncio.Future[Any]) -> None:
        self._unfinished -= 1
        if not future.cancelled():
            future.exception()  # if nobody waits any more, nobody need hear of it
