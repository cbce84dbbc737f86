"""The form of an answer, where a task demands one: JSON with given keys, or a match of a regex.

These are checks only. When the demand is the whole task, its form is all there is to an answer.
When it follows a question, a wrong form is a fail, but a right form says nothing about the rest.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from synapse.core.reasoning.tools.automaton import Pattern
from synapse.core.reasoning.tools.reading import ANSWER_CHARACTERS_MAX, TASK_CHARACTERS_MAX
from synapse.core.reasoning.tools.results import Check, Result, Solution

NAME: Final = "formats"
DEPTH_MAX: Final = 32  # of JSON: far below the interpreter's own limit, above any need

_KEY: Final = r"[\"'`]?[A-Za-z_][A-Za-z0-9_-]{0,40}[\"'`]?"
_ANSWER: Final = r"(?:please )?(?:answer|reply|respond) (?:only )?with (?:only )?"
_HAS: Final = r"(?:(?:that|which) (?:has|contains)|with|having|containing)"
_DEMAND: Final = re.compile(
    rf"\b{_ANSWER}(?:"
    rf"(?:a |an |one )?(?:single )?(?:valid )?json(?: (?P<type>object|array))?"
    rf"(?: {_HAS} (?P<only>exactly |only )?(?:the )?(?:exact )?keys? "
    rf"(?P<keys>{_KEY}(?:(?:, and |,? and |, ?){_KEY}){{0,20}}))?"
    r"|(?:a |an |one )?(?:string|text|word|code|value|identifier|line) (?:that|which) "
    r"(?:fully )?matches (?:the )?(?:regex|regular expression|pattern):? /(?P<regex>.{1,200})/"
    r")\.?$",
    re.IGNORECASE,
)
_FENCED: Final = re.compile(r"```(?:json|text)?\n?(.*?)\n?```|`([^`\n]+)`", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Demand:
    whole: bool  # whether the task is nothing but this
    regex: str | None
    type: str | None
    keys: tuple[str, ...]
    only: bool  # whether there may be no other keys


def solve(task: str) -> Solution | None:
    """None: the right form alone is no answer to anything."""
    return None


def check(task: str, answer: str) -> Check | None:
    """Parse the answer, within limits of size and depth, or match it without backtracking."""
    demand = _understood(task)
    if demand is None:
        return None
    text = answer.strip()
    if len(text) > ANSWER_CHARACTERS_MAX:
        return Check(NAME, Result.UNKNOWN, "the answer is too long to be checked")
    fenced = _FENCED.fullmatch(text)
    if fenced is not None:
        text = (fenced[1] or fenced[2] or "").strip()
    result, evidence = _json(demand, text) if demand.regex is None else _regex(demand.regex, text)
    if result is Result.PASS and not demand.whole:
        return Check(NAME, Result.UNKNOWN, f"{evidence}; what it says is not checked")
    return Check(NAME, result, evidence)


def _understood(task: str) -> _Demand | None:
    text = task.strip()
    if len(text) > TASK_CHARACTERS_MAX or not text.isascii():
        return None
    found = _DEMAND.search(text)
    if found is None:
        return None
    before = text[: found.start()].rstrip()
    if before and not before.endswith("?"):
        return None  # `Translate: answer with JSON.` demands no JSON
    keys = re.findall(r"(?:(?<=^)|(?<=[ ,]))(?!and )" + _KEY, found["keys"] or "", re.IGNORECASE)
    kind = found["type"] or ("object" if keys else None)
    if keys and kind and kind.lower() != "object":
        return None
    return _Demand(
        not before,
        found["regex"],
        kind and kind.lower(),
        tuple(key.strip("\"'`") for key in keys),
        bool(found["only"]),
    )


def _regex(written: str, text: str) -> tuple[Result, str]:
    try:
        matches = Pattern(written).matches(text)
    except ValueError as error:
        return Result.UNKNOWN, str(error)
    if matches is None:
        return Result.UNKNOWN, "the pattern matches a part of the answer"
    if matches:
        return Result.PASS, "the pattern matches the whole answer"
    return Result.FAIL, "the pattern matches nothing in the answer"


def _json(demand: _Demand, text: str) -> tuple[Result, str]:
    if _depth(text) > DEPTH_MAX:
        return Result.UNKNOWN, f"brackets are more than {DEPTH_MAX} deep"
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_int=str,  # a number may have more digits than Python converts
            parse_float=str,
        )
    except KeyError as error:
        return Result.UNKNOWN, f"a key is there twice: {error}"
    except ValueError:
        around = "{" in text or "[" in text
        return (
            (Result.UNKNOWN, "something stands around the JSON, or it is broken")
            if around and text[:1] not in ("{", "[")
            else (Result.FAIL, "it is not JSON")
        )
    wanted = {"object": dict, "array": list}.get(demand.type or "")
    if wanted is not None and not isinstance(value, wanted):
        return Result.FAIL, f"it is JSON, but no {demand.type}"
    missing = [key for key in demand.keys if key not in value]
    if missing:
        return Result.FAIL, f"keys are missing: {', '.join(missing[:5])}"
    if demand.only and len(value) > len(demand.keys):
        return Result.FAIL, "there are other keys"
    return Result.PASS, "it is JSON of the form demanded"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise KeyError(key[:40])
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _depth(text: str) -> int:
    """How deep brackets go, those in strings counted too: never less than the parser's depth."""
    deepest = depth = 0
    for one in re.findall(r"[\[{\]}]", text):
        depth = depth + 1 if one in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest
