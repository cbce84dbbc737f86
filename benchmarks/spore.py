"""A whole spore in a process of its own: start, memory, acknowledgement, sharing, recall.

    python -m benchmarks spore [--memories 100000]

Latencies are of HTTP requests from one client, one after the other; the store is filled through the
storage layer, because filling it over HTTP would measure the same request a hundred thousand times.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from synapse.core.memory.record import MEMORY, Draft, Identity
from synapse.core.memory.writer_log import WriterLog
from synapse.core.text import SharedText
from synapse.storage.sqlite_log import SqliteLog
from tests.e2e.processes import Process, eventually, spores

BATCH = 1_000


def main(arguments: list[str]) -> None:
    """Print the figures as JSON objects."""
    parser = argparse.ArgumentParser(prog="benchmarks spore", description=__doc__.split("\n")[0])
    parser.add_argument("--memories", type=int, default=100_000)
    size = parser.parse_args(arguments).memories
    with tempfile.TemporaryDirectory() as folder:
        for figure, value in measure(Path(folder), size):
            print(json.dumps({"benchmark": "spore", "figure": figure, "value": round(value, 3)}))


def measure(folder: Path, size: int) -> Iterator[tuple[str, float]]:
    """Every figure by name; milliseconds where the name ends in _ms, megabytes in _mb."""
    alder = Process(folder / "alder")
    birch = Process(folder / "birch", peers=[alder.url])
    began = time.monotonic()
    with spores(alder):
        yield "cold_start_s", time.monotonic() - began
        yield "idle_rss_mb", resident_mb(alder)
        with spores(birch):
            eventually(lambda: birch.health()["peers_alive"] == 1, seconds=10, why="they meet")
            shared = [visible_ms(alder, birch, number) for number in range(50)]
            yield "remember_to_visible_on_peer_p50_ms", statistics.median(shared)
            yield "remember_to_visible_on_peer_p99_ms", percentile(shared, 99)
            acknowledged = timed(200, lambda number: alder.remember(f"one more note, {number}"))
            yield "remember_acknowledged_p50_ms", statistics.median(acknowledged)
    large = Process(folder / "large")
    words, frequency = fill(large.folder, size)
    began = time.monotonic()
    with spores(large):  # nothing beside the log yet: the index and the views are made
        yield f"first_start_with_{size}_memories_s", time.monotonic() - began
    large = Process(folder / "large")
    began = time.monotonic()
    with spores(large):
        yield f"restart_with_{size}_memories_s", time.monotonic() - began
        yield f"rss_with_{size}_memories_mb", resident_mb(large)
        rng = random.Random(3)
        recalled = timed(
            300, lambda _: large.client.get("/api/recall", q=text(rng, words, frequency, 8), k=10)
        )
        yield f"recall_at_{size}_p50_ms", statistics.median(recalled)
        yield f"recall_at_{size}_p99_ms", percentile(recalled, 99)


def fill(folder: Path, size: int) -> tuple[list[str], list[float]]:
    """A data folder with so many signed memories of 60 words; the words and how common each is."""
    folder.mkdir(parents=True)
    rng = random.Random(1)
    seed = rng.randbytes(32)
    (folder / "identity.key").write_text(seed.hex())
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(3, 9))) for _ in range(20_000)]
    frequency = [1 / (rank + 10) for rank in range(len(words))]
    writer = WriterLog(Identity(seed), rng)
    log = SqliteLog(folder / "log.db")
    for start in range(0, size, BATCH):
        now_ms = int(time.time() * 1_000)
        contents = (
            {
                "text": SharedText(text(rng, words, frequency, 60)),
                "kind": SharedText("note"),
                "tags": (),
            }
            for _ in range(min(BATCH, size - start))
        )
        log.stage([writer.write(Draft(MEMORY, one), now_ms=now_ms) for one in contents])
        log.commit()
    log.close()
    return words, frequency


def text(rng: random.Random, words: list[str], frequency: list[float], count: int) -> str:
    """So many words, as common as in natural text (Zipf): the questions are made like the notes."""
    return " ".join(rng.choices(words, frequency, k=count))


def visible_ms(giver: Process, taker: Process, number: int) -> float:
    """From asking to remember until the peer can show it."""
    began = time.monotonic()
    record_id = giver.remember(f"A note that travels, number {number}.")
    eventually(lambda: taker.holds(record_id), seconds=10, why="it arrives")
    return (time.monotonic() - began) * 1_000


def timed(count: int, act: Callable[[int], object]) -> list[float]:
    """Milliseconds of each of `count` calls."""
    took = []
    for number in range(count):
        began = time.monotonic()
        act(number)
        took.append((time.monotonic() - began) * 1_000)
    return took


def percentile(values: list[float], percent: int) -> float:
    """The value that so many percent are below."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def resident_mb(process: Process) -> float:
    """Resident memory of a running spore, from /proc; 0 where there is none (macOS)."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1_024
