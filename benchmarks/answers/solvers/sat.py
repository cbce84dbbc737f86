"""Satisfiability of clauses of three literals: the task, its exact check, and ways to solve it.

A literal is a signed variable. One step is one clause looked at. Searches that start anywhere can
find an assignment and never prove that there is none; the two that can (splitting, resolution) run
out of steps. Quoted answers are tried first, and become starting points where they fail.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
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
from synapse.core.reasoning.prompts import LEFT_OUT

NAME: Final = "sat"
NONE: Final = "unsatisfiable"
VARIABLES_MAX: Final = 20  # the exact check writes out the truth table: 2**20 bits
CLAUSES_MAX: Final = 400
QUOTED_MAX: Final = 6  # quoted assignments that are tried before a search of one's own
ALIKE_MIN: Final = 0.25  # of its clauses are ours: strangers share none, twins half

Clause = tuple[int, ...]
Values = list[bool]  # by variable; the one at 0 is unused


@dataclass(frozen=True, slots=True)
class Formula:
    """Clauses over variables 1 to `variables`; `where[±v]` lists the clauses with that literal."""

    variables: int
    clauses: tuple[Clause, ...]
    where: dict[int, tuple[int, ...]]
    known: frozenset[Clause]  # the clauses, each in order


def formula(clauses: Sequence[Clause]) -> Formula:
    """A formula of these clauses."""
    variables = max(abs(literal) for clause in clauses for literal in clause)
    where: dict[int, list[int]] = {
        sign * one: [] for one in range(1, variables + 1) for sign in (1, -1)
    }
    for number, clause in enumerate(clauses):
        for literal in clause:
            where[literal].append(number)
    return Formula(
        variables,
        tuple(clauses),
        {one: tuple(at) for one, at in where.items()},
        frozenset(tuple(sorted(clause)) for clause in clauses),
    )


_CLAUSE: Final = re.compile(r"\(([^()]*)\)")
_LITERAL: Final = re.compile(r"(not )?x(\d{1,2})")
_TASK: Final = re.compile(r"Find a satisfying assignment of: ([^\n]*?\))(?=\s*(?:->|Answer|\n|$))")


@lru_cache(maxsize=1_024)
def parse(text: str) -> Formula | None:
    """The formula of a task, or of the first task that a text quotes, as far as it is quoted."""
    found = _TASK.search(text[:20_000].replace(LEFT_OUT, " "))
    if found is None:
        return None
    clauses = [
        tuple(
            dict.fromkeys(
                -int(number) if negated else int(number)
                for negated, number in _LITERAL.findall(clause)
            )
        )
        for clause in _CLAUSE.findall(found[1])
    ]
    numbers = [abs(literal) for clause in clauses for literal in clause]
    if not numbers or not all(clauses) or len(clauses) > CLAUSES_MAX:
        return None
    return formula(clauses) if min(numbers) > 0 and max(numbers) <= VARIABLES_MAX else None


def asked(clauses: Sequence[Clause]) -> str:
    """The task's text."""
    written = (
        " or ".join(f"x{one}" if one > 0 else f"not x{-one}" for one in clause)
        for clause in clauses
    )
    return "Find a satisfying assignment of: " + " and ".join(f"({one})" for one in written)


def shown(values: Sequence[bool]) -> str:
    """An assignment as an answer."""
    return " ".join(f"x{number}={int(value)}" for number, value in enumerate(values) if number)


# The exact check.


def is_right(one: Formula, answer: str) -> bool:
    """Whether the answer is a satisfying assignment of all variables, or a true denial."""
    if answer.strip().rstrip(".").casefold() == NONE:
        return models(one) == 0
    named = only_pairs(answer)
    used = {abs(literal) for clause in one.clauses for literal in clause}
    if named is None or not {f"x{number}" for number in used} <= set(named):
        return False
    if any(value not in (0, 1) for value in named.values()):
        return False
    return all(
        any(named[f"x{abs(literal)}"] == (literal > 0) for literal in clause)
        for clause in one.clauses
    )


def right_answer(one: Formula) -> str:
    """The first satisfying assignment of the truth table, or that there is none."""
    left = models(one)
    if not left:
        return NONE
    row = (left & -left).bit_length() - 1
    return shown([False, *(bool(row >> at & 1) for at in range(one.variables))])


