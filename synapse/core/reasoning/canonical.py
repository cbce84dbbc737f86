"""When two answers are the same answer.

Each kind of answer has a canonical form: a number its value and unit, a choice its label, a set
its sorted items, code its literal, a plan its steps in order. Equal forms are equal answers. Prose
has none: there, likeness of words decides, and whatever rests on it is marked `weak`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.literals import literal
from synapse.core.text import likeness, words

SHORT_WORDS_MAX: Final = 4  # up to a few words an answer is a label; beyond, it is prose
ALIKE_MIN: Final = 0.5  # Jaccard index of two texts' words that counts as the same position
SYMBOL_CHARACTERS_MAX: Final = 3  # a unit this short is a symbol, whose case matters: mW is not MW
PARTS_MAX: Final = 256  # items of a set, steps of a plan; what is longer is compared as prose

_DIGITS: Final = r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?"
_NUMBER: Final = re.compile(rf"({_DIGITS})\s*(%|percent\b|[^\W\d_][^\s\d]*(?:\s?/\s?\w+)?|°\w?)?")
_FRACTION: Final = re.compile(r"([-+]?)(\d{1,40})\s*/\s*(\d{1,40})")
_TEX_FRACTION: Final = re.compile(r"\\[dt]?frac\{(\d{1,40})\}\{(\d{1,40})\}")
_ANY_NUMBER: Final = re.compile(rf"(?<![\w.]){_DIGITS}(?![\w]|\.\d)")
_EXACT: Final = Context(prec=100_000)  # more digits than a body holds: nothing is rounded
# A label is its words and the signs that change what it says: C is not C++, -5 m is not 5 m.
_LABEL: Final = re.compile(r"\w+|[+<>=%°^]|(?<=\w)#|(?<!\w)-(?=\d)|(?<=\w\s)-(?=\s\w)")
_CHOICE: Final = re.compile(
    r"(?:\(([a-zA-Z]|\d{1,2})\)|([a-zA-Z]|\d{1,2})(?:[).:]|$))\s*(.*)", re.S
)
_BULLET: Final = re.compile(r"\s*(?:(?:step\s+)?\d{1,3}[.):]|[-*•])\s+", re.IGNORECASE)
_STEPS: Final = re.compile(r"\n+|->|→|;|(?<=[.\s])(?=\d{1,3}[.)]\s)")
_ITEMS: Final = re.compile(r"[\n;]+|,(?!\d{3}(?!\d))|,(?=\s)|\s+and\s+")


@dataclass(frozen=True, slots=True)
class Grouping:
    """Answers sorted into groups: `groups[i]` is the group of answer i, named by its first."""

    groups: tuple[int, ...]
    weak: bool


def grouped(
    answers: Sequence[str], kind: Kind = Kind.FREE, choices: Sequence[str] = ()
) -> Grouping:
    """Which answers are the same. Each joins the first earlier one it equals or resembles."""
    forms = [canonical(answer, kind, choices) for answer in answers]
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


def canonical(answer: str, kind: Kind = Kind.FREE, choices: Sequence[str] = ()) -> str | None:
    """The canonical form of an answer of this kind; None for what can only be likened."""
    match kind:
        case Kind.NUMBER:
            return _number(answer) or _only_number(answer) or _label(answer)
        case Kind.CHOICE:
            return _choice(answer, choices) or _label(answer)
        case Kind.SET:
            return _set(answer)
        case Kind.CODE:
            return _code(answer)
        case Kind.PLAN:
            return _plan(answer)
        case Kind.FREE:
            return _number(answer) or _label(answer)


def digest(answer: str, kind: Kind = Kind.FREE, choices: Sequence[str] = ()) -> bytes | None:
    """Eight bytes that equal answers share, for grades to tell shared mistakes by."""
    form = canonical(answer, kind, choices)
    return hashlib.sha256(form.encode("utf-8")).digest()[:8] if form is not None else None


def _number(answer: str) -> str | None:
    """The value, with its unit; a percentage is a hundredth."""
    plain = answer.replace("−", "-").strip().rstrip(".!").replace("$", "").strip()
    fraction = _FRACTION.fullmatch(_TEX_FRACTION.sub(r"\1/\2", plain))
    if fraction is not None:
        return _ratio(fraction[1] == "-", int(fraction[2]), int(fraction[3]))
    number = _NUMBER.fullmatch(plain)
    if number is None:
        return None
    value = Decimal(number[1].replace(",", ""))
    unit = "".join((number[2] or "").split())
    if unit in ("%", "percent"):
        value, unit = value.scaleb(-2, _EXACT), ""
    if len(unit) > SYMBOL_CHARACTERS_MAX:
        unit = unit.casefold()
    value = value.normalize(_EXACT)
    return (f"={value:f}" if value else "=0") + (f" {unit}" if unit else "")


def _ratio(negative: bool, above: int, below: int) -> str | None:
    """A fraction in lowest terms, as a decimal where that ends."""
    if below == 0:
        return None
    shared = math.gcd(above, below)
    above, below = above // shared, below // shared
    sign = "-" if negative and above else ""
    rest = below
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest > 1:
        return f"={sign}{above}/{below}"
    value = _EXACT.divide(Decimal(above), Decimal(below)).normalize(_EXACT)
    return f"={sign}{value:f}" if value else "=0"


def _only_number(answer: str) -> str | None:
    """The number of a sentence that holds exactly one."""
    found = _ANY_NUMBER.findall(answer.replace("−", "-"))
    return _number(found[0]) if len(found) == 1 else None


def _label(answer: str) -> str | None:
    stripped = answer.replace("−", "-").strip().rstrip(".!")
    if not 0 < len(words(stripped)) <= SHORT_WORDS_MAX:
        return None
    return " ".join(_LABEL.findall(stripped.casefold()))


def _choice(answer: str, choices: Sequence[str]) -> str | None:
    """The place of a choice among those listed, by its text or its label; else a bare label."""
    listed = [_labelled(choice) for choice in choices]
    label, text = _labelled(answer)
    said = " ".join(words(text))
    texts = [" ".join(words(each)) for _, each in listed]
    whole = " ".join(words(answer))
    for wanted in (whole, said):
        if wanted and texts.count(wanted) == 1:
            place = texts.index(wanted)
            contradicted = wanted != whole and label not in ("", _name(place, listed))
            return None if contradicted else f"#{place}"
    if label and not said:
        names = [_name(place, listed) for place in range(len(listed))]
        if label in names:
            return f"#{names.index(label)}"
    return f"({label}" if label and not choices else None


def _name(place: int, listed: Sequence[tuple[str, str]]) -> str:
    """The label of a choice: its own, or its letter."""
    own = listed[place][0]
    return own or (chr(ord("a") + place) if place < 26 else str(place + 1))


def _labelled(text: str) -> tuple[str, str]:
    """("b", "Paris") for "(B) Paris"; ("b", "") for "B."; ("", text) without a label."""
    found = _CHOICE.fullmatch(text.strip().strip("*`").strip())
    if found is None:
        return "", text
    return (found[1] or found[2]).lower(), found[3]


def _set(answer: str) -> str | None:
    """The items, each once, sorted. Brackets, bullets and "and" are only dress."""
    plain = answer.strip().rstrip(".").strip()
    if plain[:1] + plain[-1:] in ("{}", "[]", "()"):
        plain = plain[1:-1]
    items = [_BULLET.sub("", item, count=1).strip(" \"'`") for item in _ITEMS.split(plain)]
    forms = [_number(item) or _label(item) for item in items if item]
    if len(forms) > PARTS_MAX or None in forms:
        return None
    return "{" + "; ".join(sorted({form for form in forms if form is not None})) + "}"


def _code(answer: str) -> str:
    """A literal's value, else the lines without trailing space and blank lines."""
    fenced = re.fullmatch(r"\s*```\w*\n(.*?)\n?```\s*", answer, re.DOTALL)
    text = fenced[1] if fenced is not None else answer
    value = literal(text)
    if value is not None:
        return f"={value}"
    lines = [line.rstrip() for line in text.expandtabs(4).splitlines()]
    kept = [line for line in lines if line]
    indent = min((len(line) - len(line.lstrip()) for line in kept), default=0)
    return "\n".join(line[indent:] for line in kept)


def _plan(answer: str) -> str | None:
    """The steps in order, each as its words."""
    steps = [_BULLET.sub("", step, count=1) for step in _STEPS.split(answer)]
    said = [" ".join(words(step)) for step in steps]
    kept = [step for step in said if step]
    if not 0 < len(kept) <= PARTS_MAX:
        return None
    return " -> ".join(kept)
