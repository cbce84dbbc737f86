"""How much is read for a question when there are too many memories to read all that it asks for.

The few rarest terms of a question tell the most, and their lists are the shortest: they are read
furthest, the others' only where they weigh most. Where the rarest, read to their ends, say half of
what is asked, what has them is all but found, and reading on is in vain; so what is saved on those
questions is spent on the others. What is still missed are questions of common words alone.

The numbers were chosen at ten million memories, on the questions that `docs/memory.md` reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

EXACT_MAX: Final = 1 << 20  # memories up to which an exact search is as quick as a cut one
BUDGET: Final = 280_000  # postings; while a question's are no more, all of them are read
RESCORED_MAX: Final = 400  # rows; a fifth fewer find 0.65 instead of 0.67 of the exact ten

MOST: Final = 1.1  # of the budget, that a hard question reads
BEGUN: Final = 1.4  # of the budget, from which what it takes to begin the lists is taken away
BEGINNING: Final = 60  # postings: what a list takes besides them, by a regression
EASY: Final = 0.3  # of what a hard question would read
TELLING: Final = 1 / 6  # of the budget: what the rarest terms' lists say, as far as it goes
HARD_BELOW, EASY_ABOVE = 0.4, 0.5  # of all that is asked

RAREST: Final = 3  # terms that are read furthest: two find less, four copy more than there is room
RAREST_LEAST: Final = 1 / 8  # of what is read, for each of them
OTHERS: Final = 1 / 40  # of the budget, for every other term: the heads of their lists


class Plan(NamedTuple):
    """How one question is read."""

    reading: int  # postings of all terms together, if it cannot be all of them
    most: list[int]  # by term


def budget_for(memories: int) -> int | None:
    """The budget that keeps searches equally quick, however many memories there are."""
    return None if memories <= EXACT_MAX else BUDGET


def plan(weights: Sequence[int], held: Sequence[int], segments: int, budget: int) -> Plan:
    """What to read for terms that weigh so much in a question, and that so many memories hold.

    `most` comes in few sizes, because lists are copied, and kept, as far as they are read.
    """
    if sum(held) <= budget:
        return Plan(budget, [budget] * len(held))
    rarest = sorted((its, term) for term, its in enumerate(held) if its)
    share = _told(rarest, weights, budget)
    spared = min(1.0, max(0.0, (share - HARD_BELOW) / (EASY_ABOVE - HARD_BELOW)))
    whole = budget * MOST
    begun = min(BEGINNING * len(rarest) * segments, budget)
    reading = min(whole, budget * BEGUN - begun) * (1 - (1 - EASY) * spared)
    if spared == 1:
        whole *= EASY
    least = max(1, int(budget * OTHERS))
    most = [least] * len(held)
    left = whole
    for its, term in rarest[:RAREST]:
        read = min(its, whole / 2, max(left, whole * RAREST_LEAST))
        left -= read
        while most[term] < read:
            most[term] *= 2
    return Plan(int(reading), most)


def _told(rarest: Sequence[tuple[int, int]], weights: Sequence[int], budget: int) -> float:
    """The part of all that is asked that the rarest terms say, given (holders, term)."""
    room, told = budget * TELLING, 0.0
    for its, term in rarest:
        read = min(its, room)
        told += weights[term] * read / its
        room -= read
        if room <= 0:
            break
    return told / sum(weights)
