"""A whole spore in one process: the real node, driver and pages, with the disk, the peers and the
models in memory. For tests of any face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

import httpx
from fastapi import FastAPI
from starlette.routing import BaseRoute

from synapse.driver.driver import Driver
from synapse.operations import Operations
from synapse.providers.scripted import Script
from synapse.replies import Scope
from synapse.retrieval.scan import ScanIndex
from synapse.storage.memory_log import MemoryLog
from synapse.transport.in_process import Neighbourhood
from synapse.web.access import Access, WebSettings
from synapse.web.app import build
from tests.driving import spore

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
    url = f"http://127.0.0.1:{7859 + number}"
    one = spore(
        number,
        name=NAMES[number - 1],
        url=url,
        neighbourhood=neighbourhood,
        log=log,
        index=index,
        scripts=scripts,
        secrets=[api_key] if api_key is not None else [],
    )
    driver, operations = one.driver, one.operations
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
