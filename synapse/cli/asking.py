"""Commands that talk to a spore over its REST API: they work on any whose address one has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from synapse.cli.parts import DEFAULT_URL, AsJson, Key, Url, bar, client, err, out, print_json
from synapse.core.errors import PeerError
from synapse.operations import notes


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
    limit: Annotated[int, typer.Option("-k", "--limit", min=1, max=100)] = 5,
    kind: Annotated[str | None, typer.Option(help="Only memories of this kind.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only memories with this tag.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Search memories."""
    with client(url, key) as spore:
        found = spore.get("/api/recall", q=query, k=limit, kind=kind, tag=tag)
    if as_json:
        print_json(found)
        return
    for result in found["results"]:
        who = result["author_name"] or "private"
        out.print(f"[bold]{result['score']:.2f}[/bold]  {escape(result['text'])}", highlight=False)
        out.print(
            f"      [dim]{who} · {result['kind']} · {result['id'][:16]}[/dim]", highlight=False
        )
    if not found["results"]:
        err.print(f"nothing among {found['searched']} memories matches")


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
