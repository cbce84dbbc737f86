"""Arithmetic, computed exactly: whole numbers, fractions, decimals, powers and percentages."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from synapse.core.reasoning.tools.amounts import amount, judged
from synapse.core.reasoning.tools.expressions import NUMBER, expression
from synapse.core.reasoning.tools.rational import Rational, number
from synapse.core.reasoning.tools.reading import question
from synapse.core.reasoning.tools.results import Check, Result, Solution

NAME: Final = "arithmetic"

_ASKED: Final = re.compile(
    r"(?:(what is|what's|how much is)|compute|calculate|evaluate|work out) "
    r"(?:the (?:exact )?(?:value|result) of )?",
    re.IGNORECASE,
)
# "What is 9/11?", "4-4-2?", "2024-12-28?": names and dates that look like arithmetic.
_NAME_LIKE: Final = re.compile(r"[0-9]+/[0-9]+|[0-9]+(?:[-/][0-9]+){2,}")
_WORDS: Final = {
    "plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "divided by": "/",
    "to the power of": "^",
}  # fmt: skip
_WORD: Final = re.compile(rf" ({'|'.join(_WORDS)}) |(?<=[0-9]) (squared|cubed)$", re.IGNORECASE)
_PERCENT_OF: Final = re.compile(rf"({NUMBER})(?:%| %| percent) of ({NUMBER})", re.IGNORECASE)
_WHAT_PERCENT: Final = re.compile(
    rf"what (?:percent|percentage|%) of ({NUMBER}) is ({NUMBER})", re.IGNORECASE
)
_IS_WHAT_PERCENT: Final = re.compile(
    rf"({NUMBER}) is what (?:percent|percentage|%) of ({NUMBER})", re.IGNORECASE
)
_ROOT: Final = re.compile(rf"(?:the )?square root of ({NUMBER})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Sum:
    value: Rational
    fraction: bool  # whether to write it as a fraction
    unit: str = ""

    @property
    def written(self) -> str:
        decimal = None if self.fraction else self.value.decimal()
        return (decimal or self.value.fraction()) + self.unit


def solve(task: str) -> Solution | None:
    """The exact value, as a fraction where fractions were given, else as a decimal if it ends."""
    asked = _understood(task)
    if asked is None:
        return None
    return Solution(
        NAME, asked.written, "compute it again; fractions are exact, nothing is rounded"
    )


def check(task: str, answer: str) -> Check | None:
    """Compute it again and compare. A rounding of the exact value is UNKNOWN."""
    asked = _understood(task)
    if asked is None:
        return None
    said = amount(answer)
    if said is None or said.unit not in ("", "%", "percent"):
        return Check(NAME, Result.UNKNOWN, "no single number is stated")
    if bool(said.unit) != bool(asked.unit) and said.value != asked.value:
        return Check(NAME, Result.UNKNOWN, "percentages and shares are mixed")
    if said.unit and not asked.unit:
        return Check(NAME, Result.FAIL, "it is no percentage")
    return Check(NAME, *judged(asked.value, said, asked.written))


def _understood(task: str) -> _Sum | None:
    text = question(task)
    if text is None:
        return None
    try:
        return _percentage(text) or _expression(text)
    except (ArithmeticError, ValueError):
        return None


def _percentage(text: str) -> _Sum | None:
    hundred = Rational.of(100)
    if found := _WHAT_PERCENT.fullmatch(text):
        return _Sum(number(found[2]) / number(found[1]) * hundred, False, "%")
    if found := _IS_WHAT_PERCENT.fullmatch(text):
        return _Sum(number(found[1]) / number(found[2]) * hundred, False, "%")
    asked = _ASKED.match(text)
    if asked and (found := _PERCENT_OF.fullmatch(text, asked.end())):
        return _Sum(number(found[1]) * number(found[2]) / hundred, False)
    if asked and (found := _ROOT.fullmatch(text, asked.end())):
        return _Sum(_root(number(found[1])), False)
    return None


def _root(value: Rational) -> Rational:
    root = Rational(math.isqrt(value.top), math.isqrt(value.bottom))
    if root * root != value:
        raise ValueError("the root is irrational")
    return root


def _expression(text: str) -> _Sum | None:
    asked = _ASKED.match(text)
    written = text[asked.end() if asked else 0 :].rstrip("=? ")
    if asked and asked[1] and _NAME_LIKE.fullmatch(written):
        return None
    bare = not asked and not text.endswith("=")
    if bare and not any(sign in written for sign in "+*^"):
        return None  # a date, a span of years, a telephone number
    spoken = len(_WORD.findall(written))
    if spoken:
        written = _WORD.sub(_sign, written)
    read = expression(written)
    if not read.operations or (spoken and len(read.operations) > 1):
        return None  # spoken arithmetic has no parentheses: more than one operation is ambiguous
    decimals = any(not one.is_whole() for one in read.numbers)
    return _Sum(read.value, fraction="/" in written and not decimals)


def _sign(found: re.Match[str]) -> str:
    if found[2]:
        return "^2" if found[2].lower() == "squared" else "^3"
    return f" {_WORDS[found[1].lower()]} "
