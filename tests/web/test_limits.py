"""What stands around every route: limits on bodies, and headers that keep browsers safe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message

from synapse.web import limits
from synapse.web.limits import BODY_BYTES_MAX, SECURITY_HEADERS, bytes_max
from tests.spores import Spore, running_spore
from tests.web.conftest import KEY
from tests.web.test_problems import JSON, assert_problem

pytestmark = pytest.mark.anyio

LIMITED = [("/api/remember", 256 << 10), ("/gossip/echo", 4 << 20), ("/mcp", 4 << 20)]


async def _length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


ECHOES = [Route(path, _length, methods=["POST"]) for path in ("/gossip/echo", "/mcp")]


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    """A body without a Content-Length."""
    for start in range(0, size, 64 << 10):
        yield b" " * min(64 << 10, size - start)


@pytest.mark.parametrize(("path", "limit"), LIMITED)
async def test_a_body_above_the_limit_of_its_path_is_refused_however_it_is_sent(
    path: str, limit: int
) -> None:
    async with running_spore(routes=lambda *_: ECHOES) as spore:
        whole = await spore.client.post(path, content=b" " * (limit + 1), headers=JSON)
        chunked = await spore.client.post(path, content=in_pieces(limit + 1), headers=JSON)
        fitting = await spore.client.post(path, content=in_pieces(limit), headers=JSON)

    assert_problem(whole, 413, "body_too_large")
    assert_problem(chunked, 413, "body_too_large")
    assert fitting.status_code != 413


@pytest.mark.parametrize("length", ["9" * 30, "-1", "1e3", str(1 << 40), "²"])
async def test_a_content_length_that_cannot_be_true_is_refused(spore: Spore, length: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", length.encode())]
    reply = await spore.client.post("/api/task", content=b"{}", headers=headers)
    assert_problem(reply, 413, "body_too_large")


async def test_a_route_reads_the_body_as_it_was_sent() -> None:
    async with running_spore(routes=lambda *_: ECHOES) as spore:
        reply = await spore.client.post("/mcp", content=in_pieces(3 << 20))
    assert reply.text == str(3 << 20)


async def test_a_body_that_does_not_come_in_time_is_refused(
    spore: Spore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_S", 0.01)

    async def stalled() -> AsyncIterator[bytes]:
        yield b'{"task": '
        await asyncio.Event().wait()

    reply = await spore.client.post("/api/task", content=stalled(), headers=JSON)

    assert_problem(reply, 408, "body_too_slow")


async def test_all_bodies_together_are_limited_and_make_room_when_they_are_done(
    spore: Spore, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"task": "' + b"a" * 500 + b'"}'
    monkeypatch.setattr(limits, "HELD_BYTES_MAX", 2 * len(body))
    fits = [await spore.client.post("/api/task", content=body, headers=JSON) for _ in range(5)]
    together = await asyncio.gather(
        *(spore.client.post("/api/task", content=body, headers=JSON) for _ in range(5))
    )

    assert {reply.status_code for reply in fits} == {200}
    refused = [reply for reply in together if reply.status_code != 200]
    assert len(refused) == 3
    for reply in refused:
        assert_problem(reply, 503, "busy")
    assert (await spore.client.post("/api/task", content=body, headers=JSON)).status_code == 200


async def test_a_sender_who_goes_away_gets_no_answer(spore: Spore) -> None:
    sent: list[Message] = []
    messages = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/task",
        "headers": [(b"host", b"localhost")],
    }
    await spore.app(scope, receive, send)

    assert sent == []


def test_every_path_has_a_limit() -> None:
    assert {bytes_max(path) for path in ("*", "/", "/ask", "/api/task")} == {BODY_BYTES_MAX[""]}


async def test_a_head_request_is_answered_as_a_get_without_its_body(spore: Spore) -> None:
    for path in ("/", "/api/health", "/live", "/static/spore.css"):
        head, get = await spore.client.head(path), await spore.client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("path", ["/", "/api/health", "/nothing", "/docs", "/static/spore.css"])
async def test_every_reply_keeps_browsers_safe(spore: Spore, path: str) -> None:
    reply = await spore.client.get(path)
    assert {name: reply.headers[name] for name in SECURITY_HEADERS} == dict(SECURITY_HEADERS)


async def test_browsers_keep_the_style_and_nothing_else(spore: Spore) -> None:
    style, page = await spore.client.get("/static/spore.css"), await spore.client.get("/")
    assert style.headers["cache-control"].startswith("max-age=")
    assert page.headers["cache-control"] == "no-store"


async def test_replies_to_refused_requests_keep_browsers_safe_too(spore: Spore) -> None:
    reply = await spore.client.get("/", headers={"Host": "evil.example"})
    assert {name: reply.headers[name] for name in SECURITY_HEADERS} == dict(SECURITY_HEADERS)


async def _broken(request: Request) -> None:
    raise RuntimeError("a mistake")


async def readable_elsewhere(spore: Spore) -> set[str]:
    """Which replies a page of another site may read."""
    origin, header = {"Origin": "https://elsewhere.example"}, "access-control-allow-origin"
    replies = {
        "read": await spore.client.get("/api/health", headers=origin),
        "mistake": await spore.client.get("/api/broken", headers=origin),
        "page": await spore.client.get("/", headers=origin),
        "write": await spore.client.post("/api/task", json={"task": "a"}, headers=origin),
        "preflight": await spore.client.options("/api/task", headers=origin),
    }
    assert not any("access-control-allow-credentials" in one.headers for one in replies.values())
    return {name for name, reply in replies.items() if reply.headers.get(header) == "*"}


@pytest.mark.parametrize(("key", "readable"), [(KEY, {"read", "mistake"}), (None, set())])
async def test_other_sites_pages_may_read_a_spore_with_a_key_and_nothing_of_one_without(
    key: str | None, readable: set[str]
) -> None:
    broken = Route("/api/broken", _broken)
    async with running_spore(api_key=key, routes=lambda *_: [broken]) as spore:
        assert await readable_elsewhere(spore) == readable
