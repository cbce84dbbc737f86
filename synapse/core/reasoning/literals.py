"""Values as programs print them: numbers, strings, lists, tuples, dicts, sets, True, None.

`literal` gives equal text for equal values, however they were spaced, quoted or ordered where
order means nothing. It reads hostile text: it is bounded in size and depth, evaluates nothing and,
unlike a language's own parser, neither warns nor depends on the version that runs it.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Final

CHARACTERS_MAX: Final = 16_384  # an answer is at most 4,000 characters
DEPTH_MAX: Final = 32

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?(?![\w.]))
      | (?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
      | (?P<name>[A-Za-z_]+(?:\(\))?)
      | (?P<mark>[][(){},:])
    )""",
    re.VERBOSE | re.DOTALL,
)
_NAMES: Final = {
    "True": "True", "true": "True", "False": "False", "false": "False",
    "None": "None", "null": "None", "set()": "set()",
}  # fmt: skip
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f"}
_CLOSES: Final = {"(": ")", "[": "]", "{": "}"}
_EXACT: Final = Context(prec=2 * CHARACTERS_MAX)  # nothing is rounded


class _NoLiteralError(Exception):
    """The text is no literal."""


def literal(text: str) -> str | None:
    """The canonical text of the one literal that `text` is; None when it is none."""
    if len(text) > CHARACTERS_MAX:
        return None
    try:
        tokens = _tokens(text)
        value, end = _value(tokens, 0, DEPTH_MAX)
    except _NoLiteralError:
        return None
    return value if end == len(tokens) else None


Token = tuple[str, str]
"""(kind, text)"""


def _tokens(text: str) -> list[Token]:
    tokens, at, end = [], 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise _NoLiteralError
        tokens.append((found.lastgroup, found[found.lastgroup]))
        at = found.end()
    return tokens


def _value(tokens: list[Token], at: int, depth: int) -> tuple[str, int]:
    """The value that starts at this token, and the token after it."""
    if at >= len(tokens) or depth == 0:
        raise _NoLiteralError
    kind, text = tokens[at]
    match kind:
        case "number":
            return _number(text), at + 1
        case "string":
            return _string(text), at + 1
        case "name" if text in _NAMES:
            return _NAMES[text], at + 1
        case "mark" if text in _CLOSES:
            return _container(tokens, at, depth)
    raise _NoLiteralError


def _container(tokens: list[Token], at: int, depth: int) -> tuple[str, int]:
    opens = tokens[at][1]
    closes, items, pairs, comma = _CLOSES[opens], [], 0, False
    at += 1
    while at < len(tokens) and tokens[at] != ("mark", closes):
        item, at = _value(tokens, at, depth - 1)
        if opens == "{" and tokens[at : at + 1] == [("mark", ":")]:
            value, at = _value(tokens, at + 1, depth - 1)
            item, pairs = f"{item}: {value}", pairs + 1
        items.append(item)
        comma = tokens[at : at + 1] == [("mark", ",")]
        if comma:
            at += 1
        elif tokens[at : at + 1] != [("mark", closes)]:
            raise _NoLiteralError
    if at >= len(tokens) or (pairs and pairs != len(items)):
        raise _NoLiteralError
    if opens == "(" and len(items) == 1 and not comma:
        return items[0], at + 1  # parentheses around one value are no tuple
    if opens == "{":
        items = sorted(items if pairs else {*items})
    inside = ", ".join(items) + ("," if opens == "(" and len(items) == 1 else "")
    return f"{opens}{inside}{closes}", at + 1


def _number(text: str) -> str:
    value = Decimal(text).normalize(_EXACT)
    whole = not re.search(r"[.eE]", text)  # 1 and 1.0 print differently, and are told apart
    return (f"{value:f}" if value else "0") + ("" if whole else "f")


def _string(text: str) -> str:
    return '"' + _ESCAPE.sub(_unescaped, text[1:-1]).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if len(code) > 1:
        point = int(code[1:], 16)
        return chr(point) if point < 0x110000 and not 0xD800 <= point < 0xE000 else found[0]
    return _ESCAPES.get(code, code if code in "\\'\"" else found[0])