@lru_cache(maxsize=64)
def _column(number: int, variables: int) -> int:
    """The truth table of one variable: bit r says its value in row r."""
    width = 1 << (number - 1)
    column = ((1 << width) - 1) << width
    for _ in range(variables - number):
        width *= 2
        column |= column << width
    return column


def models(one: Formula) -> int:
    """The satisfying rows of the truth table, a bit each."""
    return rows(one.variables, one.clauses)


@lru_cache(maxsize=256)
def rows(variables: int, clauses: tuple[Clause, ...]) -> int:
    """The satisfying rows of clauses over so many variables."""
    every = (1 << (1 << variables)) - 1
    left = every
    for clause in clauses:
        left &= row_mask(variables, clause, every)
        if not left:
            break
    return left


def row_mask(variables: int, clause: Clause, every: int) -> int:
    """The rows that satisfy one clause."""
    mask = 0
    for literal in clause:
        column = _column(abs(literal), variables)
        mask |= column if literal > 0 else every ^ column
    return mask


# What the searches share.


class Walk:
    """An assignment that changes one variable at a time, and the clauses it breaks."""

    def __init__(self, one: Formula, values: Values, call: Call) -> None:
        self.formula = one
        self.values = values
        self.call = call
        self.flipped_at = [-1_000] * (one.variables + 1)
        self.flips = 0
        self.true = [
            sum(values[abs(literal)] == (literal > 0) for literal in clause)
            for clause in one.clauses
        ]
        self.broken = [number for number, true in enumerate(self.true) if true == 0]
        call.meter.spend(len(one.clauses))

    def flip(self, variable: int) -> None:
        """Change one variable."""
        self.flips += 1
        self.flipped_at[variable] = self.flips
        value = self.values[variable] = not self.values[variable]
        literal = variable if value else -variable
        mended, hurt = self.formula.where[literal], self.formula.where[-literal]
        for number in mended:
            self.true[number] += 1
            if self.true[number] == 1:
                self.broken.remove(number)
        for number in hurt:
            self.true[number] -= 1
            if self.true[number] == 0:
                self.broken.append(number)
        self.call.meter.spend(len(mended) + len(hurt))

    def breaks(self, variable: int) -> int:
        """How many clauses only this variable keeps true."""
        literal = variable if self.values[variable] else -variable
        clauses = self.formula.where[literal]
        self.call.meter.spend(len(clauses))
        return [self.true[number] for number in clauses].count(1)

    def gain(self, variable: int) -> int:
        """By how many the broken clauses become fewer when this variable changes."""
        literal = -variable if self.values[variable] else variable
        clauses = self.formula.where[literal]
        self.call.meter.spend(len(clauses))
        return [self.true[number] for number in clauses].count(0) - self.breaks(variable)

    def suspects(self) -> list[int]:
        """The variables of broken clauses, each once, in order."""
        return sorted({abs(one) for at in self.broken for one in self.formula.clauses[at]})


class Best:
    """The few assignments seen that break the fewest clauses, and what memories deny."""

    def __init__(self, one: Formula, call: Call) -> None:
        self.call = call
        self.recalls = RECALLS if denied(one, call) else 0.0
        self.seen: dict[tuple[bool, ...], int] = {}
        self.worst = 1_000
        self.solved = False

    def note(self, values: Values, broken: int) -> bool:
        """Keep an assignment if it is among the best; whether it solves the task."""
        if broken < self.worst or len(self.seen) < HYPOTHESES_MAX:
            self.seen[tuple(values)] = broken
            if len(self.seen) > HYPOTHESES_MAX:
                del self.seen[max(self.seen, key=self.seen.__getitem__)]
            self.worst = max(self.seen.values())
        if broken == 0 and not self.call.is_barred(shown(values)):
            self.solved = True
        return self.solved

    def candidates(self, denial: float) -> Candidates:
        """What was found, or what stands beside it when nothing was."""
        found = [(shown(values), float(broken)) for values, broken in self.seen.items()]
        if self.solved:
            return [one for one in found if one[1] == 0]
        return [*found, (NONE, denial + self.recalls)]


def denied(one: Formula, call: Call) -> bool:
    """Whether a memory says that a formula much like this one has no solution."""
    twins = (parse(text) for text in call.memories if NONE in text)
    return any(twin is not None and alike(one, twin, call) for twin in twins)


