"""The 24 game: the task, its exact check, and ways to solve it.

Values are exact fractions kept as two integers. One step is one operation on two values. A found
expression is written in one normal form, so that those who found the same one say the same.
"""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import permutations, product
from typing import Final

from benchmarks.answers.solvers.solver import (
    GIVES_UP,
    HOLDS_ON,
    HYPOTHESES_MAX,
    Call,
    Candidates,
    Solver,
    in_order,
)

NAME: Final = "24"
NONE: Final = "impossible"
TARGET: Final = 24
NUMBERS_MAX: Final = 5
EXPRESSION_CHARACTERS_MAX: Final = 120

Tree = int | tuple[str, "Tree", "Tree"]


@dataclass(frozen=True, slots=True)
class Value:
    """An exact value and how it came about. `below` is never negative or 0."""

    above: int
    below: int
    tree: Tree

    @property
    def distance(self) -> float:
        """How far from 24."""
        return abs(self.above / self.below - TARGET)

    @property
    def hits(self) -> bool:
        """Whether it is 24."""
        return self.above == TARGET * self.below


Numbers = tuple[int, ...]

_TASK: Final = re.compile(r"Use (\d{1,2}(?:, \d{1,2}){1,4}) each exactly once")


@lru_cache(maxsize=1_024)
def parse(text: str) -> Numbers | None:
    """The numbers of a task, or of the first task that a text quotes."""
    found = _TASK.search(text[:20_000])
    return tuple(int(one) for one in found[1].split(", ")) if found is not None else None


def asked(numbers: Sequence[int]) -> str:
    """The task's text."""
    written = ", ".join(map(str, numbers))
    return f"Use {written} each exactly once with + - * / and parentheses to make {TARGET}"


# Values and expressions.


def combined(left: Value, right: Value, sign: str) -> Value | None:
    """One operation; None for a division by 0."""
    made = _operated((left.above, left.below), (right.above, right.below), sign)
    return Value(*made, (sign, left.tree, right.tree)) if made is not None else None


Ratio = tuple[int, int]
"""Above and below the line, without common divisors; below it stands 1 or more."""


def _operated(left: Ratio, right: Ratio, sign: str) -> Ratio | None:
    a, b = left
    c, d = right
    if sign == "+":
        above, below = a * d + c * b, b * d
    elif sign == "-":
        above, below = a * d - c * b, b * d
    elif sign == "*":
        above, below = a * c, b * d
    elif c == 0:
        return None
    else:
        above, below = (a * d, b * c) if c > 0 else (-a * d, -b * c)
    if below != 1:
        divisor = math.gcd(above, below)
        above, below = above // divisor, below // divisor
    return above, below


def shown(tree: Tree) -> str:
    """An expression in normal form: sums and products are flat, and their parts in order."""
    return _shown(tree)[0]


def _shown(tree: Tree) -> tuple[str, bool]:
    """The text, and whether it is a sum."""
    if isinstance(tree, int):
        return str(tree), False
    added = tree[0] in "+-"
    up, down = "+*"[not added], "-/"[not added]
    for_, against = _parts(tree, up, down)
    texts = []
    for parts in (for_, against):
        written = [_shown(part) for part in parts]
        texts.append(sorted(f"({t})" if summed and not added else t for t, summed in written))
    first, rest = texts[0][0], texts[0][1:]
    return first + "".join(f" {up} {t}" for t in rest) + "".join(
        f" {down} {t}" for t in texts[1]
    ), added


def _parts(tree: Tree, up: str, down: str) -> tuple[list[Tree], list[Tree]]:
    """What a sum adds and takes away, or a product multiplies and divides by."""
    if isinstance(tree, int) or tree[0] not in (up, down):
        return [tree], []
    left, right = _parts(tree[1], up, down), _parts(tree[2], up, down)
    if tree[0] == down:
        right = right[1], right[0]
    return left[0] + right[0], left[1] + right[1]


_SIGNS: Final[dict[type[ast.operator], str]] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/",
}  # fmt: skip


_EXPRESSION: Final = re.compile(r"[\d\s+*/()-]+")


