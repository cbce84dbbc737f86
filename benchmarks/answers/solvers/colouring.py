"""Colouring graphs: the task, its exact check, and ways to solve it.

Vertices are numbered from 1. One step is one neighbour looked at. Answers name colours in the order
in which they first appear, so that two answers that differ only in the names of colours are equal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from benchmarks.answers.solvers.solver import (
    GIVES_UP,
    HOLDS_ON,
    HYPOTHESES_MAX,
    LOOKED_AT,
    REACH_MIN,
    RECALLS,
    Call,
    Candidates,
    Solver,
    only_pairs,
    pairs_in,
)

NAME: Final = "colouring"
NONE: Final = "impossible"
VERTICES_MAX: Final = 40  # the exact check searches; at this size it takes milliseconds
COLOURS_MAX: Final = 6
QUOTED_MAX: Final = 6  # quoted colourings that are tried before a search of one's own
ALIKE_MIN: Final = 0.6  # of its edges are ours: strangers share a quarter, twins two thirds

Edge = tuple[int, int]
Colours = list[int]  # by vertex, counted from 0; -1 for none


@dataclass(frozen=True, slots=True)
class Graph:
    """Vertices 0 to n - 1 (the text counts from 1), each with its neighbours in order."""

    colours: int
    edges: tuple[Edge, ...]
    near: tuple[tuple[int, ...], ...]


def graph(colours: int, edges: Sequence[Edge]) -> Graph:
    """A graph of these edges."""
    near: list[set[int]] = [set() for _ in range(1 + max(max(edge) for edge in edges))]
    for one, other in edges:
        near[one].add(other)
        near[other].add(one)
    return Graph(colours, tuple(edges), tuple(tuple(sorted(one)) for one in near))


_TASK: Final = re.compile(
    r"Colour the graph with (\d) colours: (\d{1,2}-\d{1,2}(?:, \d{1,2}-\d{1,2})*)"
)


@lru_cache(maxsize=1_024)
def parse(text: str) -> Graph | None:
    """The graph of a task, or of the first task that a text quotes."""
    found = _TASK.search(text[:20_000])
    if found is None:
        return None
    edges = [
        (int(one) - 1, int(other) - 1)
        for one, other in (edge.split("-") for edge in found[2].split(", "))
    ]
    ends = [end for edge in edges for end in edge]
    fits = min(ends) >= 0 and max(ends) < VERTICES_MAX and 1 <= int(found[1]) <= COLOURS_MAX
    if not fits or any(one == other for one, other in edges):
        return None
    return graph(int(found[1]), edges)


def asked(colours: int, edges: Sequence[Edge]) -> str:
    """The task's text."""
    written = ", ".join(f"{one + 1}-{other + 1}" for one, other in edges)
    return f"Colour the graph with {colours} colours: {written}"


def shown(colours: Sequence[int]) -> str:
    """A colouring as an answer: colours are named as they first appear."""
    names: dict[int, int] = {}
    return " ".join(
        f"{vertex + 1}={names.setdefault(colour, len(names) + 1)}"
        for vertex, colour in enumerate(colours)
    )


# The exact check.


def is_right(one: Graph, answer: str) -> bool:
    """Whether the answer colours every vertex properly, or truly says that none can."""
    if answer.strip().rstrip(".").casefold() == NONE:
        return not is_possible(one)
    named = only_pairs(answer)
    used = sorted({end for edge in one.edges for end in edge})
    if named is None or not {str(vertex + 1) for vertex in used} <= set(named):
        return False
    if any(not 1 <= colour <= one.colours for colour in named.values()):
        return False
    return all(named[str(a + 1)] != named[str(b + 1)] for a, b in one.edges)


def right_answer(one: Graph) -> str:
    """A proper colouring, or that there is none."""
    found = colourings(one, at_most=1)
    return shown(found[0]) if found else NONE


@lru_cache(maxsize=1_024)
def is_possible(one: Graph) -> bool:
    """Whether any colouring is proper."""
    return bool(colourings(one, at_most=1))


def colourings(one: Graph, at_most: int) -> list[Colours]:
    """Proper colourings that differ in more than the names of colours, up to so many.

    A vertex without edges has the first colour.
    """
    size = len(one.near)
    colours = [-1 if one.near[vertex] else 0 for vertex in range(size)]
    found: list[Colours] = []

    def search(used: int) -> None:
        open_ = [vertex for vertex in range(size) if colours[vertex] < 0]
        if not open_:
            found.append(list(colours))
            return
        taken = {v: {colours[u] for u in one.near[v] if colours[u] >= 0} for v in open_}
        vertex = max(open_, key=lambda v: (len(taken[v]), len(one.near[v]), -v))
        for colour in range(min(used + 1, one.colours)):
            if colour not in taken[vertex] and len(found) < at_most:
                colours[vertex] = colour
                search(max(used, colour + 1))
                colours[vertex] = -1

    search(0)
    return found


