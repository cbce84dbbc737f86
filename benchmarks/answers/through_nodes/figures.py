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

from benchmarks.answers.statistics import calibration_error, holm, paired_bootstrap
from benchmarks.answers.through_nodes import experiments, federation, memory
from benchmarks.answers.through_nodes.experiments import MECHANISMS, Row

SEEDS: Final = 30
SEEDS_OF_ABLATIONS: Final = 30  # five swarms each
SEEDS_OF_MEMORY: Final = 60  # of 120 tasks learnt and 60 held out each
SEEDS_OF_POISON: Final = 10  # of twenty attacks each
SEEDS_OF_SCHOOL: Final = 4  # of 300 graded tasks each
SEEDS_OF_NODES: Final = {1: 8, 3: 8, 7: 8, 14: 8, 28: 2}  # the work grows with their square
LAYER: Final = "solvers"
AT_EQUAL_CALLS: Final = (
    "self-consistency of the best",
    "debate, counts hidden",
    "debate, counts shown",
    "best of as many with the same checks",
    "as many members with the same checks",
)
CALLS: Final = {
    "mean member": 1.0,
    "single best, told which": 1.0,
    "best on calibration": 1.0,
    "plurality": 7.0,
    "Dawid-Skene": 7.0,
    "log-odds": 7.0,
    "the reference's rule": 7.0,
    "debate of all seven, counts hidden": 14.0,
}
BASELINES: Final = (*list(CALLS)[1:], *AT_EQUAL_CALLS)
DRESSES: Final = {False: "nothing can be checked", True: "tools check"}
HELD_OUT: Final = "held-out tasks of recurring kinds"
COSTS_OF_MEMORY: Final = {
    "steps": "steps",
    "reading": "steps of reading",
    "shown": "memories offered",
    "characters": "characters offered",
    "shown a right answer": "shown a right answer",
}

Rows = Callable[[Callable[[int], Row], int], list[Row]]


def run(*, seeds: int | None, seed: int, command: str) -> Iterator[dict[str, Any]]:
    """Every figure. `seeds` counts draws of the main experiments; others are scaled with it."""
    share = (seeds or SEEDS) / SEEDS
    with ProcessPoolExecutor(max_workers=2) as pool:

        def rows(experiment: Callable[[int], Row], count: int) -> list[Row]:
            wanted = max(2, round(count * share))
            return list(pool.map(experiment, range(seed, seed + wanted)))

        for checked, dataset in DRESSES.items():
            found = rows(partial(experiments.rules, checked=checked), SEEDS)
            yield from _rules(found, dataset, seed, command)
            without = rows(partial(experiments.ablations, checked=checked), SEEDS_OF_ABLATIONS)
            yield from _ablations(found, without, dataset, seed, command)
        yield from _schooled(rows(experiments.schooled, SEEDS_OF_SCHOOL), command)
        yield from _memory(rows(memory.memory, SEEDS_OF_MEMORY), seed, command)
        for hostile in (1, 2, 3):
            for quarantine in (True, False):
                attack = partial(experiments.poison, hostile=hostile, quarantine=quarantine)
                found = rows(attack, SEEDS_OF_POISON)
                yield from _poison(found, hostile, quarantine, seed, command)
        yield from _diversity(rows(federation.diversity, SEEDS), seed, command)
        yield from _federation(rows, seed, command)


def _rules(rows: Sequence[Row], dataset: str, seed: int, command: str) -> Iterator[dict[str, Any]]:
    spent = float(np.mean(_table(rows, "calls of the protocol")))
    tables = {name: _table(rows, name) for name in rows[0]} | {
        "single best, told which": _told_which(rows)
    }
    for name in ("protocol", "mean member", *BASELINES, "any member right"):
        if name in tables:
            its = CALLS.get(name, spent) if name != "any member right" else None
            yield _figure(dataset, name, tables[name], seed, command, calls=its)
    for name in BASELINES:
        if name in tables:
            gain = tables["protocol"] - tables[name]
            yield _figure(dataset, f"protocol - {name}", gain, seed, command, calls=spent)
    right, said = tables["protocol"] > 0, _table(rows, "posterior") / 100
    yield _calibration(dataset, "ECE of the protocol, after 10 grades", said, right, command)


def _told_which(rows: Sequence[Row]) -> Any:
    """The member of each domain that did best on these very tasks, over all seeds."""
    members = np.stack([_table(rows, name) for name in rows[0] if name.startswith("member ")])
    found = np.empty_like(members[0])
    for start in range(0, found.shape[1], experiments.TASKS):
        its = members[:, :, start : start + experiments.TASKS]
        found[:, start : start + experiments.TASKS] = its[its.mean(axis=(1, 2)).argmax()]
    return found


def _ablations(
    rows: Sequence[Row], without: Sequence[Row], dataset: str, seed: int, command: str
) -> Iterator[dict[str, Any]]:
    rows = rows[: len(without)]  # the same seeds
    gains = {name: _table(rows, "protocol") - _table(without, name) for name in MECHANISMS}
    corrected = holm([paired_bootstrap(gain, seed=seed).p for gain in gains.values()])
    calls = _table(rows, "calls of the protocol")
    for (name, gain), p in zip(gains.items(), corrected, strict=True):
        saved = float(np.mean(_table(without, f"{name}: calls") - calls))
        label = f"ablation: {name} on - off (p {p:.3f}; saves {saved:.2f} calls)"
        yield _figure(dataset, label, gain, seed, command)


