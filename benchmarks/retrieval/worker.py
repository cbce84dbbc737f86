"""One engine in a process of its own: it is told what to do line by line, and answers in JSON.

Time is CPU time of the whole process, all threads, beside what a clock on the wall says. It runs
with the peer's own Python, so it imports nothing that a peer's folder does not hold.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from benchmarks.retrieval.corpus import Corpus
from benchmarks.retrieval.engines import KINDS, LIMIT, Engine, Kind

BATCH: Final = 1_000
BURSTS, BURST = 200, 50  # past 8,192 memories, so that a head is written during them
BURSTS_S_MAX: Final = 60.0
MARK: Final = "zzmark"  # no text holds it

Batch = tuple[list[int], list[str]]


class OverTimeError(Exception):
    """It takes longer than it may."""


@dataclass(slots=True)
class Worker:
    """What the parent may ask for; `memory_bytes_max` and `seconds_max` end a build."""

    name: str
    folder: str
    memories: int
    real: str = ""  # a file of real text for the corpus
    judged: str = ""  # a file of texts that are fed too, evenly spread
    seconds_max: float = 1e9
    memory_bytes_max: int = 0
    kind: Kind = field(init=False)
    engine: Engine = field(init=False)
    prepared: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The engine, with nothing in it."""
        if self.memory_bytes_max:
            limits = (self.memory_bytes_max, resource.getrlimit(resource.RLIMIT_DATA)[1])
            resource.setrlimit(resource.RLIMIT_DATA, limits)
        self.kind = KINDS[self.name]
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        self.engine = self.kind.make(Path(self.folder))

    # Feeding.

    def build(self) -> dict[str, Any]:
        """Feed everything; generating it is not counted."""
        cpu_s, started, stalls_ms, count = 0.0, time.monotonic(), [0.0], 0
        for numbers, texts in self._batches():
            wall, cpu = time.perf_counter(), time.process_time()
            self.engine.feed(numbers, texts)
            stalls_ms.append((time.perf_counter() - wall) * 1000)
            self._upkeep()
            cpu_s += time.process_time() - cpu
            count += len(numbers)
            if time.monotonic() - started > self.seconds_max:
                raise OverTimeError(
                    f"{count:,} memories took the {self.seconds_max:.0f} s it was given"
                )
        wall, cpu = time.perf_counter(), time.process_time()
        self.engine.finish()
        cpu_s += time.process_time() - cpu
        return {
            "insert_per_cpu_s": round(count / max(cpu_s, 1e-9)),
            "build_cpu_s": round(cpu_s, 2),
            "build_wall_s": round(time.monotonic() - started, 1),
            "batch_max_ms": round(max(stalls_ms), 1),
            "build_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "kernel": getattr(self.engine, "name", ""),
        }

    def _batches(self) -> Iterator[Batch]:
        """Generated memories, and among them those that are judged, numbered after them."""
        texts = Corpus(_read(self.real)).texts(self.memories) if self.memories else iter(())
        judged = json.loads(_read(self.judged)) if self.judged else []
        every = max(1, self.memories // (len(judged) + 1))
        number, taken = 0, 0
        while batch := list(islice(texts, BATCH)):
            numbers = list(range(number, number + len(batch)))
            number += len(batch)
            while taken < len(judged) and (taken + 1) * every <= number:
                numbers.append(self.memories + taken)
                batch.append(judged[taken])
                taken += 1
            yield numbers, batch
        while taken < len(judged):
            rest = judged[taken : taken + BATCH]
            yield list(range(self.memories + taken, self.memories + taken + len(rest))), rest
            taken += len(rest)

    def _upkeep(self) -> None:
        step: Callable[[], None] | None = getattr(self.engine, "upkeep", None)
        if step is not None:
            step()

    def fresh(self) -> dict[str, Any]:
        """How long until a burst of new memories is found, on a copy that is thrown away."""
        copy = Path(self.folder + "-fresh")
        shutil.rmtree(copy, ignore_errors=True)
        link = os.link if self.kind.links else shutil.copy2
        shutil.copytree(self.folder, copy, copy_function=link)
        engine = self.kind.make(copy)
        engine.open()
        corpus, times_ms, cpu_s = Corpus(_read(self.real)), [], 0.0
        started = time.monotonic()
        texts = corpus.texts(BURSTS * BURST, first=self.memories)
        for nth in range(BURSTS):
            number = self.memories + 1_000_000 + nth * BURST
            burst = list(islice(texts, BURST))
            burst[-1] += f" {MARK}{nth}"
            wall, cpu = time.perf_counter(), time.process_time()
            engine.feed(range(number, number + BURST), burst)
            getattr(engine, "visible", lambda: None)()
            found = engine.numbers(engine.search(engine.prepare(f"{MARK}{nth}"), LIMIT))
            times_ms.append((time.perf_counter() - wall) * 1000)
            cpu_s += time.process_time() - cpu
            # Others may share the word: indexes know words by their hashes.
            assert number + BURST - 1 in found, f"{self.name} does not find what it was fed"
            if hasattr(engine, "upkeep"):
                engine.upkeep()
            if time.monotonic() - started > BURSTS_S_MAX:
                break
        engine.close()
        shutil.rmtree(copy)
        return {
            "searchable_p50_ms": round(percentile(times_ms, 50), 2),
            "searchable_p99_ms": round(percentile(times_ms, 99), 2),
            "bursts_per_cpu_s": round(len(times_ms) * BURST / cpu_s),
        }

    # Asking.

    def open(self) -> dict[str, Any]:
        """From nothing in memory to the first answer, the files evicted from memory if may be."""
        evict(Path(self.folder))
        started = time.perf_counter()
        self.engine.open()
        opened = time.perf_counter()
        self.engine.search(self.engine.prepare("how does a spore remember"), LIMIT)
        return {
            "open_ms": round((opened - started) * 1000, 1),
            "first_answer_ms": round((time.perf_counter() - opened) * 1000, 1),
        }

    def ask(self, path: str, first: int, upto: int) -> dict[str, Any]:
        """One round: the time of each question, in microseconds of CPU and by the wall."""
        if path not in self.prepared:
            queries = json.loads(_read(path))
            self.prepared[path] = [self.engine.prepare(query) for query in queries]
        cpu_us, wall_us = [], []
        gc.collect()
        gc.disable()
        for prepared in self.prepared[path][first:upto]:
            wall, cpu = time.perf_counter_ns(), time.process_time_ns()
            self.engine.search(prepared, LIMIT)
            cpu_us.append((time.process_time_ns() - cpu) / 1000)
            wall_us.append((time.perf_counter_ns() - wall) / 1000)
        gc.enable()
        return {"cpu_us": cpu_us, "wall_us": wall_us}

    def answers(self, path: str, first: int, upto: int, limit: int) -> dict[str, Any]:
        """What it finds, and whether that is exact."""
        found = [
            self.engine.search(self.engine.prepare(query), limit)
            for query in json.loads(_read(path))[first:upto]
        ]
        return {
            "answers": [self.engine.numbers(each) for each in found],
            "exact": [self.engine.exact(each) for each in found],
        }

    def sizes(self) -> dict[str, Any]:
        """Memory of this process now, and the files'; and the budget it searched with."""
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what was freed
        budget = getattr(self.engine, "budget", None)
        return memory_mb() | {"disk_bytes": disk_bytes(Path(self.folder)), "budget": budget}


def memory_mb() -> dict[str, float]:
    """Resident memory, and how much of it is this process's own and not mapped from a file."""
    status = Path("/proc/self/status")
    if not status.exists():
        unit = 2**20 if sys.platform == "darwin" else 2**10
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        return {"rss_mb": peak, "anon_mb": peak}
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    names = {"rss_mb": "VmRSS", "anon_mb": "RssAnon"}
    return {name: round(int(lines[key].split()[0]) / 1024, 1) for name, key in names.items()}


def disk_bytes(folder: Path) -> int:
    """Of every file in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def evict(folder: Path) -> None:
    """Ask the system to drop its copies of these files; it may refuse."""
    if hasattr(os, "posix_fadvise"):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which so many of them are, without interpolation; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


def _read(path: str) -> str:
    return Path(path).read_text("utf-8") if path else ""


def main() -> None:
    """Do what the lines of the input say; the first makes the worker."""
    worker: Worker | None = None
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is not a reply
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if worker is None:
                worker = Worker(**asked)
                reply: dict[str, Any] = {}
            else:
                reply = getattr(worker, asked.pop("do"))(**asked)
        except (OverTimeError, MemoryError) as error:
            reply = {"skipped": str(error) or "it needs more memory than it may have"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
