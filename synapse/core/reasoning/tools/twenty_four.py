"""The 24 game: make a number from given ones, each used exactly once, with + - * / and ().

Solved by joining two of the numbers in every way until one is left; exact fractions throughout.
An answer is parsed and computed, never executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from synapse.core.reasoning.tools.expressions import expression
from synapse.core.reasoning.tools.rational import Rational
from synapse.core.reasoning.tools.reading import (
    is_harmless,
    question,
    says_there_is_none,
    statement,
)
from synapse.core.reasoning.tools.results import Check, Result, Solution

NAME: Final = "twenty_four"
NONE: Final = "impossible"
NUMBERS_MAX: Final = 6  # more make the search hopeless, and fewer than two are no game
STEPS_MAX: Final = 40_000  # pairs joined: about 0.4 s
CHECK_STEPS_MAX: Final = 150  # the same, within 2 ms

_LIST: Final = r"(?P<given>[0-9]{1,4}(?:(?:, and |,? and |, ?| )[0-9]{1,4}){1,5})"
_RULES: Final = (
    r"(?:,? (?:(?:each|every)(?: number)? )?exactly once(?: each)?)?"
    r"(?:,? (?:(?:and|with|using) )*(?:only )?(?:the operations )?\+,? ?-,? ?\*,? ?(?:and )?/"
    r"(?:,?(?: and)? (?:parentheses|brackets|\(\)))?)?"
)
_ASKED: Final = (
    re.compile(
        rf"use (?:the numbers )?{_LIST}{_RULES},? "
        r"to (?:make|get|reach|obtain) (?P<goal>[0-9]{1,5})",
        re.I,
    ),
    re.compile(
        rf"(?:make|get|reach) (?P<goal>[0-9]{{1,5}}) (?:from|with|using|out of) "
        rf"(?:the numbers )?{_LIST}{_RULES}",
        re.I,
    ),
    re.compile(rf"(?:solve the )?(?P<goal>24) game ?:? {_LIST}", re.I),
)
_FORMULA: Final = re.compile(r"[0-9(][-+*/()0-9 x]*")


def solve(task: str) -> Solution | None:
    """An expression, or `impossible`. None when it takes too long to find out."""
    asked = _understood(task)
    if asked is None:
        return None
    given, goal = asked
    try:
        found = made(given, goal, steps_max=STEPS_MAX)
    except OverflowError:
        return None
    if found is None:
        return Solution(NAME, NONE, "every way of joining the numbers two by two was tried")
    return Solution(NAME, found, f"compute it: it is {goal} and uses each number exactly once")


def check(task: str, answer: str) -> Check | None:
    """Compute the one expression in the answer, and count the numbers it uses."""
    asked = _understood(task)
    if asked is None:
        return None
    given, goal = asked
    if says_there_is_none(answer):
        return _no_way(given, goal)
    written = _formula(answer, goal)
    if written is None:
        return Check(NAME, Result.UNKNOWN, "no single expression is stated")
    try:
        read = expression(written)
    except ZeroDivisionError:
        return Check(NAME, Result.FAIL, "it divides by zero")
    except (ArithmeticError, ValueError):
        return Check(NAME, Result.UNKNOWN, "the expression cannot be read")
    if any(sign not in "+-*/" for sign in read.operations):
        return Check(NAME, Result.UNKNOWN, "it uses more than + - * /")
    if sorted(one.fraction() for one in read.numbers) != sorted(map(str, given)):
        return Check(NAME, Result.FAIL, "it does not use each number exactly once")
    if read.value != Rational.of(goal):
        return Check(NAME, Result.FAIL, f"it is {read.value.fraction()[:40]}")
    return Check(NAME, Result.PASS, f"it is {goal} and uses each number exactly once")


def made(given: tuple[int, ...], goal: int, *, steps_max: int) -> str | None:
    """An expression that comes to `goal`, or None if there is none.

    Raises OverflowError after `steps_max` pairs.
    """
    target = Rational.of(goal)
    seen: set[tuple[tuple[int, int], ...]] = set()
    waiting = [[(Rational.of(one), str(one)) for one in given]]
    steps = 0
    while waiting:
        parts = waiting.pop()
        if len(parts) == 1:
            if parts[0][0] == target:
                return parts[0][1].removeprefix("(").removesuffix(")")
            continue
        for left in range(len(parts)):
            for right in range(left + 1, len(parts)):
                steps += 1
                if steps > steps_max:
                    raise OverflowError(f"more than {steps_max} steps")
                rest = [part for i, part in enumerate(parts) if i not in (left, right)]
                for joined in _joined(parts[left], parts[right]):
                    now = [*rest, joined]
                    key = tuple(sorted((value.top, value.bottom) for value, _ in now))
                    if key not in seen:
                        seen.add(key)
                        waiting.append(now)
    return None


def _joined(
    one: tuple[Rational, str], other: tuple[Rational, str]
) -> Iterator[tuple[Rational, str]]:
    """Everything that two numbers can be made into."""
    yield one[0] + other[0], f"({one[1]} + {other[1]})"
    yield one[0] * other[0], f"({one[1]} * {other[1]})"
    for first, second in ((one, other), (other, one)):
        yield first[0] - second[0], f"({first[1]} - {second[1]})"
        if second[0].top:
            yield first[0] / second[0], f"({first[1]} / {second[1]})"


def _no_way(given: tuple[int, ...], goal: int) -> Check:
    try:
        found = made(given, goal, steps_max=CHECK_STEPS_MAX)
    except OverflowError:
        return Check(NAME, Result.UNKNOWN, "whether it is impossible takes too long to find out")
    if found is None:
        return Check(NAME, Result.PASS, "every way of joining the numbers fails")
    return Check(NAME, Result.FAIL, "there is an expression")


def _formula(answer: str, goal: int) -> str | None:
    """The expression an answer consists of, with or without `= goal` beside it."""
    text = statement(answer)
    if text is None:
        return None
    sides = [one.strip() for one in text.split("=")]
    if len(sides) == 2 and str(goal) in sides:
        sides.remove(str(goal))
    if len(sides) != 1:
        return None
    start = next((i for i, sign in enumerate(sides[0]) if sign in "(0123456789"), 0)
    before, formula = sides[0][:start], sides[0][start:].strip(" .,!")
    clear = is_harmless(before.replace("-", " - ")) and _FORMULA.fullmatch(formula)
    return formula if clear else None


def _understood(task: str) -> tuple[tuple[int, ...], int] | None:
    text = question(task)
    if text is None or len(text) > 300:  # six numbers, and the rules
        return None
    found = next(filter(None, (form.fullmatch(text) for form in _ASKED)), None)
    if found is None:
        return None
    given = tuple(int(one) for one in re.findall(r"[0-9]+", found["given"]))
    return (given, int(found["goal"])) if len(given) <= NUMBERS_MAX else None
