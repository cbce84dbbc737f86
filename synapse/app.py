"""The composition root: builds every part once and runs them. The only module that knows them all,
and the only one that configures logging."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import logging
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Final
from urllib.parse import urlsplit

import structlog
import uvicorn

from synapse import __version__, config
from synapse.config import Settings
from synapse.core.errors import ConfigError, PeerError, SynapseError
from synapse.core.membership.peer_table import is_private
from synapse.core.memory.memory import Memory
from synapse.core.memory.record import Identity
from synapse.core.node import Node, NodeSettings
from synapse.core.reasoning.model_routing import EXTRACTIVE, Target
from synapse.core.wall.release import Wall
from synapse.driver.clock import MonotonicClock
from synapse.driver.driver import Driver
from synapse.operations import Operations
from synapse.ports import Filter, Provider
from synapse.providers import catalogue
from synapse.providers.extractive import Extractive
from synapse.providers.openai_compatible import Endpoint, OpenAiCompatible
from synapse.retrieval.inverted import InvertedIndex
from synapse.storage.sqlite_log import SqliteLog
from synapse.transport.guard import Reach, reach_of
from synapse.transport.http import HttpTransport
from synapse.web.access import Access, WebSettings
from synapse.web.app import build
from synapse.web.gossip import Gossip
from synapse.web.mcp_server import build_mcp

IDENTITY_FILE: Final = "identity.key"
API_KEY_FILE: Final = "api.key"
LOG_FILE: Final = "log.db"
MODEL_TIMEOUT_S: Final = 30.0  # half a task's default deadline, which leaves time for another
SHUTDOWN_S: Final = 5  # long polls and event streams are cut after this

_log = structlog.get_logger(__name__)


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


def configure_logging(settings: Settings) -> None:
    """Logs to standard error: for people, or one JSON object a line for machines."""
    level = getattr(logging, settings.log_level.upper())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s", force=True)


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
    identity = _identity(folder / IDENTITY_FILE)
    key, key_is_new = _api_key(settings, folder)
    wall = Wall(_secrets_of(settings, key))
    clock = MonotonicClock()
    targets, providers = _models(settings, clock.now_ms)
    index = InvertedIndex()

    def search(query: str, limit: int) -> Sequence[Memory]:
        hits = index.search(query, limit=limit, wanted=Filter(shared_only=True))
        found = (log.memory(hit.id) for hit in hits)
        return [memory for memory in found if memory is not None]

    reach = _reach(settings.dial_url)
    node = Node(
        identity,
        NodeSettings(
            name=settings.name,
            url=settings.dial_url,
            software=f"synapse/{__version__}",
            seeds=tuple(dict.fromkeys((*settings.peers, *config.seeds(settings)))),
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


async def serve(spore: Spore) -> None:
    """Run a spore until it is told to stop. Raises ConfigError when the port is taken."""
    settings = spore.settings
    listener = _listen(settings.host, settings.port)
    web = WebSettings(api_key=spore.key, hosts=_hosts(settings), name=settings.name)
    mcp = build_mcp(spore.operations, Access(web))
    server: uvicorn.Server

    @contextlib.asynccontextmanager
    async def running(_: object) -> AsyncIterator[None]:
        await spore.driver.restore()
        task = asyncio.create_task(spore.driver.run())
        task.add_done_callback(lambda _: setattr(server, "should_exit", True))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task  # what stopped the node, if anything did, is raised here
            await _close(spore)

    app = build(
        spore.operations,
        web,
        routes=[*spore.gossip.routes(), *mcp.routes],
        lifespans=[running, lambda _: mcp.lifespan()],
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
            h11_max_incomplete_event_size=64 << 10,
        )
    )
    await server.serve(sockets=[listener])


def greeting(spore: Spore) -> list[str]:
    """What a spore says when it starts: where it is, how to reach it, what a key would add."""
    settings = spore.settings
    shown = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    url = settings.public_url or f"http://{f'[{shown}]' if ':' in shown else shown}:{settings.port}"
    families = spore.driver.node.routing.families()
    header = f' --header "Authorization: Bearer {spore.key}"' if spore.key_is_new else ""
    lines = [
        f"[bold]{settings.name}[/bold] at {url}",
        f"  MCP          {url}/mcp",
        f"  Claude Code  claude mcp add --transport http synapse {url}/mcp{header}",
        f'  Cursor       .cursor/mcp.json  {{"mcpServers": {{"synapse": {{"url": "{url}/mcp"}}}}}}',
        f'  VS Code      .vscode/mcp.json  {{"servers": {{"synapse": {{"type": "http", '
        f'"url": "{url}/mcp"}}}}}}',
        f"  data         {settings.data_dir}",
        f"  identity     {settings.data_dir / IDENTITY_FILE}  ({spore.identity.key.hex()[:16]}…)",
        f"  models       {', '.join(families)}"
        if families
        else "  models       none: answers are extracts from memory. Set LLM_ENDPOINT (a local "
        "server) or a provider's key, and models will reason over them",
    ]
    if spore.key_is_new:
        lines.append(
            f"  key          {spore.key}  (writes need it; shown once, kept in {API_KEY_FILE})"
        )
    elif spore.key is not None:
        lines.append(f"  key          writes need the key in {settings.data_dir / API_KEY_FILE}")
    return lines


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the doctor looked at."""

    check: str
    well: bool
    detail: str


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything a spore needs, and say what to mend."""
    findings = [Finding("settings", True, "every value is possible")]
    try:
        spore = assemble(settings)
    except SynapseError as error:
        return [*findings, Finding("data folder", False, str(error))]
    records, private = spore.log.counts()
    detail = f"{settings.data_dir} holds {records} records and {private} private memories"
    findings.append(Finding("data folder", True, detail))
    try:
        _listen(settings.host, settings.port).close()
        findings.append(Finding("port", True, f"{settings.host} port {settings.port} is free"))
    except ConfigError as error:
        findings.append(Finding("port", False, str(error)))
    for url in spore.driver.node.settings.seeds:
        try:
            await spore.transport.introduce(url, trusted=True)
            findings.append(Finding("peer", True, f"{url} answers"))
        except PeerError as error:
            findings.append(Finding("peer", False, str(error)))
    families = spore.driver.node.routing.families()
    models = ", ".join(families) or "none configured: answers are extracts from memory"
    findings.append(Finding("models", True, models))
    await _close(spore)
    return findings


async def _close(spore: Spore) -> None:
    await spore.transport.close()
    for provider in spore.providers:
        await provider.close()
    spore.log.close()


# Models.


def _models(
    settings: Settings, now_ms: Callable[[], int]
) -> tuple[tuple[Target, ...], dict[str, Provider]]:
    """What may be asked, best first: what the operator listed, the endpoint named in the
    environment, then every service whose key was found. Without any, the extractor."""
    endpoints: dict[str, Endpoint] = {}
    timeouts: dict[str, float] = {}
    for number, entry in enumerate(settings.models, start=1):
        service = catalogue.row(entry.provider) if entry.provider is not None else None
        name = f"{entry.provider or 'model'}-{number}"
        endpoints[name] = Endpoint(
            base_url=service.base_url if service is not None else entry.base_url or "",
            model=entry.model or (service.model if service is not None else None),
            family=entry.family or (service.family if service is not None else None),
            api_key=entry.api_key,
            refuses=service.refuses if service is not None else frozenset(),
        )
        timeouts[name] = entry.timeout_s
    if settings.llm_endpoint is not None:
        endpoints["llm_endpoint"] = Endpoint(
            base_url=settings.llm_endpoint,
            model=settings.llm_model,
            api_key=settings.llm_api_key,
        )
    listed = {entry.provider for entry in settings.models}
    for name, key in settings.provider_keys.items():
        if name not in listed:
            service = catalogue.row(name)
            endpoints[name] = Endpoint(
                base_url=service.base_url,
                model=service.model,
                family=service.family,
                api_key=key,
                refuses=service.refuses,
            )
    if not endpoints:
        extract = Target(EXTRACTIVE, EXTRACTIVE, account=EXTRACTIVE, timeout_ms=10_000)
        return (extract,), {EXTRACTIVE: Extractive()}
    provider = OpenAiCompatible(endpoints, now_ms=now_ms)
    targets = tuple(
        Target(
            name,
            family=endpoint.family or catalogue.family_of(endpoint.model or name),
            account=_account(endpoint),
            timeout_ms=int(timeouts.get(name, MODEL_TIMEOUT_S) * 1_000),
        )
        for name, endpoint in endpoints.items()
    )
    return targets, {target.name: provider for target in targets}


def _account(endpoint: Endpoint) -> str:
    """What a vendor counts quota by: the service and the key, of which only a hash is kept."""
    key = endpoint.api_key.get_secret_value() if endpoint.api_key is not None else ""
    return f"{endpoint.base_url} {hashlib.sha256(key.encode()).hexdigest()[:8]}"


# Secrets and addresses.


def _secret_file(path: Path, make: Callable[[], str]) -> tuple[str, bool]:
    """The secret kept in a file only its owner may read, and whether it was just made."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        text = path.read_text(encoding="ascii").strip()
        if not text:
            raise ConfigError(
                f"{path} is empty: put its backup back, or delete it to become a new spore"
            ) from None
        return text, False
    secret = make()
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    return secret, True


