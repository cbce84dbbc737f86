"""A node and its driver with the disk, the peers and the models in memory, and nothing around
them. For tests of the driver, the operations and the transports; `tests.spores` adds the faces."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random

from synapse.core.errors import StorageFull
from synapse.core.memory.memory import Memory
from synapse.core.memory.record import NODE, Identity, Record
from synapse.core.messages import Summary
from synapse.core.node import Node, NodeSettings
from synapse.core.reasoning.model_routing import EXTRACTIVE, Target
from synapse.core.wall.release import Wall
from synapse.driver.clock import MonotonicClock
from synapse.driver.driver import Driver
from synapse.operations import Operations
from synapse.ports import Filter, Index, Provider, RecordLog
from synapse.providers.extractive import Extractive
from synapse.providers.scripted import Script, Scripted
from synapse.retrieval.scan import ScanIndex
from synapse.storage.memory_log import MemoryLog
from synapse.transport.in_process import Endpoint, InProcessTransport, Neighbourhood
from tests.making import identity, record

CALLER = identity(2)  # a peer that the tests speak for
NOTHING = Summary(bytes(16), 0)  # what it says when it holds no record


def introduction(number: int = 2) -> Record:
    """What a spore that nobody can dial says of itself."""
    says = {"name": "two", "url": None, "protocol": 1, "software": "x", "families": []}
    return record(says, kind=NODE, writer=identity(number))


class CountingLog(MemoryLog):
    """Counts its commits. While `full`, none succeeds; while `gate` is shut, none returns."""

    def __init__(self) -> None:
        super().__init__()
        self.commits = 0
        self.full = False
        self.gate = threading.Event()
        self.gate.set()
        self._loop = asyncio.get_running_loop()
        self._knocked = asyncio.Event()

    def commit(self) -> None:
        self._loop.call_soon_threadsafe(self._knocked.set)
        assert self.gate.wait(10), "a test shut the gate and left it so"
        if self.full:
            raise StorageFull("the disk is full; make room")
        super().commit()
        self.commits += 1

    def shut(self) -> None:
        """Shut the gate, and listen for who wants through."""
        self._knocked.clear()
        self.gate.clear()

    async def knocked(self) -> None:
        """Return when somebody wants to commit."""
        async with asyncio.timeout(10):
            await self._knocked.wait()


@dataclass(frozen=True, slots=True)
class Driven:
    """One spore without a face."""

    identity: Identity
    driver: Driver
    operations: Operations
    log: RecordLog
    index: Index
    url: str | None

    @property
    def node(self) -> Node:
        return self.driver.node

    async def told(self, topic: str) -> Mapping[str, object]:
        """What is published next on a topic, or was already."""
        seen = 0
        async with asyncio.timeout(10):
            while True:
                for notice in await self.driver.news.after(seen):
                    seen = notice.number
                    if notice.topic == topic:
                        return notice.data

    async def indexed(self, memories: int) -> None:
        """Return when so many memories were given to the index since the start."""
        await until(lambda: self.driver.indexer.indexed >= memories)


def spore(
    number: int = 1,
    *,
    name: str = "",
    url: str | None = None,
    neighbourhood: Neighbourhood | None = None,
    log: RecordLog | None = None,
    index: Index | None = None,
    scripts: Mapping[str, Script] | None = None,
    seeds: Sequence[str] = (),
    clock: Callable[[], int] | None = None,
    secrets: Sequence[str] = (),
) -> Driven:
    """A spore, not yet running. `scripts` are what its models say, by family; else it quotes."""
    own, wall = identity(number), Wall(secrets)
    kept = log if log is not None else MemoryLog()
    found = index if index is not None else ScanIndex()
    near = neighbourhood if neighbourhood is not None else Neighbourhood()

    def search(query: str, limit: int) -> list[Memory]:
        hits = found.search(query, limit=limit, wanted=Filter(shared=True))
        return [memory for hit in hits if (memory := kept.memory(hit.id)) is not None]

    targets = [Target(family, family, family) for family in scripts or [EXTRACTIVE]]
    node = Node(
        own,
        NodeSettings(
            name=name or f"spore {number}",
            url=url,
            software="synapse/test",
            seeds=tuple(seeds),
            targets=tuple(targets),
            private_addresses=True,
            sync_interval_ms=100,
        ),
        rng=Random(f"spore {number}"),
        read=kept.read,
        search=search,
        wall=wall,
    )
    provider: Provider = Scripted(scripts) if scripts else Extractive()
    driver = Driver(
        node,
        log=kept,
        index=found,
        transport=InProcessTransport(near, own_key=own.key),
        providers={target.name: provider for target in targets},
        clock=clock or MonotonicClock().now_ms,
    )
    if url is not None:
        near.endpoints[url] = Endpoint(own.key, driver.exchange, lambda: node.description)
    return Driven(own, driver, Operations(driver, wall=wall), kept, found, url)


@asynccontextmanager
async def running(*spores: Driven) -> AsyncIterator[None]:
    """Let them run, and stop them at the end, as at a power cut."""
    runs = [asyncio.create_task(one.driver.run()) for one in spores]
    try:
        for one in spores:
            await one.told("ready")
        yield
    finally:
        for run in runs:
            run.cancel()
        for run in runs:
            with suppress(asyncio.CancelledError):
                await run


async def until(holds: Callable[[], bool]) -> None:
    """Return when something holds that nobody announces."""
    for attempt in range(20_000):  # some seconds
        if holds():
            return
        # What is waited for may be done in a thread, which has to get its turn.
        await asyncio.sleep(0 if attempt < 1_000 else 0.001)
    raise AssertionError("it never came to hold")


async def turns(count: int = 50) -> None:
    """Let everything that can go on without outside help do so. Nothing is waited for."""
    for _ in range(count):
        await asyncio.sleep(0)
