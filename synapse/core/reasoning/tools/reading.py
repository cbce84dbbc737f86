"""How tools read tasks and answers: tasks strictly, answers with tolerance, neither by guessing.

A task is understood in whole or not at all. An answer may be a sentence, as long as each of its
words is one that cannot change what it says: one unknown word, and it is not read.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import Final

from synapse.core.text import words

TASK_CHARACTERS_MAX: Final = 8_000  # two pages of clauses or edges; they are read in 3 ms
ANSWER_CHARACTERS_MAX: Final = 4_000  # as many as an answer may have

# What people write for what is read here. Escapes, where two signs look alike.
_SIGNS: Final = str.maketrans(
    dict(zip("×⋅÷\u2212\u2013’“”\u00a0\u202f", '**/--\'""  ', strict=True))
    | {"°": " degrees ", "∨": " or ", "∧": " and ", "¬": " not ", "→": "->", "≈": "about "}
    | {"²": "^2", "³": "^3"}
)
_OPENING: Final = re.compile(r"^(?:(?:task|question|problem|q): ?)?(?:please,? )?", re.IGNORECASE)
_CLOSING: Final = re.compile(  # sentences that ask for brevity or care, and change no answer
    r"[.?!:] (?:please )?(?:(?:give|answer with|reply with|return|write|state) (?:only |just )?"
    r"(?:the |an? )?(?:final |exact )?(?:answer|number|result|value|date|day|expression)(?: only)?"
    r"|show your work(?:ing)?|think step by step|explain briefly|be exact)[.!]?$",
    re.IGNORECASE,
)
_MARKDOWN: Final = re.compile(
    r"\*\*([^*]{1,400})\*\*|`{1,3}([^`]{1,4000})`{1,3}|\\boxed\{([^{}]+)\}"
)
_MARKER: Final = re.compile(
    r"\b(?:final )?(?:answer|result)(?: is:?|:| =| equals)(?= )|####(?= )", re.IGNORECASE
)
_DENIAL: Final = re.compile(
    r"\b(?:not|no|never|cannot|neither|nor|wrong|incorrect|false|unlike|except|if|unless|might|may"
    r"|maybe|perhaps|could|would|probably|guess|unsure|wait|actually|instead|or)\b|n't\b",
    re.IGNORECASE,
)
_HARMLESS: Final = frozenset(
    [
        *("it's", "that's", "there's"),
        *words(
            "a an and answer are as assignment be because been by can color coloring colour "
            "colouring comes corresponding date day days equal equals exactly expression fall "
            "falls final following for formula from found game get gives graph has have hence here "
            "holds in is it its letter letters makes node nodes number of on one our out possible "
            "proper puzzle result satisfies satisfying so solution solutions solved solves solving "
            "sum that the then there therefore this thus to total using valid value values "
            "variable variables vertex vertices was we week weekday when where which will with "
            "yields you"
        ),
    ]
)
_WORD: Final = re.compile(r"[A-Za-z0-9_'^+*/<>=-]+|[^\s\w]")
_PUNCTUATION: Final = frozenset(".,:;!()[]{}\"'`|")
_NAMED: Final = re.compile(r"[A-Za-z0-9_']+|->|:=|[^\s\w]")
_BINDS: Final = ("=", ":", "->", ":=", "is", "gets")
_NONE: Final = re.compile(
    r"(?:(?:it|this|the (?:formula|graph|puzzle|task|cryptarithm)|that) (?:is|has) |there is |"
    r"the answer is:? |answer: |result: )?"
    r"(?:unsatisfiable|unsat|not satisfiable|impossible|not possible|no solution|unsolvable|"
    r"has no solution|no (?:such|valid|proper|satisfying) (?:assignment|colou?ring|expression))"
    r"(?: exists)?"
)


def question(task: str) -> str | None:
    """A task on one line in ASCII without courtesies and end marks; None if that loses anything."""
    if len(task) > TASK_CHARACTERS_MAX:
        return None
    text = " ".join(task.translate(_SIGNS).split())
    if not text.isascii() or not text.isprintable():
        return None
    text = _OPENING.sub("", text)
    closing = _CLOSING.search(text[-120:])  # no closing is longer; what is before is not searched
    if closing is not None:
        text = text[: len(text) - len(closing.group()) + 1]
    return text.rstrip("?.: ")


def cleaned(answer: str) -> str | None:
    """An answer on one line without Markdown, or None when it is too long or not in ASCII."""
    if len(answer) > ANSWER_CHARACTERS_MAX:
        return None
    text = " ".join(answer.translate(_SIGNS).split())
    text = _MARKDOWN.sub(lambda found: " ".join(filter(None, found.groups())), text)
    return text.strip(" $") if text.isascii() else None


def statement(answer: str) -> str | None:
    """What an answer comes to: all of it, or what follows `the answer is`; None if unclear."""
    text = cleaned(answer)
    if text is None:
        return None
    markers = list(_MARKER.finditer(text))
    if not markers:
        return text.rstrip(" .!")
    said = [text[one.end() :].strip(" .!") for one in markers]
    return said[0] if len(said) == 1 and not _DENIAL.search(text, 0, markers[0].start()) else None


def is_harmless(text: str, *known: Container[str]) -> bool:
    """Whether no word of `text` can change what is said beside it. `known` words cannot either."""
    return all(
        _means_nothing(word) or any(word in some for some in known) for word in _WORD.findall(text)
    )


def bindings(answer: str, names: Iterable[str], values: Container[str]) -> dict[str, str] | None:
    """The `name=value` pairs of an answer, or None when it holds anything that is not harmless.

    `names` may be bound to `values` with =, :, -> or `is`. None when one name gets two values.
    """
    text = statement(answer)
    known = frozenset(names)
    found: dict[str, str] = {}
    tokens = _NAMED.findall(text) if text is not None else []
    at = 0
    while at < len(tokens):
        name, binds, value = (*tokens[at : at + 3], "", "")[:3]
        if name in known and binds in _BINDS and value in values:
            if found.setdefault(name, value) != value:
                return None
            at += 3
        elif _means_nothing(name):
            at += 1
        else:
            return None
    return found


def _means_nothing(word: str) -> bool:
    return word in _PUNCTUATION or word.lower() in _HARMLESS


def says_there_is_none(answer: str) -> bool:
    """Whether the answer is that no answer exists, and nothing else."""
    text = cleaned(answer)
    return text is not None and _NONE.fullmatch(text.lower().rstrip(" .!")) is not None
