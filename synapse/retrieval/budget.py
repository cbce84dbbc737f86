"""How much is read for a question when there are too many memories to read all that it asks for.

The few rarest terms of a question tell the most, and their lists are the shortest: they are read
furthest, the others' only where they weigh most. Where the rarest, read to their ends, say half of
what is asked, what has them is all but found, and reading on is in vain; so what is saved on those
questions is spent on the others, and most of it on questions of common words alone. Some of those
are what is still missed.

The numbers were chosen at ten million memories, on the questions that `docs/memory.md` reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

EXACT_MAX: Final = 1 << 20  # memories up to which an exact search is as quick as a cut one
BUDGET: Final = 280_000  # postings; while a question's are no more, all of them are read

TELLING: Final = 1 / 6  # of the budget: what the rarest terms' lists say, as far as it goes
HARDEST_BELOW, HARD_BELOW, EASY_ABOVE = 0.15, 0.4, 0.5  # of all that is asked
EASY: Final = 0.3  # of what a hard question would read

RAREST: Final = 3  # terms that are read furthest: two find less, four copy more than there is room
RAREST_LEAST: Final = 1 / 8  # of what is read, for each of them
OTHERS: Final = 1 / 40  # of the budget, for every other term: the heads of their lists


class Reach(NamedTuple):
    """How far a question is read that takes as long as any: beginning a list takes time too."""

    most: float  # of the budget
    begun: float  # of the budget, from which what it takes to begin the lists is taken away
    beginning: int  # postings a list
    rescored: int  # rows that are totalled at the end

    def postings(self, lists: int, budget: int) -> float:
        """To read at most, from so many lists."""
        return min(budget * self.most, budget * self.begun - min(self.beginning * lists, budget))


HARD: Final = Reach(1.1, 1.4, 60, 400)  # a fifth fewer rows find 0.65, not 0.67, of the exact ten
HARDEST: Final = Reach(1.32, 1.68, 80, 300)  # more of the lists: it is these that find too little


class Plan(NamedTuple):
    """How one question is read."""

    reading: int  # postings of all terms together, if it cannot be all of them
    most: list[int]  # by term
    rescored: int  # rows


def budget_for(memories: int) -> int | None:
    """The budget that keeps searches equally quick, however many memories there are."""
    return None if memories <= EXACT_MAX else BUDGET


def plan(weights: Sequence[int], held: Sequence[int], segments: int, budget: int) -> Plan:
    """What to read for terms that weigh so much in a question, and that so many memories hold.

    `most` comes in few sizes, because lists are copied, and kept, as far as they are read.
    """
    if sum(held) <= budget:
        return Plan(budget, [budget] * len(held), HARD.rescored)
    rarest = sorted([(its, term) for term, its in enumerate(held) if its])
    share = _told(rarest, weights, budget)
    lists = len(rarest) * segments
    reach = HARDEST if share < HARDEST_BELOW else HARD
    whole, reading = budget * reach.most, HARD.postings(lists, budget)
    if reach is HARDEST:
        reading = max(reading, HARDEST.postings(lists, budget))
    elif share >= EASY_ABOVE:
        whole, reading = EASY * whole, EASY * reading
    elif share > HARD_BELOW:
        reading *= 1 - (1 - EASY) * (share - HARD_BELOW) / (EASY_ABOVE - HARD_BELOW)
    least = max(1, int(budget * OTHERS))
    most = [least] * len(held)
    left = whole
    for its, term in rarest[:RAREST]:
        read = min(its, whole / 2, max(left, whole * RAREST_LEAST))
        left -= read
        most[term] = least << max(0, -int(-read // least) - 1).bit_length()
    return Plan(int(reading), most, reach.rescored)


def _told(rarest: Sequence[tuple[int, int]], weights: Sequence[int], budget: int) -> float:
    """The part of all that is asked that the rarest terms say, given (holders, term)."""
    room, told = budget * TELLING, 0.0
    for its, term in rarest:
        if its >= room:
            told += weights[term] * room / its
            break
        told += weights[term]
        room -= its
    return told / sum(weights)
