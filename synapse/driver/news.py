"""What happens, for people to see as it happens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from synapse.core.errors import SynapseError

KEPT: Final = 1_024  # notices a reader may fall behind by


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened. Numbers rise by one and start anew with each run."""

    number: int
    topic: str
    data: Mapping[str, Any]


class Stopped(SynapseError):
    """The spore is stopping: there will be no more news."""


class News:
    """Kept a little while, for readers that come late or fall behind."""

    def __init__(self) -> None:
        self._recent: deque[Notice] = deque(maxlen=KEPT)
        self._numbers = count(1)
        self._changed = asyncio.Event()
        self._stopped = False

    def publish(self, topic: str, data: Mapping[str, Any]) -> None:
        """Tell every reader."""
        self._recent.append(Notice(next(self._numbers), topic, data))
        self._wake()

    def stop(self) -> None:
        """Send every reader home."""
        self._stopped = True
        self._wake()

    def latest_number(self) -> int:
        """The number of the newest notice, 0 before the first."""
        return self._recent[-1].number if self._recent else 0

    async def after(self, number: int) -> list[Notice]:
        """The notices after `number` that are still kept; waits until there is one.

        Raises Stopped when the spore stops first.
        """
        while self.latest_number() <= number:
            if self._stopped:
                raise Stopped("this spore is stopping")
            await self._changed.wait()
        return [notice for notice in self._recent if notice.number > number]

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
