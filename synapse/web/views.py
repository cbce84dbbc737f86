"""From replies to pages. Pure: values in, HTML out, and every text escaped by `render`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from synapse.core.text import shortened
from synapse.replies import (
    Citation,
    DeltaView,
    DissentView,
    FederationStatus,
    Health,
    MemoryOverview,
    MemoryView,
    PeerView,
    Providers,
    RecallResult,
    RecordView,
    TargetView,
    TaskList,
    TaskSummary,
    TaskView,
)
from synapse.web.problems import Problem
from synapse.web.templating import NOTHING, Html, joined, page, render

LIST_CHARACTERS_MAX: Final = 280  # of one text in a list: four lines on a telephone
OPEN_REFRESH_S: Final = 2
MARK_CHARACTERS: Final = 8  # of an id, as the extractor cites it
WAITING_REFRESH_S: Final = 15  # a task that waits for a model waits for minutes

_MARK: Final = re.compile(r"\[([0-9a-f]{8})\]")

STATES: Final = {
    "ok": "ready",
    "starting": "filling its index",
    "stalled": "not taking writes",
}
STATUSES: Final = {
    "open": "being answered",
    "waiting": "waiting for a model",
    "answered": "answered",
    "unanswered": "no answer",
}
STOP_REASONS: Final = {
    "extract": "no model took part: these are sentences of memory that bear on the question",
    "decided": "the models agreed enough to decide",
    "one_family": "only one family of models took part, and one voice decides nothing more",
    "cycles_spent": "the models still differed after the last cycle",
    "deadline": "the time for it was up",
    "nothing_recalled": "nothing that is remembered here bears on it",
    "no_model_answered": "no model answered, however often it was tried",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wrote into a form that was not taken, and why."""

    task: str = ""
    memory: str = ""
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Home:
    """Everything the first page shows."""

    health: Health
    federation: FederationStatus
    memories: MemoryOverview
    tasks: TaskList
    providers: Providers
    url: str  # where clients reach this spore
    key_needed: bool
    now_ms: int
    kept_privately: bool = False
    found: Html = NOTHING


def home(shown: Home, draft: Draft) -> Html:
    """The first page."""
    health = shown.health
    main = render(
        "home",
        spore=health.spore,
        state=health.status,
        state_text=STATES[health.status],
        problem=_problem(draft.problem),
        notice=render("kept") if shown.kept_privately else NOTHING,
        found=shown.found,
        memory_count=counted(health.memories, "memory", "memories"),
        peer_count=counted(health.peers_alive, "peer alive", "peers alive"),
        uptime=health.uptime,
        ask=_form("form_ask", draft.task, key_needed=shown.key_needed),
        remember=_form("form_remember", draft.memory, key_needed=shown.key_needed),
        tasks=joined(
            (_task_row(task, now_ms=shown.now_ms) for task in shown.tasks.tasks),
            otherwise=render("no_tasks"),
        ),
        memories=joined(map(_memory_row, shown.memories.recent), otherwise=render("no_memories")),
        facts=_facts(health),
        models=_models(shown.providers),
        peers=_peers(shown.federation, now_ms=shown.now_ms),
        connect=render(
            "connect",
            url=shown.url,
            header=render("connect_header") if shown.key_needed else NOTHING,
            headers=render("connect_headers") if shown.key_needed else NOTHING,
        ),
    )
    return page(health.spore, main)


def found(query: str, results: list[RecallResult]) -> Html:
    """What a search on the first page brought."""
    rows = joined(map(_memory_row, results), otherwise=render("no_results"))
    return render("found", query=query, rows=rows)


def memory(view: RecordView, *, now_ms: int) -> Html:
    """One record."""
    text = "" if view.text is None else view.text
    main = render(
        "memory",
        kind=view.kind,
        text=render("text", text=text) if text else render("no_text", kind=view.record),
        author=_author(view.author_name, view.author),
        moment=moment(view.created_ms, now_ms=now_ms),
        tags=joined(render("tag", tag=tag) for tag in view.tags),
        id=view.id,
        scope=view.scope,
        provenance=_provenance(view) if view.writer else NOTHING,
    )
    return page(f"{view.kind}: {shortened(text, characters_max=60)}", main)


def task(view: TaskView, *, now_ms: int) -> Html:
    """One task: its answer, what it rests on, and how it came about."""
    refresh_s = {"open": OPEN_REFRESH_S, "waiting": WAITING_REFRESH_S}.get(view.status)
    main = render(
        "task",
        description=view.description,
        status=view.status,
        status_text=STATUSES[view.status],
        moment=moment(view.created_ms, now_ms=now_ms),
        answer=_answer(view, now_ms=now_ms),
        citations=_section("citations", [_citation(one) for one in view.citations]),
        dissent=_section("dissent", [_dissent(one) for one in view.dissent]),
        positions=_section("positions", [_position(one) for one in view.deltas]),
        id=view.task_id,
    )
    return page(shortened(view.description, characters_max=60), main, refresh_s=refresh_s)


def moment(at_ms: int, *, now_ms: int) -> Html:
    """A time as people say it, with the exact one for whoever wants it."""
    exact = datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="seconds")
    return render("moment", exact=exact, spoken=ago(now_ms - at_ms))


def ago(elapsed_ms: int) -> str:
    """How long ago: just now, 5 min ago, 3 h ago, 2 d ago."""
    minutes = elapsed_ms // 60_000
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 2_880 else f"{minutes // 1_440} d ago"


