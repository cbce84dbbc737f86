"""The `synapse` command: parse, call one function, print. `--json` prints what a program can read.

Commands that talk to a spore use its REST API, so they work on any spore whose address and key one
has. Only `serve` and `doctor` touch a data folder.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from synapse import __version__, config
from synapse.core.errors import PeerError, SynapseError
from synapse.operations import notes
from synapse.transport.client import SporeClient

cli = typer.Typer(
    name="synapse",
    help="Spores: small web services that remember, reason and share, with no centre.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
config_cli = typer.Typer(help="Show settings, and where each came from.", no_args_is_help=True)
cli.add_typer(config_cli, name="config")

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the log and the identity.")]
Name = Annotated[str | None, typer.Option(help="What people call this spore.")]
Peers = Annotated[
    list[str] | None, typer.Option(help="Spores to share with: URL[,URL…]; may be repeated.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="The configuration file.")]
Url = Annotated[
    str, typer.Option(help="The spore to talk to.", envvar="SYNAPSE_URL", show_default=True)
]
Key = Annotated[
    str | None, typer.Option(help="The spore's key, if it wants one.", envvar="SYNAPSE_API_KEY")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

DEFAULT_URL = "http://127.0.0.1:7860"
out = Console()
err = Console(stderr=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Errors that have a name are printed without a traceback."""
    try:
        cli(args=list(arguments) if arguments is not None else None)
    except SynapseError as error:
        err.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        sys.exit(1)


@cli.command()
def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    name: Name = None,
    peers: Peers = None,
    config_file: ConfigFile = None,
) -> None:
    """Run one spore until it is stopped."""
    from synapse import app  # everything else starts without loading the web stack

    settings = _settings(host, port, data_dir, name, peers, config_file)
    app.configure_logging(settings)
    spore = app.assemble(settings)
    for line in app.greeting(spore):
        out.print(line, highlight=False, soft_wrap=True)
    asyncio.run(app.serve(spore))


