"""Runs a spore: its logs, its listening socket, its driver and its web server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator
from types import FrameType
from typing import Final
from urllib.parse import urlsplit

import structlog
import uvicorn

from synapse.app import memory, quota
from synapse.app.assembly import Spore
from synapse.config import Settings
from synapse.core.errors import ConfigError
from synapse.web.access import Access, WebSettings
from synapse.web.app import build
from synapse.web.mcp_server import build_mcp

SAVE_EVERY_S: Final = 60  # how much of a day's quota a crash may forget
SHUTDOWN_S: Final = 5  # long polls and event streams are cut after this


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


async def serve(spore: Spore) -> None:
    """Run a spore until it is told to stop. Raises ConfigError when the port is taken."""
    memory.tune()
    settings = spore.settings
    listener = listen(settings.host, settings.port)
    web = WebSettings(
        api_key=spore.key, hosts=_hosts(settings), name=settings.name, url=settings.public_url
    )
    mcp = build_mcp(spore.operations, Access(web))
    server: _Server

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        task = asyncio.create_task(spore.driver.run())  # the log is read while we already answer
        task.add_done_callback(lambda _: setattr(server, "should_exit", True))
        memory.settle()
        keeping = asyncio.create_task(_look_after_models(spore))
        try:
            yield
        finally:
            keeping.cancel()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task  # what stopped the node, if anything did, is raised here
            with contextlib.suppress(asyncio.CancelledError):
                await keeping
            quota.save(settings.data_dir, spore.driver.node.thinking.routing)
            await spore.close()

    app = build(
        spore.operations,
        web,
        routes=[*spore.gossip.routes(), *mcp.routes],
        lifespans=[running, mcp.lifespan],
    )
    server = _Server(
        spore,
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
            h11_max_incomplete_event_size=64 << 10,
        ),
    )
    await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that tells those who wait that it stops, instead of waiting for them."""

    def __init__(self, spore: Spore, settings: uvicorn.Config) -> None:
        super().__init__(settings)
        self._driver = spore.driver

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._driver.stop_waiting()
        super().handle_exit(sig, frame)


async def _look_after_models(spore: Spore) -> None:
    """Ask each endpoint what it lists, then keep on disk what a restart must not forget."""
    meter = quota.Meter(spore.models, spore.driver.node.thinking.routing)
    await spore.models.check(spore.driver.clock())
    while True:
        await meter.read(spore.driver.clock())
        await asyncio.sleep(SAVE_EVERY_S)
        quota.save(spore.settings.data_dir, spore.driver.node.thinking.routing)
        await asyncio.to_thread(memory.give_back)


def _hosts(settings: Settings) -> tuple[str, ...]:
    """Names under which clients may call: the bind address, the public one, those configured."""
    public = urlsplit(settings.public_url).hostname if settings.public_url is not None else None
    names = (*settings.allowed_hosts, settings.host, public or "")
    return tuple(dict.fromkeys(name for name in names if name))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError that names the port and the fix."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, so that asyncio turns off Nagle's delay: without, each reply takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