# What the ways share.


class Best:
    """The few colourings seen with the fewest clashing edges, and what memories deny."""

    def __init__(self, one: Graph, call: Call) -> None:
        self.graph = one
        self.call = call
        self.recalls = RECALLS if denied(one, call) else 0.0
        self.seen: dict[str, int] = {}
        self.worst = 1_000
        self.solved = False

    def note(self, colours: Colours, clashes: int | None = None) -> bool:
        """Keep a colouring if it is among the best; whether it solves the task."""
        if clashes is None:
            clashes = sum(colours[a] == colours[b] for a, b in self.graph.edges)
            self.call.meter.spend(len(self.graph.edges))
        if clashes < self.worst or len(self.seen) < HYPOTHESES_MAX:
            text = shown(colours)
            self.seen[text] = clashes
            if len(self.seen) > HYPOTHESES_MAX:
                del self.seen[max(self.seen, key=self.seen.__getitem__)]
            self.worst = max(self.seen.values())
            self.solved = self.solved or (clashes == 0 and not self.call.is_barred(text))
        return self.solved

    def candidates(self, denial: float) -> Candidates:
        """What was found, or what stands beside it when nothing was."""
        found = [(text, float(clashes)) for text, clashes in self.seen.items()]
        if self.solved:
            return [one for one in found if one[1] == 0]
        return [*found, (NONE, denial + self.recalls)]


def denied(one: Graph, call: Call) -> bool:
    """Whether a memory says that a graph much like this one cannot be coloured."""
    twins = (parse(text) for text in call.memories if NONE in text)
    return any(twin is not None and alike(one, twin, call) for twin in twins)


def alike(one: Graph, twin: Graph, call: Call) -> bool:
    """Whether a remembered graph is much like this one, as far as it is read.

    Comparing is paid for: whoever has nothing left to pay with takes nothing for alike.
    """
    if not call.reader.spend(LOOKED_AT):
        return False
    looked_at = twin.edges[:LOOKED_AT]
    shared = sum(b in one.near[a] for a, b in looked_at if a < len(one.near))
    return shared >= ALIKE_MIN * len(looked_at)


def quoted(one: Graph, call: Call) -> list[Colours]:
    """Colourings that others give, and those of memories that get far enough to begin at.

    What is remembered of a graph unlike this one is not tried. What they leave open is drawn; to
    try a memory is paid for.
    """
    found = []
    for quote in call.quoted:
        named, remembered = pairs_in(quote.text), quote.remembered
        twin = parse(quote.text) if remembered else None
        if "1" not in named or (twin is not None and not alike(one, twin, call)):
            continue
        if remembered and call.meter.empty:
            continue
        given = [named.get(str(vertex + 1), 0) for vertex in range(len(one.near))]
        colours = [
            colour - 1 if 1 <= colour <= one.colours else call.guesses.randrange(one.colours)
            for colour in given
        ]
        if not remembered or reach(one, colours, call) >= REACH_MIN * len(one.edges):
            found.append(colours)
    return found[:QUOTED_MAX]


def reach(one: Graph, colours: Colours, call: Call) -> int:
    """How many edges a colouring satisfies before the first between like colours."""
    for number, (a, b) in enumerate(one.edges):
        if colours[a] == colours[b]:
            call.meter.spend(number + 1)
            return number
    call.meter.spend(len(one.edges))
    return len(one.edges)


def try_quoted(one: Graph, call: Call, best: Best) -> Colours | None:
    """Note a quoted colouring that is proper, while steps last; the one that got furthest.

    None where an answer is barred: a search should begin elsewhere.
    """
    furthest, reached = None, -1
    for colours in quoted(one, call) if call.barred is None else ():
        if call.meter.empty or best.solved:
            break
        far = reach(one, colours, call)
        if far == len(one.edges):
            best.note(colours, 0)
        if far > reached:
            furthest, reached = colours, far
    return furthest


def starts(one: Graph, call: Call, best: Best) -> Iterator[Colours]:
    """Where a search may begin: at the best quoted answer, then anywhere, without end."""
    told = try_quoted(one, call, best)
    if told is not None:
        yield told
    while True:
        yield [call.rng.randrange(one.colours) for _ in one.near]


