"""Satisfiability of formulas in conjunctive normal form: `(x1 or not x2) and (x2 or x3)`.

Solved by the procedure of Davis, Logemann and Loveland (CACM 1962): set what is forced, else try
one variable both ways. An assignment is verified in linear time; that there is none is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from synapse.core.reasoning.tools.reading import bindings, question, says_there_is_none
from synapse.core.reasoning.tools.results import Check, Result, Solution

NAME: Final = "satisfiability"
NONE: Final = "unsatisfiable"
STEPS_MAX: Final = 6_000_000  # literals looked at: about 0.4 s
CHECK_STEPS_MAX: Final = 8_000  # the same, within 2 ms

Clause = tuple[tuple[str, bool], ...]  # variables, and the value each is hoped to have

_ASKED: Final = re.compile(
    r"(?:(?:find|give) (?:me )?a satisfying (?:truth )?assignment (?:of|for|to)"
    r"(?: (?:the|this) (?:cnf )?formula)?|satisfy(?: (?:the|this) (?:cnf )?formula)?) ?:? ",
    re.IGNORECASE,
)
_TOKEN: Final = re.compile(r" ?(?:([A-Za-z][A-Za-z0-9_]{0,30})|([()!~]|&&?|\|\|?|-(?=[A-Za-z])))")
_SAME: Final = {"&": "and", "&&": "and", "|": "or", "||": "or", "!": "not", "~": "not", "-": "not"}
_WORDS: Final = ("and", "or", "not", "xor", "implies", "iff", "true", "false", "is")
_VALUES: Final = {"1": True, "true": True, "0": False, "false": False}
_SAID: Final = frozenset([*_VALUES, "True", "False", "TRUE", "FALSE"])


def solve(task: str) -> Solution | None:
    """`x1=1 x2=0 ...`, or `unsatisfiable`. None when it takes too long to find out."""
    clauses = _understood(task)
    if clauses is None:
        return None
    try:
        found, steps = satisfied(clauses, steps_max=STEPS_MAX)
    except OverflowError:
        return None
    if found is None:
        return Solution(NAME, NONE, f"every branch ends in a contradiction ({steps} steps)")
    written = " ".join(f"{name}={int(found.get(name, False))}" for name in variables(clauses))
    return Solution(NAME, written, "put the values in: every clause has a literal that is true")


def check(task: str, answer: str) -> Check | None:
    """Put the values in. That nothing satisfies it is verified only where that is quick."""
    clauses = _understood(task)
    if clauses is None:
        return None
    if says_there_is_none(answer):
        return _no_assignment(clauses)
    names = variables(clauses)
    said = bindings(answer, names, _SAID)
    if not said:
        return Check(NAME, Result.UNKNOWN, "no single assignment is stated")
    values = {name: _VALUES[value.lower()] for name, value in said.items()}
    for clause in clauses:
        if all(values.get(name, hoped) != hoped for name, hoped in clause):
            return Check(NAME, Result.FAIL, f"false: {_written(clause)}")
    if len(values) < len(names):
        return Check(NAME, Result.UNKNOWN, f"{len(names) - len(values)} variables have no value")
    return Check(NAME, Result.PASS, f"all {len(clauses)} clauses are true")


def variables(clauses: Sequence[Clause]) -> list[str]:
    """Every variable once, in the order in which the formula names them."""
    return list(dict.fromkeys(name for clause in clauses for name, _ in clause))


def satisfied(clauses: Sequence[Clause], *, steps_max: int) -> tuple[dict[str, bool] | None, int]:
    """Values that make every clause true, or None if there are none; and the steps it took.

    Raises OverflowError after `steps_max` literals.
    """
    steps = 0
    waiting: list[tuple[list[Clause], dict[str, bool]]] = [(list(clauses), {})]
    while waiting:
        left, values = waiting.pop()
        while left:
            steps += sum(map(len, left))
            if steps > steps_max:
                raise OverflowError(f"more than {steps_max} steps")
            shortest = min(left, key=len)
            if not shortest:
                break
            name, hoped = shortest[0]
            if len(shortest) > 1:
                waiting.append((_given(left, name, not hoped), {**values, name: not hoped}))
            left, values = _given(left, name, hoped), {**values, name: hoped}
        else:
            return values, steps
    return None, steps


def _given(clauses: Sequence[Clause], name: str, value: bool) -> list[Clause]:
    """What remains to be satisfied once a variable has a value."""
    true, false = (name, value), (name, not value)
    return [
        tuple(literal for literal in clause if literal != false) if false in clause else clause
        for clause in clauses
        if true not in clause
    ]


def _no_assignment(clauses: Sequence[Clause]) -> Check:
    try:
        found, _ = satisfied(clauses, steps_max=CHECK_STEPS_MAX)
    except OverflowError:
        return Check(
            NAME, Result.UNKNOWN, "whether nothing satisfies it takes too long to find out"
        )
    if found is None:
        return Check(NAME, Result.PASS, "every branch ends in a contradiction")
    return Check(NAME, Result.FAIL, "there is an assignment")


def _written(clause: Clause) -> str:
    return " or ".join(name if hoped else f"not {name}" for name, hoped in clause[:4])


def _understood(task: str) -> list[Clause] | None:
    text = question(task)
    asked = _ASKED.match(text) if text is not None else None
    if text is None or asked is None:
        return None
    tokens: list[str] = []
    at = asked.end()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            return None
        word = token[1] or token[2]
        tokens.append(_SAME.get(word) or (word.lower() if word.lower() in _WORDS else word))
        at = token.end()
    clauses = _clauses(tokens)
    if not clauses:
        return None
    names = variables(clauses)
    return clauses if len({name.lower() for name in names}) == len(names) else None


def _clauses(tokens: Sequence[str]) -> list[Clause] | None:
    """Clauses joined by `and`. One of a single literal, or alone, needs no parentheses."""
    groups: list[list[str]] = [[]]
    for token in tokens:
        if token == "and":
            groups.append([])
        else:
            groups[-1].append(token)
    clauses: list[Clause] = []
    for group in groups:
        enclosed = group[:1] == ["("] and group[-1:] == [")"]
        clause = _clause(group[1:-1] if enclosed else group)
        if clause is None or (len(clause) > 1 and not enclosed and len(groups) > 1):
            return None
        clauses.append(clause)
    return clauses


def _clause(tokens: Sequence[str]) -> Clause | None:
    """Literals joined by `or`, each once; None for anything else."""
    literals: dict[tuple[str, bool], None] = {}
    words = [*tokens, "or"]
    while words:
        negated = words[0] == "not"
        name, joint = (*words[negated : negated + 2], "", "")[:2]
        if joint != "or" or name in _WORDS or not name[:1].isalpha():
            return None
        literals[name, not negated] = None
        del words[: negated + 2]
    return tuple(literals)