@lru_cache(maxsize=4_096)
def read(expression: str) -> tuple[Value, Numbers] | None:
    """The value of an expression and the numbers in it, smallest first; None if it has none."""
    text = expression.split("=")[0].strip()
    if not _EXPRESSION.fullmatch(text) or len(text) > EXPRESSION_CHARACTERS_MAX:
        return None
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError):
        return None
    numbers: list[int] = []
    value = _read(tree, numbers)
    return (value, tuple(sorted(numbers))) if value is not None else None


def _read(node: ast.expr, numbers: list[int]) -> Value | None:
    match node:
        case ast.Constant(value=int(number)):
            numbers.append(number)
            return Value(number, 1, number)
        case ast.BinOp(left=left, right=right, op=op) if type(op) in _SIGNS:
            one, other = _read(left, numbers), _read(right, numbers)
            if one is None or other is None:
                return None
            return combined(one, other, _SIGNS[type(op)])
    return None


# The exact check.


def is_right(numbers: Numbers, answer: str) -> bool:
    """Whether the answer makes 24 of exactly these numbers, or truly says that nothing does."""
    if answer.strip().rstrip(".").casefold() == NONE:
        return not solutions(tuple(sorted(numbers)))
    found = read(answer)
    return found is not None and found[0].hits and found[1] == tuple(sorted(numbers))


def right_answer(numbers: Numbers) -> str:
    """The first expression in the alphabet that makes 24, or that there is none."""
    return min(solutions(tuple(sorted(numbers))), default=NONE)


@lru_cache(maxsize=4_096)
def solutions(numbers: Numbers) -> frozenset[str]:
    """Every expression that makes 24, in normal form.

    First what values any choice of the numbers can make, and from which two; then, backwards from
    24, the expressions.
    """
    every = (1 << len(numbers)) - 1
    made: dict[int, dict[Ratio, list[_Origin]]] = {
        1 << at: {(number, 1): []} for at, number in enumerate(numbers)
    }
    for chosen in range(1, every + 1):
        found = made.setdefault(chosen, {})
        part = (chosen - 1) & chosen
        while part:
            rest = chosen ^ part
            signs = "+-*/" if part > rest else "-/"  # a sum is the same the other way round
            for left, right, sign in product(made[part], made[rest], signs):
                value = _operated(left, right, sign)
                if value is not None and (chosen != every or value == (TARGET, 1)):
                    found.setdefault(value, []).append((sign, part, left, right))
            part = (part - 1) & chosen

    @cache
    def trees(chosen: int, value: Ratio) -> tuple[Tree, ...]:
        if not made[chosen][value]:
            return (value[0],)
        ways: dict[str, Tree] = {}
        for sign, part, left, right in made[chosen][value]:
            for one, other in product(trees(part, left), trees(chosen ^ part, right)):
                ways.setdefault(shown((sign, one, other)), (sign, one, other))
        return tuple(ways.values())

    makes_24 = (TARGET, 1) in made[every]
    return frozenset(map(shown, trees(every, (TARGET, 1)))) if makes_24 else frozenset()


_Origin = tuple[str, int, Ratio, Ratio]
"""(sign, which of the numbers made the left side, its value, the right side's)"""


# What the ways share.

Allowed = Callable[[Value], bool]


