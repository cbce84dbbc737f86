"""Arithmetic as it is written, read by descent and computed exactly; nothing is ever executed.

Only what all readers understand alike is read. `-2^2`, `2^3^2`, `6/2(1+2)` and `007` mean
different things to different people and raise ValueError, as does whatever is not arithmetic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from synapse.core.reasoning.tools.rational import Rational, number

TOKENS_MAX: Final = 200  # as many operations as stay below 2 ms; a page of arithmetic
DEPTH_MAX: Final = 40  # of parentheses: far below the interpreter's own limit, above any need

NUMBER: Final = (  # three-digit groups or none, no leading zeros, no digits of other scripts
    r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9])|0(?![0-9])|[1-9][0-9]*)"
    r"(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?(?![\w.])"
)
_TOKEN: Final = re.compile(rf" *({NUMBER}|\*\*|[-+*/^()]|(?<=[0-9)] )x(?= [0-9(]))")


@dataclass(frozen=True, slots=True)
class Expression:
    """What an expression comes to, the numbers it uses as written, and how it was written."""

    value: Rational
    numbers: tuple[Rational, ...]
    operations: tuple[str, ...]  # in the order written; a sign counts as "sign"


def expression(text: str) -> Expression:
    """Read and compute. Raises ValueError or ArithmeticError."""
    reader = _Reader(_tokens(text))
    value = reader.sum()
    if reader.next():
        raise ValueError("something follows the expression")
    return Expression(value, tuple(reader.numbers), tuple(reader.operations))


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or len(found) == TOKENS_MAX:
            raise ValueError("not an expression that is read here")
        found.append({"**": "^", "x": "*"}.get(token[1], token[1]))
        at = token.end()
    return found


class _Reader:
    """One pass over the tokens: each method reads one level of precedence and computes it."""

    def __init__(self, tokens: list[str]) -> None:
        self.numbers: list[Rational] = []
        self.operations: list[str] = []
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def sum(self) -> Rational:
        value = self._product()
        while self.next() in ("+", "-"):
            sign, term = self._take(), self._product()
            value = value + term if sign == "+" else value - term
        return value

    def _product(self) -> Rational:
        value = self._power()
        while self.next() in ("*", "/"):
            sign, factor = self._take(), self._power()
            value = value * factor if sign == "*" else value / factor
        return value

    def _power(self) -> Rational:
        signed = self.next() == "-"
        value = self._signed()
        if self.next() != "^":
            return value
        if signed:
            raise ValueError("a sign before a power is read in two ways")
        self._take()
        value = value ** self._signed()
        if self.next() == "^":
            raise ValueError("a power of a power is read in two ways")
        return value

    def _signed(self) -> Rational:
        if self.next() != "-":
            return self._atom()
        self._at += 1
        self.operations.append("sign")
        return -self._atom()

    def _atom(self) -> Rational:
        token = self.next()
        self._at += 1
        if token[:1].isdigit():
            self.numbers.append(number(token))
            return self.numbers[-1]
        if token != "(" or self._depth == DEPTH_MAX:
            raise ValueError("a number is missing, or parentheses are too deep")
        self._depth += 1
        value = self.sum()
        self._depth -= 1
        if self.next() != ")":
            raise ValueError("a parenthesis is not closed")
        self._at += 1
        return value

    def _take(self) -> str:
        self.operations.append(self.next())
        self._at += 1
        return self.operations[-1]