def alike(one: Formula, twin: Formula, call: Call) -> bool:
    """Whether a remembered formula is much like this one, as far as it is read.

    Comparing is paid for: whoever has nothing left to pay with takes nothing for alike.
    """
    if not call.reader.spend(LOOKED_AT):
        return False
    looked_at = sorted(twin.known)[:LOOKED_AT]
    return sum(clause in one.known for clause in looked_at) >= ALIKE_MIN * len(looked_at)


def quoted(one: Formula, call: Call) -> list[Values]:
    """Assignments that others give, and those of memories that get far enough to begin at.

    What is remembered of a formula unlike this one is not tried. What they leave open is drawn; to
    try a memory is paid for.
    """
    found = []
    for quote in call.quoted:
        named, remembered = pairs_in(quote.text), quote.remembered
        twin = parse(quote.text) if remembered else None
        if "x1" not in named or (twin is not None and not alike(one, twin, call)):
            continue
        if remembered and call.meter.empty:
            continue
        given = [named.get(f"x{number}") for number in range(one.variables + 1)]
        values = [bool(call.guesses.getrandbits(1) if v is None else v) for v in given]
        if not remembered or reach(one, values, call) >= REACH_MIN * len(one.clauses):
            found.append(values)
    return found[:QUOTED_MAX]


def reach(one: Formula, values: Values, call: Call) -> int:
    """How many clauses an assignment satisfies before the first it breaks."""
    for number, clause in enumerate(one.clauses):
        if not any(values[abs(literal)] == (literal > 0) for literal in clause):
            call.meter.spend(number + 1)
            return number
    call.meter.spend(len(one.clauses))
    return len(one.clauses)


def try_quoted(one: Formula, call: Call, best: Best) -> Values | None:
    """Note a quoted assignment that holds, while steps last; the one that got furthest.

    None where an answer is barred: a search should begin elsewhere.
    """
    furthest, reached = None, -1
    for values in quoted(one, call) if call.barred is None else ():
        if call.meter.empty or best.solved:
            break
        far = reach(one, values, call)
        if far == len(one.clauses):
            best.note(values, 0)
        if far > reached:
            furthest, reached = values, far
    return furthest


def starts(one: Formula, call: Call) -> Iterator[Values]:
    """Where a search may begin: at quoted answers, then anywhere, without end.

    Where the leading answer is barred, a search begins at its opposite: the farthest basin.
    """
    barred = pairs_in(call.barred or "")
    if "x1" in barred:
        yield [not barred.get(f"x{number}", 0) for number in range(one.variables + 1)]
    else:
        yield from quoted(one, call)
    while True:
        yield [call.rng.random() < 0.5 for _ in range(one.variables + 1)]


Move = Callable[[Walk], "int | None"]
"""The variable to change next; None to stay."""


def local_search(one: Formula, call: Call, move: Move, *, moves: int, denial: float) -> Candidates:
    """Runs of so many moves from one start after another, until solved or out of steps."""
    best = Best(one, call)
    for values in starts(one, call):
        walk = Walk(one, values, call)
        for _ in range(moves):
            if best.note(walk.values, len(walk.broken)):
                return best.candidates(denial)
            if call.meter.empty or not walk.broken:
                break
            variable = move(walk)
            if variable is not None:
                walk.flip(variable)
        if call.meter.empty:
            break
    return best.candidates(denial)


# The ways.


def walksat(one: Formula, call: Call) -> Candidates:
    """WalkSAT: mend a broken clause, by its least harmful variable or, as noise, by any."""
    rng, noise = call.rng, 0.6 * call.temperature

    def move(walk: Walk) -> int:
        clause = walk.formula.clauses[rng.choice(walk.broken)]
        costs = [(walk.breaks(abs(literal)), abs(literal)) for literal in clause]
        cheapest = min(costs)
        if cheapest[0] > 0 and rng.random() < noise:
            return abs(rng.choice(clause))
        return cheapest[1]

    return local_search(one, call, move, moves=60, denial=HOLDS_ON)


def gsat(one: Formula, call: Call) -> Candidates:
    """GSAT: change whatever leaves the fewest broken clauses, even if that is no better."""

    def move(walk: Walk) -> int:
        return max(walk.suspects(), key=lambda v: (walk.gain(v) + call.jitter(1.0), v))

    return local_search(one, call, move, moves=25, denial=GIVES_UP)


