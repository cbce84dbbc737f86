"""Events as they happen: what a reader gets, and what it gets when it comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from fastapi import FastAPI
from starlette.types import Message

from synapse.driver.news import KEPT, News
from synapse.operations.tasks import Wanted
from synapse.web.live import STREAMS_MAX, Events
from synapse.web.problems import Problem
from tests.spores import Spore
from tests.web.conftest import KEY
from tests.web.test_problems import assert_problem

pytestmark = pytest.mark.anyio


@dataclass
class Reader:
    """Reads a stream as it comes; httpx's own transport would wait for its end."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    _sent: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    _text: str = ""
    _asked: bool = False

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def block(self) -> dict[str, str]:
        """The next event or comment, its fields by name."""
        async with asyncio.timeout(10):
            while "\n\n" not in self._text:
                message = await self._sent.get()
                if message["type"] == "http.response.start":
                    self.status = message["status"]
                    headers = message["headers"]
                    self.headers = {name.decode(): value.decode() for name, value in headers}
                else:
                    self._text += message["body"].decode()
        block, _, self._text = self._text.partition("\n\n")
        return dict(line.split(": ", 1) for line in block.splitlines())

    async def end(self) -> None:
        """Return when the spore ends the stream."""
        async with asyncio.timeout(10):
            while (await self._sent.get()).get("more_body", True):
                pass

    async def event(self, topic: str) -> dict[str, str]:
        """The next event of this topic."""
        while True:
            block = await self.block()
            if block.get("event") == topic:
                return block


@asynccontextmanager
async def reading(
    app: FastAPI, *, last_event_id: str | None = None, key: str | None = None
) -> AsyncIterator[Reader]:
    reader = Reader()
    headers = [(b"host", b"localhost")]
    if key is not None:
        headers.append((b"authorization", f"Bearer {key}".encode()))
    if last_event_id is not None:
        headers.append((b"last-event-id", last_event_id.encode()))
    scope = {
        "type": "http", "method": "GET", "path": "/api/events", "query_string": b"",
        "headers": headers,
    }  # fmt: skip
    serving = asyncio.create_task(app(scope, reader.receive, reader._sent.put))
    try:
        yield reader
    finally:
        reader.gone.set()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(serving, 10)  # it ends because the reader has gone


async def test_a_reader_hears_of_what_happens_after_it_came(spore: Spore) -> None:
    async with reading(spore.app) as reader:
        first = await reader.block()
        memory = await spore.operations.remember("The tides follow the moon.")
        event = await reader.event("record")

    assert reader.status == 200
    assert reader.headers["content-type"].startswith("text/event-stream")
    assert reader.headers["x-accel-buffering"] == "no"
    assert set(first) == {"retry", "id"}
    assert json.loads(event["data"])["id"] == memory.id
    assert int(event["id"]) > int(first["id"])


async def test_a_reader_that_comes_back_gets_what_it_missed(spore: Spore) -> None:
    async with reading(spore.app) as reader:
        await reader.block()
        await spore.operations.remember("seen")
        seen = await reader.event("record")
    missed = await spore.operations.remember("missed")

    async with reading(spore.app, last_event_id=seen["id"]) as reader:
        event = await reader.event("record")

    assert json.loads(event["data"])["id"] == missed.id


async def test_a_reader_from_before_a_restart_gets_all_of_this_run(spore: Spore) -> None:
    memory = await spore.operations.remember("after the restart")
    async with reading(spore.app, last_event_id="999999") as reader:
        first = await reader.block()
        events = [await reader.event("record") for _ in range(2)]
    assert first["id"] == "0"
    assert json.loads(events[-1]["data"])["id"] == memory.id


async def test_a_slow_reader_sees_by_the_ids_that_it_missed_some() -> None:
    news = News()
    for number in range(KEPT + 10):
        news.publish("record", {"number": number})
    lines = Events(news).stream(0).body_iterator
    await anext(lines)
    assert "id: 11\n" in await anext(lines)


async def test_no_event_tells_of_a_private_memory_but_that_there_is_one_more(spore: Spore) -> None:
    seen = []
    async with reading(spore.app) as reader:
        await reader.block()
        private = await spore.operations.remember("mine", scope="private")
        await spore.finds(1)
        shared = await spore.operations.remember("everybody's")
        while not seen or seen[-1].get("event") != "record":
            seen.append(await reader.block())
    assert json.loads(seen[-1]["data"])["id"] == shared.id
    assert {block["event"] for block in seen[:-1]} == {"indexed"}
    assert not any(private.id in block["data"] or "mine" in block["data"] for block in seen)


async def test_silence_is_filled_with_comments() -> None:
    lines = Events(News(), heartbeat_s=0.001).stream(None).body_iterator
    await anext(lines)
    assert await anext(lines) == ": nothing new\n\n"


async def test_streams_end_when_the_spore_stops(spore: Spore) -> None:
    async with reading(spore.app) as reader:
        await reader.block()
        spore.driver.stop_waiting()
        await reader.end()


async def test_whatever_an_event_holds_it_is_one_line_of_data() -> None:
    news = News()
    news.publish("peer", {"name": "a\n\ndata: b\r\nevent: c \u2028 é"})
    lines = Events(news).stream(0).body_iterator
    await anext(lines)
    event = await anext(lines)
    assert event.count("\n") == 4
    assert event.isascii()


async def test_streams_are_limited_and_make_room_when_they_end() -> None:
    events = Events(News())
    streams = [events.stream(None).body_iterator for _ in range(STREAMS_MAX)]
    for lines in streams:
        await anext(lines)

    with pytest.raises(Problem) as refused:
        events.stream(None)
    await streams[0].aclose()

    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "15"})
    assert await anext(events.stream(None).body_iterator)


@pytest.mark.parametrize("last_seen", ["x", "-1", "9" * 5_000])
async def test_an_id_that_was_never_given_out_is_invalid(spore: Spore, last_seen: str) -> None:
    reply = await spore.client.get("/api/events", headers={"Last-Event-ID": last_seen})
    assert_problem(reply, 422, "invalid")


@pytest.mark.promise("private")
async def test_only_whoever_may_write_hears_of_private_tasks(keyed: Spore) -> None:
    async def ids(key: str | None) -> list[str]:
        async with reading(keyed.app, last_event_id="0", key=key) as reader:
            return [json.loads((await reader.event("task"))["data"])["id"]]

    private = await keyed.operations.submit_task("Mine?", Wanted(private=True))
    await keyed.operations.finished_task(private.task_id, wait_ms=10_000, private=True)
    shared = await keyed.operations.submit_task("Ours?")
    await keyed.operations.finished_task(shared.task_id, wait_ms=10_000)

    assert (await ids(None), await ids(KEY)) == ([shared.task_id], [private.task_id])
