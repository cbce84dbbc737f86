"""The command line of this benchmark, and what it measures at each size."""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.filling import filled
from benchmarks.retrieval.corpus import Corpus, questions
from benchmarks.spore.asking import Asker, at_rest, cpu_s, memory_mb, percentile, recalled
from benchmarks.spore.growing import grown, lags
from tests.e2e.processes import Process, eventually, spores

Figures = Iterator[tuple[str, float]]

PROBED: Final = Path(__file__).with_name("probed.py")
RECALLS: Final = 1_200  # so that twelve are beyond the 99th percentile
FIRST_START_S: Final = 3_600.0  # ten million memories are indexed in it


def main(arguments: list[str]) -> None:
    """Print the figures: JSON objects, or lines for people."""
    parser = argparse.ArgumentParser(prog="bench spore", description=__doc__)
    parser.add_argument("--memories", default="100000", help="how many, with commas (%(default)s)")
    parser.add_argument("--folder", type=Path, help="fill here, and keep it for the next time")
    parser.add_argument("--growth-s", type=float, default=20.0, help="of a burst; 0: none")
    parser.add_argument("--rate", type=int, default=1_000, help="records a second in a burst")
    parser.add_argument("--no-peer", action="store_true", help="leave out sharing with a peer")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    wanted = parser.parse_args(arguments)
    gc.disable()  # a pause of ours would be told as one of the spore's
    with tempfile.TemporaryDirectory(prefix="synapse-bench-") as temporary:
        if not wanted.no_peer:
            tell({"measured": "sharing"}, sharing(Path(temporary)), as_json=wanted.json)
        sizes = sorted(int(size) for size in wanted.memories.split(","))
        found: dict[int, dict[str, float]] = {}
        for size in sizes:
            folder = (wanted.folder or Path(temporary)) / str(size)
            its = {"measured": "memories", "memories": size}
            growth_s = wanted.growth_s if size == sizes[-1] else 0.0
            figures = at_size(folder, size, growth_s=growth_s, rate=wanted.rate)
            found[size] = tell(its, figures, as_json=wanted.json)
    if len(sizes) > 1:
        first, last = found[sizes[0]], found[sizes[-1]]
        grew = ((f"{name}_ratio", last[name] / first[name]) for name in _COMPARED if name in last)
        its = {"measured": "growth of recall", "from": sizes[0], "to": sizes[-1]}
        tell(its, grew, as_json=wanted.json)


_COMPARED: Final = ("recall_cpu_ms", "recall_p50_ms", "recall_p99_ms")


def tell(its: dict[str, Any], figures: Figures, *, as_json: bool) -> dict[str, float]:
    """Print what was measured of one thing, and give it back."""
    label = " ".join(str(value) for value in its.values())
    found = {}
    for name, value in figures:
        found[name] = value = round(value, 3)
        if not as_json:
            print(f"{label:<24} {name:<36} {value:>12}", flush=True)
    if as_json:
        print(json.dumps({"benchmark": "spore", **its, **found}), flush=True)
    return found


def sharing(folder: Path) -> Figures:
    """An empty spore and its peer."""
    alder = Process(folder / "alder")
    birch = Process(folder / "birch", peers=[alder.url])
    began = time.monotonic()
    with spores(alder):
        yield "cold_start_s", time.monotonic() - began
        yield from memory_mb(alder.pid).items()
        with spores(birch):
            eventually(lambda: birch.health()["peers_alive"] == 1, seconds=10, why="they meet")
            shared = [visible_ms(alder, birch, number) for number in range(50)]
            yield "remember_to_visible_on_peer_p50_ms", statistics.median(shared)
            yield "remember_to_visible_on_peer_p99_ms", percentile(shared, 99)
            took = []
            for number in range(200):
                began = time.monotonic()
                alder.remember(f"one more note, {number}")
                took.append((time.monotonic() - began) * 1_000)
            yield "remember_acknowledged_p50_ms", statistics.median(took)


def visible_ms(giver: Process, taker: Process, number: int) -> float:
    """From asking to remember until the peer can show it."""
    began = time.monotonic()
    record_id = giver.remember(f"A note that travels, number {number}.")
    eventually(lambda: taker.holds(record_id), seconds=10, why="it arrives")
    return (time.monotonic() - began) * 1_000


def at_size(folder: Path, size: int, *, growth_s: float, rate: int) -> Figures:
    """A spore with so many memories: its starts, what it takes, recall, and a burst."""
    filled(folder, size)
    asked = questions(Corpus(), size)
    if not (folder / "log.views").exists():  # nothing beside the log yet: all of it is made
        yield "first_start_s", started_s(folder, within_s=FIRST_START_S)
    lag_file = folder.with_suffix(".lag")
    spore = Process(folder, program=PROBED, LAG_FILE=str(lag_file))
    began, burst = time.monotonic(), {}
    with spores(spore):
        yield "restart_s", time.monotonic() - began
        for name, value in cpu_s(spore.pid).items():
            yield f"restart_{name}", value
        yield from memory_mb(spore.pid).items()
        yield "disk_mb", sum(file.stat().st_size for file in folder.rglob("*.*")) / 1e6
        at_rest(spore.pid)
        asker = Asker(spore.url)
        first = recalled(asker, asked, len(asked))  # each question for the first time
        yield "first_recall_p50_ms", percentile(first, 50)
        yield "first_recall_p99_ms", percentile(first, 99)
        before = cpu_s(spore.pid)
        took = recalled(asker, asked, RECALLS)
        asker.close()
        for name, value in cpu_s(spore.pid).items():
            yield f"recall_{name}".replace("_s", "_ms"), (value - before[name]) / RECALLS * 1_000
        yield "recall_p50_ms", percentile(took, 50)
        yield "recall_p99_ms", percentile(took, 99)
        for name, value in memory_mb(spore.pid).items():
            yield f"after_recalls_{name}", value
        if growth_s > 0:
            print(f"{growth_s:.0f} s of rest and as many of a burst", file=sys.stderr)
            burst = dict(grown(spore, asked, seconds=growth_s, rate=rate))
    if burst:
        span = {name: burst.pop(name) for name in ("began_s", "ended_s")}
        for name, figure in (*burst.items(), *lags(lag_file, **span)):
            yield f"growth_{name}", figure


def started_s(folder: Path, *, within_s: float) -> float:
    """Seconds until a spore is ready, which is then stopped."""
    spore = Process(folder)
    began = time.monotonic()
    try:
        spore.start(within_s=within_s)
        return time.monotonic() - began
    finally:
        if spore.running:
            spore.stop()
        spore.client.close()
