"""What happens in a spore, as it happens: server-sent events.

`id` is the number of a notice in this run of the spore. A reader that comes back with the last one
it saw (`Last-Event-ID`) gets what it missed, as far as it is still kept; numbers start anew with
each run, so a higher one than we ever gave out means that all of this run was missed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.responses import StreamingResponse

from synapse.driver.news import News, Notice, Stopped
from synapse.web.problems import Problem

HEARTBEAT_S: Final = 15.0  # proxies are known to cut what is silent for 30 s
STREAMS_MAX: Final = 64  # each holds a connection; a dashboard needs one
RETRY_MS: Final = 2_000  # after which a browser comes back
HEADERS: Final = {"X-Accel-Buffering": "no"}  # proxies must not save events up


class Events:
    """Every event stream of one spore."""

    def __init__(
        self,
        news: News,
        *,
        private: Callable[[Notice], bool] = lambda _: False,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        """`private` says of a notice whether only those may hear it who may write."""
        self._news = news
        self._private = private
        self._heartbeat_s = heartbeat_s
        self._open = 0

    def stream(self, last_seen: int | None, *, private: bool = False) -> StreamingResponse:
        """Everything after `last_seen`, or without it from now on; what is private if wanted.

        Raises Problem (`streams`).
        """
        if self._open >= STREAMS_MAX:
            raise Problem(
                "streams",
                f"{STREAMS_MAX} are open, which is the most",
                headers={"Retry-After": str(round(self._heartbeat_s))},
            )
        latest = self._news.latest_number()
        if last_seen is None:
            last_seen = latest
        elif last_seen > latest:
            last_seen = 0
        return StreamingResponse(
            self._lines(last_seen, private), media_type="text/event-stream", headers=HEADERS
        )

    async def _lines(self, seen: int, private: bool) -> AsyncIterator[str]:
        self._open += 1
        try:
            yield f"retry: {RETRY_MS}\nid: {seen}\n\n"
            while True:
                try:
                    async with asyncio.timeout(self._heartbeat_s):
                        notices = await self._news.after(seen)
                except TimeoutError:
                    yield ": nothing new\n\n"
                    continue
                except Stopped:
                    return  # the reader comes back to whatever is started next
                for notice in notices:
                    if private or not self._private(notice):
                        yield _event(notice)
                seen = notices[-1].number
        finally:
            self._open -= 1


def _event(notice: Notice) -> str:
    # As ASCII the data is one line, whatever it holds.
    return f"event: {notice.topic}\nid: {notice.number}\ndata: {json.dumps(dict(notice.data))}\n\n"
