"""Writes that are repeated with the same `Idempotency-Key` happen once.

For clients that did not hear the answer and try again. Replies are kept in memory: they do not
survive a restart, and the oldest make room when there are too many.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from synapse.web.problems import Problem

KEPT: Final = 1_024  # about 1 MB; a client tries again within seconds, not thousands of writes

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Write:
    asked: BaseModel
    reply: asyncio.Task[Any]


class Idempotency:
    """What was written under each key."""

    def __init__(self) -> None:
        self._writes: OrderedDict[str, _Write] = OrderedDict()

    async def once(
        self,
        key: str | None,
        asked: BaseModel,
        write: Callable[[], Coroutine[Any, Any, Reply]],
    ) -> Reply:
        """The reply of `write`, or of the one before it under this key.

        A write that failed is forgotten, so that it can be tried again. Raises Problem
        (`conflict`) when the key stands for something else.
        """
        if key is None:
            return await write()
        known = self._writes.get(key)
        if known is None:
            known = self._begin(key, asked, write())
        elif known.asked != asked:
            raise Problem("conflict")
        # Whoever asked first may go away; the write goes on, and whoever repeats it learns of it.
        reply: Reply = await asyncio.shield(known.reply)
        return reply

    def _begin(self, key: str, asked: BaseModel, write: Coroutine[Any, Any, Any]) -> _Write:
        begun = _Write(asked, asyncio.create_task(write))
        self._writes[key] = begun
        if len(self._writes) > KEPT:
            self._writes.popitem(last=False)

        def forget_failure(reply: asyncio.Task[Any]) -> None:
            failed = reply.cancelled() or reply.exception() is not None
            if failed and self._writes.get(key) is begun:
                del self._writes[key]

        begun.reply.add_done_callback(forget_failure)
        return begun
