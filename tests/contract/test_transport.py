"""What every `Transport` promises, asked of each: real HTTP on loopback, and within one process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from synapse.core.errors import PeerError, SynapseError
from synapse.core.memory.record import NODE
from synapse.core.messages import Message, Poll, Push, Summary, Supply, Table, Want
from synapse.ports import Transport
from synapse.transport import http
from synapse.transport.guard import Reach
from synapse.transport.http import NODE_PATH, HttpTransport
from synapse.transport.in_process import InProcessTransport, Neighbourhood
from synapse.web.gossip import Gossip
from tests.driving import Driven, running, spore
from tests.making import identity, memory_chain, memory_record, record

CALLER, STRANGER = identity(2), identity(3)
NOTHING = Summary(bytes(16), 0)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass(frozen=True, slots=True)
class Line:
    """A spore, and the way of a caller that is another spore to it."""

    spore: Driven
    transport: Transport
    url: str
    nowhere: str  # an address where nobody is

    async def exchange(self, *messages: Message, to: bytes | None = None) -> list[Message]:
        return await self.transport.exchange(to or self.spore.identity.key, self.url, messages)


@asynccontextmanager
async def over_http() -> AsyncIterator[Line]:
    """Through a real server and a real client."""
    answering = spore(1)
    gossip = Gossip(answering.driver, answering.identity)
    app = Starlette(routes=gossip.routes(), exception_handlers={SynapseError: unavailable})
    transport = HttpTransport(CALLER, reach=Reach.LOOPBACK)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with served(app) as url:
            yield Line(answering, transport, url, nowhere)
            await transport.close()


@asynccontextmanager
async def in_process() -> AsyncIterator[Line]:
    """Without a socket."""
    near = Neighbourhood()
    answering = spore(1, url="http://one", neighbourhood=near)
    yield Line(answering, InProcessTransport(near, own_key=CALLER.key), "http://one", "http://none")


async def unavailable(request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), status_code=503)


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """A server of its own, on a free port of loopback."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False)
    listener.listen()  # whoever calls before the server is up waits
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