def fitting(one: Graph, colours: Colours, vertex: int, call: Call) -> int:
    """The first colour no neighbour has; else the one fewest have."""
    near = [colours[other] for other in one.near[vertex]]
    call.meter.spend(len(near))
    return min(range(one.colours), key=lambda colour: (near.count(colour), colour))


def clashing(one: Graph, colours: Colours) -> list[int]:
    """The vertices with a neighbour of their own colour."""
    at = {vertex for a, b in one.edges if colours[a] == colours[b] for vertex in (a, b)}
    return sorted(at)


# The ways.


def greedy(one: Graph, call: Call) -> Candidates:
    """One vertex after the other takes the first free colour, in the order they were written."""
    best = Best(one, call)
    try_quoted(one, call, best)
    size = len(one.near)
    while not call.meter.empty and not best.solved:
        order = sorted(range(size), key=lambda v: (v + call.jitter(2.0 * size), v))
        best.note(_coloured_in(one, order, call))
    return best.candidates(HOLDS_ON)


def welsh_powell(one: Graph, call: Call) -> Candidates:
    """The same, vertices with most neighbours first."""
    best = Best(one, call)
    try_quoted(one, call, best)
    while not call.meter.empty and not best.solved:
        order = sorted(
            range(len(one.near)), key=lambda v: (-len(one.near[v]) + call.jitter(5.0), v)
        )
        best.note(_coloured_in(one, order, call))
    return best.candidates(GIVES_UP)


def _coloured_in(one: Graph, order: Sequence[int], call: Call) -> Colours:
    colours = [-1] * len(one.near)
    for vertex in order:
        colours[vertex] = fitting(one, colours, vertex, call)
    return colours


def saturation(one: Graph, call: Call) -> Candidates:
    """DSATUR: the vertex with the fewest colours left first; takes back while steps last."""
    best = Best(one, call)
    told = try_quoted(one, call, best)
    if best.solved:
        return best.candidates(HOLDS_ON)
    size = len(one.near)
    colours: Colours = [-1] * size
    noise = [call.jitter(0.9) for _ in range(size)]

    def search(used: int) -> bool | None:
        """True: solved; False: refuted; None: out of steps."""
        open_ = [vertex for vertex in range(size) if colours[vertex] < 0]
        if not open_:
            return best.note(list(colours), 0)
        taken = {}
        for vertex in open_:
            taken[vertex] = {colours[other] for other in one.near[vertex]} - {-1}
        call.meter.spend(len(open_))  # saturation is kept up as colours are set
        chosen = max(open_, key=lambda v: (len(taken[v]), len(one.near[v]) + noise[v], -v))
        choices = [c for c in range(min(used + 1, one.colours)) if c not in taken[chosen]]
        if told is not None:
            choices.sort(key=lambda colour: colour != told[chosen])
        for colour in choices:
            if call.meter.empty:
                best.note(_completed(one, colours, call))
                return None
            colours[chosen] = colour
            call.meter.spend(len(one.near[chosen]))
            found = search(max(used, colour + 1))
            if found is not False:
                return found
            colours[chosen] = -1
        return False

    if search(0) is False and not any(clashes == 0 for clashes in best.seen.values()):
        return [(NONE, 0.0)]
    return best.candidates(HOLDS_ON)


def _completed(one: Graph, colours: Colours, call: Call) -> Colours:
    whole = list(colours)
    for vertex in range(len(whole)):
        if whole[vertex] < 0:
            whole[vertex] = fitting(one, whole, vertex, call)
    return whole


def largest_first(one: Graph, call: Call) -> Candidates:
    """RLF: fill one colour with as many strangers as it takes, then the next."""
    best = Best(one, call)
    try_quoted(one, call, best)
    while not call.meter.empty and not best.solved:
        colours: Colours = [-1] * len(one.near)
        for colour in range(one.colours):
            open_ = [vertex for vertex in range(len(colours)) if colours[vertex] < 0]
            barred: set[int] = set()
            while choices := [vertex for vertex in open_ if vertex not in barred]:
                call.meter.spend(len(choices))
                chosen = max(
                    choices,
                    key=lambda v: (
                        sum(u in barred for u in one.near[v]) + call.jitter(2.0),
                        len(one.near[v]),
                        -v,
                    ),
                )
                colours[chosen] = colour
                barred |= {chosen, *one.near[chosen]}
        best.note(_completed(one, colours, call))
    return best.candidates(HOLDS_ON)


