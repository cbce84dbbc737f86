"""The heads of lists and how far each is read within a budget, the twin of `native/heads.c`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from synapse.retrieval.layout import Integers
from synapse.retrieval.twin import Block, Places

LEVELS: Final = 30
_LEVEL_STEP: Final = 8  # impacts
_COUNT_MAX: Final = 65_535  # a count is 16 bits wide
_IMPACT_MAX: Final = 255
_SUM_MAX: Final = 255
_ALIKE_PART: Final = 3  # of the budget, for all terms alike
_READINGS_MAX: Final = 128  # so that each adds something to a sum of eight bits


@dataclass(frozen=True, slots=True)
class Heads:
    """The greatest impacts of one term: by block, rows, impacts and counts by level."""

    lists: tuple[tuple[Integers, Integers, npt.NDArray[np.int64]], ...]
    base: int  # the level down to which all were copied
    totals: tuple[int, ...]  # by level, of all blocks

    def __len__(self) -> int:
        """In bytes, as the compiled twin counts them."""
        each = 4 + 2 * (LEVELS - self.base)
        return each * len(self.lists) + 3 * sum(len(rows) for rows, _, _ in self.lists)


def heads(blocks: tuple[Block, ...], places: Places, most: int) -> Heads:
    """The lists of one term as far as so many postings go."""
    nothing = np.zeros(0, dtype=np.uint32)
    pairs = [
        (nothing, nothing) if place is None else block.postings(place)
        for block, place in zip(blocks, places, strict=True)
    ]
    counts = [_by_level(impacts) for _, impacts in pairs]
    totals = [sum(its) for its in zip(*(each.tolist() for each in counts), strict=True)]
    totals = totals or [0] * LEVELS
    base = next((level for level in range(LEVELS) if totals[level] <= most), LEVELS)
    lists = []
    for (rows, impacts), its in zip(pairs, counts, strict=True):
        held = int(its[base]) if base < LEVELS else 0
        lists.append((rows[:held], impacts[:held], np.minimum(its, held)))
    return Heads(tuple(lists), base, tuple(totals))


def _by_level(impacts: Integers) -> npt.NDArray[np.int64]:
    """How many are at each level or above."""
    at = np.bincount(np.minimum(impacts // _LEVEL_STEP, LEVELS - 1), minlength=LEVELS)
    reached: npt.NDArray[np.int64] = np.minimum(at[::-1].cumsum()[::-1], _COUNT_MAX)
    return reached


@dataclass(frozen=True, slots=True)
class Reading:
    """A term, and how its postings are read."""

    term: int
    level: int
    adds: npt.NDArray[np.uint32]  # to a sum, by impact


@dataclass(slots=True)
class _Share:
    term: int
    weight: int
    share: int
    fair: int  # the level that its equal part of the budget goes down to
    base: int
    totals: list[int]

    def level_for(self, part: int) -> int:
        """The least level at which every posting adds `part`."""
        step = self.share * _LEVEL_STEP
        return max(self.base, min(self.fair, -(-part // step)))

    def postings_at(self, part: int) -> int:
        level = self.level_for(part)
        return self.totals[level] if level < LEVELS else 0


def share_out(
    weights: Sequence[int],
    parts: Sequence[Sequence[Heads]],
    budget: tuple[int, int],
    searched: int,
    count: int,
) -> list[Reading]:
    """Down to which level each term is read, in so many of all blocks. `budget`: what would have
    been enough to read all, and how many postings are read instead."""
    wanted = sorted((weight, term) for term, weight in enumerate(weights) if weight)
    enough, reading = budget
    alike = min(enough // _ALIKE_PART, reading)
    shares, total = [], 0
    for weight, term in wanted:
        total += weight
        totals = [sum(each) for each in zip(*(part[term].totals for part in parts), strict=True)]
        fair = alike * count // (searched * len(wanted))
        fair_level = next((level for level in range(LEVELS) if totals[level] <= fair), LEVELS)
        base = max(part[term].base for part in parts)
        shares.append(_Share(term, weight, total, fair_level, base, totals))
    low, high = 1, total * (_IMPACT_MAX + 1) + 1
    while low < high:
        part = (low + high) // 2
        if sum(share.postings_at(part) for share in shares) * searched <= reading * count:
            high = part
        else:
            low = part + 1
    kept = [share for share in shares[-_READINGS_MAX:] if share.postings_at(low)]
    most = 1 + _IMPACT_MAX * sum(share.weight for share in kept)
    readings = []
    for share in kept:
        each = (share.weight * (_SUM_MAX - len(kept)) << 16) // most
        adds = (np.arange(_IMPACT_MAX + 1, dtype=np.uint64) * np.uint64(each) >> np.uint64(16)) + 1
        readings.append(Reading(share.term, share.level_for(low), adds.astype(np.uint32)))
    return readings


def sums(
    rows: int, part: Sequence[Heads], nth: int, readings: Sequence[Reading]
) -> tuple[Integers, int]:
    """By row of one block of a part, what its postings add; and how many were read."""
    found, read = np.zeros(rows, dtype=np.uint32), 0
    for reading in readings:
        its_rows, impacts, counts = part[reading.term].lists[nth]
        held = int(counts[reading.level])
        found[its_rows[:held]] += reading.adds[impacts[:held]]  # a term's rows are all different
        read += held
    return found, read
