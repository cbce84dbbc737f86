"""Commands that talk to a spore over its REST API: they work on any whose address one has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from synapse.cli.parts import DEFAULT_URL, AsJson, Key, Url, bar, client, err, out, print_json
from synapse.core.errors import PeerError
from synapse.operations import notes

RESULTS: Final = 5  # a screen of them


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (ask, remember, learn, recall, status):
        app.command()(command)


def ask(
    question: str,
    url: Url = DEFAULT_URL,
    key: Key = None,
    wait_s: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 60.0,
    kind: Annotated[str | None, typer.Option(help="number, choice, set, code, plan, free")] = None,
    choice: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    budget: Annotated[int | None, typer.Option(help="Model calls at most.")] = None,
    deadline_s: Annotated[float | None, typer.Option(help="Seconds for the answer.")] = None,
    private: Annotated[bool, typer.Option(help="Answered by this spore alone; not kept.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the swarm a question, and wait for the answer."""
    with client(url, key) as spore:
        wanted = {
            "task": question,
            "kind": kind,
            "choices": choice,
            "budget": budget,
            "deadline_ms": int(deadline_s * 1_000) if deadline_s is not None else None,
            "privacy": "private" if private else None,
        }
        body = {name: value for name, value in wanted.items() if value is not None}
        task_id = spore.post("/api/task", body)["task_id"]
        with err.status("asking…"):
            task = spore.get(f"/api/task/{task_id}", wait_ms=int(wait_s * 1_000))
    if as_json:
        print_json(task)
    else:
        _print_task(task)
    if task["status"] != "answered":
        raise typer.Exit(2)


