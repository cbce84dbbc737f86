"""Figures of the solvers layer, each with its interval: many seeds of each experiment.

The primary comparison, chosen before anything was run: the protocol without checks against
self-consistency of the best member, at equal calls on every task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, Final

import numpy as np

from benchmarks.answers.statistics import holm, paired_bootstrap
from benchmarks.answers.through_nodes import experiments
from benchmarks.answers.through_nodes.experiments import MECHANISMS, Row

SEEDS: Final = 30
SEEDS_OF_MEMORY: Final = 12  # sixty tasks each before anything is measured
SEEDS_OF_POISON: Final = 10  # of twenty attacks each
LAYER: Final = "solvers"
BASELINES: Final = (
    "best on calibration",
    "plurality",
    "self-consistency of the best",
    "best of as many with the same checks",
)
DRESSES: Final = {False: "nothing can be checked", True: "tools check"}


def run(*, seeds: int | None, seed: int, command: str) -> Iterator[dict[str, Any]]:
    """Every figure. `seeds` counts draws of the main experiments; others are scaled with it."""
    number = seeds or SEEDS
    share = number / SEEDS
    with ProcessPoolExecutor(max_workers=2) as pool:

        def rows(experiment: Callable[[int], Row], count: int) -> list[Row]:
            wanted = max(2, round(count * share))
            return list(pool.map(experiment, range(seed, seed + wanted)))

        for checked, dataset in DRESSES.items():
            found = rows(partial(experiments.rules, checked=checked), SEEDS)
            yield from _rules(found, dataset, seed, command)
        for checked, dataset in DRESSES.items():
            found = rows(partial(experiments.ablations, checked=checked), SEEDS)
            yield from _ablations(found, dataset, seed, command)
        yield from _memory(rows(experiments.memory, SEEDS_OF_MEMORY), seed, command)
        for hostile in (1, 2, 3):
            for quarantine in (True, False):
                attack = partial(experiments.poison, hostile=hostile, quarantine=quarantine)
                found = rows(attack, SEEDS_OF_POISON)
                yield from _poison(found, hostile, quarantine, seed, command)


def _rules(rows: Sequence[Row], dataset: str, seed: int, command: str) -> Iterator[dict[str, Any]]:
    calls = float(np.mean(_table(rows, "calls of the protocol")))
    for name in rows[0]:
        if name != "calls of the protocol":
            its = calls if name in ("protocol", *BASELINES[2:]) else None
            yield _figure(dataset, name, _table(rows, name), seed, command, calls=its)
    for name in BASELINES:
        if name in rows[0]:
            gain = _table(rows, "protocol") - _table(rows, name)
            yield _figure(dataset, f"protocol - {name}", gain, seed, command, calls=calls)


def _ablations(
    rows: Sequence[Row], dataset: str, seed: int, command: str
) -> Iterator[dict[str, Any]]:
    gains = {name: _table(rows, "all") - _table(rows, name) for name in MECHANISMS}
    corrected = holm([paired_bootstrap(gain, seed=seed).p for gain in gains.values()])
    for (name, gain), p in zip(gains.items(), corrected, strict=True):
        saved = float(np.mean(_table(rows, f"{name}: calls") - _table(rows, "all: calls")))
        label = f"ablation: {name} on - off (p {p:.3f}; saves {saved:.2f} calls)"
        yield _figure(dataset, label, gain, seed, command)


def _memory(rows: Sequence[Row], seed: int, command: str) -> Iterator[dict[str, Any]]:
    dataset = "held-out tasks of recurring kinds"
    for name in rows[0]:
        yield _figure(dataset, f"memory: {name}", _table(rows, name), seed, command)
    for name in rows[0]:
        if name != "fresh":
            gain = _table(rows, name) - _table(rows, "fresh")
            yield _figure(dataset, f"memory: {name} - fresh", gain, seed, command)


def _poison(
    rows: Sequence[Row], hostile: int, quarantine: bool, seed: int, command: str
) -> Iterator[dict[str, Any]]:
    dataset = "poisoned memories, as shipped" if quarantine else "were strangers' memories shown"
    name = f"{10 * hostile}% hostile strangers"
    words = ("success", "honest loss") if quarantine else ("lies answered", "right answers lost")
    loss = _table(rows, "right without") - _table(rows, "right")
    for word, outcomes in zip(words, (_table(rows, "success"), loss), strict=True):
        yield _figure(dataset, f"{name}: {word}", outcomes, seed, command)


def _table(rows: Sequence[Mapping[str, Sequence[float]]], name: str) -> Any:
    """A row a seed, a column a task, in points of a hundred (counts as they are)."""
    scale = 1.0 if "calls" in name else 100.0
    length = min(len(row[name]) for row in rows)
    return scale * np.array([row[name][:length] for row in rows], dtype=np.float64)


def _figure(
    dataset: str,
    figure: str,
    outcomes: Any,
    seed: int,
    command: str,
    *,
    calls: float | None = None,
) -> dict[str, Any]:
    estimate = paired_bootstrap(outcomes, seed=seed)
    return {
        "layer": LAYER,
        "dataset": dataset,
        "figure": figure,
        "value": round(estimate.value, 3),
        "low": round(estimate.low, 3),
        "high": round(estimate.high, 3),
        "n": int(outcomes.size),
        "seeds": int(outcomes.shape[0]),
        "calls": None if calls is None else round(calls, 2),
        "command": command,
    }
