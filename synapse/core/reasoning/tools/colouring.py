"""Colouring a graph so that no edge joins two vertices of one colour.

Solved by backtracking on the vertex with the fewest colours left (DSATUR: Brélaz, CACM 1979),
trying at most one colour that is not in use yet, since unused colours are all alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from synapse.core.reasoning.tools.reading import bindings, question, says_there_is_none
from synapse.core.reasoning.tools.results import Check, Result, Solution
from synapse.core.text import words

NAME: Final = "colouring"
NONE: Final = "impossible"
COLOURS_MAX: Final = 20
STEPS_MAX: Final = 4_500_000  # vertices and neighbours looked at: about 0.4 s
CHECK_STEPS_MAX: Final = 6_000  # the same, within 2 ms

Graph = Mapping[str, Sequence[str]]  # the neighbours of each vertex, in the order of the task

_NAMES: Final = words(
    "red green blue yellow orange purple violet pink brown black white grey gray cyan magenta "
    "teal turquoise lime navy olive maroon indigo gold silver"
)
_COLOURS: Final = frozenset(
    [*map(str, range(COLOURS_MAX + 1)), *_NAMES, *map(str.capitalize, _NAMES), *"ABCDEFGHIJ"]
)
_NUMBERS: Final = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_COUNT: Final = rf"(?P<count>[0-9]{{1,2}}|{'|'.join(_NUMBERS)})"
_GRAPH: Final = r"(?:the |this )?graph"
_ASKED: Final = (
    re.compile(rf"colou?r {_GRAPH} (?:with|using|in) {_COUNT} colou?rs ?:(?P<edges>.+)", re.I),
    re.compile(
        rf"colou?r {_GRAPH} with (?:the )?edges:? (?P<edges>.+?),? "
        rf"(?:with|using|in) {_COUNT} colou?rs",
        re.I,
    ),
    re.compile(
        rf"find (?:me )?a (?:proper |valid )?{_COUNT}-colou?ring (?:of|for) {_GRAPH} ?:"
        r"(?P<edges>.+)",
        re.I,
    ),
)
_EDGE: Final = re.compile(r"([A-Za-z0-9_]{1,16}) ?-{1,2} ?([A-Za-z0-9_]{1,16})")


def solve(task: str) -> Solution | None:
    """`1=1 2=2 ...` with colours from 1, or `impossible`. None when it takes too long."""
    asked = _understood(task)
    if asked is None:
        return None
    graph, colours = asked
    try:
        found = coloured(graph, colours, steps_max=STEPS_MAX)
    except OverflowError:
        return None
    if found is None:
        return Solution(NAME, NONE, "every way of giving the colours puts two of one on an edge")
    written = " ".join(f"{vertex}={found[vertex]}" for vertex in graph)
    return Solution(NAME, written, "no edge joins two vertices of one colour")


def check(task: str, answer: str) -> Check | None:
    """Look at every edge. That it is impossible is verified only where that is quick."""
    asked = _understood(task)
    if asked is None:
        return None
    graph, colours = asked
    if says_there_is_none(answer):
        return _no_colouring(graph, colours)
    said = bindings(answer, graph, _COLOURS)
    if not said:
        return Check(NAME, Result.UNKNOWN, "no single colouring is stated")
    said = {vertex: colour.lower().replace("gray", "grey") for vertex, colour in said.items()}
    for vertex, colour in said.items():
        clash = next((other for other in graph[vertex] if said.get(other) == colour), None)
        if clash is not None:
            return Check(NAME, Result.FAIL, f"{vertex} and {clash} are joined and both {colour}")
    used = len(set(said.values()))
    if used > colours:
        return Check(NAME, Result.FAIL, f"{used} colours are used, {colours} are allowed")
    if len(said) < len(graph):
        return Check(NAME, Result.UNKNOWN, f"{len(graph) - len(said)} vertices have no colour")
    return Check(NAME, Result.PASS, f"no edge joins two of one colour; {used} colours are used")


def coloured(graph: Graph, colours: int, *, steps_max: int) -> dict[str, int] | None:
    """A colour from 1 to `colours` for each vertex, or None if there is no way.

    Raises OverflowError after `steps_max` steps.
    """
    if any(vertex in graph[vertex] for vertex in graph):
        return None
    steps = 0
    waiting: list[dict[str, int]] = [{}]
    while waiting:
        given = waiting.pop()
        if len(given) == len(graph):
            return given
        best, taken = "", frozenset[int]()
        for vertex in graph:
            if vertex not in given:
                steps += 1 + len(graph[vertex])
                near = frozenset(given[one] for one in graph[vertex] if one in given)
                if not best or (len(near), len(graph[vertex])) > (len(taken), len(graph[best])):
                    best, taken = vertex, near
        if steps > steps_max:
            raise OverflowError(f"more than {steps_max} steps")
        usable = min(colours, max(given.values(), default=0) + 1)
        waiting += [{**given, best: one} for one in range(usable, 0, -1) if one not in taken]
    return None


def _no_colouring(graph: Graph, colours: int) -> Check:
    try:
        found = coloured(graph, colours, steps_max=CHECK_STEPS_MAX)
    except OverflowError:
        return Check(NAME, Result.UNKNOWN, "whether it is impossible takes too long to find out")
    if found is None:
        return Check(NAME, Result.PASS, "every way of giving the colours fails")
    return Check(NAME, Result.FAIL, "there is a colouring")


def _understood(task: str) -> tuple[Graph, int] | None:
    text = question(task)
    found = next(filter(None, (form.fullmatch(text or "") for form in _ASKED)), None)
    if found is None:
        return None
    count = found["count"].lower()
    colours = _NUMBERS.get(count) or int(count)
    graph = _graph(found["edges"])
    return (graph, colours) if graph and 1 <= colours <= COLOURS_MAX else None


def _graph(edges: str) -> Graph | None:
    """Edges such as `1-2, 2-3`, separated by commas, semicolons, `and` or spaces."""
    written = re.sub(r", and |[,;]| and ", " ", edges)
    if _EDGE.sub("", written).strip():
        return None
    near: dict[str, dict[str, None]] = {}
    for one, other in _EDGE.findall(written):
        near.setdefault(one, {})[other] = None
        near.setdefault(other, {})[one] = None
    return {vertex: list(others) for vertex, others in near.items()}
