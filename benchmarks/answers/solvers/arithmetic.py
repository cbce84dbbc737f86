"""Arithmetic on whole numbers: the task, its exact check, and machines that are exact only so far.

Each machine computes honestly within what it is: a register of 32 bits, a short mantissa, an adder
whose carries tire, a head that reads from left to right. One step is one operation on digits (or
on machine words of about that size). A quoted answer is weighed by what the machine itself can
know of the right one: its remainder, its last digits, its size.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from benchmarks.answers.solvers.solver import Call, Candidates, Solver, in_order

NAME: Final = "arithmetic"
EXPRESSION_CHARACTERS_MAX: Final = 200

Tree = int | tuple[str, "Tree", "Tree"]
Operation = Callable[[str, int, int], int]


@dataclass(frozen=True, slots=True)
class Sum:
    """An expression as written, and as it is meant."""

    text: str
    tree: Tree


_TASK: Final = re.compile(r"Compute ([\d\s+*()-]{1,200})")
_NUMBER: Final = re.compile(r"-?\d{1,40}")
_TOKEN: Final = re.compile(r"\d+|[-+*()]")


@lru_cache(maxsize=1_024)
def parse(text: str) -> Sum | None:
    """The expression of a task, or of the first task that a text quotes."""
    found = _TASK.search(text[:20_000])
    if found is None:
        return None
    written = found[1].strip().rstrip("-").strip()  # a quoted task may go on with "->"
    written = written.split("\n")[0].strip()
    try:
        tree = _tree(ast.parse(written, mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError):
        return None
    return Sum(written, tree) if tree is not None else None


_SIGNS: Final[dict[type[ast.operator], str]] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}


def _tree(node: ast.expr) -> Tree | None:
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.BinOp(left=left, right=right, op=op) if type(op) in _SIGNS:
            one, other = _tree(left), _tree(right)
            return None if one is None or other is None else (_SIGNS[type(op)], one, other)
    return None


def asked(expression: str) -> str:
    """The task's text."""
    return f"Compute {expression}"


# The exact check.


def is_right(one: Sum, answer: str) -> bool:
    """Whether the answer is the number, digit for digit; commas between thousands are allowed."""
    text = answer.strip().rstrip(".").replace(",", "")
    return _NUMBER.fullmatch(text) is not None and int(text) == worked(one.tree, exact)


def right_answer(one: Sum) -> str:
    """The number."""
    return str(worked(one.tree, exact))


def exact(sign: str, left: int, right: int) -> int:
    """One operation as it is meant."""
    if sign == "+":
        return left + right
    return left - right if sign == "-" else left * right


def worked(tree: Tree, operation: Operation) -> int:
    """The value of an expression by one way of operating."""
    if isinstance(tree, int):
        return tree
    return operation(tree[0], worked(tree[1], operation), worked(tree[2], operation))


# Quoted answers and memories.


def quoted(call: Call) -> list[int]:
    """The numbers that others gave, each once."""
    texts = (one.strip().replace(",", "") for one in call.others)
    return list(dict.fromkeys(int(text) for text in texts if _NUMBER.fullmatch(text)))


_TOLD: Final = re.compile(r"(?:->|=|Answer:?)\s*(-?\d{1,40})\b")


def recalled(one: Sum, call: Call, operation: Operation) -> list[int]:
    """What memories of expressions with the same core come to here.

    That "core + 17" is 100 says that the core is 83: its work is saved, and the machine adds and
    takes away by its own means. A memory in error passes its error on.
    """
    found = []
    for text in call.memories:
        other, told = parse(text), _TOLD.search(text)
        if other is None or told is None:
            continue
        core, flipped, apart = _core(other.tree)
        own, own_flipped, own_apart = _core(one.tree)
        if core == own and call.reader.spend(4):
            value = int(told[1])
            rest = operation("-", apart, value) if flipped else operation("-", value, apart)
            found.append(operation("-" if own_flipped else "+", own_apart, rest))
    return list(dict.fromkeys(found))


def _core(tree: Tree) -> tuple[Tree, bool, int]:
    """An expression as `core + apart`, or `apart - core` where flipped."""
    match tree:
        case ("+", int(apart), core) | ("+", core, int(apart)):
            return core, False, apart
        case ("-", core, int(apart)) if not isinstance(core, int):
            return core, False, -apart
        case ("-", int(apart), core):
            return core, True, apart
    return tree, False, 0


Vouches = Callable[[int, int], bool]
"""Whether a machine whose own result is the first would rather believe the second."""