@cli.command()
def ask(
    question: str,
    url: Url = DEFAULT_URL,
    key: Key = None,
    wait_s: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Ask the swarm a question, and wait for the answer."""
    with _client(url, key) as client:
        task_id = client.post("/api/task", {"task": question})["task_id"]
        with err.status("asking…"):
            task = client.get(f"/api/task/{task_id}", wait_ms=int(wait_s * 1_000))
    if as_json:
        _print_json(task)
    else:
        _print_task(task)
    if task["status"] != "answered":
        raise typer.Exit(2)


@cli.command()
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
    with _client(url, key) as client:
        stored = client.post("/api/remember", body)
    _print_json(stored) if as_json else out.print(stored["id"], highlight=False)


@cli.command()
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
    with _client(url, key) as client, _bar(f"learning {len(found)} passages") as advance:
        for number, passage in enumerate(found, start=1):
            body = {
                "text": passage.text,
                "tags": [passage.source[:64]],
                "scope": "private" if private else "shared",
            }
            try:
                stored.append(client.post("/api/remember", body)["id"])
            except PeerError as error:
                if error.reason != "status_422":
                    raise
                refused.append({"source": passage.source, "problem": str(error)})
            advance(number / len(found))
    if as_json:
        _print_json({"stored": stored, "refused": refused})
        return
    out.print(f"stored {len(stored)} passages of {folder}", highlight=False)
    for one in refused:
        err.print(f"kept out, {escape(one['source'])}: {escape(one['problem'])}", highlight=False)


@cli.command()
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
    with _client(url, key) as client:
        found = client.get("/api/recall", q=query, k=limit, kind=kind, tag=tag)
    if as_json:
        _print_json(found)
        return
    for result in found["results"]:
        who = result["author_name"] or "private"
        out.print(f"[bold]{result['score']:.2f}[/bold]  {escape(result['text'])}", highlight=False)
        out.print(
            f"      [dim]{who} · {result['kind']} · {result['id'][:16]}[/dim]", highlight=False
        )
    if not found["results"]:
        err.print(f"nothing among {found['searched']} memories matches")


@cli.command()
def status(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show how a spore is, and whom it knows."""
    with _client(url, key) as client:
        health = client.get("/api/health")
        federation = client.get("/api/federation/status")
    if as_json:
        _print_json({"health": health, "federation": federation})
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


@cli.command()
def sim(
    nodes: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    seed: Annotated[int, typer.Option(help="Decides everything that happens.")] = 1,
    scenario: Annotated[str, typer.Option(help="What to simulate.")] = "partition",
    as_json: AsJson = False,
) -> None:
    """Simulate a swarm: the shipped core under a virtual clock, network and disks."""
    from synapse.sim import scenarios

    if scenario not in scenarios.SCENARIOS:
        known = ", ".join(sorted(scenarios.SCENARIOS))
        raise typer.BadParameter(f"there is no scenario {scenario!r}; there are {known}")
    with _bar(f"simulating {scenario}") as advance:
        report = scenarios.run(scenario, nodes=nodes, seed=seed, progress=advance)
    if as_json:
        _print_json(report.as_dict())
    else:
        out.print(report.render(), highlight=False, markup=False, soft_wrap=True)
    if report.failures:
        raise typer.Exit(1)


@cli.command()
def doctor(
    config_file: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Check what a spore needs on this machine: settings, folder, port, clock and models."""
    from synapse import app

    settings = _settings(None, None, data_dir, None, None, config_file)
    findings = asyncio.run(app.examine(settings))
    if as_json:
        _print_json([{"check": f.check, "well": f.well, "detail": f.detail} for f in findings])
    else:
        for finding in findings:
            mark = "[green]ok[/green]  " if finding.well else "[red]mend[/red]"
            out.print(f"{mark} {finding.check}: {escape(finding.detail)}", highlight=False)
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


@cli.command()
def version() -> None:
    """Print the version."""
    out.print(__version__, highlight=False)


@config_cli.command("show")
def config_show(
    redacted: Annotated[
        bool, typer.Option(help="Secrets are hidden; there is no way to show them.")
    ] = True,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    name: Name = None,
    peers: Peers = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show every setting, its value, and where the value came from."""
    if not redacted:
        raise typer.BadParameter("secrets are never printed; look where the last column points")
    rows = config.describe(_settings(host, port, data_dir, name, peers, config_file))
    if as_json:
        _print_json([{"name": r.name, "value": r.value, "source": r.source} for r in rows])
        return
    table = Table("setting", "value", "from", box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(row.name, escape(row.value), escape(row.source))
    out.print(table)


@config_cli.command("template")
def config_template() -> None:
    """Print a configuration file with every setting, commented out."""
    print(config.template(), end="")


def _settings(
    host: str | None,
    port: int | None,
    data_dir: Path | None,
    name: str | None,
    peers: list[str] | None,
    config_file: Path | None,
) -> config.Settings:
    return config.load(
        {
            "host": host,
            "port": port,
            "data_dir": str(data_dir) if data_dir is not None else None,
            "name": name,
            "peers": peers,
            "config": str(config_file) if config_file is not None else None,
        }
    )


@contextmanager
def _client(url: str, key: str | None) -> Iterator[SporeClient]:
    client = SporeClient(url, key=key)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _bar(label: str) -> Iterator[Any]:
    """A progress bar on a terminal, nothing elsewhere; the value it yields takes 0.0 to 1.0."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(label, total=1.0)
        yield lambda share: progress.update(task, completed=share)


def _print_task(task: dict[str, Any]) -> None:
    if task["final_answer"] is None:
        err.print(f"no answer ({task['stop_reason'] or task['status']})")
        for target, reason in task["reasons"].items():
            err.print(f"  {escape(target)}: {escape(reason)}")
        return
    out.print(escape(task["final_answer"]), highlight=False)
    for number, cited in enumerate(task["citations"], start=1):
        text = " ".join(cited["text"].split())
        short = text if len(text) <= 160 else text[:159] + "…"
        out.print(f"[dim]  {number}. {escape(cited['author_name'])}: {escape(short)}[/dim]")
    models = ", ".join(task["models"]) or "none: an extract from memory"
    out.print(f"[dim]  models: {escape(models)} · stopped: {task['stop_reason']}[/dim]")


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=1))
