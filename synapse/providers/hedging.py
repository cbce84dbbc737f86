"""A second request where the first is unusually late: whichever answers first is heard.

A slow tail is mostly bad luck, and asking once more after the 95th percentile costs a few percent
more calls (Dean and Barroso, "The tail at scale", CACM 2013). That is true where calls cost only
time; an account with a daily quota would pay for both, so only the targets that are named here are
hedged. The one that loses is cancelled; what it had cost by then nobody tells us.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from synapse.core.effects import ModelRequest
from synapse.core.errors import ProviderError
from synapse.ports import ModelReply, Provider

CALLS_MIN: Final = 20  # fewer hold no 95th percentile
CALLS_REMEMBERED: Final = 200  # an afternoon's; a model that was swapped is learned anew in it
LATE: Final = 0.95
BUDGET: Final = 0.05  # of calls may be made twice; with a truthful percentile no more are late


@dataclass(slots=True)
class _Seen:
    """What is known of one target."""

    calls: int = 0
    hedges: int = 0
    took_ms: deque[int] = field(default_factory=lambda: deque(maxlen=CALLS_REMEMBERED))

    @property
    def late_ms(self) -> int | None:
        """After how long a call is late, by the nearest rank; None while too little is known."""
        if len(self.took_ms) < CALLS_MIN:
            return None
        return sorted(self.took_ms)[math.ceil(LATE * len(self.took_ms)) - 1]

    @property
    def affordable(self) -> bool:
        """Whether one more call may be made twice."""
        return self.hedges + 1 <= BUDGET * self.calls


class Hedged:
    """Asks `inner`, and the targets named in `targets` a second time when they are late."""

    def __init__(
        self, inner: Provider, *, targets: Iterable[str], now_ms: Callable[[], int]
    ) -> None:
        self._inner = inner
        self._now_ms = now_ms
        self.targets = tuple(targets)
        self._seen = {name: _Seen() for name in self.targets}

    async def complete(self, target: str, request: ModelRequest, *, timeout_ms: int) -> ModelReply:
        """Ask the target once, or twice at most. Raises ProviderError."""
        seen = self._seen.get(target)
        if seen is None:
            return await self._inner.complete(target, request, timeout_ms=timeout_ms)
        seen.calls += 1
        late_ms = seen.late_ms if seen.affordable else None
        began_ms = self._now_ms()
        if late_ms is None or late_ms >= timeout_ms:
            reply = await self._inner.complete(target, request, timeout_ms=timeout_ms)
        else:
            reply = await self._race(target, request, timeout_ms, late_ms=late_ms, seen=seen)
        seen.took_ms.append(self._now_ms() - began_ms)
        return reply

    async def close(self) -> None:
        """Close what is asked."""
        await self._inner.close()

    async def _race(
        self, target: str, request: ModelRequest, timeout_ms: int, *, late_ms: int, seen: _Seen
    ) -> ModelReply:
        def start(left_ms: int) -> _Call:
            work = self._inner.complete(target, request, timeout_ms=left_ms)
            return asyncio.ensure_future(work)

        calls = [start(timeout_ms)]
        try:
            done, _ = await asyncio.wait(calls, timeout=late_ms / 1_000)
            if done:
                return calls[0].result()
            seen.hedges += 1
            calls.append(start(timeout_ms - late_ms))
            return replace(await _winner(*calls), hedged=True)
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)


_Call = asyncio.Future[ModelReply]


async def _winner(first: _Call, second: _Call) -> ModelReply:
    """The reply that comes first. When one call fails the other is waited for; when both do, the
    first one's failure is what happened."""
    done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    for call in (first, second):  # the first, should both be done at once
        if call in done and call.exception() is None:
            return call.result()
    other = second if first in done else first
    try:
        return await other
    except ProviderError:
        return await first
