"""Calls over real sockets: what a transport that hands over whole responses cannot show."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from synapse.core.errors import ProviderError
from synapse.ports import ModelReply
from synapse.providers.endpoint import Endpoint
from synapse.providers.hedging import CALLS_MIN, Hedged
from synapse.providers.openai_compatible import OpenAiCompatible
from tests.unit.providers.asking import NOW_MS, request, saying

Writer = asyncio.StreamWriter
Serve = Callable[[Writer, int], Awaitable[None]]  # writes the reply to the call of this number

STREAM: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
STALL_S: Final = 0.2  # pieces on loopback come within a millisecond


def event(content: str) -> bytes:
    piece = {"choices": [{"delta": {"content": content}}]}
    return b"data: " + json.dumps(piece).encode() + b"\n\n"


def whole(content: str) -> bytes:
    body = json.dumps(saying(content)).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"connection: close\r\n\r\n" + body


class Server:
    """A model server on loopback. `lost` counts calls whose connection the caller closed early."""

    def __init__(self, serve: Serve) -> None:
        self.calls = 0
        self.lost = 0
        self._serve = serve

    async def __call__(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        self.calls += 1
        reply = asyncio.ensure_future(self._serve(writer, self.calls))
        hung_up = asyncio.ensure_future(reader.read())
        done, _ = await asyncio.wait({reply, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        self.lost += reply not in done
        reply.cancel()
        hung_up.cancel()
        writer.close()


def asked(serve: Serve, *, stream: bool = True, calls: int = 1) -> tuple[ModelReply | str, Server]:
    """The reply to the last of some calls, or the class of its failure; and who was asked."""

    async def run() -> tuple[ModelReply | str, Server]:
        server = Server(serve)
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        endpoint = Endpoint(url, "qwen3-8b", stream=stream)
        inner = OpenAiCompatible({"there": endpoint}, now_ms=lambda: NOW_MS, stall_s=STALL_S)
        loop = asyncio.get_running_loop()
        provider = Hedged(inner, targets=["there"], now_ms=lambda: int(loop.time() * 1_000))
        try:
            for _ in range(calls - 1):
                await provider.complete("there", request(), timeout_ms=5_000)
            return await provider.complete("there", request(), timeout_ms=5_000), server
        except ProviderError as error:
            return error.failure, server
        finally:
            await provider.close()
            listening.close()
            await asyncio.wait_for(listening.wait_closed(), 5)

    return asyncio.run(asyncio.wait_for(run(), 30))


def pieces(*parts: bytes, then: Callable[[Writer], None] | None = None) -> Serve:
    """Each part in a packet of its own; `then` decides what becomes of the connection."""

    async def serve(writer: Writer, call: int) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if then is not None:
            then(writer)
            await asyncio.Event().wait()

    return serve


def reset(writer: Writer) -> None:
    """Drop the connection as a process that dies does: the peer is told so, and loses the rest."""
    at_once = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    writer.transport.abort()


def test_pieces_that_arrive_one_by_one_are_one_answer():
    end = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    middle = event("the moon")
    reply, server = asked(
        pieces(STREAM, event("They follow "), middle[:9], middle[9:], event("."), end)
    )
    assert isinstance(reply, ModelReply)
    assert (reply.text, server.calls) == ("They follow the moon.", 1)


@pytest.mark.parametrize(
    ("then", "failure"),
    [
        (None, "bad_reply"),  # closed in good order, before the answer's end
        (reset, "overloaded"),
        (lambda writer: None, "slow"),  # silence
    ],
)
def test_an_answer_that_breaks_off_is_a_failure_and_never_half_an_answer(then, failure):
    assert asked(pieces(STREAM, event("They follow"), then=then))[0] == failure


def test_a_server_that_hangs_up_without_a_word_is_overloaded():
    assert asked(pieces())[0] == "overloaded"


def test_the_second_of_two_calls_is_heard_and_the_late_one_hung_up_on():
    async def serve(writer: Writer, call: int) -> None:
        if call == CALLS_MIN + 1:
            await asyncio.Event().wait()  # far later than any before
        writer.write(whole(f"answer {call}"))
        await writer.drain()

    reply, server = asked(serve, stream=False, calls=CALLS_MIN + 1)
    assert isinstance(reply, ModelReply)
    assert (reply.text, reply.hedged) == (f"answer {CALLS_MIN + 2}", True)
    assert (server.calls, server.lost) == (CALLS_MIN + 2, 1)
