"""The main job, from nothing: three spores share real notes, one of them dies, nothing is lost.

    python scripts/demo.py [FOLDER]

FOLDER holds .md and .txt files; without one the project's own README and docs are the notes. With
LLM_ENDPOINT or a provider's key in the environment the spores reason with models; without, they
answer by extract and say so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from mcp import Client
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from synapse.core.errors import PeerError
from synapse.operations import notes
from synapse.transport.client import SporeClient

ROOT = Path(__file__).resolve().parent.parent
OWN_QUESTION = "What happens to an acknowledged memory when a spore is killed?"
START_S = 30  # a Raspberry Pi starts a spore in a third of that
SHARE_S = 60
ANSWER_S = 60
out = Console(highlight=False)


@dataclass
class Spore:
    """A spore in a process of its own."""

    name: str
    port: int
    folder: Path
    peers: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """The address it will answer at."""
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = SporeClient(self.url)

    def start(self) -> float:
        """Start it and wait until it is ready; the seconds that took."""
        began = time.monotonic()
        log = (self.folder.parent / f"{self.name}.log").open("ab")
        command = [sys.executable, str(ROOT / "spore.py"), "--port", str(self.port)]
        command += ["--data-dir", str(self.folder), "--name", self.name]
        for peer in self.peers:
            command += ["--peers", peer]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SYNAPSE_")}
        self.process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=self.folder.parent, env=environment
        )
        while time.monotonic() - began < START_S:
            if self.process.poll() is not None:
                break
            try:
                self.client.get("/ready")
            except PeerError:
                time.sleep(0.05)
                continue
            return time.monotonic() - began
        raise SystemExit(f"{self.name} did not start; see {log.name}")

    def kill(self) -> None:
        """SIGKILL: no goodbye, no flush."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def health(self) -> dict[str, Any]:
        """How the spore says it is."""
        health: dict[str, Any] = self.client.get("/api/health")
        return health