def kempe(one: Graph, call: Call) -> Candidates:
    """Annealing over proper partial colourings: place one vertex, swap Kempe chains to make room.

    What no chain makes room for is taken out again; how readily, the temperature says.
    """
    best = Best(one, call)
    start = try_quoted(one, call, best)
    colours = start or _coloured_in(one, list(range(len(one.near))), call)
    open_ = _taken_out(one, colours)
    rng, meter = call.rng, call.meter
    while open_ and not meter.empty and not best.solved:
        heat = (0.1 + call.temperature) * (1 - min(1.0, meter.used / meter.limit)) + 0.05
        vertex, colour = rng.choice(open_), rng.randrange(one.colours)
        before = list(colours)
        for other in one.near[vertex]:
            if colours[other] == colour:
                spare = rng.choice([c for c in range(one.colours) if c != colour])
                _swap_chain(one, colours, other, spare, call)
        colours[vertex] = colour
        rivals = [other for other in one.near[vertex] if colours[other] == colour]
        for other in rivals:
            colours[other] = -1
        worse = len(rivals) - 1
        if worse > 0 and rng.random() >= math.exp(-worse / heat):
            colours = before
        else:
            open_ = [v for v in range(len(colours)) if colours[v] < 0]
            if len(open_) <= 2:
                best.note(_completed(one, colours, call))
    best.note(_completed(one, colours, call))
    return best.candidates(HOLDS_ON)


def _taken_out(one: Graph, colours: Colours) -> list[int]:
    """Take out vertices until what is left is proper; those taken out."""
    out = []
    for vertex, near in enumerate(one.near):
        if any(colours[other] == colours[vertex] for other in near):
            colours[vertex] = -1
            out.append(vertex)
    return out


def _swap_chain(one: Graph, colours: Colours, start: int, spare: int, call: Call) -> None:
    """Exchange two colours in the part that hangs together through them from `start`."""
    pair = (colours[start], spare)
    chain, edge = {start}, [start]
    while edge:
        vertex = edge.pop()
        call.meter.spend(len(one.near[vertex]))
        for other in one.near[vertex]:
            if other not in chain and colours[other] in pair:
                chain.add(other)
                edge.append(other)
    for vertex in sorted(chain):
        colours[vertex] = pair[0] if colours[vertex] == pair[1] else pair[1]


def tabucol(one: Graph, call: Call) -> Candidates:
    """TabuCol: recolour the clashing vertex that helps most, and not back for a while."""
    best = Best(one, call)
    for colours in starts(one, call, best):
        if best.solved or call.meter.empty:
            break
        _tabu_run(one, colours, call, best)
    return best.candidates(HOLDS_ON)


def _tabu_run(one: Graph, colours: Colours, call: Call, best: Best) -> None:
    until: dict[Edge, int] = {}
    for move in range(60):
        at = clashing(one, colours)
        clashes = sum(colours[a] == colours[b] for a, b in one.edges)
        if best.note(colours, clashes) or call.meter.empty or not at:
            return
        choices = []
        for vertex in at:
            near = [colours[other] for other in one.near[vertex]]
            call.meter.spend(len(near))
            for colour in range(one.colours):
                if colour != colours[vertex]:
                    change = near.count(colour) - near.count(colours[vertex])
                    if until.get((vertex, colour), 0) <= move or clashes + change == 0:
                        choices.append((change + call.jitter(1.0), vertex, colour))
        if not choices:
            return
        _, vertex, colour = min(choices)
        until[(vertex, colours[vertex])] = move + 4 + len(at) // 2
        colours[vertex] = colour


def least_clashes(one: Graph, call: Call) -> Candidates:
    """Min-conflicts: a clashing vertex takes the rarest colour around it, or, as noise, any."""
    best = Best(one, call)
    for colours in starts(one, call, best):
        for _ in range(40):
            at = clashing(one, colours)
            if best.note(colours) or call.meter.empty or not at:
                break
            vertex = call.rng.choice(at)
            if call.rng.random() < 0.25 * call.temperature:
                colours[vertex] = call.rng.randrange(one.colours)
            else:
                near = [colours[other] for other in one.near[vertex]]
                call.meter.spend(len(near))
                colours[vertex] = min(
                    range(one.colours), key=lambda c: (near.count(c), call.rng.random())
                )
        if best.solved or call.meter.empty:
            break
    return best.candidates(GIVES_UP)


SOLVERS: Final[tuple[Solver[Graph], ...]] = (
    Solver("greedy", "greedy", 900, greedy),
    Solver("welsh-powell", "greedy", 450, welsh_powell),
    Solver("saturation", "saturation", 180, saturation),
    Solver("largest-first", "independent sets", 900, largest_first),
    Solver("kempe", "annealing", 1_500, kempe),
    Solver("tabucol", "tabu", 1_500, tabucol),
    Solver("least-clashes", "min-conflicts", 1_500, least_clashes),
)