def tabu(one: Formula, call: Call) -> Candidates:
    """Steepest descent that does not take back its latest changes."""
    tenure = max(3, one.variables // 4)

    def move(walk: Walk) -> int:
        free = [v for v in walk.suspects() if walk.flips - walk.flipped_at[v] >= tenure]
        choices = free or walk.suspects()
        return max(choices, key=lambda v: (walk.gain(v) + call.jitter(1.0), -walk.flipped_at[v]))

    return local_search(one, call, move, moves=80, denial=HOLDS_ON)


def annealing(one: Formula, call: Call) -> Candidates:
    """Metropolis moves on broken clauses; every run of moves cools down once."""
    rng = call.rng

    def move(walk: Walk) -> int | None:
        heat = (0.1 + 0.4 * call.temperature) * max(0.0, 1.0 - walk.flips / COOLING_FLIPS) + 0.05
        variable = abs(rng.choice(one.clauses[rng.choice(walk.broken)]))
        gain = walk.gain(variable)
        return variable if gain >= 0 or rng.random() < math.exp(gain / heat) else None

    return local_search(one, call, move, moves=2 * COOLING_FLIPS, denial=HOLDS_ON)


COOLING_FLIPS: Final = 20  # a run is short: most of them end in the wrong basin


def schoening(one: Formula, call: Call) -> Candidates:
    """Schöning's walk: any variable of any broken clause, and start again after 3n moves."""

    def move(walk: Walk) -> int:
        return abs(call.rng.choice(walk.formula.clauses[call.rng.choice(walk.broken)]))

    return local_search(one, call, move, moves=3 * one.variables, denial=GIVES_UP)


class Trail:
    """A partial assignment with unit propagation."""

    def __init__(self, one: Formula, call: Call) -> None:
        self.formula = one
        self.call = call
        self.values: dict[int, bool] = {}  # in the order of assignment

    def assume(self, literal: int) -> bool:
        """Set a literal and what follows from it; False on a conflict."""
        queue = [literal]
        clauses, values = self.formula.clauses, self.values
        while queue:
            literal = queue.pop()
            variable = abs(literal)
            if variable in values:
                if values[variable] != (literal > 0):
                    return False
                continue
            values[variable] = literal > 0
            hurt = self.formula.where[-literal]
            self.call.meter.spend(len(hurt))
            for number in hurt:
                unit = self._unit(clauses[number])
                if unit == 0:
                    return False
                if unit is not None:
                    queue.append(unit)
        return True

    def _unit(self, clause: Clause) -> int | None:
        """The one literal a clause still needs; 0 if none can help; None if nothing follows."""
        unit = 0
        for literal in clause:
            value = self.values.get(abs(literal))
            if value is None:
                if unit:
                    return None
                unit = literal
            elif value == (literal > 0):
                return None
        return unit

    def take_back(self, length: int) -> None:
        """Forget all but the first assignments."""
        for variable in list(islice(reversed(self.values), len(self.values) - length)):
            del self.values[variable]

    def completed(self, phase: Values) -> Values:
        """All variables: what is open takes its value from `phase`."""
        return [self.values.get(v, phase[v]) for v in range(self.formula.variables + 1)]


def preferences(one: Formula, call: Call, told: Values | None) -> tuple[list[int], Values]:
    """Variables by how much their clauses weigh, and for each the value to try first.

    That is what was quoted where it gets further than the solver's own first guess.
    """
    weights = {
        literal: sum(0.5 ** len(one.clauses[number]) for number in at)
        for literal, at in one.where.items()
    }
    phase = [False] + [
        weights[v] + call.jitter(1.0) >= weights[-v] + call.jitter(1.0)
        for v in range(1, one.variables + 1)
    ]
    order = sorted(
        range(1, one.variables + 1),
        key=lambda v: (-(weights[v] + weights[-v] + call.jitter(2.0)), v),
    )
    barred = pairs_in(call.barred or "")
    if "x1" in barred:
        phase = [not barred.get(f"x{number}", 0) for number in range(one.variables + 1)]
    if told is not None and reach(one, told, call) > reach(one, phase, call):
        phase = told
    return order, phase


def splitting(one: Formula, call: Call) -> Candidates:
    """DPLL: split, propagate, take back; right whenever its steps suffice."""
    best = Best(one, call)
    order, phase = preferences(one, call, try_quoted(one, call, best))
    if best.solved:
        return best.candidates(HOLDS_ON)
    trail = Trail(one, call)

    def search(literal: int) -> bool | None:
        """True: solved; False: refuted; None: out of steps."""
        if call.meter.empty:
            _note_deepest(trail, phase, best)
            return None
        length = len(trail.values)
        if trail.assume(literal):
            rest = next((v for v in order if v not in trail.values), None)
            if rest is not None:
                found = either(rest)
                if found is not False:
                    return found
            elif best.note(trail.completed(phase), 0):
                return True
        trail.take_back(length)
        return False

    def either(variable: int) -> bool | None:
        first = variable if phase[variable] else -variable
        found = search(first)
        return search(-first) if found is False else found

    if either(order[0]) is False and not best.seen:
        return [(NONE, 0.0)]
    return best.candidates(HOLDS_ON)


def _note_deepest(trail: Trail, phase: Values, best: Best) -> None:
    values = trail.completed(phase)
    walk = Walk(trail.formula, values, trail.call)
    best.note(values, len(walk.broken))


def dives(one: Formula, call: Call) -> Candidates:
    """Guess and propagate without ever taking back; on a conflict, guess afresh."""
    best = Best(one, call)
    told = try_quoted(one, call, best)
    while not call.meter.empty and not best.solved:
        order, phase = preferences(one, call, told)
        trail = Trail(one, call)
        call.rng.shuffle(order)
        for variable in order:
            fits = variable in trail.values or trail.assume(
                variable if phase[variable] else -variable
            )
            if not fits:
                break
        _note_deepest(trail, phase, best)
    return best.candidates(GIVES_UP)


def resolution(one: Formula, call: Call) -> Candidates:
    """Resolve clauses, keeping short ones: refutes what it can, and guesses by them otherwise."""
    best = Best(one, call)
    try_quoted(one, call, best)
    if best.solved:
        return best.candidates(GIVES_UP)
    known: dict[Clause, None] = dict.fromkeys(tuple(sorted(clause)) for clause in one.clauses)
    at: dict[int, list[Clause]] = {literal: [] for literal in one.where}
    for clause in known:
        for literal in clause:
            at[literal].append(clause)
    fresh = sorted(known, key=lambda clause: (-len(clause) + call.jitter(1.0), clause))
    while fresh and not call.meter.empty:
        clause = fresh.pop()
        for literal in clause:
            call.meter.spend(len(at[-literal]))
            for other in list(at[-literal]):
                resolvent = tuple(sorted({*clause, *other} - {literal, -literal}))
                if not resolvent:
                    return [(NONE, 0.0)]
                tautology = any(-one in resolvent for one in resolvent)
                if len(resolvent) <= RESOLVENT_MAX and not tautology and resolvent not in known:
                    known[resolvent] = None
                    fresh.append(resolvent)
                    for part in resolvent:
                        at[part].append(resolvent)
    return _guessed(one, list(known), call, best)


RESOLVENT_MAX: Final = 3


def _guessed(one: Formula, known: list[Clause], call: Call, best: Best) -> Candidates:
    """The assignment that the shortest known clauses ask for."""
    pull = [0.0] * (one.variables + 1)
    for clause in known:
        for literal in clause:
            pull[abs(literal)] += math.copysign(8.0 ** -len(clause), literal)
    trail = Trail(formula(known), call)
    for variable in sorted(range(1, one.variables + 1), key=lambda v: -abs(pull[v])):
        if variable not in trail.values:
            trail.assume(variable if pull[variable] > 0 else -variable)
    _note_deepest(Trail(one, call), trail.completed([False] * (one.variables + 1)), best)
    return best.candidates(GIVES_UP if len(known) > 2 * len(one.clauses) else HOLDS_ON)


SOLVERS: Final[tuple[Solver[Formula], ...]] = (
    Solver("walksat", "focused walk", 2_500, walksat),
    Solver("schoening", "focused walk", 3_000, schoening),
    Solver("gsat", "greedy descent", 3_500, gsat),
    Solver("tabu", "tabu", 3_500, tabu),
    Solver("annealing", "annealing", 4_500, annealing),
    Solver("splitting", "splitting", 260, splitting),
    Solver("dives", "propagation", 1_500, dives),
    Solver("resolution", "resolution", 1_500, resolution),
)
