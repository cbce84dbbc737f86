"""Spores with an MCP face, and two clients of it: the official one, and one written by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.routing import BaseRoute

from synapse.operations import Operations
from synapse.providers.scripted import Script
from synapse.web.access import Access
from synapse.web.mcp_server import McpFace, build_mcp
from tests.spores import URL, Spore, running_spore

TOOLS = [
    "submit_task",
    "query_memory",
    "get_trust",
    "swarm_health",
    "get_task",
    "list_tasks",
    "collective_knowledge",
]
NEWEST = "2026-07-28"


@asynccontextmanager
async def running_face(
    *, api_key: str | None = None, scripts: Mapping[str, Script] | None = None, start: bool = True
) -> AsyncIterator[Spore]:
    """A spore that speaks MCP at /mcp."""
    faces: list[McpFace] = []

    def routes(operations: Operations, access: Access) -> Sequence[BaseRoute]:
        faces.append(build_mcp(operations, access))
        return faces[0].routes

    async with running_spore(
        api_key=api_key,
        scripts=scripts,
        routes=routes,
        lifespans=lambda: [faces[0].lifespan],
        start=start,
    ) as spore:
        yield spore


@asynccontextmanager
async def official(
    spore: Spore, *, mode: str = "auto", key: str | None = None
) -> AsyncIterator[Client]:
    """The official client, of the newest protocol, or with `mode="legacy"` of the one before."""
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(spore.app), headers=headers)
    async with (
        http,
        Client(streamable_http_client(f"{URL}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


@dataclass(frozen=True, slots=True)
class ByHand:
    """A client that knows nothing but the specification: each request is one POST."""

    spore: Spore

    async def post(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request of revision 2026-07-28; `headers` add to or replace what it demands."""
        demanded = {"MCP-Protocol-Version": NEWEST, "Mcp-Method": method}
        if params is not None and "name" in params:
            demanded["Mcp-Name"] = params["name"]
        return await self.send(by_hand(method, params), headers={**demanded, **(headers or {})})

    async def send(
        self, body: object, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Whatever the body: an object, or the text of one."""
        text = body if isinstance(body, str) else json.dumps(body)
        accepted = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        return await self.spore.client.post(
            "/mcp", content=text, headers={**accepted, **(headers or {})}
        )

    async def call(self, tool: str, **arguments: object) -> dict[str, Any]:
        """What a tool returned."""
        reply = await self.post("tools/call", {"name": tool, "arguments": arguments})
        assert reply.status_code == 200, reply.text
        result: dict[str, Any] = message(reply)["result"]
        return result


def by_hand(method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A request that says for itself which protocol it speaks."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": NEWEST,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {
        "jsonrpc": "2.0",
        "id": 1,
        "method": method,
        "params": {**(params or {}), "_meta": meta},
    }


def message(reply: httpx.Response) -> dict[str, Any]:
    """The JSON-RPC message of a reply, which may come as the last of a stream of events."""
    if reply.headers["content-type"] == "text/event-stream":
        last = [line for line in reply.text.splitlines() if line.startswith("data: ")][-1]
        found: dict[str, Any] = json.loads(last.removeprefix("data: "))
    else:
        found = reply.json()
    return found
