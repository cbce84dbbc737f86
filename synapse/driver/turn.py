"""Sharing the event loop: long work in steps, with everyone else let in between two of them."""

from __future__ import annotations

import asyncio
import time
from typing import Final

HOLD_S: Final = 0.005  # after which others get the event loop; a full message takes 12 ms by itself


class Turn:
    """Our time on the event loop, given up between two steps when it was long enough."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    async def shared(self) -> None:
        """Let everyone else have a turn, if they have waited."""
        if time.monotonic() - self._began_s > HOLD_S:
            await asyncio.sleep(0)
            self._began_s = time.monotonic()
