"""What every `Transport` promises, asked of each: real HTTP on loopback, and within one process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from synapse.core.errors import PeerError, SynapseError
from synapse.core.messages import Have, Poll, Push, Summary, Supply, Table, Want
from synapse.ports import Transport
from synapse.transport import http
from synapse.transport.guard import Reach
from synapse.transport.http import HttpTransport
from synapse.transport.in_process import Endpoint, InProcessTransport, Neighbourhood
from synapse.web.gossip import Gossip
from tests.driving import Driven, running, spore
from tests.making import identity, made_up_id, memory_chain, memory_record

SPORE, CALLER, STRANGER = identity(1), identity(2), identity(3)
NOTHING = Summary(bytes(16), 0)


class Line:
    """A running spore and a transport that leads to it."""

    def __init__(self, transport: Transport, url: str, nowhere: str, answering: Driven) -> None:
        self.transport = transport
        self.url = url
        self.nowhere = nowhere
        self.spore = answering

    async def exchange(self, *messages, to: bytes = SPORE.key):  # type: ignore[no-untyped-def]
        return await self.transport.exchange(to, self.url, messages)


Opener = Callable[[], "asyncio._AsyncGeneratorContextManager[Line]"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def refused(request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), status_code=503)