@pytest.fixture(params=[over_http, in_process])
async def line(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    """To a spore that runs."""
    async with request.param() as opened, running(opened.spore):
        yield opened


@pytest.fixture(params=[over_http, in_process])
async def quiet_line(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    """To a spore that has not started."""
    async with request.param() as opened:
        yield opened


# What both do


async def test_whoever_answers_introduces_itself(line: Line) -> None:
    record = await line.transport.introduce(line.url, trusted=True)
    assert record == line.spore.node.description
    assert record.header.writer == line.spore.identity.key


async def test_a_spore_that_is_starting_has_no_introduction_yet(quiet_line: Line) -> None:
    with pytest.raises(PeerError) as error:
        await quiet_line.transport.introduce(quiet_line.url, trusted=True)
    assert error.value.reason == "status_503"


async def test_a_comparison_is_answered(line: Line) -> None:
    summary, table = await line.exchange(NOTHING)
    records = line.spore.node.ledger.records
    assert summary == Summary(records.fingerprint(), len(records))
    assert isinstance(table, Table)
    assert [row.operator for row in table.rows] == [line.spore.identity.key]


async def test_records_travel_both_ways_in_one_exchange(line: Line) -> None:
    theirs = memory_chain(3, writer=CALLER)
    kept = await line.spore.operations.remember("The tides follow the moon.")
    replies = await line.exchange(Push(tuple(theirs)), Want((bytes.fromhex(kept.id),)))

    assert line.spore.log.read([one.id for one in theirs]) == theirs
    [supply] = [one for one in replies if isinstance(one, Supply)]
    assert supply.records == tuple(line.spore.log.read([bytes.fromhex(kept.id)]))


async def test_a_megabyte_each_way_arrives_whole(line: Line) -> None:
    rng = Random(6)
    long = [memory_record(rng.randbytes(25_000).hex(), seq=seq, writer=CALLER) for seq in (1, 2, 3)]
    ids = tuple(one.id for one in long)
    await line.exchange(Push(tuple(long)))
    [supply] = await line.exchange(Want(ids))
    assert isinstance(supply, Supply)
    assert list(supply.records) == long


async def test_nothing_said_is_answered_with_nothing(line: Line) -> None:
    assert await line.exchange() == []


async def test_a_poll_is_held_until_there_is_news(line: Line) -> None:
    says = {"name": "two", "url": None, "protocol": 1, "software": "x", "families": []}
    await line.exchange(Push((record(says, kind=NODE, writer=CALLER),)), Poll(0))
    poll = asyncio.create_task(line.exchange(Poll(20_000)))
    kept = await line.spore.operations.remember("The tides follow the moon.")
    async with asyncio.timeout(5):
        [push] = await poll
    assert isinstance(push, Push)
    assert [one.id.hex() for one in push.records] == [kept.id]


async def test_where_nobody_is_a_peer_error_says_so(line: Line) -> None:
    for attempt in (
        line.transport.introduce(line.nowhere, trusted=True),
        line.transport.exchange(line.spore.identity.key, line.nowhere, [NOTHING]),
    ):
        with pytest.raises(PeerError) as error:
            await attempt
        assert error.value.reason == "unreachable"


@pytest.mark.promise("authored")
async def test_a_stranger_at_the_address_is_a_peer_error(line: Line) -> None:
    with pytest.raises(PeerError) as error:
        await line.exchange(Push((memory_record("for another"),)), to=STRANGER.key)
    assert error.value.reason in ("stranger", "status_401")
    assert line.spore.log.read([memory_record("for another").id]) == []


async def test_a_transport_goes_on_after_a_failure(line: Line) -> None:
    with pytest.raises(PeerError):
        await line.exchange(NOTHING, to=STRANGER.key)
    assert len(await line.exchange(NOTHING)) == 2


# What only HTTP can suffer


RAW = {
    "nothing": b"",
    "noise": b"\x00\x01\x02\xff" * 100,
    "half a reply": b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf",
    "not signed": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n\x82\x01\x80",
    "an error": b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "a page": b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
    "a strange coding": b"HTTP/1.1 200 OK\r\ncontent-encoding: x\r\ncontent-length: 1\r\n\r\nx",
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000,
    "a bad chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
}


@asynccontextmanager
async def answering(reply: bytes, *, times: int = 1, shut: bool = True) -> AsyncIterator[str]:
    """A server that says these bytes, so many times, to whatever it is asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for _ in range(times):
                writer.write(reply)
                await writer.drain()
            if not shut:
                await reader.read()  # says no more, until the caller hangs up
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller has heard enough
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def problem(url: str, *, trusted: bool = True) -> tuple[str, str]:
    """The reasons why an introduction and an exchange there fail."""
    transport, reasons = HttpTransport(CALLER, reach=Reach.LOOPBACK), []
    for attempt in (
        transport.introduce(url, trusted=trusted),
        transport.exchange(STRANGER.key, url, [NOTHING]),
    ):
        with pytest.raises(PeerError) as error:
            await attempt
        reasons.append(error.value.reason)
    await transport.close()
    return reasons[0], reasons[1]


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("reply", RAW.values(), ids=RAW.keys())
async def test_whatever_a_server_says_the_failure_is_a_peer_error(reply: bytes) -> None:
    async with answering(reply) as url:
        assert all(await problem(url)), "a failure has a reason"


@pytest.mark.promise("bounded")
async def test_a_reply_without_end_is_cut_off() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n" + b"x" * 65_536
    async with answering(head, times=100) as url:
        assert await problem(url) == ("oversize", "oversize")


@pytest.mark.promise("bounded")
async def test_a_server_that_never_answers_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "EXCHANGE_TIMEOUT_S", 0.05)
    for said in (b"", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"):
        async with answering(said, shut=False) as url:
            assert await problem(url) == ("slow", "slow")


@pytest.mark.promise("authored")
async def test_a_redirect_is_not_followed() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as elsewhere:
        reply = f"HTTP/1.1 307 Go\r\nlocation: {elsewhere}{NODE_PATH}\r\ncontent-length: 0\r\n\r\n"
        async with answering(reply.encode()) as url:
            assert await problem(url) == ("status_307", "status_307")


@pytest.mark.parametrize(
    "url",
    ["http://a..b", "http://" + "a" * 64 + ".x", "http://0177.0.0.1", "http://999.1.1.1", "",
     "http://\u2028", "http://a\nb", "ftp://127.0.0.1", "http://127.0.0.1:99999", "http://[::1"],
)  # fmt: skip
@pytest.mark.parametrize("trusted", [True, False])
async def test_an_address_that_is_none_is_a_peer_error(url: str, trusted: bool) -> None:
    assert await problem(url, trusted=trusted) == ("unreachable", "unreachable")


async def test_a_strangers_address_is_guarded_and_an_operators_is_not() -> None:
    async with over_http() as line, running(line.spore):
        public = HttpTransport(CALLER, reach=Reach.PUBLIC)
        with pytest.raises(PeerError) as error:
            await public.introduce(line.url, trusted=False)
        assert error.value.reason == "unreachable"
        with pytest.raises(PeerError):
            await public.exchange(line.spore.identity.key, line.url, [NOTHING])
        await public.introduce(line.url, trusted=True)
        assert len(await public.exchange(line.spore.identity.key, line.url, [NOTHING])) == 2
        await public.close()


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with over_http() as line, running(line.spore):
        assert len(await line.exchange(NOTHING)) == 2


@pytest.mark.promise("authored")
async def test_what_a_server_refuses_is_counted() -> None:
    async with over_http() as line, running(line.spore):
        with pytest.raises(PeerError):
            await line.exchange(NOTHING, to=STRANGER.key)
        assert line.spore.operations.health().refused == {"recipient": 1}
