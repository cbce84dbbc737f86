"""The pages for people: plain HTML that works without JavaScript.

Forms are checked like any other write: the page's own origin, and the key where one is needed. It
is typed into the form, used once, and never put into a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from synapse.core.errors import NotFound, SynapseError
from synapse.operations.tasks import Wanted
from synapse.replies import Recall, Scope, TaskView
from synapse.web import manual, problems
from synapse.web.access import CHALLENGE
from synapse.web.parts import MaySeePrivate, Parts, TheParts, Verbs, visible
from synapse.web.problems import KINDS, Problem
from synapse.web.recalling import PageQuery
from synapse.web.views import page

ROWS: Final = 8  # memories and tasks on the first page: a screen of each
GRADES: Final = 20  # on the page of trust: the newest
PRIVATE_WAIT_MS: Final = 20_000  # for a private answer, which no address leads to; models need 5-20
FIELDS_MAX: Final = 8  # of a form; ours have at most three

NOTHING_ASKED: Final = PageQuery()
FILTERS: Final = (  # of a search: name, label, example
    ("kind", "Kind", "fact"),
    ("tag", "Tag", "sea"),
    ("operator", "Operator's key", "64 hexadecimal digits"),
    ("family", "Family of models", "qwen"),
    ("task", "About the task", "64 hexadecimal digits"),
    ("since", "Made since", "2026-11-20"),
    ("until", "Made before", "2026-11-21T09:30Z"),
    ("min_score", "Score of at least", "1.5"),
    ("tokens", "As much as fits so many tokens", "2000"),
)
SWITCHES: Final = (
    ("why", "Say what each score is made of"),
    ("exact", "Look at everything, however long it takes"),
    ("quarantined", "Also of operators that were found wrong too often"),
)

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
    asked: Annotated[PageQuery, Query()],
) -> HTMLResponse:
    """The spore, what it remembers, and boxes to ask and to remember."""
    if not asked.q.strip():
        return _home(request, parts, {}, asked=asked)
    try:
        sought = asked.sought(shared_only=not may_see_private, limit=ROWS)
        found = await parts.operations.recall(asked.q, sought)
    except SynapseError as error:
        return _home(request, parts, {}, asked=asked, problem=_problem(error))
    return _home(request, parts, {}, asked=asked, found=found)


@router.post("/ask")
async def ask(request: Request, parts: TheParts, form: Form) -> Response:
    """Ask, and look at the task; a private one is shown at once where only its key shows it."""
    wanted = Wanted(private="private" in form)
    try:
        _check_key(parts, form)
        task = await parts.operations.submit_task(form.get("task", ""), wanted)
    except (Problem, SynapseError) as error:
        return _home(request, parts, form, problem=_problem(error))
    if wanted.private and parts.access.key_needed:
        return await _by_key(parts, task.task_id)
    return RedirectResponse(f"/task/{task.task_id}", status_code=303)


@router.post("/remember")
async def remember(request: Request, parts: TheParts, form: Form) -> Response:
    """Remember, and look at the memory; a private one may be looked at by its key alone."""
    scope: Scope = "private" if "private" in form else "shared"
    try:
        _check_key(parts, form)
        memory = await parts.operations.remember(form.get("text", ""), scope=scope)
    except (Problem, SynapseError) as error:
        return _home(request, parts, form, problem=_problem(error))
    place = "/?kept=privately" if scope == "private" else f"/memory/{memory.id}"
    return RedirectResponse(place, status_code=303)


@router.get("/memory/{memory_id}")
async def memory(memory_id: str, operations: Verbs, may_see_private: MaySeePrivate) -> HTMLResponse:
    """One memory, or another record."""
    view = visible(operations, memory_id, may_see_private=may_see_private)
    return HTMLResponse(page("memory", memory=view, now_ms=operations.driver.clock()))


@router.get("/task/{task_id}")
async def task(
    task_id: str,
    parts: TheParts,
    may_see_private: MaySeePrivate,
    graded: Annotated[int | None, Query(ge=0)] = None,
) -> HTMLResponse:
    """One task. After a grade, how many were written down."""
    return _task(parts, parts.operations.task(task_id, private=may_see_private), graded=graded)


@router.post("/task/{task_id}")
async def look_again(task_id: str, parts: TheParts, form: Form) -> HTMLResponse:
    """One task, for whoever has the key: also a private one."""
    _check_key(parts, form)
    return await _by_key(parts, task_id)


@router.post("/task/{task_id}/grade")
async def grade(task_id: str, parts: TheParts, form: Form) -> Response:
    """Say what was right, and look at the task."""
    try:
        _check_key(parts, form)
        said = await parts.operations.grade_task(task_id, right_answer=form.get("right_answer", ""))
    except (Problem, SynapseError) as error:
        try:
            view = parts.operations.task(task_id)
        except NotFound:
            raise error from None  # there is no page to show it on
        return _task(parts, view, form=form, problem=_problem(error))
    return RedirectResponse(f"/task/{task_id}?graded={said.grades}#grade", status_code=303)


@router.get("/trust")
async def trust(operations: Verbs) -> HTMLResponse:
    """Who is believed, how far, and by which grades."""
    shown = page(
        "trust",
        trust=operations.trust(),
        grades=operations.newest_grades(GRADES),
        name_of=operations.name_of,
        now_ms=operations.driver.clock(),
    )
    return HTMLResponse(shown)


@router.get("/docs")
async def docs(request: Request, parts: TheParts) -> HTMLResponse:
    """The manual of the interface, made from its OpenAPI description."""
    shown = page(
        "docs",
        introduction=manual.INTRODUCTION,
        sections=manual.sections(request.app.openapi()),
        kinds=KINDS,
        url=_url(request, parts),
    )
    return HTMLResponse(shown)


async def _by_key(parts: Parts, task_id: str) -> HTMLResponse:
    view = await parts.operations.finished_task(task_id, wait_ms=PRIVATE_WAIT_MS, private=True)
    return _task(parts, view, by_key=True)


def _task(
    parts: Parts,
    view: TaskView,
    *,
    by_key: bool = False,
    graded: int | None = None,
    form: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> HTMLResponse:
    """The page of a task. With `by_key` it was asked for by a form: its address may not show it."""
    shown = page(
        "task",
        task=view,
        answers={one.id: one.hypothesis for one in view.deltas},
        name_of=parts.operations.name_of,
        by_key=by_key,
        graded=graded,
        draft=(form or {}).get("right_answer", ""),
        problem=problem,
        key_needed=parts.access.key_needed,
        now_ms=parts.operations.driver.clock(),
    )
    return _reply(parts, shown, problem)


def _home(
    request: Request,
    parts: Parts,
    form: Mapping[str, str],
    *,
    asked: PageQuery = NOTHING_ASKED,
    found: Recall | None = None,
    problem: Problem | None = None,
) -> HTMLResponse:
    """The first page. A form that was not taken comes back in it, with what is wrong with it."""
    operations, private = parts.operations, parts.access.may_write(request.headers)
    shown = page(
        "home",
        health=operations.health(),
        federation=operations.federation_status(),
        memories=operations.memory_overview(limit=ROWS).recent,
        tasks=operations.tasks(limit=ROWS, private=private).tasks,
        providers=operations.providers(),
        asked=asked.model_dump() | {"narrowed": asked.narrowed},
        filters=FILTERS,
        switches=SWITCHES,
        found=found,
        problem=problem,
        draft={name: value for name, value in form.items() if name != "key"},
        key_needed=parts.access.key_needed,
        url=_url(request, parts),
        now_ms=operations.driver.clock(),
    )
    return _reply(parts, shown, problem)


def _reply(parts: Parts, shown: str, problem: Problem | None) -> HTMLResponse:
    """A page, with the status of what is wrong. The edge counts refusals that it turns into pages
    of their own; this is none."""
    if problem is None:
        return HTMLResponse(shown)
    if problem.reason == "key":
        parts.operations.count_refused("key")
    return HTMLResponse(shown, problem.status, problem.headers)


def _check_key(parts: Parts, form: Mapping[str, str]) -> None:
    if not parts.access.key_valid(form.get("key", "")):
        raise Problem("key", "that is not this spore's key", headers=CHALLENGE)


def _problem(error: Problem | SynapseError) -> Problem:
    return error if isinstance(error, Problem) else problems.of(error)


def _url(request: Request, parts: Parts) -> str:
    return parts.settings.url or str(request.base_url).rstrip("/")
