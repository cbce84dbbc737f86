"""What the protocol adds to a task: three spores on loopback, whose models answer at once.

    python -m benchmarks overhead [--tasks 200] [--open 1]

Each spore is a process of its own with a model family of its own, so that every task needs all
three: the spore that is asked waits for the others' commitments, shows its answer, and waits for
theirs. The figures are from sending the task to reading its answer, over HTTP; where the time went
is told by the times in the records, so its parts are of whole milliseconds. A task asked of a spore
alone, on the same machine in the same run, shows what of it the network of spores costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from benchmarks.answers.items import stories
from benchmarks.scripted_server import scripted_server, skilled
from tests.e2e.processes import Process, eventually, spores

P50_MS_MAX: Final = 250.0
FAMILIES: Final = ("amber", "cobalt", "jade")
WAIT_MS: Final = 30_000
WARM_UP: Final = 5


def main(arguments: Sequence[str]) -> None:
    """Print the figures as JSON objects."""
    parser = argparse.ArgumentParser(prog="benchmarks overhead", description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--open", type=int, default=1, help="tasks under way at once")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        for figure, value in measure(Path(folder), chosen.tasks, chosen.open):
            shown = round(value, 3) if isinstance(value, float) else value
            print(json.dumps({"benchmark": "overhead", "figure": figure, "value": shown}))


def measure(folder: Path, tasks: int, at_once: int) -> Iterator[tuple[str, float | bool]]:
    """Every figure by name; milliseconds where the name ends in _ms."""
    questions = stories(2 * (tasks + WARM_UP), seed=1)
    right = {one.text: one.right for one in questions}
    texts = [one.text for one in questions]
    # None knows everything, so that no model alone is sure enough.
    models = {f"{family}-1": 0.7 for family in FAMILIES}
    with scripted_server(skilled(right, models)) as server:
        alone = _process(folder / "alone", server.url, "jade-1")
        with spores(alone):
            took, _ = asked(alone, texts[: tasks + WARM_UP], at_once)
            yield from _percentiles("alone", took)
        others = [_process(folder / family, server.url, f"{family}-1") for family in FAMILIES[:2]]
        asker = _process(folder / "jade", server.url, "jade-1", [one.url for one in others])
        with spores(*others, asker):
            eventually(
                lambda: all(one.health()["peers_alive"] == 2 for one in (*others, asker)),
                seconds=20,
                why="they meet",
            )
            took, views = asked(asker, texts[tasks + WARM_UP :], at_once)
    yield from _percentiles("three_spores", took)
    yield "three_spores_within_bar", statistics.median(took) <= P50_MS_MAX
    yield "three_spores_over_bar_share", statistics.mean(one > P50_MS_MAX for one in took)
    yield "families_heard_mean", statistics.mean(len(set(view["models"])) for view in views)
    yield "not_answered", float(sum(view["status"] != "answered" for view in views))
    yield from _parts(views)


def _process(folder: Path, models: str, model: str, peers: Sequence[str] = ()) -> Process:
    """A spore with one model, that neither looks for others nor writes prose."""
    return Process(
        folder, peers=peers, LLM_ENDPOINT=models, LLM_MODEL=model, SYNAPSE_SYNTHESIS="false"
    )


def asked(
    spore: Process, texts: Sequence[str], at_once: int
) -> tuple[list[float], list[Mapping[str, Any]]]:
    """Milliseconds from sending each task to reading its answer, and the tasks; the first few,
    which warm caches, are left out."""

    def one(text: str) -> tuple[float, Mapping[str, Any]]:
        began = time.perf_counter()
        task_id = spore.client.post("/api/task", {"task": text})["task_id"]
        acknowledged_ms = (time.perf_counter() - began) * 1_000
        view = spore.client.get(f"/api/task/{task_id}", wait_ms=WAIT_MS)
        took_ms = (time.perf_counter() - began) * 1_000
        return took_ms, {**view, "acknowledged_ms": acknowledged_ms, "took_ms": took_ms}

    with ThreadPoolExecutor(at_once) as threads:
        done = list(threads.map(one, texts))[WARM_UP:]
    return [took for took, _ in done], [view for _, view in done]


def _percentiles(name: str, took: Sequence[float]) -> Iterator[tuple[str, float]]:
    ordered = sorted(took)
    yield f"{name}_p50_ms", statistics.median(ordered)
    yield f"{name}_p99_ms", ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]


def _parts(views: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """When things happened, in milliseconds after the task was made, by the times in records."""
    parts: defaultdict[str, list[float]] = defaultdict(list)
    for view in views:
        parts["task_acknowledged"].append(view["acknowledged_ms"])
        times = [1_000 * one["timestamp"] - view["created_ms"] for one in view["deltas"]]
        if times:
            parts["first_position_shown"].append(float(min(times)))
            parts["last_position_shown"].append(float(max(times)))
        parts["cycles"].append(float(view["my_cycles"]))
    for name, values in parts.items():
        yield (
            f"three_spores_{name}_p50{'' if name == 'cycles' else '_ms'}",
            statistics.median(values),
        )