def _schooled(rows: Sequence[Row], command: str) -> Iterator[dict[str, Any]]:
    name = f"ECE of the protocol, fitted to {experiments.GRADED_SCHOOLED} grades"
    said, right = _table(rows, "posterior") / 100, _table(rows, "right") > 0
    yield _calibration(DRESSES[False], name, said, right, command)


def _memory(rows: Sequence[Row], seed: int, command: str) -> Iterator[dict[str, Any]]:
    """Tasks are their seed's own, and a column is nothing: only seeds are drawn again."""
    figure = partial(_figure, columns=False)
    nearest = max(max(row["nearest"]) for row in rows)
    yield _plain(HELD_OUT, "leakage: Jaccard index of the nearest task met", nearest, rows, command)
    arms = [name for name in rows[0] if ":" not in name and name != "nearest"]
    for name in arms:
        calls = float(np.mean(_table(rows, f"{name}: calls")))
        yield figure(HELD_OUT, f"memory: {name}", _table(rows, name), seed, command, calls=calls)
    for name in arms:
        free = memory.FREE if name.startswith(memory.FREE) else ""
        if name.startswith(memory.PAID):
            its = _table(rows, name) - _table(rows, name.removeprefix(memory.PAID))
            yield figure(HELD_OUT, f"ablation: {name}: on - off", its, seed, command)
        elif name != f"{free}fresh":
            gain = _table(rows, name) - _table(rows, f"{free}fresh")
            yield figure(HELD_OUT, f"memory: {name} - {free}fresh", gain, seed, command)
    gain = _table(rows, "verified") - _table(rows, "placebo")
    yield figure(HELD_OUT, "memory: verified - placebo", gain, seed, command)
    for name in arms:
        for what, label in COSTS_OF_MEMORY.items():
            its = np.array([row[f"{name}: {what}"] for row in rows], dtype=np.float64)
            its = 100 * its if what == "shown a right answer" else its
            yield figure(HELD_OUT, f"{label}: {name}", its, seed, command)


def _diversity(rows: Sequence[Row], seed: int, command: str) -> Iterator[dict[str, Any]]:
    dataset, three, one = "three nodes, matched accuracy", "three algorithms", "one algorithm"
    for name in rows[0]:
        yield _figure(dataset, name, _table(rows, name), seed, command, calls=3.0)
    gain, luck = (
        _table(rows, f"{prefix}{three}") - _table(rows, f"{prefix}{one}")
        for prefix in ("", "mean member of ")
    )
    yield _figure(dataset, f"{three} - {one}", gain, seed, command)
    name = f"{three} - {one}, less what their mean members differ by here"
    yield _figure(dataset, name, gain - luck, seed, command)


def _federation(rows: Rows, seed: int, command: str) -> Iterator[dict[str, Any]]:
    for skewed in (False, True):
        dataset = f"federation, {'the weakest commonest' if skewed else 'models alike common'}"
        for nodes, count in SEEDS_OF_NODES.items():
            found = rows(partial(federation.federation, nodes=nodes, skewed=skewed), count)
            families = float(np.mean([row["families"] for row in found]))
            for name in [one for one in found[0] if ":" not in one and one != "families"]:
                calls = float(np.mean(_table(found, f"{name}: calls")))
                label = f"{nodes} nodes, {families:.1f} models: {name}"
                yield _figure(dataset, label, _table(found, name), seed, command, calls=calls)
            if "by family, 20% hostile" in found[0]:
                loss = _table(found, "by family") - _table(found, "by family, 20% hostile")
                label = f"{nodes} nodes: loss to 20% hostile strangers, by family"
                yield _figure(dataset, label, loss, seed, command)


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


def _calibration(dataset: str, figure: str, said: Any, right: Any, command: str) -> dict[str, Any]:
    error = calibration_error(said.ravel(), right.ravel())
    return _plain(dataset, figure, error, said, command)


def _plain(
    dataset: str, figure: str, value: float, rows: Sequence[Any], command: str
) -> dict[str, Any]:
    """A figure that is no mean of tasks, and so has no interval."""
    return {
        "layer": LAYER, "dataset": dataset, "figure": figure, "value": round(value, 4),
        "low": None, "high": None, "n": int(np.size(rows)), "seeds": len(rows), "calls": None,
        "command": command,
    }  # fmt: skip


def _figure(
    dataset: str,
    figure: str,
    outcomes: Any,
    seed: int,
    command: str,
    *,
    calls: float | None = None,
    columns: bool = True,
) -> dict[str, Any]:
    """The mean with its interval, over seeds and, if `columns`, over what stands in them."""
    drawn = outcomes if columns else outcomes.mean(axis=1, keepdims=True)
    estimate = paired_bootstrap(drawn, seed=seed)
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