def main() -> None:
    """Run the demo; exit 0 when everything it claims was seen."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="a folder of .md and .txt notes")
    parser.add_argument("--question", help="what to ask; by default something the notes answer")
    arguments = parser.parse_args()
    passages = _passages(arguments.folder)
    question = arguments.question or _question(arguments.folder, passages)
    home = Path(tempfile.mkdtemp(prefix="synapse-demo-"))
    began = time.monotonic()
    with _swarm(home) as (alder, birch, cedar):
        _say("1", "Three spores, each with its own data folder")
        for spore in (alder, birch, cedar):
            out.print(f"   {spore.name:6} {spore.url}  ready in {spore.start():.1f} s")
        _models(cedar)
        _share(passages, alder, cedar)
        _ask_over_mcp(cedar, question)
        _ask_over_rest(cedar, question)
        _kill_and_restart(alder, cedar)
    shutil.rmtree(home)
    out.print(f"\n[bold green]Done[/] in {time.monotonic() - began:.0f} s. Start one: make run")


@contextmanager
def _swarm(home: Path) -> Iterator[tuple[Spore, Spore, Spore]]:
    """The first spore knows nobody; the others are told of the first alone, and find each other."""
    ports = _free_ports(3)
    first = f"http://127.0.0.1:{ports[0]}"
    spores = (
        Spore("alder", ports[0], home / "alder"),
        Spore("birch", ports[1], home / "birch", [first]),
        Spore("cedar", ports[2], home / "cedar", [first]),
    )
    try:
        yield spores
    finally:
        for spore in spores:
            spore.stop()


def _share(passages: list[notes.Passage], giver: Spore, receiver: Spore) -> None:
    """Give the notes to one spore, and watch them arrive at another, by its own events."""
    _say("2", f"{len(passages)} passages go to {giver.name}; watching {receiver.name}")
    arrived: set[str] = set()
    watcher = Thread(target=_watch, args=(receiver, arrived), daemon=True)
    watcher.start()
    given: set[str] = set()
    refused: list[str] = []
    columns = (TextColumn("   {task.description:24}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=out) as bars:
        giving = bars.add_task(f"stored at {giver.name}", total=len(passages))
        sharing = bars.add_task(f"arrived at {receiver.name}", total=len(passages))
        client = giver.client
        for passage in passages:
            body = {"text": passage.text, "kind": "note", "tags": [passage.source[:64]]}
            try:
                given.add(client.post("/api/remember", body)["id"])
            except PeerError as error:
                refused.append(f"{passage.source}: {error}")
            bars.update(giving, completed=len(given))
            bars.update(sharing, completed=len(arrived & given))
        bars.update(giving, total=len(given))
        bars.update(sharing, total=len(given))
        deadline = time.monotonic() + SHARE_S
        while not given <= arrived and time.monotonic() < deadline:
            bars.update(sharing, completed=len(arrived & given))
            time.sleep(0.05)
        bars.update(sharing, completed=len(arrived & given))
    for line in refused:
        out.print(f"   [yellow]kept out:[/] {escape(line)}")
    if not given <= arrived:
        raise SystemExit(f"only {len(arrived & given)} of {len(given)} arrived in {SHARE_S} s")


def _watch(spore: Spore, arrived: set[str]) -> None:
    """Note the ids of records as the spore says that it stored them."""
    try:
        for topic, data in spore.client.events(after=0):
            if topic == "record":
                arrived.add(json.loads(data)["id"])
    except PeerError:
        return  # the spore was stopped


def _ask_over_mcp(spore: Spore, question: str) -> None:
    """What an agent does: the official MCP client, one tool call."""
    _say("3", f"An agent asks {spore.name} over MCP: {question}")
    task = asyncio.run(_submit_over_mcp(spore, question))
    _print_answer(spore.client.get(f"/api/task/{task}", wait_ms=ANSWER_S * 1_000))


async def _submit_over_mcp(spore: Spore, question: str) -> str:
    async with Client(f"{spore.url}/mcp") as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        out.print(f"   tools: {', '.join(tools)}")
        result = await client.call_tool("submit_task", {"task": question})
        if result.is_error or result.structured_content is None:
            raise SystemExit(f"submit_task failed: {result.content}")
        return str(result.structured_content["task_id"])


def _ask_over_rest(spore: Spore, question: str) -> None:
    """What a program does: POST /api/task, GET /api/task/{id}."""
    _say("4", "A program asks the same over REST")
    submitted = spore.client.post("/api/task", {"task": question})
    task = spore.client.get(f"/api/task/{submitted['task_id']}", wait_ms=ANSWER_S * 1_000)
    took = ", ".join(task["models"]) or "no model"
    out.print(f"   {task['status']} with {len(task['citations'])} citations, by {took}")
    _require(task)


def _kill_and_restart(victim: Spore, witness: Spore) -> None:
    """kill -9, and everything is still there."""
    _say("5", f"kill -9 {victim.name}, and start it again")
    victim.kill()
    out.print(f"   {victim.name} is dead; {witness.name} still answers: ", end="")
    out.print(f"{witness.health()['records']} records")
    took = victim.start()
    deadline = time.monotonic() + SHARE_S
    before = witness.health()
    after = victim.health()
    while after["fingerprint"] != before["fingerprint"] and time.monotonic() < deadline:
        time.sleep(0.1)
        before, after = witness.health(), victim.health()
    if after["fingerprint"] != before["fingerprint"]:
        raise SystemExit(f"{victim.name} and {witness.name} differ after the restart")
    out.print(
        f"   back in {took:.1f} s with {after['records']} records; "
        f"fingerprint {after['fingerprint']} on both"
    )


def _models(spore: Spore) -> None:
    providers = spore.client.get("/api/providers")
    families = sorted({one["family"] for one in providers["targets"]} - {"extractive"})
    if families:
        out.print(f"   models: {', '.join(families)}")
    else:
        out.print(
            "   [yellow]no model[/]: answers will be extracts from memory. "
            "Set LLM_ENDPOINT or a provider's key to reason with models."
        )


def _print_answer(task: dict[str, Any]) -> None:
    _require(task)
    out.print(f"\n   [bold]{escape(task['final_answer'])}[/]\n")
    table = Table("memory", "author", "text", box=None, padding=(0, 2, 0, 0))
    for cited in task["citations"]:
        text = " ".join(cited["text"].split())
        short = text if len(text) <= 100 else text[:99] + "…"
        table.add_row(cited["id"][:8], escape(cited["author_name"]), escape(short))
    out.print(table)
    out.print(f"   models: {', '.join(task['models']) or 'none (an extract)'}")
    out.print(f"   stopped because: {task['stop_reason']}")


def _require(task: dict[str, Any]) -> None:
    if task["status"] != "answered" or not task["citations"]:
        raise SystemExit(
            f"the task is {task['status']} ({task['stop_reason'] or task['reasons']}), "
            f"with {len(task['citations'])} citations"
        )


def _passages(folder: Path | None) -> list[notes.Passage]:
    if folder is None:
        files = [ROOT / "README.md", *notes.files(ROOT / "docs")]
        below = ROOT
    else:
        if not folder.exists():
            raise SystemExit(f"there is no {folder}: name a folder of .md and .txt files")
        files, below = notes.files(folder), folder
    found = [passage for path in files for passage in notes.passages(path, below=below)]
    if not found:
        raise SystemExit(f"{folder} holds no .md or .txt file with text in it")
    return found


def _question(folder: Path | None, passages: list[notes.Passage]) -> str:
    """Something the notes answer: for a stranger's folder, what its longest passage is about."""
    if folder is None:
        return OWN_QUESTION
    longest = max(passages, key=lambda passage: len(passage.text))
    about = longest.text.splitlines()[0].split(" › ")[-1]
    return f"What do the notes say about {' '.join(about.split()[:12])}?"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _say(number: str, text: str) -> None:
    out.print(f"\n[bold cyan]{number}[/] [bold]{escape(text)}[/]")


if __name__ == "__main__":
    main()
