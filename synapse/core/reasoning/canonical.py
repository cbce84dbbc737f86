"""When two answers are the same answer.

Numbers and short labels have a canonical form, and equal forms are equal answers. Prose has none:
there, likeness of words decides, and whatever rests on it is marked `weak`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

from synapse.core.text import likeness, words

SHORT_WORDS_MAX: Final = 4  # up to a few words an answer is a label; beyond, it is prose
ALIKE_MIN: Final = 0.5  # Jaccard index of two texts' words that counts as the same position

_NUMBER: Final = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?")
_EXACT: Final = Context(prec=100_000)  # more digits than a body holds: nothing is rounded
# A label is its words and the signs that change what it says: C is not C++, -5 m is not 5 m.
_LABEL: Final = re.compile(r"\w+|[+<>=%°^]|(?<=\w)#|(?<!\w)-(?=\d)|(?<=\w\s)-(?=\s\w)")


@dataclass(frozen=True, slots=True)
class Grouping:
    """Answers sorted into groups: `groups[i]` is the group of answer i, named by its first."""

    groups: tuple[int, ...]
    weak: bool


def canonical(answer: str) -> str | None:
    """The canonical form of a number or a label; None for prose."""
    stripped = answer.replace("−", "-").strip().rstrip(".!")
    number = _NUMBER.fullmatch(stripped.replace("$", "").strip())
    if number is not None:
        value = Decimal(number.group().replace(",", "")).normalize(_EXACT)
        return f"={value:f}" if value else "=0"
    if not 0 < len(words(stripped)) <= SHORT_WORDS_MAX:
        return None
    return " ".join(_LABEL.findall(stripped.casefold()))


def grouped(answers: Sequence[str]) -> Grouping:
    """Which answers are the same. Each joins the first earlier one it equals or resembles."""
    forms = [canonical(answer) for answer in answers]
    groups: list[int] = []
    weak = False
    for index, (answer, form) in enumerate(zip(answers, forms, strict=True)):
        weak = weak or form is None
        groups.append(
            next(
                (
                    first
                    for first in dict.fromkeys(groups)
                    if (form is not None and form == forms[first])
                    or (
                        (form is None or forms[first] is None)
                        and likeness(answer, answers[first]) >= ALIKE_MIN
                    )
                ),
                index,
            )
        )
    return Grouping(tuple(groups), weak)
