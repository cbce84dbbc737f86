"""A whole spore in one process: the real node, driver and pages, with the disk, the peers and the
models in memory. For tests of any face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random

import httpx
from fastapi import FastAPI
from starlette.routing import BaseRoute

from synapse.core.memory.memory import Memory
from synapse.core.node import Node, NodeSettings
from synapse.core.reasoning.model_routing import EXTRACTIVE, Target
from synapse.core.wall.release import Wall
from synapse.driver.clock import MonotonicClock
from synapse.driver.driver import Driver
from synapse.operations import Operations
from synapse.ports import Filter, Provider
from synapse.providers.extractive import Extractive
from synapse.providers.scripted import Script, Scripted
from synapse.replies import Scope
from synapse.retrieval.scan import ScanIndex
from synapse.storage.memory_log import MemoryLog
from synapse.transport.in_process import Endpoint, InProcessTransport, Neighbourhood
from synapse.web.access import Access, WebSettings
from synapse.web.app import build
from tests.making import identity

URL = "http://127.0.0.1:7860"  # of the first spore; the others have the ports after it
NAMES = ("kitchen", "attic", "cellar")


@dataclass(frozen=True, slots=True)
class Spore:
    """A spore that runs, and a client of it."""

    operations: Operations
    driver: Driver
    log: MemoryLog
    index: ScanIndex
    neighbourhood: Neighbourhood
    access: Access
    app: FastAPI
    client: httpx.AsyncClient

    async def remember(self, *texts: str, scope: Scope = "shared") -> list[str]:
        """Remember these, and wait until they can be found; their ids."""
        before = len(self.index)
        replies = [await self.operations.remember(text, scope=scope) for text in texts]
        await self.finds(before + len(texts))
        return [reply.id for reply in replies]

    async def finds(self, memories: int) -> None:
        """Return when so many are searchable."""
        seen = self.driver.news.latest_number()
        async with asyncio.timeout(10):
            while len(self.index) < memories:
                seen = (await self.driver.news.after(seen))[-1].number


Routes = Callable[[Operations, Access], Sequence[BaseRoute]]
Lifespans = Sequence[Callable[[], AbstractAsyncContextManager[object]]]


@asynccontextmanager
async def running_spore(
    *,
    number: int = 1,
    neighbourhood: Neighbourhood | None = None,
    api_key: str | None = None,
    hosts: Sequence[str] = (),
    scripts: Mapping[str, Script] | None = None,
    routes: Routes = lambda operations, access: (),
    lifespans: Callable[[], Lifespans] = tuple,
    start: bool = True,
) -> AsyncIterator[Spore]:
    """A spore, ready unless told not to start. `scripts` are what its models say, by family;
    without any it extracts. Those of one neighbourhood can dial each other."""
    log, index, neighbourhood = MemoryLog(), ScanIndex(), neighbourhood or Neighbourhood()
    wall = Wall([api_key] if api_key is not None else [])
    url = f"http://127.0.0.1:{7859 + number}"
    node = _node(number, url, log, index, wall, scripts)
    provider: Provider = Scripted(scripts) if scripts else Extractive()
    driver = Driver(
        node,
        log=log,
        index=index,
        transport=InProcessTransport(neighbourhood, own_key=node.key),
        providers={target.name: provider for target in node.routing.targets},
        clock=MonotonicClock().now_ms,
    )
    neighbourhood.endpoints[url] = Endpoint(node.key, driver.exchange, lambda: node.description)
    operations = Operations(driver, wall=wall)
    settings = WebSettings(api_key=api_key, hosts=tuple(hosts))
    access = Access(settings)
    app = build(
        operations, settings, routes=routes(operations, access), lifespans=list(lifespans())
    )
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=url
    )
    await driver.restore()
    run = asyncio.create_task(driver.run()) if start else None
    async with client, app.router.lifespan_context(app):
        if run is not None:
            await ready(driver)
        try:
            yield Spore(operations, driver, log, index, neighbourhood, access, app, client)
        finally:
            if run is not None:
                run.cancel()
                with suppress(asyncio.CancelledError):
                    await run


async def ready(driver: Driver) -> None:
    """Return when the spore says so."""
    seen = 0
    async with asyncio.timeout(10):
        while not driver.indexer.filled:
            seen = (await driver.news.after(seen))[-1].number


def _node(
    number: int,
    url: str,
    log: MemoryLog,
    index: ScanIndex,
    wall: Wall,
    scripts: Mapping[str, Script] | None,
) -> Node:
    def search(query: str, limit: int) -> list[Memory]:
        hits = index.search(query, limit=limit, wanted=Filter(shared=True))
        return [memory for hit in hits if (memory := log.memory(hit.id)) is not None]

    families = list(scripts) if scripts else [EXTRACTIVE]
    return Node(
        identity(number),
        NodeSettings(
            name=NAMES[number - 1],
            url=url,
            software="synapse/test",
            targets=tuple(Target(family, family, family) for family in families),
            private_addresses=True,
        ),
        rng=Random(f"spore {number}"),
        read=log.read,
        search=search,
        wall=wall,
    )
