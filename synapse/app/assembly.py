"""Builds every part of a spore once, and hands each what it needs."""

from __future__ import annotations

import asyncio
import ipaddress
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Final
from urllib.parse import urlsplit

from synapse import __version__, config
from synapse.app import cortex, keys, memory, quota, semantic
from synapse.app.models import Models, build
from synapse.config import Settings
from synapse.core.errors import ConfigError
from synapse.core.membership.peer_table import is_private
from synapse.core.memory.record import Identity
from synapse.core.node import Node, NodeSettings
from synapse.core.reasoning.idle.schedule import IdleSettings
from synapse.core.reasoning.mechanisms import Quantum
from synapse.core.wall.release import Wall
from synapse.driver.clock import MonotonicClock
from synapse.driver.driver import Driver
from synapse.operations import Operations
from synapse.ports import Provider
from synapse.providers.local import LocalServer
from synapse.retrieval.corroboration import Corroboration
from synapse.retrieval.inverted import InvertedIndex
from synapse.retrieval.residency import Residency
from synapse.storage.attempt_log import FileAttemptLog
from synapse.storage.sqlite_log import SqliteLog
from synapse.transport.guard import Reach, reach_of
from synapse.transport.http import HttpTransport
from synapse.transport.traffic import Traffic
from synapse.web.gossip import Gossip

LOG_FILE: Final = "log.db"
INDEX_FOLDER: Final = "index"
ATTEMPTS_FILE: Final = "attempts.jsonl"


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
    models: Models
    attempts: FileAttemptLog
    index: InvertedIndex
    log: SqliteLog

    async def close(self) -> None:
        """Let go of connections and files."""
        await self.transport.close()
        if (embedder := self.driver.recaller.embedder) is not None:
            await embedder.close()
        for provider in self.providers:
            await provider.close()
        self.attempts.close()
        await asyncio.to_thread(self.index.close)
        await asyncio.to_thread(self.driver.indexer.said.close)
        self.log.close()

    @property
    def providers(self) -> tuple[Provider, ...]:
        """Each provider once, the local model that cannot be used included."""
        every: list[Provider] = list(self.models.providers.values())
        if self.models.cortex is not None:
            every.append(self.models.cortex)
        return tuple({id(one): one for one in every}.values())


def assemble(settings: Settings, *, local_servers: Sequence[LocalServer] = ()) -> Spore:
    """Open the data folder and build every part; `local_servers` are models found on this machine.

    Raises ConfigError, StorageError.
    """
    folder = _data_folder(settings)
    shares = memory.shares(settings.memory_mb)
    log = SqliteLog(folder / LOG_FILE, cache_kib=shares.cache_kib)
    identity = keys.identity(folder / keys.IDENTITY_FILE)
    key, key_is_new = keys.api_key(settings, folder)
    wall = Wall(keys.secrets_of(settings, key))
    clock = MonotonicClock()
    models = build(
        settings,
        clock.now_ms,
        local_servers=local_servers,
        secrets=keys.secrets_of(settings, key),
    )
    attempts = FileAttemptLog(folder / ATTEMPTS_FILE)
    derived = _index_folder(folder, log)
    index = _index(derived, shares)

    node = Node(
        identity,
        _node_settings(settings, models),
        rng=SystemRandom(),
        read=log.read,
        search=lambda query, limit: driver.recaller.for_prompts(
            query, limit, known=bool(node.thinking.routing.families())
        ),
        wall=wall,
    )
    quota.restore(folder, node.thinking.routing, now_ms=clock.now_ms())
    transport = HttpTransport(identity, reach=_reach(settings.dial_url))
    driver = Driver(
        node,
        log=log,
        index=index,
        transport=transport,
        providers=models.providers,
        clock=clock.now_ms,
        attempts=attempts,
        said=Corroboration(derived),
        half_life_days=_half_life_days(settings),
        mailboxes_bytes_max=shares.mailboxes_bytes,
        embedder=semantic.embedder(settings, node, log, wall, clock.now_ms),
    )
    return Spore(
        settings=settings,
        identity=identity,
        driver=driver,
        operations=_operations(driver, wall, models, transport.traffic),
        gossip=Gossip(driver, identity, transport.traffic),
        wall=wall,
        key=key,
        key_is_new=key_is_new,
        transport=transport,
        models=models,
        attempts=attempts,
        index=index,
        log=log,
    )


def _data_folder(settings: Settings) -> Path:
    """Where everything is kept; made if need be. Raises ConfigError."""
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(
            f"data_dir ({settings.source_of('data_dir')}): {folder} cannot be made "
            f"({error.strerror}); name a folder that this user may write to"
        ) from None
    return folder


def _index_folder(folder: Path, log: SqliteLog) -> Path:
    """Where the index of this very log is. That of another, which was here before, is dropped: its
    positions would be taken for this one's."""
    own = folder / INDEX_FOLDER / log.lineage.hex()
    own.mkdir(parents=True, exist_ok=True)
    for other in own.parent.iterdir():
        if other != own and other.is_dir():
            shutil.rmtree(other)
    return own


def _index(folder: Path, shares: memory.Shares) -> InvertedIndex:
    return InvertedIndex(
        folder,
        residency=Residency(shares.mapped_bytes, shares.mapped_at_once, shares.mapped_most),
        lists_max=shares.lists_bytes,
    )


def _node_settings(settings: Settings, models: Models) -> NodeSettings:
    """What the operator decided, as the node takes it."""
    return NodeSettings(
        name=settings.name,
        url=settings.dial_url,
        software=f"synapse/{__version__}",
        seeds=settings.peers,
        public_seeds=config.seeds(settings),
        targets=models.targets,
        private_addresses=_reach(settings.dial_url) is not Reach.PUBLIC,
        sync_interval_ms=int(settings.sync_interval_s * 1_000),
        task_deadline_ms=int(settings.task_deadline_s * 1_000),
        quantum=_quantum(settings),
        synthesis=settings.synthesis,
        idle=IdleSettings(settings.idle_calls_per_day, spared=(cortex.TARGET,)),
    )


def _half_life_days(settings: Settings) -> float | None:
    return None if "decoherence" in settings.mechanisms_off else settings.half_life_days


def _operations(driver: Driver, wall: Wall, models: Models, traffic: Traffic) -> Operations:
    def trusted(family: str) -> float:
        view = operations.trust().get(family)
        return view.overall if view is not None else 0.0

    operations = Operations(
        driver,
        wall=wall,
        model_notes=models.notes,
        cortex=lambda: cortex.status(models.cortex, trusted),
        traffic=traffic,
    )
    return operations


def _quantum(settings: Settings) -> Quantum:
    """The mechanisms, but those that are switched off."""
    off = settings.mechanisms_off
    return Quantum(
        annealing="annealing" not in off,
        superposition="superposition" not in off,
        interference="interference" not in off,
        tunnelling="tunnelling" not in off,
        entanglement="entanglement" not in off,
        decoherence="decoherence" not in off,
        half_life_days=settings.half_life_days,
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
