"""What stands around every route, ours and those of gossip and MCP alike: the limits on a body,
the checks of Host and Origin, and the headers that keep browsers safe. Plain ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from synapse.web.access import Access
from synapse.web.problems import Problem

# The first prefix that fits decides.
BODY_BYTES_MAX: Final[Mapping[str, int]] = {
    "/gossip/": 4 << 20,  # one exchange, which every hosting proxy we target lets through
    "/mcp": 4 << 20,  # what the MCP SDK itself allows
    "": 256 << 10,  # the longest memory is 60 kB, and thrice that with each character escaped
}
BODY_S: Final = 30  # 4 MiB at 140 kB/s, a poor mobile uplink; slower senders only hold connections

HELD_BYTES_MAX: Final = (
    64 << 20
)  # of all bodies at once: sixteen full exchanges fit a small machine

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: browsers would then send our own forms with "Origin: null".
    "Referrer-Policy": "same-origin",
}
STATIC_S: Final = 300  # for which a browser need not ask again for what lies in /static/
# To any page, as the browser sends no credentials along.
OPEN_HEADERS: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "X-Next-Cursor, Retry-After",
}

Refuse = Callable[[Problem, Scope], Response]
"""The reply to a request that is not let in."""


class Gate:
    """Lets a request in once its Host, its Origin and the whole of its body have been checked."""

    def __init__(self, app: ASGIApp, *, access: Access, refuse: Refuse) -> None:
        self._app = app
        self._access = access
        self._refuse = refuse
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a problem, or go on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, body = Headers(scope=scope), bytearray()
        try:
            self._access.check_host(headers)
            if scope["method"] not in SAFE_METHODS:
                self._access.check_origin(headers)
            complete = await self._read(receive, headers, body, bytes_max=bytes_max(scope["path"]))
        except Problem as problem:
            self._held_bytes -= len(body)
            await self._refuse(problem, scope)(scope, receive, send)
            return
        try:
            if complete:
                await self._app(_as_get(scope), _replayed(bytes(body), receive), send)
        finally:
            self._held_bytes -= len(body)

    async def _read(
        self, receive: Receive, headers: Headers, body: bytearray, *, bytes_max: int
    ) -> bool:
        """Fill `body`; False when its sender has gone. Raises Problem."""
        declared = headers.get("content-length", "0")
        if not declared.isdecimal() or len(declared) > 18 or int(declared) > bytes_max:
            raise _too_large(bytes_max)
        try:
            async with asyncio.timeout(BODY_S):
                while (message := await receive())["type"] != "http.disconnect":
                    piece = message.get("body", b"")
                    body += piece
                    self._held_bytes += len(piece)
                    if len(body) > bytes_max:
                        raise _too_large(bytes_max)
                    if self._held_bytes > HELD_BYTES_MAX:
                        raise Problem("busy", headers={"Retry-After": "2"})
                    if not message.get("more_body", False):
                        return True
        except TimeoutError:
            raise Problem("body_too_slow", f"it took more than {BODY_S} seconds") from None
        return False


class SafeHeaders:
    """Adds the headers that keep browsers safe, where a route did not set its own.

    Pages of other sites may read what anybody may read of a spore with a key, and nothing of one
    without: that one listens on loopback, and is not for every site its user visits.
    """

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app = app
        self._open = access.key_needed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on, and add to what is sent."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wanted = headers_for(scope["method"], scope["path"], open_to_pages=self._open)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                headers = MutableHeaders(scope=message)
                for name, value in wanted.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def headers_for(method: str, path: str, *, open_to_pages: bool) -> dict[str, str]:
    """The headers that every reply to such a request has."""
    readable = open_to_pages and method in ("GET", "HEAD") and path.startswith("/api/")
    keep = f"max-age={STATIC_S}" if path.startswith("/static/") else "no-store"
    return {**SECURITY_HEADERS, "Cache-Control": keep, **(OPEN_HEADERS if readable else {})}


def bytes_max(path: str) -> int:
    """The most bytes a body sent to this path may have."""
    return next(limit for prefix, limit in BODY_BYTES_MAX.items() if path.startswith(prefix))


def _too_large(bytes_max: int) -> Problem:
    return Problem("body_too_large", f"more than the {bytes_max} bytes that are read here")


def _as_get(scope: Scope) -> Scope:
    """A HEAD request is a GET whose body the server leaves out."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body in one message, then whatever the server says: that the client has gone."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