class Nearest:
    """The few expressions that came nearest to 24."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.found: list[tuple[float, Tree]] = []
        self.hit: str | None = None

    def note(self, value: Value) -> bool:
        """Keep a value if it is among the nearest; whether it is 24."""
        distance = value.distance
        if distance == 0 and value.hits:
            text = shown(value.tree)
            if not self.call.is_barred(text):
                self.hit = text
                return True
        elif len(self.found) < HYPOTHESES_MAX or distance < self.found[-1][0]:
            self.found = sorted([*self.found, (distance, value.tree)], key=lambda one: one[0])
            del self.found[HYPOTHESES_MAX:]
        return False

    def candidates(self, denial: float) -> Candidates:
        """The expression found, or the nearest ones beside the denial."""
        if self.hit is not None:
            return [(self.hit, 0.0)]
        return [*((shown(tree), min(9.0, d)) for d, tree in self.found), (NONE, denial)]


def told(numbers: Numbers, call: Call, *, whole: bool = False) -> Value | None:
    """What a quoted expression that makes 24 is worth here; `whole` trusts no fractions.

    One of these very numbers is taken over. Of one that shares all but two numbers the frame is
    kept, and ours are tried where the two stood. Reading and trying are paid for, each to its own.
    """
    if call.barred is not None:
        return None
    own = tuple(sorted(numbers))
    for quote in call.quoted:
        meter = call.reader if quote.remembered else call.meter
        for part in re.split(r"->|\n|Answer:?", quote.text[:2_000]):
            found = read(part.strip(" ."))
            if found is None or not meter.spend(3) or not found[0].hits:
                continue
            made = found[0] if found[1] == own else adapted(found[0].tree, own, call)
            if made is not None and not (whole and _worked(made.tree) is None):
                return made
    return None


def adapted(tree: Tree, numbers: Numbers, call: Call) -> Value | None:
    """An expression that makes 24, with two of its numbers given up for two of ours."""
    for part, pair in innermost(tree):
        rest = Counter(_leaves(tree)) - Counter(pair)
        ours = sorted((Counter(numbers) - rest).elements())
        if len(ours) != 2 or len(numbers) != len(_leaves(tree)):
            continue
        one, other = (Value(number, 1, number) for number in ours)
        wanted = valued(part)
        for left, right, sign in _both_ways(one, other):
            if wanted is None or not call.meter.spend():
                return None
            made = combined(left, right, sign)
            if made is not None and (made.above, made.below) == (wanted.above, wanted.below):
                return valued(_replaced(tree, part, made.tree))
    return None


def innermost(tree: Tree) -> Iterator[tuple[Tree, tuple[int, int]]]:
    """The parts of an expression that join two of its numbers, and these."""
    match tree:
        case (_, int(one), int(other)):
            yield tree, (one, other)
        case (_, left, right):
            yield from innermost(left)
            yield from innermost(right)


def _leaves(tree: Tree) -> list[int]:
    return [tree] if isinstance(tree, int) else _leaves(tree[1]) + _leaves(tree[2])


def valued(tree: Tree) -> Value | None:
    """An expression worked out; None where it divides by 0."""
    if isinstance(tree, int):
        return Value(tree, 1, tree)
    left, right = valued(tree[1]), valued(tree[2])
    return None if left is None or right is None else combined(left, right, tree[0])


def joined(one: int, other: int) -> list[Value]:
    """What one operation makes of two numbers."""
    ways = _both_ways(Value(one, 1, one), Value(other, 1, other))
    made = (combined(left, right, sign) for left, right, sign in ways)
    return [value for value in made if value is not None]


def _replaced(tree: Tree, part: Tree, other: Tree) -> Tree:
    if tree is part:
        return other
    if isinstance(tree, int):
        return tree
    return tree[0], _replaced(tree[1], part, other), _replaced(tree[2], part, other)


def _worked(tree: Tree) -> int | None:
    """The value of an expression whose parts are all whole; else None."""
    if isinstance(tree, int):
        return tree
    left, right = _worked(tree[1]), _worked(tree[2])
    if left is None or right is None:
        return None
    match tree[0]:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    return left // right if right and left % right == 0 else None


def values_of(numbers: Numbers, call: Call) -> list[Value]:
    """The numbers as values, in an order that moves with temperature."""
    return [Value(number, 1, number) for number in in_order(numbers, call)]


def moves(values: Sequence[Value], call: Call) -> list[tuple[int, int, str]]:
    """Every operation on two of the values, in an order that moves with temperature."""
    size = range(len(values))
    every = [
        (i, j, sign)
        for sign in "*+-/"
        for i in size
        for j in size
        if i < j or (i != j and sign in "-/")
    ]
    return in_order(every, call)


def without(values: Sequence[Value], i: int, j: int) -> list[Value]:
    """The values but for two."""
    return [value for at, value in enumerate(values) if at not in (i, j)]


def depth_first(values: list[Value], call: Call, nearest: Nearest, allowed: Allowed) -> bool | None:
    """Search all of it. True: found; False: there is none; None: out of steps."""
    if len(values) == 1:
        return nearest.note(values[0])
    for i, j, sign in moves(values, call):
        if not call.meter.spend():
            return None
        value = combined(values[i], values[j], sign)
        if value is not None and allowed(value):
            found = depth_first([*without(values, i, j), value], call, nearest, allowed)
            if found is not False:
                return found
    return False


# The ways.


def exhaustive(numbers: Numbers, call: Call) -> Candidates:
    """All operations on all pairs with fractions; right whenever its steps suffice."""
    nearest = Nearest(call)
    quoted = told(numbers, call)
    if quoted is not None:
        nearest.note(quoted)
    elif depth_first(values_of(numbers, call), call, nearest, lambda _: True) is False:
        return [(NONE, 0.0)]
    return nearest.candidates(HOLDS_ON)


def integers(numbers: Numbers, call: Call) -> Candidates:
    """The same with whole numbers from 0 up only; what needs a fraction it calls impossible."""
    nearest = Nearest(call)
    quoted = told(numbers, call, whole=True)
    if quoted is not None:
        nearest.note(quoted)
    else:
        depth_first(
            values_of(numbers, call), call, nearest, lambda v: v.below == 1 and v.above >= 0
        )
    return nearest.candidates(GIVES_UP)


def chains(numbers: Numbers, call: Call) -> Candidates:
    """Only expressions that grow by one number at a time; the rest it never sees."""
    nearest = Nearest(call)
    quoted = told(numbers, call)
    orders = in_order(sorted(set(permutations(numbers))), call) if quoted is None else []
    for order in orders:
        values = [Value(number, 1, number) for number in order]
        if nearest.hit is not None or not _chained(values[0], values[1:], call, nearest):
            break
    if quoted is not None:
        nearest.note(quoted)
    return nearest.candidates(GIVES_UP)


def _chained(value: Value, rest: list[Value], call: Call, nearest: Nearest) -> bool:
    """Whether the search may go on."""
    if not rest:
        return not nearest.note(value)
    for left, right, sign in _both_ways(value, rest[0]):
        if not call.meter.spend():
            return False
        grown = combined(left, right, sign)
        if grown is not None and not _chained(grown, rest[1:], call, nearest):
            return False
    return True


def _both_ways(one: Value, other: Value) -> Iterator[tuple[Value, Value, str]]:
    for sign in "+-*/":
        yield one, other, sign
        if sign in "-/":
            yield other, one, sign


def halves(numbers: Numbers, call: Call) -> Candidates:
    """Two pairs, each worked out, then joined; expressions of any other shape it never sees."""
    nearest = Nearest(call)
    quoted = told(numbers, call)
    orders = in_order(sorted(set(permutations(numbers))), call) if quoted is None else []
    for order in orders:
        one, two, *rest = [Value(number, 1, number) for number in order]
        if not rest or not _joined(one, two, rest, call, nearest):
            break
    if quoted is not None:
        nearest.note(quoted)
    return nearest.candidates(GIVES_UP)


def _joined(one: Value, two: Value, rest: list[Value], call: Call, nearest: Nearest) -> bool:
    """Whether the search may go on."""
    rights = [combined(rest[0], rest[-1], sign) for sign in "+-*/"] if len(rest) > 1 else rest
    call.meter.spend(len(rights))
    for left in (combined(one, two, sign) for sign in "+-*/"):
        for right in rights:
            for sign in "+-*/":
                if not call.meter.spend():
                    return False
                if left is not None and right is not None:
                    value = combined(left, right, sign)
                    if value is not None and nearest.note(value):
                        return False
    return True


def random_trees(numbers: Numbers, call: Call) -> Candidates:
    """One expression after another, drawn; the nearest is the answer."""
    nearest = Nearest(call)
    quoted = told(numbers, call)
    if quoted is not None:
        nearest.note(quoted)
    while nearest.hit is None and not call.meter.empty:
        values: list[Value] = [Value(number, 1, number) for number in numbers]
        while len(values) > 1:
            i, j = call.rng.sample(range(len(values)), 2)
            call.meter.spend()
            value = combined(values[i], values[j], call.rng.choice("+-*/"))
            if value is None:
                break
            values = [*without(values, i, j), value]
        else:
            nearest.note(values[0])
    return nearest.candidates(HOLDS_ON)


def beam(numbers: Numbers, call: Call) -> Candidates:
    """Keep the few most promising states at each level: those whose values can meet at 24."""
    nearest = Nearest(call)
    quoted = told(numbers, call)
    if quoted is not None:
        nearest.note(quoted)
        return nearest.candidates(HOLDS_ON)
    states = [values_of(numbers, call)]
    while states and len(states[0]) > 1:
        grown: list[tuple[float, int, list[Value]]] = []
        for values in states:
            for i, j, sign in moves(values, call):
                if not call.meter.spend():
                    break
                value = combined(values[i], values[j], sign)
                if value is not None:
                    state = [*without(values, i, j), value]
                    grown.append((_promise(state) + call.jitter(3.0), len(grown), state))
        grown.sort(key=lambda one: one[:2])
        states = [state for _, _, state in grown[:BEAM_WIDTH]]
    for values in states:
        if len(values) == 1 and nearest.note(values[0]):
            break
    return nearest.candidates(HOLDS_ON)


BEAM_WIDTH: Final = 8


def _promise(values: Sequence[Value]) -> float:
    """How far the nearest of sum, product, difference of the two largest is from 24."""
    sizes = sorted((value.above / value.below for value in values), reverse=True)
    if len(sizes) == 1:
        return abs(sizes[0] - TARGET)
    return min(
        abs(sum(sizes) - TARGET),
        abs(sizes[0] * sizes[1] - TARGET),
        abs(sizes[0] - sizes[1] - TARGET),
    )


def annealing(numbers: Numbers, call: Call) -> Candidates:
    """One expression, changed a little at a time; worse ones are kept while it is hot."""
    nearest = Nearest(call)
    quoted = told(numbers, call)
    if quoted is not None:
        nearest.note(quoted)
    rng, meter = call.rng, call.meter
    order, signs, shape = list(numbers), [rng.choice("+-*/") for _ in numbers[1:]], 0
    last = math.inf
    while nearest.hit is None and not meter.empty:
        new_order, new_signs, new_shape = list(order), list(signs), shape
        match rng.randrange(3):
            case 0:
                i, j = rng.sample(range(len(order)), 2)
                new_order[i], new_order[j] = order[j], order[i]
            case 1:
                new_signs[rng.randrange(len(signs))] = rng.choice("+-*/")
            case _:
                new_shape = rng.randrange(6)
        meter.spend(len(signs))
        value = _shaped(new_order, new_signs, new_shape)
        if value is None:
            continue
        nearest.note(value)
        heat = (0.5 + 6 * call.temperature) * (1 - min(1.0, meter.used / meter.limit)) + 0.1
        if value.distance <= last or rng.random() < math.exp((last - value.distance) / heat):
            order, signs, shape, last = new_order, new_signs, new_shape, value.distance
    return nearest.candidates(HOLDS_ON)


def _shaped(order: Sequence[int], signs: Sequence[str], shape: int) -> Value | None:
    """The expression of one shape: which operation is done first, which then."""
    values: list[Value] = [Value(number, 1, number) for number in order]
    left = list(signs)
    for pick in (shape % 3, shape // 3, 0):
        if not left:
            break
        at = pick % len(left)
        value = combined(values[at], values[at + 1], left.pop(at))
        if value is None:
            return None
        values[at : at + 2] = [value]
    return values[0] if len(values) == 1 else None


SOLVERS: Final[tuple[Solver[Numbers], ...]] = (
    Solver("exhaustive", "exhaustive", 500, exhaustive),
    Solver("integers", "exhaustive", 350, integers),
    Solver("chains", "shapes", 450, chains),
    Solver("halves", "shapes", 350, halves),
    Solver("random-trees", "random", 900, random_trees),
    Solver("beam", "beam", 700, beam),
    Solver("annealing", "annealing", 1_500, annealing),
)
