"""The web face of one spore: pages, JSON, events, and whatever routes the caller adds.

`build` puts it together. Gossip and MCP are routes like the others: they stand behind the same
checks of Host, Origin and body, and their errors become the same problems.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from synapse import __version__
from synapse.core.errors import SynapseError
from synapse.operations import Operations
from synapse.web import manual, metrics, pages, problems, rest
from synapse.web.access import Access, WebSettings
from synapse.web.bodies import faults
from synapse.web.idempotency import Idempotency
from synapse.web.limits import Gate, Refuse, SafeHeaders, headers_for
from synapse.web.live import Events
from synapse.web.parts import Parts, install
from synapse.web.problems import Problem

__all__ = ["WebSettings", "build"]

STATIC: Final = Path(__file__).with_name("static")
COUNTED: Final = frozenset(
    {"body_too_large", "body_too_slow", "host", "key", "malformed", "media_type", "origin"}
)  # requests that an edge refused before a verb was asked; /api/health shows how many

Lifespan = Callable[[], AbstractAsyncContextManager[object]]


def build(
    operations: Operations,
    settings: WebSettings,
    *,
    routes: Sequence[BaseRoute] = (),
    lifespans: Sequence[Lifespan] = (),
) -> FastAPI:
    """The application. `lifespans` are entered in order at the start, and left at the end."""
    access = Access(settings)

    def refuse(problem: Problem, scope: Scope) -> Response:
        if problem.reason in COUNTED:
            operations.count_refused(problem.reason)
        return problems.response(problem, scope)

    app = _App(
        title="Synapse",
        version=__version__,
        summary=f"{settings.name}: a spore that remembers, reasons and shares.",
        description=manual.INTRODUCTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name the host that the caller claims
        generate_unique_id_function=lambda route: route.name,
        responses=manual.PROBLEM_RESPONSES,
        lifespan=_all_of([*lifespans, operations.watch.watching]),
        middleware=[
            Middleware(SafeHeaders, access=access),
            Middleware(Gate, access=access, refuse=refuse),
        ],
    )
    events = Events(operations.news, private=operations.private_news)
    install(app, Parts(operations, settings, access, Idempotency(), events))
    _handle_errors(app, access, refuse)
    app.include_router(rest.reads)
    app.include_router(rest.writes)
    app.include_router(metrics.router)
    app.include_router(pages.router)
    app.router.routes.extend(routes)
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The description of every route, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = manual.described(super().openapi())
        return self.openapi_schema


def _all_of(
    lifespans: Sequence[Lifespan],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def everything(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for lifespan in lifespans:
                await stack.enter_async_context(lifespan())
            yield

    return everything


def _handle_errors(app: FastAPI, access: Access, refuse: Refuse) -> None:
    """Turn whatever a route raises into a problem."""

    @app.exception_handler(Problem)
    async def _(request: Request, problem: Problem) -> Response:
        return refuse(problem, request.scope)

    @app.exception_handler(SynapseError)
    async def _(request: Request, error: SynapseError) -> Response:
        return refuse(problems.of(error), request.scope)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> Response:
        return refuse(Problem("invalid", faults(error.errors())), request.scope)

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> Response:
        reason = {404: "no_route", 405: "method"}.get(error.status_code, "refused")
        detail = str(error.detail) if reason == "refused" else ""
        problem = Problem(reason, detail, status=error.status_code, headers=error.headers)
        return refuse(problem, request.scope)

    @app.exception_handler(Exception)
    async def _(request: Request, _: Exception) -> Response:
        # It is raised again afterwards, for the server to log. No middleware sees this reply.
        response = refuse(Problem("internal"), request.scope)
        open_to_pages = access.key_needed
        response.headers.update(
            headers_for(request.method, request.url.path, open_to_pages=open_to_pages)
        )
        return response
