"""Speed by size and engine: builds each in turn, then asks all of one size by turns.

A question's time is its fastest of several rounds: the others measure the machine. In a round
every engine is asked every question, so that whatever else the machine does meets all alike.
An engine that would take too long or too much memory at a size is left out, and that is said.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.retrieval import peers_folder
from benchmarks.retrieval.corpus import Corpus, known_items, questions
from benchmarks.retrieval.engines import KINDS, LIMIT
from benchmarks.retrieval.worker import percentile

ROUNDS: Final = 5
PROBED: Final = 3  # questions that tell how many can be asked
ASKED_MIN: Final = 10
AHEAD: Final = 1.5  # how far a larger size may be off what a smaller one promised
HIT_LIMIT: Final = 5
_ONE_THREAD: Final = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}

Figures = dict[str, Any]


class SkippedError(Exception):
    """An engine is not measured at a size, and why."""


class Process:
    """A worker, asked one thing at a time."""

    def __init__(self, python: str, settings: Figures) -> None:
        # A pipe that nobody reads would fill up.
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.retrieval.worker"],
            cwd=peers_folder.ROOT,
            env={**os.environ, **_ONE_THREAD, "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )
        self.ask(**settings)

    def ask(self, **what: Any) -> Figures:
        """Its reply. Raises SkippedError when it gives up or dies."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise SkippedError(self._last_words()) from None
        line = self._process.stdout.readline()
        if not line:
            raise SkippedError(self._last_words())
        reply: Figures = json.loads(line)
        if "skipped" in reply:
            raise SkippedError(reply["skipped"])
        return reply

    def _last_words(self) -> str:
        self._process.wait()
        self._said.seek(0)
        said = self._said.read()
        self.__exit__()
        lines = said.strip().splitlines() or [f"it ended with {self._process.returncode}"]
        return lines[-1][:300]

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        self._process.wait()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one engine may take at one size."""

    build_s: float
    ask_s: float
    memory_bytes: int


@dataclass(slots=True)
class Run:
    """One run over sizes and engines. `folder` holds indexes; with `keep` they are used again."""

    engines: Sequence[str]
    folder: Path
    limits: Limits
    real: str = ""
    keep: bool = False
    fresh: bool = True
    skipped: list[Figures] = field(default_factory=list)
    _past: dict[str, tuple[int, float]] = field(default_factory=dict)
    _corpus: Corpus = field(init=False)

    def __post_init__(self) -> None:
        """The corpus, and its real text as a file for the workers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "real.txt").write_text(self.real, "utf-8")
        self._corpus = Corpus(self.real)

    @property
    def fingerprint(self) -> str:
        """Of the generated memories."""
        return self._corpus.fingerprint

    def size(self, memories: int) -> Iterator[Figures]:
        """The figures of every engine at one size."""
        asked, known = self.folder / "asked.json", self.folder / "known.json"
        items = known_items(self._corpus, memories)
        asked.write_text(json.dumps(questions(self._corpus, memories)), "utf-8")
        known.write_text(json.dumps([item.query for item in items]), "utf-8")
        with ExitStack() as stack:
            served: dict[str, tuple[Process, Figures]] = {}
            for name in self.engines:
                try:
                    served[name] = self._serving(stack, name, memories)
                except (SkippedError, peers_folder.NotToBeHadError) as error:
                    self._skip(name, memories, str(error))
            self._time(served, str(asked), memories)
            answers = {}
            for name, (process, its) in list(served.items()):
                try:
                    answers[name] = self._judge(process, its, str(asked), str(known), items)
                    if KINDS[name].narrowed:
                        its["hit5"] = None
                    self._sizes(process, its, memories)
                except SkippedError as error:
                    self._skip(name, memories, str(error))
                    del served[name]
            for name, (process, its) in served.items():
                self._fresh(process, its, name, memories)
                its["same_as_synapse"] = _same(answers[name], answers.get("synapse"))
                yield {"engine": name, "n": memories, **its}
        if not self.keep:
            for name in self.engines:
                shutil.rmtree(self._of(name, memories), ignore_errors=True)

    def _skip(self, name: str, memories: int, reason: str) -> None:
        self.skipped.append({"engine": name, "n": memories, "skipped": reason})
        print(f"{name} at {memories:,}: left out, {reason}", file=sys.stderr, flush=True)

    def _of(self, name: str, memories: int) -> Path:
        return self.folder / f"{KINDS[name].fed_by or name}-{memories}"

    def _settings(self, name: str, memories: int, *, building: bool) -> Figures:
        return {
            "name": name,
            "folder": str(self._of(name, memories)),
            "memories": memories,
            "real": str(self.folder / "real.txt"),
            "seconds_max": self.limits.build_s,
            "memory_bytes_max": self.limits.memory_bytes if building else 0,
        }

    def _serving(self, stack: ExitStack, name: str, memories: int) -> tuple[Process, Figures]:
        """A process that answers from that many memories, and what feeding it took."""
        kind = KINDS[name]
        if kind.memories_max is not None and memories > kind.memories_max:
            raise SkippedError(kind.says)
        python = peers_folder.python_for(name)
        builder = kind.fed_by or name
        folder = self._of(name, memories)
        done = folder.with_name(folder.name + ".json")
        if not kind.durable or not done.exists():
            self._expect(builder, memories)
            shutil.rmtree(folder, ignore_errors=True)
            process = Process(python, self._settings(builder, memories, building=True))
            with ExitStack() as building:
                building.enter_context(process)
                its = process.ask(do="build")
                self._past[builder] = (memories, its["build_wall_s"])
                if not kind.durable:
                    stack.push(building.pop_all())
                    return process, its
            done.write_text(json.dumps(its), "utf-8")
        its = json.loads(done.read_text("utf-8"))
        serving = Process(python, self._settings(name, memories, building=False))
        stack.enter_context(serving)
        return serving, its | serving.ask(do="open")

    def _expect(self, name: str, memories: int) -> None:
        """Raises SkippedError when what a smaller size took says that this takes too long."""
        before, took_s = self._past.get(name, (memories, 0.0))
        expected_s = took_s * memories / before
        if took_s > 1.0 and expected_s > AHEAD * self.limits.build_s:
            raise SkippedError(f"it would take about {expected_s:,.0f} s to build")

    def _time(self, served: dict[str, tuple[Process, Figures]], asked: str, memories: int) -> None:
        """Adds every engine's percentiles. The engines take turns."""
        counts, rounds = {}, {}
        for name, (process, its) in list(served.items()):
            try:
                process.ask(do="ask", path=asked, first=0, upto=PROBED)  # compiles, reads the disk
                probe = process.ask(do="ask", path=asked, first=0, upto=PROBED)["wall_us"]
            except SkippedError as error:
                self._skip(name, memories, str(error))
                del served[name]
                continue
            each_s = sum(probe) / len(probe) / 1e6
            affordable = self.limits.ask_s / max(each_s, 1e-9)
            counts[name] = int(min(400, max(ASKED_MIN, affordable / 2)))
            rounds[name] = int(min(ROUNDS, max(1, affordable / counts[name])))
            its["questions"] = counts[name]
        cpu: dict[str, list[list[float]]] = {name: [] for name in served}
        wall: dict[str, list[list[float]]] = {name: [] for name in served}
        for nth in range(ROUNDS):
            for name, (process, _) in served.items():
                if nth < rounds[name]:
                    reply = process.ask(do="ask", path=asked, first=0, upto=counts[name])
                    cpu[name].append(reply["cpu_us"])
                    wall[name].append(reply["wall_us"])
        for name, (_, its) in served.items():
            fastest = [min(times) for times in zip(*cpu[name], strict=True)]
            by_wall = [min(times) for times in zip(*wall[name], strict=True)]
            its["rounds"] = rounds[name]
            its["p50_us"] = round(percentile(fastest, 50), 1)
            its["p99_us"] = round(percentile(fastest, 99), 1)
            its["wall_p50_us"] = round(percentile(by_wall, 50), 1)
            its["wall_p99_us"] = round(percentile(by_wall, 99), 1)

    def _judge(
        self, process: Process, its: Figures, asked: str, known: str, items: Sequence[Any]
    ) -> list[list[int]]:
        """Adds whether answers are exact and known ones found; what it answered."""
        upto = its["questions"]
        reply = process.ask(do="answers", path=asked, first=0, upto=upto, limit=LIMIT)
        its["exact"] = all(reply["exact"])
        its["exact_share"] = round(sum(reply["exact"]) / len(reply["exact"]), 4)
        upto = max(upto, int(self.limits.ask_s * 1e6 / its["wall_p50_us"]))
        found = process.ask(do="answers", path=known, first=0, upto=upto, limit=HIT_LIMIT)
        hits = [
            item.answer in numbers for item, numbers in zip(items, found["answers"], strict=False)
        ]
        its["hit5"], its["known"] = round(sum(hits) / len(hits), 4), len(hits)
        answers: list[list[int]] = reply["answers"]
        return answers

    def _sizes(self, process: Process, its: Figures, memories: int) -> None:
        """Adds memory and files."""
        its |= process.ask(do="sizes")
        disk_bytes = its.pop("disk_bytes") or None
        its["disk_mb"] = disk_bytes and round(disk_bytes / 2**20, 2)
        its["disk_bytes_per_memory"] = disk_bytes and round(disk_bytes / memories, 1)

    def _fresh(self, process: Process, its: Figures, name: str, memories: int) -> None:
        """Adds how soon new memories are found; without it the other figures stand."""
        its["searchable_p50_ms"] = its["searchable_p99_ms"] = None
        if KINDS[name].whole:
            rebuilt_ms = round(its["build_cpu_s"] * 1000, 1)
            its["searchable_p50_ms"] = its["searchable_p99_ms"] = rebuilt_ms
        elif KINDS[name].durable and self.fresh and not KINDS[name].fed_by:
            try:
                its |= process.ask(do="fresh")
            except SkippedError as error:
                self._skip(name, memories, f"time to searchable: {error}")


def _same(answers: list[list[int]], ours: list[list[int]] | None) -> float | None:
    """The share of questions to which both give the same list."""
    if ours is None:
        return None
    both = list(zip(answers, ours, strict=False))
    return round(sum(one == other for one, other in both) / len(both), 4)


def with_ratios(rows: Sequence[Figures]) -> list[Figures]:
    """The rows, each with how it compares with tantivy and bm25s of the same size."""
    peers = {(row["engine"], row["n"]): row for row in rows}
    for row in rows:
        for name in ("tantivy", "bm25s"):
            peer = peers.get((name, row["n"]))
            if peer is not None and peer is not row:
                for figure in ("p50", "p99"):
                    ratio = row[f"{figure}_us"] / peer[f"{figure}_us"]
                    row[f"{figure}_to_{name}"] = round(ratio, 3)
    return list(rows)


def machine() -> Figures:
    """Where this was measured, as far as it matters."""
    return {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "peers": peers_folder.versions(),
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in (path.read_text().splitlines() if path.exists() else ())
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor()