def remember(
    text: Annotated[
        str | None, typer.Argument(help="What to remember; - or none reads stdin.")
    ] = None,
    kind: Annotated[str, typer.Option(help="Your word for it: note, fact, …")] = "note",
    tag: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    private: Annotated[bool, typer.Option(help="Never share it with other spores.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Store a memory."""
    body = {
        "text": sys.stdin.read() if text in (None, "-") else text,
        "kind": kind,
        "tags": tag or [],
        "scope": "private" if private else "shared",
    }
    with client(url, key) as spore:
        stored = spore.post("/api/remember", body)
    print_json(stored) if as_json else out.print(stored["id"], highlight=False)


def learn(
    folder: Annotated[Path, typer.Argument(help="A folder of .md and .txt files, or one file.")],
    private: Annotated[bool, typer.Option(help="Never share them with other spores.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Store the passages of notes as memories, each tagged with its file."""
    if not folder.exists():
        raise typer.BadParameter(f"there is no {folder}")
    found = [one for path in notes.files(folder) for one in notes.passages(path, below=folder)]
    stored: list[str] = []
    refused: list[dict[str, str]] = []
    with client(url, key) as spore, bar(f"learning {len(found)} passages") as advance:
        for number, passage in enumerate(found, start=1):
            body = {
                "text": passage.text,
                "tags": [passage.source[:64]],
                "scope": "private" if private else "shared",
            }
            try:
                stored.append(spore.post("/api/remember", body)["id"])
            except PeerError as error:
                if error.reason != "status_422":
                    raise
                refused.append({"source": passage.source, "problem": str(error)})
            advance(number / len(found))
    if as_json:
        print_json({"stored": stored, "refused": refused})
        return
    out.print(f"stored {len(stored)} passages of {folder}", highlight=False)
    for one in refused:
        err.print(f"kept out, {escape(one['source'])}: {escape(one['problem'])}", highlight=False)


def recall(
    query: str,
    limit: Annotated[
        int | None, typer.Option("-k", "--limit", min=1, max=100, help="5, or what --tokens hold.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only memories of this kind.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only memories with this tag.")] = None,
    author: Annotated[str | None, typer.Option(help="Only of the spore with this key.")] = None,
    operator: Annotated[str | None, typer.Option(help="Only of this operator's spores.")] = None,
    family: Annotated[str | None, typer.Option(help="Only by models of this family.")] = None,
    task: Annotated[str | None, typer.Option(help="Only findings about this task.")] = None,
    since: Annotated[str | None, typer.Option(help="Only made then or later: 2026-11-20.")] = None,
    until: Annotated[str | None, typer.Option(help="Only made before then.")] = None,
    min_score: Annotated[float | None, typer.Option(min=0, help="Only what scores more.")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Fill a context of so many.")] = None,
    exact: Annotated[bool, typer.Option(help="Look at everything, however long it takes.")] = False,
    why: Annotated[bool, typer.Option(help="Show what each score is made of.")] = False,
    quarantined: Annotated[
        bool, typer.Option(help="Also of operators that were found wrong too often.")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Search memories."""
    with client(url, key) as spore:
        found = spore.get(
            "/api/recall",
            q=query,
            k=RESULTS if limit is None and tokens is None else limit,
            kind=kind,
            tag=tag,
            author=author,
            operator=operator,
            family=family,
            task=task,
            since=since,
            until=until,
            min_score=min_score,
            tokens=tokens,
            exact=exact or None,
            why=why or None,
            quarantined=quarantined or None,
        )
    if as_json:
        print_json(found)
        return
    for result in found["results"]:
        _print_memory(result)
    if not found["results"]:
        err.print(f"nothing among {found['searched']} memories matches")
    if not found["exact"]:
        err.print("not all was looked at: --exact does, and takes longer")
    if found["crowded_out"]:
        err.print(f"no room for {found['crowded_out']} more")


def status(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show how a spore is, and whom it knows."""
    with client(url, key) as spore:
        health = spore.get("/api/health")
        federation = spore.get("/api/federation/status")
    if as_json:
        print_json({"health": health, "federation": federation})
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for row in ("spore", "status", "records", "memories", "fingerprint", "model", "uptime"):
        table.add_row(row, escape(str(health[row])))
    for peer in federation["peers"]:
        table.add_row("peer", f"{escape(peer['name'])}  {peer['state']}  {peer['url'] or 'polls'}")
    for seed in federation["seeds"]:
        if seed["problem"]:
            table.add_row("seed", f"{escape(seed['url'])}  {escape(seed['problem'])}")
    out.print(table)


def _print_memory(result: dict[str, Any]) -> None:
    out.print(f"[bold]{result['score']:.2f}[/bold]  {escape(result['text'])}", highlight=False)
    who = escape(result["author_name"]) or "private"
    about = [who, escape(result["kind"]), result["id"][:16]]
    if others := result["corroborated_by"]:
        about.append(f"said by {others} other operator{'s' if others > 1 else ''} too")
    if result["duplicates"]:
        about.append(f"{len(result['duplicates'])} more that say the same")
    out.print(f"      [dim]{' · '.join(about)}[/dim]", highlight=False)
    if (why := result["why"]) is not None:
        terms = ", ".join(f"{escape(one['term'])} {one['points']:.2f}" for one in why["terms"])
        near = f", cosine {why['cosine']:.2f}" if why["cosine"] is not None else ""
        out.print(
            f"      [dim]{why['relevance']:.2f} ({terms}) x decay {why['decay']:.2f} "
            f"x trust {why['trust']:.2f}{near}[/dim]",
            highlight=False,
        )


def _print_task(task: dict[str, Any]) -> None:
    if task["final_answer"] is None:
        err.print(f"no answer ({task['stop_reason'] or task['status']})")
        for target, reason in task["reasons"].items():
            err.print(f"  {escape(target)}: {escape(reason)}")
        return
    out.print(escape(task["prose"] or task["final_answer"]), highlight=False)
    for number, cited in enumerate(task["citations"], start=1):
        text = " ".join(cited["text"].split())
        short = text if len(text) <= 160 else text[:159] + "…"
        out.print(f"[dim]  {number}. {escape(cited['author_name'])}: {escape(short)}[/dim]")
    models = ", ".join(task["models"]) or "none: an extract from memory"
    sure = f" · {task['posterior']:.0%} sure" if task["posterior"] is not None else ""
    checked = " · checked" if task["checked"] else ""
    out.print(
        f"[dim]  models: {escape(models)} · stopped: {task['stop_reason']}{sure}{checked}[/dim]"
    )
