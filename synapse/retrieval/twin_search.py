"""Search with numpy, the twin of `native/exact.c` and `native/budget.c`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from synapse.retrieval.layout import Integers
from synapse.retrieval.twin import ONE, Block, Buffer, Counts, Factors, Hit, Place, Places
from synapse.retrieval.twin_heads import Heads, share_out, sums

Long = npt.NDArray[np.uint64]
_EVER: Final = (1 << 32) - 1  # seconds
_SUM_MAX: Final = 255  # of eight bits
_RANKS: Final = 1024  # that are told apart to find the bar
_MARGIN: Final = 32  # rows that are collected beyond those foreseen
_AT_ONCE: Final = 2  # blocks whose rows are admitted before the next is looked at
_AGES_PART: Final = 16  # by which decays of a block may differ, and be taken as one to choose rows


@dataclass(frozen=True, slots=True)
class _Query:
    places: list[Places]  # by block, by term
    weights: list[int]
    limit: int
    floor: int
    decay: Long | None
    now_s: int
    step_s: int
    since_s: int
    until_s: int


@dataclass(frozen=True, slots=True)
class _Task:
    block: Block
    number: int
    factors: Long | None  # by profile; None: all are the greatest
    greatest: int


Ranked = tuple[int, Hit]  # minus the rank, and then the id: by these the best come first


def search(
    blocks: tuple[Block, ...],
    located: tuple[list[tuple[int, Places]], ...],
    heads: tuple[list[Heads], ...] | None,
    weights: Buffer,
    limit: int,
    floor: int,
    decay: Buffer | None,
    now_s: int,
    step_s: int,
    since_s: int,
    until_s: int,
    factors: tuple[Factors, ...] | None,
    budget: int,
    reading: int,
    kept: int,
) -> tuple[list[Hit], Counts]:
    """The best rows, best first, and what it took."""
    places = [
        list(each) for part in located for each in zip(*(its for _, its in part), strict=True)
    ]
    query = _Query(
        places,
        np.frombuffer(weights, dtype="<u4").tolist(),
        limit,
        floor,
        None if decay is None else np.frombuffer(decay, dtype="<u4").astype(np.uint64),
        now_s,
        step_s,
        since_s,
        until_s,
    )
    tasks = list(_tasks(blocks, factors))
    cost = sum(place.count for task in tasks for place in places[task.number] if place is not None)
    if heads is not None and cost > budget:
        best, counts = _within_budget(query, tasks, heads, (budget, reading), kept)
    else:
        best, counts = _exactly(query, tasks)
    return [hit for _, hit in best], counts


def _tasks(blocks: tuple[Block, ...], factors: tuple[Factors, ...] | None) -> Iterable[_Task]:
    for number, block in enumerate(blocks):
        own = factors[number] if factors is not None else ONE
        if isinstance(own, int):
            task = _Task(block, number, None, own)
        else:
            task = _Task(block, number, np.frombuffer(own[0], "<u4").astype(np.uint64), own[1])
        if task.greatest and block.rows:
            yield task


def _exactly(query: _Query, tasks: list[_Task]) -> tuple[list[Ranked], Counts]:
    best: list[Ranked] = []
    read = searched = 0
    bounds = [_bound(query, task) for task in tasks]
    for nth in sorted(range(len(tasks)), key=lambda nth: (-bounds[nth], nth)):
        task, worst = tasks[nth], _worst(query, best)
        if not bounds[nth] or bounds[nth] < worst:
            break
        totals, postings = _totals(query, task)
        needed = -(-worst // _greatest_factor(query, task))
        rows = np.flatnonzero(totals >= max(1, needed))
        best = _merge(query, best, task, rows, totals[rows])
        read, searched = read + postings, searched + 1
    return best, (read, 0, searched, False)


def _bound(query: _Query, task: _Task) -> int:
    """The greatest rank any row of the block can have."""
    total = 0
    for weight, place in zip(query.weights, query.places[task.number], strict=True):
        if place is not None:
            total += weight * _greatest_impact(task.block, place)
    return total * _greatest_factor(query, task)


def _greatest_impact(block: Block, place: Place) -> int:
    if place.rank < 0:
        return int(block["rare_postings"][place.at]) >> 16 & 255
    return int(block["lists"][place.at + 2]) & 255


def _greatest_factor(query: _Query, task: _Task) -> int:
    if query.decay is None:
        return task.greatest
    newest = np.array([task.block.newest_s], dtype=np.uint32)
    return max(1, int(_decays(query, newest)[0]) * task.greatest >> 16)


def _decays(query: _Query, verified_s: Integers) -> Long:
    assert query.decay is not None
    age_s = np.maximum(query.now_s - verified_s.astype(np.int64), 0)
    decays: Long = query.decay[np.minimum(age_s // query.step_s, len(query.decay) - 1)]
    return decays


def _of_one_age(query: _Query, block: Block) -> bool:
    ages = np.array([block.header.first_created_s, block.newest_s], dtype=np.uint32)
    oldest, newest = _decays(query, ages).tolist()
    return bool(newest - oldest <= newest // _AGES_PART)


def _worst(query: _Query, best: list[Ranked]) -> int:
    """What a row must reach to be of interest."""
    worst = -best[-1][0] if len(best) == query.limit else 0
    return max(worst, query.floor)


def _totals(query: _Query, task: _Task) -> tuple[Integers, int]:
    """By row, the sum of weights times impacts; and how many postings that took."""
    totals, read = np.zeros(task.block.rows, dtype=np.uint32), 0
    for weight, place in zip(query.weights, query.places[task.number], strict=True):
        if place is not None and weight:
            rows, impacts = task.block.postings(place)
            totals[rows] += impacts * np.uint32(weight)  # a term's rows are all different
            read += len(rows)
    return totals, read


def _factors(
    query: _Query, task: _Task, rows: npt.NDArray[np.intp], *, roughly: bool = False
) -> Long:
    """The factor of each of these rows; 0 for those that are removed or filtered out. `roughly`:
    what all have lost by age may be what the newest has, where it is nearly the same."""
    block = task.block
    factors = np.full(len(rows), task.greatest, dtype=np.uint64)
    if task.factors is not None:
        profiles = block["profiles"]
        factors = task.factors[profiles[rows] if len(profiles) else np.zeros_like(rows)]
    if query.decay is not None:
        verified_s = block.verified[rows]
        if roughly and _of_one_age(query, block):
            verified_s = np.full_like(verified_s, block.newest_s)
        decays = _decays(query, verified_s)
        factors = np.where(factors > 0, np.maximum(decays * factors >> 16, 1), 0)
    if query.since_s > 0 or query.until_s < _EVER:
        created = block["created"][rows]
        factors = np.where((created >= query.since_s) & (created < query.until_s), factors, 0)
    if block.dead is not None:
        factors = np.where(block.dead[rows], 0, factors)
    return factors


def _merge(
    query: _Query,
    best: list[Ranked],
    task: _Task,
    rows: npt.NDArray[np.intp],
    totals: Integers,
) -> list[Ranked]:
    """The best of those so far and these rows."""
    factors = _factors(query, task, rows)
    ranks = totals.astype(np.uint64) * factors
    least = max(1, _worst(query, best))
    if len(ranks) > query.limit:
        least = max(least, int(np.partition(ranks, -query.limit)[-query.limit]))
    found = []
    for nth in np.flatnonzero(ranks >= least).tolist():
        row = int(rows[nth])
        position = int(task.block["positions"][row])
        hit = (task.block.id_of(row), int(totals[nth]), int(factors[nth]), position)
        found.append((-int(ranks[nth]), hit))
    return sorted(best + found)[: query.limit]


# With a budget.


_Candidate = tuple[int, int, int]  # minus the rank, the task, the row


class _Candidates:
    """The best so far, and the bar that they let us foresee."""

    def __init__(self, query: _Query, tasks: list[_Task], kept: int) -> None:
        self.best: list[_Candidate] = []
        self._kept = kept
        self._rows = sum(task.block.rows for task in tasks)
        most = _SUM_MAX * max((_greatest_factor(query, task) for task in tasks), default=0)
        self._step = max(0, most.bit_length() - _RANKS.bit_length() + 1)
        self._ranked = np.zeros(_RANKS, dtype=np.int64)

    def admit(self, some: list[_Candidate]) -> None:
        """Keep the best of these and of those before."""
        self.best = sorted(self.best + some)[: self._kept]
        for rank, _, _ in some:
            self._ranked[-rank >> self._step] += 1

    def foreseen(self, rows: int) -> int:
        """The rank that matters, after so many rows; see `native/budget.c`."""
        wanted = self._kept * rows // max(1, self._rows) + _MARGIN
        if not rows or wanted >= self._kept:
            return 0
        over = self._ranked[::-1].cumsum()[::-1]
        reached = np.flatnonzero(over >= wanted)
        return int(reached[-1]) << self._step if len(reached) else 0


def _within_budget(
    query: _Query,
    tasks: list[_Task],
    heads: tuple[list[Heads], ...],
    budget: tuple[int, int],
    kept: int,
) -> tuple[list[Ranked], Counts]:
    """The heads of lists as far as the budget goes; then the best sums, exactly."""
    readings = share_out(query.weights, heads, budget, len(tasks), len(query.places))
    where = [(part, nth) for part in heads for nth in range(len(part[0].lists))]
    candidates, waiting = _Candidates(query, tasks, kept), list[_Candidate]()
    rows_seen = read = 0
    for number, task in enumerate(tasks):
        bar = -(-candidates.foreseen(rows_seen) // _greatest_factor(query, task))
        rows_seen += task.block.rows
        if bar > _SUM_MAX:
            continue
        part, nth = where[task.number]
        found, postings = sums(task.block.rows, part, nth, readings)
        rows = np.flatnonzero(found >= max(1, bar))
        ranks = found[rows].astype(np.uint64) * _factors(query, task, rows, roughly=True)
        candidates.admit(waiting)
        waiting = [
            (-rank, number, row)
            for rank, row in zip(ranks.tolist(), rows.tolist(), strict=True)
            if rank
        ]
        if number < _AT_ONCE:
            candidates.admit(waiting)
            waiting = []
        read += postings
    candidates.admit(waiting)
    best: list[Ranked] = []
    for _, number, row in candidates.best:
        task = tasks[number]
        rows = np.array([row])
        totals = np.array([_total(query, task, row)], dtype=np.uint32)
        best = _merge(query, best, task, rows, totals)
    return best, (read, len(candidates.best), len(tasks), True)


def _total(query: _Query, task: _Task, row: int) -> int:
    """Everything the row holds of the query, from its record."""
    ranks, impacts = task.block.record(row)
    total = 0
    for weight, place in zip(query.weights, query.places[task.number], strict=True):
        if place is None:
            continue
        if place.rank >= 0:
            total += weight * int(impacts[ranks == place.rank].sum())
        else:
            rows, rare = task.block.postings(place)
            total += weight * int(rare[rows == row].sum())
    return total