def settled(
    one: Sum, call: Call, operation: Operation, vouches: Vouches, *, tree: Tree | None = None
) -> Candidates:
    """One computation; others' answers and memories that the machine has reason to prefer."""
    own = worked(one.tree if tree is None else tree, operation)
    costs = {own: 0.0}
    for value in recalled(one, call, operation):
        costs[value] = costs.get(value, 1.0) - 0.5 - vouches(own, value)
    for value in quoted(call):
        if value != own and vouches(own, value):
            costs[value] = min(costs.get(value, 0.0), -1.0)
    return [(str(value), cost) for value, cost in costs.items()]


# The machines.


def registers(one: Sum, call: Call) -> Candidates:
    """A 32-bit register that wraps: its result is right but for multiples of 2**32."""

    def operation(sign: str, left: int, right: int) -> int:
        call.meter.spend(16 if sign == "*" else 4)
        return (exact(sign, left, right) + REGISTER // 2) % REGISTER - REGISTER // 2

    def vouches(own: int, other: int) -> bool:
        return (other - own) % REGISTER == 0

    found = settled(one, call, operation, vouches)
    own = int(found[0][0])
    wraps = own + (REGISTER if own < 0 else 2 * REGISTER)
    return [*found, (str(own + REGISTER), 1.5), (str(wraps), 2.5)]


REGISTER: Final = 1 << 32


def mantissa(one: Sum, call: Call) -> Candidates:
    """Floating point with 24 bits: beyond 16,777,216 it rounds, at temperature 1 by chance."""
    operation = _rounding(call, lambda size: 1 << max(0, size.bit_length() - 24))

    def vouches(own: int, other: int) -> bool:
        return abs(own) >= 1 << 24 and abs(other - own) <= abs(own) >> 22

    return settled(one, call, operation, vouches)


def calculator(one: Sum, call: Call) -> Candidates:
    """Ten digits on its display, and keys that act as they are pressed: left to right."""
    operation = _rounding(call, lambda size: 10 ** max(0, len(str(size)) - 10))

    def vouches(own: int, other: int) -> bool:
        return abs(own) >= 10**10 and abs(other - own) * 10**8 <= abs(own)

    return settled(one, call, operation, vouches, tree=as_pressed(one.text))


def _rounding(call: Call, unit_of: Callable[[int], int]) -> Operation:
    """Operations that keep so much of a result: to the nearest unit, or by chance when hot."""

    def operation(sign: str, left: int, right: int) -> int:
        call.meter.spend(12 if sign == "*" else 4)
        value = exact(sign, left, right)
        unit = unit_of(abs(value))
        if unit == 1:
            return value
        whole, rest = divmod(value, unit)
        return (whole + (rest / unit >= 0.5 + call.jitter(1.0) - call.temperature / 2)) * unit

    return operation


def left_to_right(one: Sum, call: Call) -> Candidates:
    """Exact, and never told that products come first. It has no way to doubt itself."""

    def operation(sign: str, left: int, right: int) -> int:
        call.meter.spend(len(str(left)) * len(str(right)) if sign == "*" else 8)
        return exact(sign, left, right)

    return settled(one, call, operation, lambda own, other: False, tree=as_pressed(one.text))


@lru_cache(maxsize=1_024)
def as_pressed(text: str) -> Tree:
    """An expression read from left to right; parentheses still hold together what they hold."""
    tokens = _TOKEN.findall(text)

    def operand() -> Tree:
        token = tokens.pop(0)
        if token != "(":
            return int(token)
        inner = chain()
        tokens.pop(0)
        return inner

    def chain() -> Tree:
        tree = operand()
        while tokens and tokens[0] != ")":
            sign = tokens.pop(0)
            tree = (sign, tree, operand())
        return tree

    return chain()


def schoolbook(one: Sum, call: Call) -> Candidates:
    """Long multiplication by a hand that forgets a carry it has carried over three columns."""
    operation = _by_hand(call, carries_max=3)
    tries = [worked(one.tree, operation) for _ in range(3 if call.others or call.barred else 1)]

    def vouches(own: int, other: int) -> bool:
        """A forgotten carry takes one unit off a column, and leaves the last columns alone."""
        alike = (other - own) % 1_000 == 0 and abs(other - own) * 10 <= abs(own)
        return alike and abs(other) >= abs(own)

    found = settled(one, call, operation, vouches)
    return [*found, *((str(value), 0.5) for value in tries)]


def nines(one: Sum, call: Call) -> Candidates:
    """A hand that forgets sooner, but casts out nines and begins again when they differ."""
    operation = _by_hand(call, carries_max=2)
    remainder = worked(one.tree, lambda sign, left, right: exact(sign, left, right) % 9)
    found: Candidates = []
    while not found or (call.meter.spend() and found[-1][1] > 0):
        value = worked(one.tree, operation)
        passes = value % 9 == remainder and not call.is_barred(str(value))
        found.append((str(value), 0.0 if passes else 2.0))
    passed = found[-1][1] == 0
    told = [(value, -0.2) for value in recalled(one, call, operation)]
    told += [(value, 0.2 if passed else -0.2) for value in quoted(call)]
    return found + [(str(value), cost) for value, cost in told if value % 9 == remainder]


def _by_hand(call: Call, *, carries_max: int) -> Operation:
    """Digit by digit; rows are added in an order that moves with temperature."""

    def add(left: int, right: int) -> int:
        """Two sizes, added column by column; a carry that has come too far is forgotten."""
        result, carry, chain, place = 0, 0, 0, 1
        while left or right or carry:
            call.meter.used += 1
            left, one = divmod(left, 10)
            right, other = divmod(right, 10)
            carry, digit = divmod(one + other + carry, 10)
            chain = chain + 1 if carry else 0
            if chain > carries_max:
                carry = chain = 0
            result += digit * place
            place *= 10
        return result

    def signed(left: int, right: int) -> int:
        if (left < 0) == (right < 0):
            size = add(abs(left), abs(right))
            return -size if left < 0 else size
        call.meter.spend(len(str(left)))  # taking away has no carries to forget
        return left + right

    def operation(sign: str, left: int, right: int) -> int:
        if sign != "*":
            return signed(left, right if sign == "+" else -right)
        rows = [
            abs(left) * int(digit) * 10**place
            for place, digit in enumerate(reversed(str(abs(right))))
        ]
        total = 0
        for row in in_order(rows, call):
            if not call.meter.spend(len(str(left))):
                break
            total = add(total, row)
        return -total if (left < 0) != (right < 0) else total

    return operation


def karatsuba(one: Sum, call: Call) -> Candidates:
    """Karatsuba's three products, but only so many halvings deep, and a table of three digits."""

    def operation(sign: str, left: int, right: int) -> int:
        if sign != "*":
            call.meter.spend(8)
            return exact(sign, left, right)
        size = product(abs(left), abs(right), HALVINGS_MAX)
        return -size if (left < 0) != (right < 0) else size

    def product(left: int, right: int, halvings: int) -> int:
        digits = max(len(str(left)), len(str(right)))
        if digits <= TABLE_DIGITS or halvings == 0:
            call.meter.spend(TABLE_DIGITS)
            return _headed(left) * _headed(right)
        at = min(digits - 1, max(1, digits // 2 + round(call.jitter(3.0) - 1.5 * call.temperature)))
        unit = int(10**at)
        high, low = divmod(left, unit)
        top, bottom = divmod(right, unit)
        outer = product(high, top, halvings - 1)
        inner = product(low, bottom, halvings - 1)
        middle = product(high + low, top + bottom, halvings - 1) - outer - inner
        call.meter.spend(4 * digits)
        return (outer * unit + middle) * unit + inner

    def vouches(own: int, other: int) -> bool:
        return other % 100 == own % 100 and abs(other - own) * 100 <= abs(own)

    return settled(one, call, operation, vouches)


HALVINGS_MAX: Final = 1
TABLE_DIGITS: Final = 3


def _headed(number: int) -> int:
    """A number with only as many leading digits as the table has."""
    unit = int(10 ** max(0, len(str(number)) - TABLE_DIGITS))
    return number // unit * unit


def residues(one: Sum, call: Call) -> Candidates:
    """Remainders by four small primes, put together: right up to their product, about 10**8.

    It solves only small ones, but nobody's wrong answer has all its remainders.
    """
    primes = in_order(PRIMES, call)[:4]
    modulus, value = 1, 0
    for prime in primes:

        def operation(sign: str, left: int, right: int, prime: int = prime) -> int:
            call.meter.spend(4)
            return exact(sign, left, right) % prime

        wanted = worked(one.tree, operation) % prime
        value += modulus * ((wanted - value) * pow(modulus, -1, prime) % prime)
        modulus *= prime
    if value > modulus - modulus // 8:
        value -= modulus  # few results are below 0
    beyond = [v for v in quoted(call) + recalled(one, call, exact) if (v - value) % modulus == 0]
    found = [(str(value), 0.0), *((str(v), -2.0) for v in beyond if v != value)]
    return [*found, (str(value + modulus), 1.5), (str(value + 2 * modulus), 2.5)]


PRIMES: Final = (107, 109, 103, 113, 101, 97, 89, 83)


SOLVERS: Final[tuple[Solver[Sum], ...]] = (
    Solver("registers", "registers", 200, registers),
    Solver("mantissa", "mantissa", 200, mantissa),
    Solver("calculator", "left to right", 200, calculator),
    Solver("left-to-right", "left to right", 200, left_to_right),
    Solver("schoolbook", "long hand", 400, schoolbook),
    Solver("nines", "long hand", 600, nines),
    Solver("karatsuba", "karatsuba", 400, karatsuba),
    Solver("residues", "residues", 200, residues),
)
