"""Sums in letters: SEND + MORE = MONEY. Each letter is another digit, and no word begins with 0.

Solved column by column from the right, as one adds by hand, going back where a column fails.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from synapse.core.reasoning.tools.reading import bindings, question, says_there_is_none
from synapse.core.reasoning.tools.results import Check, Result, Solution

NAME: Final = "cryptarithm"
NONE: Final = "impossible"
STEPS_MAX: Final = 400_000  # digits tried: about 0.4 s
CHECK_STEPS_MAX: Final = 1_500  # the same, within 2 ms

_PUZZLE: Final = r"(?:cryptarithm|alphametic|verbal arithmetic(?: puzzle)?|cryptarithmetic puzzle)"
_ASKED: Final = re.compile(
    rf"solve (?P<named>(?:the |this )?{_PUZZLE} ?:? )?"
    r"(?P<sum>[A-Z]{2,12}(?: ?\+ ?[A-Z]{2,12}){1,5} ?= ?[A-Z]{2,12})"
    r"(?:[,.;:]? (?:where |in which )?each letter (?:is|stands for) "
    r"a (?:different|distinct) digit)?"
    r"(?:[,.;:]?(?: and)? (?:there are )?no leading zeros)?",
    re.IGNORECASE,
)
_UNNAMED_LETTERS_MIN: Final = 3  # `Solve PV + NR = RT` is algebra unless it is called a puzzle
_SUM_OF_NUMBERS: Final = re.compile(r"[0-9]{2,12}(?: ?\+ ?[0-9]{2,12}){1,5} ?= ?[0-9]{2,12}")
_DIGITS: Final = "0123456789"


@dataclass(frozen=True, slots=True)
class Puzzle:
    """Words that add up to `total`."""

    addends: tuple[str, ...]
    total: str

    @property
    def words(self) -> tuple[str, ...]:
        """The addends and the total, in the order written."""
        return (*self.addends, self.total)

    @property
    def letters(self) -> list[str]:
        """Every letter once, in the order in which the words name them."""
        return list(dict.fromkeys("".join(self.words)))


def solve(task: str) -> Solution | None:
    """`S=9 E=5 ...`, or `impossible`. None when it takes too long to find out."""
    puzzle = _understood(task)
    if puzzle is None:
        return None
    try:
        found = solved(puzzle, steps_max=STEPS_MAX)
    except OverflowError:
        return None
    if found is None:
        return Solution(NAME, NONE, "every digit of every letter was tried, column by column")
    written = " ".join(f"{letter}={found[letter]}" for letter in puzzle.letters)
    numbers = [str(_number(word, found)) for word in puzzle.words]
    return Solution(NAME, written, f"add: {' + '.join(numbers[:-1])} = {numbers[-1]}")


def check(task: str, answer: str) -> Check | None:
    """Put the digits in and add."""
    puzzle = _understood(task)
    if puzzle is None:
        return None
    if says_there_is_none(answer):
        return _no_digits(puzzle)
    said = _said(puzzle, answer)
    if not said:
        return Check(NAME, Result.UNKNOWN, "no single digit a letter is stated")
    if len(set(said.values())) < len(said):
        return Check(NAME, Result.FAIL, "two letters have one digit")
    zero = next((word[0] for word in puzzle.words if said.get(word[0]) == 0), None)
    if zero is not None:
        return Check(NAME, Result.FAIL, f"{zero} begins a word and is 0")
    if len(said) < len(puzzle.letters):
        return Check(NAME, Result.UNKNOWN, f"{len(puzzle.letters) - len(said)} letters are missing")
    total, wanted = sum(_number(word, said) for word in puzzle.addends), _number(puzzle.total, said)
    if total != wanted:
        return Check(NAME, Result.FAIL, f"the words add up to {total}, not {wanted}")
    return Check(NAME, Result.PASS, f"the words add up to {total}")


def solved(puzzle: Puzzle, *, steps_max: int) -> dict[str, int] | None:
    """A digit for each letter, or None if there is no way.

    Raises OverflowError after `steps_max` digits.
    """
    width = max(map(len, puzzle.words))
    columns = [_column(puzzle, place) for place in range(width)]
    leading = {word[0] for word in puzzle.words}
    waiting: list[tuple[int, int, dict[str, int]]] = [(0, 0, {})]  # column, carry, digits
    steps = 0
    while waiting:
        place, carry, digits = waiting.pop()
        if place == width:
            if carry == 0:
                return digits
            continue
        letters, below = columns[place]
        unknown = next((one for one in (*letters, below) if one and one not in digits), "")
        if not unknown:
            total = carry + sum(digits[one] for one in letters)
            if total % 10 == (digits[below] if below else 0):
                waiting.append((place + 1, total // 10, digits))
            continue
        used = digits.values()
        for digit in range(9, -1, -1):
            steps += 1
            if digit not in used and (digit or unknown not in leading):
                waiting.append((place, carry, {**digits, unknown: digit}))
        if steps > steps_max:
            raise OverflowError(f"more than {steps_max} steps")
    return None


def _column(puzzle: Puzzle, place: int) -> tuple[Sequence[str], str]:
    """The letters to add at a place from the right, and the one below; empty beyond the word."""
    below = puzzle.total[-1 - place] if place < len(puzzle.total) else ""
    return [word[-1 - place] for word in puzzle.addends if place < len(word)], below


def _number(word: str, digits: Mapping[str, int]) -> int:
    return int("".join(str(digits[letter]) for letter in word))


def _said(puzzle: Puzzle, answer: str) -> dict[str, int] | None:
    """The digits stated: letter by letter, or as the whole sum in digits."""
    numbers = _SUM_OF_NUMBERS.fullmatch(answer.strip().rstrip("."))
    if numbers is None:
        found = bindings(answer, puzzle.letters, _DIGITS)
        return None if found is None else {one: int(digit) for one, digit in found.items()}
    written = re.findall(r"[0-9]+", numbers.group())
    if list(map(len, written)) != list(map(len, puzzle.words)):
        return None
    digits: dict[str, int] = {}
    for letter, digit in zip("".join(puzzle.words), "".join(written), strict=True):
        if digits.setdefault(letter, int(digit)) != int(digit):
            return None
    return digits


def _no_digits(puzzle: Puzzle) -> Check:
    try:
        found = solved(puzzle, steps_max=CHECK_STEPS_MAX)
    except OverflowError:
        return Check(NAME, Result.UNKNOWN, "whether it is impossible takes too long to find out")
    if found is None:
        return Check(NAME, Result.PASS, "every digit of every letter fails")
    return Check(NAME, Result.FAIL, "there is a solution")


def _understood(task: str) -> Puzzle | None:
    text = question(task)
    found = _ASKED.fullmatch(text) if text is not None and len(text) <= 300 else None
    if found is None or not found["sum"].isupper():
        return None
    *addends, total = re.findall(r"[A-Z]+", found["sum"])
    puzzle = Puzzle(tuple(addends), total)
    shortest = min(map(len, puzzle.words))
    if not found["named"] and shortest < _UNNAMED_LETTERS_MIN:
        return None
    return puzzle if len(puzzle.letters) <= len(_DIGITS) else None
