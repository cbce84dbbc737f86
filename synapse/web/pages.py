"""The pages for people: plain HTML that works without JavaScript.

Forms are checked like any other write: the page's own origin, and the key where one is needed. It
is typed into the form, used once, and never put into a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from synapse.core.errors import SynapseError
from synapse.replies import Scope
from synapse.web import manual, problems, views
from synapse.web.access import CHALLENGE
from synapse.web.parts import MaySeePrivate, Parts, TheParts, Verbs, visible
from synapse.web.problems import Problem
from synapse.web.templating import NOTHING
from synapse.web.views import Draft

ROWS: Final = 8  # memories and tasks on the first page: a screen of each
FIELDS_MAX: Final = 8  # of a form; ours have at most three

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form. Raises Problem (`malformed`)."""
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode("utf-8"), max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError:
        raise Problem("malformed") from None
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


Form = Annotated[dict[str, str], Depends(_form)]


@router.get("/")
async def home(
    request: Request,
    parts: TheParts,
    may_see_private: MaySeePrivate,
    q: Annotated[str, Query()] = "",
    kept: Annotated[str, Query()] = "",
) -> HTMLResponse:
    """The spore, what it remembers, and boxes to ask and to remember."""
    found = NOTHING
    if q.strip():
        scope: Scope | None = None if may_see_private else "shared"
        found = views.found(q, parts.operations.recall(q, limit=ROWS, scope=scope).results)
    shown = _shown(request, parts, found=found, kept_privately=kept == "privately")
    return HTMLResponse(views.home(shown, Draft()))


@router.post("/ask")
async def ask(request: Request, parts: TheParts, form: Form) -> Response:
    """Ask, and look at the task."""
    try:
        _check_key(parts, form)
        task = await parts.operations.submit_task(form.get("task", ""))
    except (Problem, SynapseError) as error:
        return _again(request, parts, Draft(task=form.get("task", ""), problem=_problem(error)))
    return RedirectResponse(f"/task/{task.task_id}", status_code=303)


@router.post("/remember")
async def remember(request: Request, parts: TheParts, form: Form) -> Response:
    """Remember, and look at the memory; a private one may be looked at by its key alone."""
    scope: Scope = "private" if "private" in form else "shared"
    try:
        _check_key(parts, form)
        memory = await parts.operations.remember(form.get("text", ""), scope=scope)
    except (Problem, SynapseError) as error:
        return _again(request, parts, Draft(memory=form.get("text", ""), problem=_problem(error)))
    place = "/?kept=privately" if scope == "private" else f"/memory/{memory.id}"
    return RedirectResponse(place, status_code=303)


@router.get("/memory/{memory_id}")
async def memory(memory_id: str, operations: Verbs, may_see_private: MaySeePrivate) -> HTMLResponse:
    """One memory, or another record."""
    view = visible(operations, memory_id, may_see_private=may_see_private)
    return HTMLResponse(views.memory(view, now_ms=operations.driver.clock()))


@router.get("/task/{task_id}")
async def task(task_id: str, operations: Verbs) -> HTMLResponse:
    """One task."""
    view = operations.task(task_id)
    return HTMLResponse(views.task(view, now_ms=operations.driver.clock()))


@router.get("/docs")
async def docs(request: Request, parts: TheParts) -> HTMLResponse:
    """The manual of the interface, made from its OpenAPI description."""
    return HTMLResponse(manual.docs(request.app.openapi(), url=_url(request, parts)))


def _shown(request: Request, parts: Parts, **extra: Any) -> views.Home:
    operations = parts.operations
    return views.Home(
        health=operations.health(),
        federation=operations.federation_status(),
        memories=operations.memory_overview(limit=ROWS),
        tasks=operations.tasks(limit=ROWS),
        providers=operations.providers(),
        url=_url(request, parts),
        key_needed=parts.access.key_needed,
        now_ms=operations.driver.clock(),
        **extra,
    )


def _again(request: Request, parts: Parts, draft: Draft) -> Response:
    """The first page once more, with what was typed and what is wrong with it."""
    assert draft.problem is not None, "a form that is right is not shown again"
    page = views.home(_shown(request, parts), draft)
    return HTMLResponse(page, draft.problem.status, draft.problem.headers)


def _check_key(parts: Parts, form: Mapping[str, str]) -> None:
    if not parts.access.key_valid(form.get("key", "")):
        parts.operations.count_refused("key")
        raise Problem("key", "that is not this spore's key", headers=CHALLENGE)


def _problem(error: Problem | SynapseError) -> Problem:
    return error if isinstance(error, Problem) else problems.of(error)


def _url(request: Request, parts: Parts) -> str:
    return parts.settings.url or str(request.base_url).rstrip("/")
