"""The two routes spores speak to each other over: who are you, and one exchange.

A request is authenticated by its signature, not by a key of the operator's: whoever signs is a
peer, and what a peer may do is decided by the core. Decoding, with its signature checks, runs off
the event loop.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from synapse.core import codec
from synapse.core.errors import Busy, MessageError, PeerError, SynapseError
from synapse.core.memory.record import Identity
from synapse.core.messages import Message, Poll
from synapse.driver.driver import Driver
from synapse.transport.http import EXCHANGE_PATH, NODE_PATH
from synapse.transport.packing import MEDIA_TYPE, pack, unpack
from synapse.transport.signing import Nonces, Signed, sign_reply, verify_request
from synapse.transport.traffic import Traffic

EXCHANGES_MAX: Final = 64  # answered at once; each may hold 4 MiB
POLLS_MAX: Final = 256  # held open at once; each holds a connection and a few kilobytes


class Gossip:
    """Answers peers on behalf of one node."""

    def __init__(self, driver: Driver, identity: Identity, traffic: Traffic | None = None) -> None:
        """What is said and heard is counted in `traffic`."""
        self._driver = driver
        self._traffic = traffic if traffic is not None else Traffic()
        self._identity = identity
        self._nonces = Nonces()
        self._exchanges = 0
        self._polls = 0

    def routes(self) -> list[Route]:
        """The routes to mount."""
        return [
            Route(NODE_PATH, self.node, methods=["GET"], include_in_schema=False),
            Route(EXCHANGE_PATH, self.exchange, methods=["POST"], include_in_schema=False),
        ]

    async def node(self, request: Request) -> Response:
        """Our self-description: one signed record."""
        record = self._driver.node.description
        if record is None:
            raise Busy("this spore is starting", retry_after_ms=1_000)
        return Response(codec.encode_record(record), media_type=MEDIA_TYPE)

    async def exchange(self, request: Request) -> Response:
        """Messages in, messages out."""
        body = await request.body()
        now_s = int(time.time())
        try:
            signed = verify_request(
                request.headers,
                method="POST",
                path=EXCHANGE_PATH,
                body=body,
                own_key=self._identity.key,
                now_s=now_s,
            )
            if not self._nonces.first_use(signed, now_s=now_s):
                raise PeerError("replayed", "this request was answered before")
            encoding = request.headers.get("content-encoding", "")
            messages = await asyncio.to_thread(_read, body, encoding)
            self._traffic.heard(len(messages), len(body))
            replies = await self._answer(signed, messages)
        except PeerError as error:
            return self._problem(401, error.reason, error)
        except MessageError as error:
            return self._problem(400, "malformed", error)
        packed, headers = pack(await asyncio.to_thread(codec.encode, replies))
        signature = sign_reply(
            self._identity, status=200, body=packed, request=signed, now_s=int(time.time())
        )
        self._traffic.said(len(replies), len(packed))
        return Response(packed, headers=headers | signature)

    async def _answer(self, signed: Signed, messages: list[Message]) -> list[Message]:
        polled = any(isinstance(message, Poll) for message in messages)
        if (self._polls if polled else self._exchanges) >= (POLLS_MAX if polled else EXCHANGES_MAX):
            raise Busy("this spore answers as many peers as it can", retry_after_ms=2_000)
        self._polls += polled
        self._exchanges += not polled
        try:
            return await self._driver.exchange(signed.key, messages)
        finally:
            self._polls -= polled
            self._exchanges -= not polled

    def _problem(self, status: int, reason: str, error: SynapseError) -> Response:
        self._driver.node.ledger.refused[reason] += 1
        return Response(str(error), status_code=status, media_type="text/plain")


def _read(body: bytes, encoding: str) -> list[Message]:
    return codec.decode(unpack(body, encoding, bytes_max=codec.EXCHANGE_BYTES_MAX))