def _identity(path: Path) -> Identity:
    text, _ = _secret_file(path, lambda: secrets.token_hex(32))
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise ConfigError(
            f"{path} does not hold 64 hexadecimal digits: put its backup back, or delete it to "
            "become a new spore"
        )
    return Identity(seed)


def _api_key(settings: Settings, folder: Path) -> tuple[str | None, bool]:
    """The key writes must carry, and whether it is new. Loopback needs none."""
    if settings.api_key is not None:
        return settings.api_key.get_secret_value(), False
    if settings.loopback and not settings.allowed_hosts and settings.public_url is None:
        return None, False
    return _secret_file(folder / API_KEY_FILE, lambda: f"sp_{secrets.token_hex(24)}")


def _secrets_of(settings: Settings, key: str | None) -> tuple[str, ...]:
    """Everything that must never be shared, whatever text it turns up in."""
    models = [entry.api_key for entry in settings.models]
    held = [settings.llm_api_key, *models, *settings.provider_keys.values()]
    found = [one.get_secret_value() for one in held if one is not None]
    return tuple(one for one in dict.fromkeys((*found, key or "")) if len(one) >= 8)


def _hosts(settings: Settings) -> tuple[str, ...]:
    """Names under which clients may call: the bind address, the public one, those configured."""
    public = urlsplit(settings.public_url).hostname if settings.public_url is not None else None
    names = (*settings.allowed_hosts, settings.host, public or "")
    return tuple(dict.fromkeys(name for name in names if name))


def _reach(url: str | None) -> Reach:
    """What kind of address this spore has: strangers may send it to that kind only."""
    host = (urlsplit(url).hostname or "") if url is not None else ""
    if host == "localhost":
        return Reach.LOOPBACK
    try:
        return reach_of(ipaddress.ip_address(host)) or Reach.PUBLIC
    except ValueError:
        return Reach.PRIVATE if host and is_private(host) else Reach.PUBLIC


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError that names the port and the fix."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host} port {port} ({error.strerror}): choose another with --port, "
            "or stop what uses it"
        ) from None
    listener.listen(1_024)
    listener.setblocking(False)
    return listener
