"""Regular expressions without backtracking: whatever the pattern, time is bounded.

A pattern from a stranger can make a backtracking engine run for ever. This one keeps the set of
places in the pattern where a match may be (Thompson, CACM 1968), so a character costs at most one
visit to each. It reads the part of the language that Python, Perl and JavaScript agree on: ASCII,
classes, groups, alternatives, counts, ^ and $. The rest raises ValueError: back-references and
look-around are not regular, and flags, \\b and Unicode classes differ between dialects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PATTERN_CHARACTERS_MAX: Final = 200
DEPTH_MAX: Final = 20  # of groups
COUNT_MAX: Final = 100  # of {m,n}, which is written out n times
PROGRAM_MAX: Final = 400  # steps of the written-out pattern
TEXT_CHARACTERS_MAX: Final = 1_000
VISITS_MAX: Final = 8_000  # of steps, by all characters together: about 1.5 ms

_ASCII: Final = (1 << 128) - 1


def _mask(characters: str) -> int:
    return sum(1 << ord(one) for one in dict.fromkeys(characters))


_DIGITS: Final = _mask("0123456789")
_LETTERS: Final = _mask("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_KINDS: Final = {"d": _DIGITS, "w": _DIGITS | _LETTERS | _mask("_"), "s": _mask(" \t\n\r\f\v")}
_CLASSES: Final = {
    **_KINDS,
    **{kind.upper(): _ASCII & ~mask for kind, mask in _KINDS.items()},
    **{sign: _mask(character) for sign, character in zip("ntr", "\n\t\r", strict=True)},
}
_ANY: Final = _ASCII & ~_mask("\n\r")
_SPECIAL: Final = "\\^$.|?*+()[]{}"
_DIALECTS_DIFFER: Final = ("&&", "||", "~~", "--", "[")  # inside a class


@dataclass(frozen=True, slots=True)
class _Characters:
    mask: int


@dataclass(frozen=True, slots=True)
class _Edge:
    end: bool  # of the text, else its beginning


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Either:
    options: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: _Node
    least: int
    most: int | None


_Node = _Characters | _Edge | _Sequence | _Either | _Repeat


@dataclass(slots=True)
class _Step:
    """One step of the program: take a character, hold at an edge, or go on at `to`."""

    node: _Characters | _Edge | None = None
    to: tuple[int, ...] = ()


class Pattern:
    """A pattern that is ready to be matched. Raises ValueError for what is not read here."""

    def __init__(self, written: str) -> None:
        if len(written) > PATTERN_CHARACTERS_MAX or not _readable(written):
            raise ValueError("the pattern is too long or not in ASCII")
        self._program: list[_Step] = []
        self._emitted = 0
        reader = _Reader(written)
        self._emit(reader.pattern())
        self._end = self._add(_Step())

    def matches(self, text: str) -> bool | None:
        """Whether it matches: True for the whole text, None for a part only, False not at all.

        Raises ValueError when the text is too long or not plain ASCII, or the work too much.
        """
        if len(text) > TEXT_CHARACTERS_MAX or not _readable(text):
            raise ValueError("the text is too long or not in ASCII")
        if self._run(text, anywhere=False):
            return True
        return None if self._run(text, anywhere=True) else False

    def _run(self, text: str, *, anywhere: bool) -> bool:
        visits = 0
        starts = [0]
        for at in range(len(text) + 1):
            active = self._reached(starts, first=at == 0, last=at == len(text))
            visits += len(active)
            if visits > VISITS_MAX:
                raise ValueError("matching takes too long")
            if at == len(text) or (anywhere and self._end in active):
                return self._end in active
            code = ord(text[at])
            starts = [0] if anywhere else []
            for place in active:
                node = self._program[place].node
                if isinstance(node, _Characters) and node.mask >> code & 1:
                    starts.append(place + 1)
        return False

    def _reached(self, starts: list[int], *, first: bool, last: bool) -> dict[int, None]:
        """Every place that can be reached without taking a character."""
        found: dict[int, None] = {}
        waiting = list(starts)
        while waiting:
            place = waiting.pop()
            if place in found:
                continue
            found[place] = None
            step = self._program[place]
            if isinstance(step.node, _Edge):
                if last if step.node.end else first:
                    waiting.append(place + 1)
            elif step.node is None:
                waiting += step.to
        return found

    def _add(self, step: _Step) -> int:
        if len(self._program) == PROGRAM_MAX:
            raise ValueError("the pattern is too large when its counts are written out")
        self._program.append(step)
        return len(self._program) - 1

    def _emit(self, node: _Node) -> None:
        self._emitted += 1
        if self._emitted > 4 * PROGRAM_MAX:  # empty groups emit nothing, and can be repeated too
            raise ValueError("the pattern is too large when its counts are written out")
        match node:
            case _Sequence(parts):
                for part in parts:
                    self._emit(part)
            case _Either(options):
                self._emit_either(options)
            case _Repeat(part, least, most):
                for _ in range(least):
                    self._emit(part)
                if most is None:
                    self._emit_optional(part, again=True)
                else:
                    for _ in range(most - least):
                        self._emit_optional(part, again=False)
            case _:
                self._add(_Step(node))

    def _emit_optional(self, part: _Node, *, again: bool) -> None:
        fork = self._add(_Step())
        self._emit(part)
        if again:
            self._add(_Step(to=(fork,)))
        self._program[fork].to = (fork + 1, len(self._program))

    def _emit_either(self, options: tuple[_Node, ...]) -> None:
        fork = self._add(_Step())
        exits = []
        begins = []
        for option in options:
            begins.append(len(self._program))
            self._emit(option)
            exits.append(self._add(_Step()))
        self._program[fork].to = tuple(begins)
        for exit_ in exits:
            self._program[exit_].to = (len(self._program),)


class _Reader:
    """One pass over the written pattern."""

    def __init__(self, written: str) -> None:
        self._text = written
        self._at = 0
        self._depth = 0

    def pattern(self) -> _Node:
        node = self._either()
        if self._at < len(self._text):
            raise ValueError("a parenthesis is closed that was not opened")
        return node

    def _either(self) -> _Node:
        options = [self._sequence()]
        while self._skip("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else _Either(tuple(options))

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._counted(self._atom()))
        return _Sequence(tuple(parts))

    def _counted(self, node: _Node) -> _Node:
        count = self._count()
        if count is None:
            return node
        if isinstance(node, _Edge):
            raise ValueError("an edge cannot be repeated")
        self._skip("?")  # a lazy count finds another match, but finds one whenever there is one
        if self._text[self._at : self._at + 1] in ("*", "+", "?", "{"):
            raise ValueError("dialects differ on a count of a count")
        return _Repeat(node, *count)

    def _count(self) -> tuple[int, int | None] | None:
        for sign, count in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skip(sign):
                return count
        if not self._skip("{"):
            return None
        inside, closed, _ = self._text[self._at :].partition("}")
        low, comma, high = inside.partition(",")
        self._at += len(inside) + 1
        if not closed or not low.isdigit() or not (high.isdigit() or not high) or len(inside) > 7:
            raise ValueError("a brace that is not a count is written \\{")
        least = int(low)
        most = least if not comma else int(high) if high else None
        if max(least, most or 0) > COUNT_MAX or (most is not None and most < least):
            raise ValueError(f"a count is above {COUNT_MAX}, or its limits are the wrong way round")
        return least, most

    def _atom(self) -> _Node:
        sign = self._text[self._at]
        self._at += 1
        match sign:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                return _Characters(self._escape())
            case ".":
                return _Characters(_ANY)
            case "^" | "$":
                return _Edge(end=sign == "$")
            case _ if sign in _SPECIAL:
                raise ValueError(f"{sign} stands for nothing here")
        return _Characters(_mask(sign))

    def _group(self) -> _Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise ValueError("groups are too deep")
        if self._skip("?") and not self._skip(":"):
            raise ValueError("look-around, flags and names are not read here")
        node = self._either()
        if not self._skip(")"):
            raise ValueError("a parenthesis is not closed")
        self._depth -= 1
        return _Sequence((node,))

    def _escape(self) -> int:
        sign = self._text[self._at : self._at + 1]
        self._at += 1
        if sign in _CLASSES:
            return _CLASSES[sign]
        if not sign or sign.isalnum():
            raise ValueError("back-references, \\b and other escapes are not read here")
        return _mask(sign)

    def _class(self) -> _Node:
        negated = self._skip("^")
        mask = 0
        start = self._at
        while not self._skip("]") or self._at == start + 1:
            if self._text.startswith(_DIALECTS_DIFFER, self._at) or self._at >= len(self._text):
                raise ValueError("a class is not closed, or dialects differ on it")
            mask |= self._range()
        return _Characters(_ASCII & ~mask if negated else mask)

    def _range(self) -> int:
        first = self._member()
        closing = self._text[self._at + 1 : self._at + 2] == "]"
        if closing or not self._skip("-"):
            return first
        last = self._member()
        low, high = first.bit_length() - 1, last.bit_length() - 1
        if first != 1 << low or last != 1 << high or high < low:
            raise ValueError("a range needs two characters in order")
        return (1 << high + 1) - (1 << low)

    def _member(self) -> int:
        sign = self._text[self._at : self._at + 1]
        self._at += 1
        if sign == "\\":
            return self._escape()
        if not sign or sign in "[]":
            raise ValueError("a class is not closed, or dialects differ on it")
        return _mask(sign)

    def _skip(self, sign: str) -> bool:
        found = self._text.startswith(sign, self._at)
        self._at += len(sign) * found
        return found


def _readable(text: str) -> bool:
    return text.isascii() and all(one.isprintable() or one in "\n\t" for one in text)
