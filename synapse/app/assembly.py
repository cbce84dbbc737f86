"""Builds every part of a spore once, and hands each what it needs."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from random import SystemRandom
from typing import Final
from urllib.parse import urlsplit

from synapse import __version__, config
from synapse.app import keys
from synapse.app.models import models
from synapse.config import Settings
from synapse.core.errors import ConfigError
from synapse.core.membership.peer_table import is_private
from synapse.core.memory.memory import Memory
from synapse.core.memory.record import Identity
from synapse.core.node import Node, NodeSettings
from synapse.core.wall.release import Wall
from synapse.driver.clock import MonotonicClock
from synapse.driver.driver import Driver
from synapse.operations import Operations
from synapse.ports import Filter, Provider
from synapse.retrieval.inverted import InvertedIndex
from synapse.storage.sqlite_log import SqliteLog
from synapse.transport.guard import Reach, reach_of
from synapse.transport.http import HttpTransport
from synapse.web.gossip import Gossip

LOG_FILE: Final = "log.db"


@dataclass(frozen=True, slots=True)
class Spore:
    """One spore, built and not yet running."""

    settings: Settings
    identity: Identity
    driver: Driver
    operations: Operations
    gossip: Gossip
    wall: Wall
    key: str | None  # what writes must carry; None on loopback, where none is needed
    key_is_new: bool
    transport: HttpTransport
    providers: tuple[Provider, ...]
    log: SqliteLog

    async def close(self) -> None:
        """Let go of connections and files."""
        await self.transport.close()
        for provider in self.providers:
            await provider.close()
        self.log.close()


def assemble(settings: Settings) -> Spore:
    """Open the data folder and build every part. Raises ConfigError, StorageError."""
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(
            f"data_dir ({settings.source_of('data_dir')}): {folder} cannot be made "
            f"({error.strerror}); name a folder that this user may write to"
        ) from None
    log = SqliteLog(folder / LOG_FILE)
    identity = keys.identity(folder / keys.IDENTITY_FILE)
    key, key_is_new = keys.api_key(settings, folder)
    wall = Wall(keys.secrets_of(settings, key))
    clock = MonotonicClock()
    targets, providers = models(settings, clock.now_ms)
    index = InvertedIndex()

    def search(query: str, limit: int) -> Sequence[Memory]:
        hits = index.search(query, limit=limit, wanted=Filter(shared=True))
        found = (log.memory(hit.id) for hit in hits)
        return [memory for memory in found if memory is not None]

    reach = _reach(settings.dial_url)
    node = Node(
        identity,
        NodeSettings(
            name=settings.name,
            url=settings.dial_url,
            software=f"synapse/{__version__}",
            seeds=settings.peers,
            public_seeds=config.seeds(settings),
            targets=targets,
            private_addresses=reach is not Reach.PUBLIC,
            sync_interval_ms=int(settings.sync_interval_s * 1_000),
            task_deadline_ms=int(settings.task_deadline_s * 1_000),
        ),
        rng=SystemRandom(),
        read=log.read,
        search=search,
        wall=wall,
    )
    transport = HttpTransport(identity, reach=reach)
    driver = Driver(
        node,
        log=log,
        index=index,
        transport=transport,
        providers=providers,
        clock=clock.now_ms,
    )
    return Spore(
        settings=settings,
        identity=identity,
        driver=driver,
        operations=Operations(driver, wall=wall),
        gossip=Gossip(driver, identity),
        wall=wall,
        key=key,
        key_is_new=key_is_new,
        transport=transport,
        providers=tuple({id(one): one for one in providers.values()}.values()),
        log=log,
    )


def _reach(url: str | None) -> Reach:
    """What kind of address this spore has: strangers may send it to that kind only."""
    host = (urlsplit(url).hostname or "") if url is not None else ""
    if host == "localhost":
        return Reach.LOOPBACK
    try:
        return reach_of(ipaddress.ip_address(host)) or Reach.PUBLIC
    except ValueError:
        return Reach.PRIVATE if host and is_private(host) else Reach.PUBLIC
