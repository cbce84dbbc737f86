"""What a small solver is handed, what it gives back, and what its work costs.

A solver is asked in text and answers in text, as a language model is. It knows a way of working,
not a rate of success: it is wrong where its way ends, or where its steps run out. Randomness comes
from the generator it is handed, and work is paid from a meter, so that two ways of spending the
same number of steps can be compared. What a step is, each domain says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Generic, TypeVar

HYPOTHESES_MAX: Final = 3
# What is remembered is of another task: it is a place to begin at only where it gets that far
# through our constraints.
REACH_MIN: Final = 0.5  # no source
LOOKED_AT: Final = 12  # parts of a remembered task, to tell whether it is much like ours
READING_MAX: Final = 10_000  # steps; the eight memories of a request take about a hundred
# Costs, in nats, of saying that there is no solution, beside candidates whose cost is the number
# of constraints they break. A habit of the solver, as a model's wording is; no source.
GIVES_UP: Final = 0.0  # having found nothing, it says that there is nothing
HOLDS_ON: Final = 1.5  # it prefers a candidate with one flaw
RECALLS: Final = -1.5  # added when a memory says so of a task that is much like this one

Candidates = list[tuple[str, float]]
"""Answers with their costs in nats: the lower, the likelier its author thinks it."""

Instance = TypeVar("Instance")


class Meter:
    """A budget of steps. It may be overdrawn by the last piece of work, never by a loop."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return self.used >= self.limit

    def spend(self, steps: int = 1) -> bool:
        """Pay; whether there was anything left to pay with."""
        if self.used >= self.limit:
            return False
        self.used += steps
        return True


@dataclass(frozen=True, slots=True)
class Quoted:
    """A text that may hold an answer worth a look."""

    text: str
    remembered: bool  # of whatever task; else somebody's answer to this one


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a solver, but for the question.

    Two things are paid for. To tell whether a memory is about a task like this one is reading, and
    is paid to `reader`; to try what it says is work like any other, and is paid to `meter`. They
    are one meter where reading is to take from the work.
    """

    temperature: float
    rng: Random
    meter: Meter
    reader: Meter
    others: tuple[str, ...] = ()  # what others answered
    barred: str | None = None  # an answer that must not be given again
    memories: tuple[str, ...] = ()  # worked tasks, quoted as text
    guesses: Random = field(default_factory=Random)  # draws for what a quoted answer leaves open

    @property
    def quoted(self) -> tuple[Quoted, ...]:
        """Every text that may hold an answer worth a look, answers to this task first."""
        others, memories = (Quoted(text, False) for text in self.others), self.memories
        return (*others, *(Quoted(text, True) for text in memories))

    def jitter(self, scale: float) -> float:
        """Noise that moves a choice: none at temperature 0, up to `scale` at 1."""
        return self.temperature * scale * self.rng.random()

    def is_barred(self, answer: str) -> bool:
        """Whether this is the answer that must not be given again."""
        return self.barred is not None and plain(answer) == plain(self.barred)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a solver says. Weights of hypotheses sum to 1; the first one is the answer."""

    answer: str
    hypotheses: tuple[tuple[str, float], ...]
    steps: int
    abstained: bool = False
    reading: int = 0  # steps that came on top, to tell which memories are of use


@dataclass(frozen=True, slots=True)
class Solver(Generic[Instance]):
    """One way of working. Solvers of one family share a way, and so most of their errors."""

    name: str
    family: str
    steps: int  # what one call may spend when the caller does not say
    run: Callable[[Instance, Call], Candidates]


def concluded(candidates: Candidates, call: Call) -> Answer:
    """The likeliest candidates as hypotheses, without the barred one; abstains if none is left."""
    costs: dict[str, float] = {}
    for text, cost in candidates:
        if not call.is_barred(text):
            costs[text] = min(cost, costs.get(text, math.inf))
    likeliest = sorted(costs.items(), key=lambda one: one[1])[:HYPOTHESES_MAX]
    reading = call.reader.used if call.reader is not call.meter else 0
    if not likeliest:
        return Answer("", (), call.meter.used, abstained=True, reading=reading)
    shares = [math.exp(likeliest[0][1] - cost) for _, cost in likeliest]
    whole = sum(shares)
    hypotheses = tuple(
        (text, share / whole) for (text, _), share in zip(likeliest, shares, strict=True)
    )
    return Answer(likeliest[0][0], hypotheses, call.meter.used, reading=reading)


def plain(text: str) -> str:
    """An answer without its layout."""
    return " ".join(text.split()).casefold()


_PAIR: Final = re.compile(r"\b([A-Za-z]?\d*)\s*=\s*(\d{1,9})\b")


def pairs_in(text: str) -> dict[str, int]:
    """What stands on both sides of the equals signs of "x1=1 x2=0", "1=3 2=1" or "S=9 E=5".

    Of a quoted task with its answer, the task holds no such pair: its numbers have no "=".
    """
    return {name: int(value) for name, value in _PAIR.findall(text[:4_000]) if name}


def only_pairs(text: str) -> dict[str, int] | None:
    """The pairs of a text that holds nothing but pairs, each name once; None for any other."""
    found = _PAIR.findall(text[:4_000])
    rest = _PAIR.sub("", text[:4_000]).strip(" \t\n,;.")
    named = {name: int(value) for name, value in found if name}
    return named if found and not rest.strip(" ,;") and len(named) == len(found) else None


def shared(items: Iterable[object], others: Iterable[object]) -> float:
    """Jaccard index of two collections: 0 for strangers, 1 for the same things."""
    left, right = set(items), set(others)
    return len(left & right) / max(1, len(left | right))


def in_order(items: Sequence[Instance], call: Call) -> list[Instance]:
    """The items, in disorder that grows with temperature; as they came at 0."""
    scale = len(items)
    return [
        item
        for _, _, item in sorted(
            (number + call.jitter(2.0 * scale), number, item) for number, item in enumerate(items)
        )
    ]
