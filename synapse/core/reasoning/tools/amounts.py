"""Numbers as answers state them: `391`, `The result is 391.`, `17 * 23 = 391`, `8.05 km`."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from synapse.core.reasoning.tools.expressions import NUMBER, expression
from synapse.core.reasoning.tools.rational import Rational
from synapse.core.reasoning.tools.reading import is_harmless, statement
from synapse.core.reasoning.tools.results import Result
from synapse.core.text import shortened

SIGNIFICANT_MIN: Final = 2  # digits from which a number can be a rounding of another; no source

_PARTS: Final = re.compile(r" ?(?<![<>!~])=+ ?| (?:is|are|equals|makes|gives) ")
_ABOUT: Final = re.compile(r"\b(?:about|approximately|roughly) ")
_AMOUNT: Final = re.compile(
    rf"([-+]?{NUMBER}|[-+]?[0-9]+ ?/ ?[0-9]+)(?: ?(%)| ?([A-Za-z][A-Za-z/ ]*))?"
)
_AMOUNT_START: Final = re.compile(r"[-+]?[0-9]")
_ARITHMETIC: Final = re.compile(rf"{NUMBER}|[-+*/^()%,]")
_SPOKEN: Final = ("plus", "minus", "times", "multiplied", "divided", "percent", "squared", "cubed")


@dataclass(frozen=True, slots=True)
class Amount:
    """A number that was stated, the unit behind it, and how many decimals it was given with."""

    value: Rational
    unit: str
    places: int | None  # None for a fraction
    digits: int  # significant ones

    def rounds(self, exact: Rational) -> bool:
        """Whether this is `exact` rounded to the decimals it was given with, either way at half."""
        if self.places is None or self.digits < SIGNIFICANT_MIN or self.value == exact:
            return False
        half = Rational.of(1, 2 * 10**self.places)
        return self.value.distance(exact).within(half)


def amount(answer: str, known: Container[str] = ()) -> Amount | None:
    """The one number an answer states, or None when that is not clear.

    `known` are words that may stand in the sentence, such as units.
    """
    text = statement(answer)
    if text is None:
        return None
    aside = _ABOUT.search(text)
    if aside is None:
        return _last(text, known)
    exact = _last(text[: aside.start()].strip(" ,("), known)
    about = _last(text[aside.end() :].rstrip(" )."), known)
    return exact if exact and about and about.rounds(exact.value) else None


def judged(exact: Rational, said: Amount, written: str) -> tuple[Result, str]:
    """Whether the number said is the exact one, which is `written` so."""
    written = shortened(written, characters_max=80)
    if said.value == exact:
        return Result.PASS, f"computed again: {written}"
    if said.rounds(exact):
        return Result.UNKNOWN, f"a rounding of {written}"
    return Result.FAIL, f"computed again: {written}"


def _last(text: str, known: Container[str]) -> Amount | None:
    """What stands behind the last `=` or `is`; what stands before may only lead to it."""
    parts = _PARTS.split(text)
    before, last = parts[:-1], parts[-1].strip()
    if not all(is_harmless(_ARITHMETIC.sub(" ", part), known, _SPOKEN) for part in before):
        return None
    words = last.split(" ")
    start = next((i for i, word in enumerate(words) if _AMOUNT_START.match(word)), len(words))
    if not is_harmless(" ".join(words[:start]), known):
        return None
    return _read(" ".join(words[start:]).strip(" .,!"), known, derived=bool(before))


def _read(text: str, known: Container[str], *, derived: bool) -> Amount | None:
    found = _AMOUNT.fullmatch(text)
    try:
        if found is None:
            if not derived or not text:
                return None
            return Amount(expression(text).value, "", None, 0)
        value = expression(found[1].lstrip("+")).value
    except (ArithmeticError, ValueError):
        return None
    unit = found[2] or (found[3] or "").strip()
    if unit and unit not in known and is_harmless(unit):
        unit = ""
    mantissa = found[1].lower().partition("e")[0]
    places = None if "/" in found[1] or "e" in found[1].lower() else len(mantissa.partition(".")[2])
    digits = len(re.sub(r"[^0-9]", "", mantissa).lstrip("0"))
    return Amount(value, unit, places, digits)