def counted(number: int, one: str, many: str) -> str:
    """A number and its noun."""
    return f"{number:,} {one if number == 1 else many}"


def _problem(problem: Problem | None) -> Html:
    if problem is None:
        return NOTHING
    text = problem.detail or problem.kind.title
    return render("notice_problem", text=text, fix=problem.kind.fix)


def _form(name: str, text: str, *, key_needed: bool) -> Html:
    field = render("form_key", form=name) if key_needed else NOTHING
    return render(name, text=text, key=field)


def _facts(health: Health) -> Html:
    facts = {
        "Records": f"{health.records:,}",
        "Fingerprint": health.fingerprint,
        "Refused": f"{sum(health.refused.values()):,}",
        "Public key": health.id,
    }
    return joined(render("fact", name=name, value=value) for name, value in facts.items())


def _models(providers: Providers) -> Html:
    rows = joined(map(_target, providers.targets))
    return render("models", rows=rows, note=providers.note)


def _target(target: TargetView) -> Html:
    text = "ready" if target.state == "ready" else f"resting: {target.reason}"
    return render(
        "model",
        name=target.name,
        family=target.family if target.family != target.name else "",
        state=target.state,
        state_text=text,
    )


def _peers(federation: FederationStatus, *, now_ms: int) -> Html:
    rows = [_peer(peer, now_ms=now_ms) for peer in federation.peers]
    unmet = [render("seed", url=seed.url) for seed in federation.seeds if seed.peer is None]
    return joined([*rows, *unmet], otherwise=render("no_peers"))


def _peer(peer: PeerView, *, now_ms: int) -> Html:
    heard = f"heard {ago(now_ms - peer.heard_ms)}" if peer.heard_ms else "not heard yet"
    return render(
        "peer",
        name=peer.name or peer.id[:16],
        state=peer.state,
        heard=heard,
        url=peer.url or "nobody can dial it; it calls",
    )


def _memory_row(view: MemoryView) -> Html:
    return render(
        "memory_row",
        id=view.id,
        text=shortened(view.text, characters_max=LIST_CHARACTERS_MAX),
        kind=view.kind,
        author=_author(view.author_name, view.author),
        age=ago(view.age_ms),
        private=render("private") if view.scope == "private" else NOTHING,
    )


def _task_row(view: TaskSummary, *, now_ms: int) -> Html:
    answer = shortened(view.final_answer or "", characters_max=LIST_CHARACTERS_MAX)
    return render(
        "task_row",
        id=view.task_id,
        description=shortened(view.description, characters_max=LIST_CHARACTERS_MAX),
        status=view.status,
        status_text=STATUSES[view.status],
        answer=render("task_row_answer", text=answer) if answer else NOTHING,
        age=ago(now_ms - view.created_ms),
    )


def _answer(view: TaskView, *, now_ms: int) -> Html:
    if view.status == "open":
        return render("task_open")
    if view.status == "waiting":
        wait_s = max(0, (view.retry_at_ms or now_ms) - now_ms) // 1_000
        reasons = [render("reason", name=name, text=text) for name, text in view.reasons.items()]
        return render("task_waiting", seconds=wait_s, reasons=joined(reasons))
    stop = STOP_REASONS.get(view.stop_reason or "", view.stop_reason or "")
    if view.final_answer is None:
        return render("task_unanswered", stop=stop)
    return render(
        "task_answer",
        answer=_with_links(view.final_answer, view.citations),
        stop=stop,
        models=", ".join(view.models) or "none",
        support=f"{view.posterior or 0:.0%}",
        weak=render("task_weak") if view.weak else NOTHING,
    )


def _with_links(answer: str, citations: list[Citation]) -> Html:
    """The answer, with its marks like [9f2c4d1e] linked to the memories they stand for."""
    ids = {one.id[:MARK_CHARACTERS]: one.id for one in citations}
    pieces = _MARK.split(answer)  # text, mark, text, mark, …, text
    return joined(
        render("mark", id=ids[piece], mark=piece)
        if number % 2 and piece in ids
        else render("as_it_is", text=f"[{piece}]" if number % 2 else piece)
        for number, piece in enumerate(pieces)
    )


def _section(name: str, rows: list[Html]) -> Html:
    return render(name, rows=joined(rows), count=len(rows)) if rows else NOTHING


def _citation(one: Citation) -> Html:
    return render(
        "citation",
        id=one.id,
        mark=one.id[:MARK_CHARACTERS],
        text=shortened(one.text, characters_max=2 * LIST_CHARACTERS_MAX),
        author=_author(one.author_name, one.author),
    )


def _dissent(one: DissentView) -> Html:
    return render(
        "dissent_row",
        answer=one.answer,
        families=", ".join(one.families),
        support=f"{one.posterior:.0%}",
    )


def _position(one: DeltaView) -> Html:
    return render(
        "position",
        model=one.model or one.family,
        cycle=one.cycle + 1,
        answer=one.hypothesis,
        confidence=f"{one.confidence:.0%}",
    )


def _author(name: str, key: str) -> str:
    return name or key[:16] or "this spore"


def _provenance(view: RecordView) -> Html:
    facts = {
        "Signed by": view.writer,
        "Operator": view.operator,
        "Place in the log": f"number {view.seq} of life {view.epoch}",
        "Refers to": ", ".join(view.refs) or "nothing",
    }
    return joined(render("fact", name=name, value=value) for name, value in facts.items())
