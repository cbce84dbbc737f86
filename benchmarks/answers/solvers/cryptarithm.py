"""Cryptarithms: words that add up when each letter stands for its own digit.

One step is one digit tried for one letter. No number begins with 0. The tasks have one solution.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from operator import mul
from random import Random
from typing import Final

from benchmarks.answers.solvers.solver import (
    HYPOTHESES_MAX,
    Call,
    Candidates,
    Solver,
    in_order,
    only_pairs,
    pairs_in,
)

NAME: Final = "cryptarithm"
QUOTED_MAX: Final = 6
WORD_LETTERS_MAX: Final = 8

Digits = dict[str, int]


@dataclass(frozen=True, slots=True)
class Puzzle:
    """Words that are added, their sum, and what each letter counts for in (words - sum)."""

    words: tuple[str, ...]
    total: str
    letters: tuple[str, ...]  # in the order of first appearance
    leading: frozenset[str]  # letters that cannot be 0
    worth: dict[str, int]


def puzzle(words: Sequence[str], total: str) -> Puzzle:
    """A puzzle of these words."""
    worth: dict[str, int] = {}
    for word in words:
        for place, letter in enumerate(reversed(word)):
            worth[letter] = worth.get(letter, 0) + 10**place
    for place, letter in enumerate(reversed(total)):
        worth[letter] = worth.get(letter, 0) - 10**place
    letters = tuple(dict.fromkeys("".join((*words, total))))
    leading = frozenset(word[0] for word in (*words, total) if len(word) > 1)
    return Puzzle(tuple(words), total, letters, leading, worth)


_TASK: Final = re.compile(r"Solve ([A-Z]{1,8}(?: \+ [A-Z]{1,8}){1,3}) = ([A-Z]{1,8})\b")


@lru_cache(maxsize=1_024)
def parse(text: str) -> Puzzle | None:
    """The puzzle of a task, or of the first task that a text quotes."""
    found = _TASK.search(text[:20_000])
    if found is None:
        return None
    one = puzzle(found[1].split(" + "), found[2])
    return one if len(one.letters) <= 10 else None


def asked(words: Sequence[str], total: str) -> str:
    """The task's text."""
    return f"Solve {' + '.join(words)} = {total}"


def shown(one: Puzzle, digits: Digits) -> str:
    """The digits as an answer."""
    return " ".join(f"{letter}={digits[letter]}" for letter in one.letters)


# The exact check.


def is_right(one: Puzzle, answer: str) -> bool:
    """Whether the answer gives every letter its own digit, none leading with 0, and adds up."""
    named = only_pairs(answer)
    if named is None or set(named) != set(one.letters):
        return False
    proper = all(0 <= digit <= 9 for digit in named.values()) and len(set(named.values())) == len(
        named
    )
    if not proper or any(named[letter] == 0 for letter in one.leading):
        return False
    table = str.maketrans({letter: str(digit) for letter, digit in named.items()})
    numbers = [int(word.translate(table)) for word in one.words]
    return sum(numbers) == int(one.total.translate(table))


def right_answer(one: Puzzle) -> str:
    """A solution. A puzzle without one is none of our tasks: ValueError."""
    found = solutions(one, at_most=1)
    if not found:
        raise ValueError("no digits solve this")
    return shown(one, found[0])


def solutions(one: Puzzle, at_most: int) -> list[Digits]:
    """The solutions, up to so many: the weightiest letters first, within what is left to add."""
    letters = _by_weight(one)
    least, most = _ranges(one, letters)
    found: list[Digits] = []

    def search(at: int, digits: Digits, so_far: int) -> None:
        if at == len(letters):
            found.append(dict(digits))
            return
        letter, used = letters[at], set(digits.values())
        worth = one.worth[letter]
        for digit in range(letter in one.leading, 10):
            now = so_far + worth * digit
            if digit not in used and now + least[at + 1] <= 0 <= now + most[at + 1]:
                digits[letter] = digit
                search(at + 1, digits, now)
                del digits[letter]
                if len(found) == at_most:
                    return

    search(0, {}, 0)
    return found


def _by_weight(one: Puzzle) -> list[str]:
    return sorted(one.letters, key=lambda letter: (-abs(one.worth[letter]), letter))


def _ranges(one: Puzzle, letters: Sequence[str]) -> tuple[list[int], list[int]]:
    """The least and the most that the letters from each place on can add, at 9 each."""
    least, most = [0], [0]
    for letter in reversed(letters):
        least.append(least[-1] + 9 * min(0, one.worth[letter]))
        most.append(most[-1] + 9 * max(0, one.worth[letter]))
    return least[::-1], most[::-1]


# What the ways share.


@dataclass(frozen=True, slots=True)
class Column:
    """One place of the sum: the letters above the line, and the one below it."""

    above: tuple[str, ...]
    below: str  # empty where the sum has no such place

    @property
    def letters(self) -> tuple[str, ...]:
        """Its letters, each once."""
        return tuple(dict.fromkeys((*self.above, *self.below)))

    def sums(self, digits: Digits, carry: int) -> tuple[bool, int]:
        """Whether the column adds up, and what it carries."""
        carried, digit = divmod(sum(digits[letter] for letter in self.above) + carry, 10)
        return digit == (digits[self.below] if self.below else 0), carried


@lru_cache(maxsize=512)
def _columns(words: tuple[str, ...], total: str) -> tuple[Column, ...]:
    length = max(map(len, (*words, total)))
    return tuple(
        Column(
            tuple(word[-place] for word in words if len(word) >= place),
            total[-place] if len(total) >= place else "",
        )
        for place in range(1, length + 1)
    )


def columns_of(one: Puzzle) -> tuple[Column, ...]:
    """The columns, last first."""
    return _columns(one.words, one.total)


def error(one: Puzzle, digits: Digits) -> int:
    """By how much words and sum differ; an impossible leading 0 counts as one column."""
    zeros = sum(digits[letter] == 0 for letter in one.leading)
    return abs(sum(worth * digits[letter] for letter, worth in one.worth.items())) + 10 * zeros


def wrong_columns(one: Puzzle, digits: Digits) -> int:
    """How many columns do not add up, and leading zeros."""
    wrong, carry = 0, 0
    for column in columns_of(one):
        fits, carry = column.sums(digits, carry)
        wrong += not fits
    return wrong + (carry > 0) + sum(digits[letter] == 0 for letter in one.leading)


class Best:
    """The few assignments of digits with the smallest error."""

    def __init__(self, one: Puzzle, call: Call) -> None:
        self.puzzle = one
        self.call = call
        self.seen: dict[str, float] = {}
        self.worst = math.inf
        self.solved = False
        self.deepest: Digits = {}  # the longest partial solution of a search that takes back

    def note(self, digits: Digits, cost: float) -> bool:
        """Keep digits if they are among the best; whether they solve the task."""
        if cost < self.worst or len(self.seen) < HYPOTHESES_MAX:
            text = shown(self.puzzle, digits)
            self.seen[text] = min(cost, self.seen.get(text, cost))
            if len(self.seen) > HYPOTHESES_MAX:
                del self.seen[max(self.seen, key=self.seen.__getitem__)]
            self.worst = max(self.seen.values())
            self.solved = self.solved or (cost == 0 and not self.call.is_barred(text))
        return self.solved

    def reach(self, digits: Digits) -> None:
        """Keep a partial solution if it is the longest so far."""
        if len(digits) > len(self.deepest):
            self.deepest = dict(digits)

    def give_up(self) -> None:
        """Note the longest partial solution, filled up as it may be."""
        whole = filled(self.puzzle, self.deepest, self.call.rng)
        self.note(whole, float(max(1, wrong_columns(self.puzzle, whole))))

    def candidates(self) -> Candidates:
        """What was found."""
        if self.solved:
            return [one for one in self.seen.items() if one[1] == 0]
        return list(self.seen.items())


def quoted(one: Puzzle, call: Call) -> list[Digits]:
    """Digits that others give to our letters, and memories of puzzles that share a word with ours.

    Each digit once; an answer without its puzzle is taken for one of ours.
    """
    found = []
    for quote in call.quoted:
        twin = parse(quote.text)
        words = set(() if twin is None else (*twin.words, twin.total))
        if twin is not None and not (call.reader.spend() and words & {*one.words, one.total}):
            continue
        digits: Digits = {}
        for letter, digit in pairs_in(quote.text).items():
            if letter in one.letters and digit <= 9 and digit not in digits.values():
                digits[letter] = digit
        if 2 * len(digits) > len(one.letters):
            found.append(digits)
    return found[:QUOTED_MAX]


def filled(one: Puzzle, digits: Digits, rng: Random) -> Digits:
    """All letters: those without a digit draw one of the rest, a leading 0 only as the last."""
    rest = [digit for digit in range(10) if digit not in digits.values()]
    rng.shuffle(rest)
    whole = dict(digits)
    open_ = [letter for letter in one.letters if letter not in whole]
    for letter in sorted(open_, key=lambda letter: letter not in one.leading):
        at = next((i for i, digit in enumerate(rest) if digit or letter not in one.leading), 0)
        whole[letter] = rest.pop(at)
    return whole


def try_quoted(one: Puzzle, call: Call, best: Best) -> list[Digits]:
    """Note quoted digits that solve this; all of them, unless an answer is barred.

    Digits that do not are no answer of one's own: at most a place to begin at.
    """
    if call.barred is not None:
        return []
    told = quoted(one, call)
    for digits in told:
        if best.solved or not call.meter.spend(len(one.letters)):
            break
        whole = filled(one, digits, call.guesses)
        if wrong_columns(one, whole) == 0:
            best.note(whole, 0.0)
    return told


def starts(one: Puzzle, call: Call, best: Best) -> Iterator[Digits]:
    """Where a search may begin: at quoted digits, then anywhere, without end."""
    yield from (filled(one, digits, call.guesses) for digits in try_quoted(one, call, best))
    while True:
        yield filled(one, {}, call.rng)


# The ways.


def columns(one: Puzzle, call: Call) -> Candidates:
    """Column by column from the last, taking back while steps last."""
    return _by_columns(one, call, zeros=False)


def columns_with_zeros(one: Puzzle, call: Call) -> Candidates:
    """The same by someone who was never told that numbers do not begin with 0."""
    return _by_columns(one, call, zeros=True)


def _by_columns(one: Puzzle, call: Call, *, zeros: bool) -> Candidates:
    best = Best(one, call)
    told = try_quoted(one, call, best)
    if best.solved:
        return best.candidates()
    order = _digit_order(one, call, told, zeros=zeros)
    places = columns_of(one)

    def search(at: int, digits: Digits, carry: int) -> bool | None:
        """True: solved; False: not from here; None: out of steps."""
        if at == len(places):
            return carry == 0 and best.note(digits, 0.0)
        letter = next((one for one in places[at].letters if one not in digits), None)
        if letter is None:
            fits, carried = places[at].sums(digits, carry)
            return search(at + 1, digits, carried) if fits else False
        best.reach(digits)
        used = set(digits.values())
        for digit in order[letter]:
            if digit in used:
                continue
            if not call.meter.spend():
                return None
            digits[letter] = digit
            found = search(at, digits, carry)
            if found is not False:
                return found
            del digits[letter]
        return False

    if search(0, {}, 0) is not True:
        best.give_up()
    return best.candidates()


def _digit_order(
    one: Puzzle, call: Call, told: Sequence[Digits], *, zeros: bool = False
) -> dict[str, list[int]]:
    """For each letter the digits in the order to try them: quoted ones first."""
    order = {}
    for letter in one.letters:
        first = told[0].get(letter, -1) if told else -1
        order[letter] = sorted(
            range(letter in one.leading and not zeros, 10),
            key=lambda digit: (digit != first, digit + call.jitter(20.0), digit),
        )
    return order


def bounds(one: Puzzle, call: Call) -> Candidates:
    """Letters by what they count for; a branch ends when the rest cannot make up the difference."""
    best = Best(one, call)
    told = try_quoted(one, call, best)
    if best.solved:
        return best.candidates()
    order = _digit_order(one, call, told)
    letters = _by_weight(one)
    least, most = _ranges(one, letters)

    def search(at: int, digits: Digits, so_far: int) -> bool | None:
        """True: solved; False: not from here; None: out of steps."""
        if at == len(letters):
            return so_far == 0 and best.note(digits, 0.0)
        best.reach(digits)
        letter, used = letters[at], set(digits.values())
        for digit in order[letter]:
            if digit in used:
                continue
            if not call.meter.spend():
                return None
            now = so_far + one.worth[letter] * digit
            if now + most[at + 1] < 0 or now + least[at + 1] > 0:
                continue
            digits[letter] = digit
            found = search(at + 1, digits, now)
            if found is not False:
                return found
            del digits[letter]
        return False

    if search(0, {}, 0) is not True:
        best.give_up()
    return best.candidates()


Accept = Callable[[int, int], bool]
"""Whether to go on with an error, given the one before."""


def _swaps(one: Puzzle, call: Call, accept: Accept, *, stuck_max: int) -> Candidates:
    """Exchange two digits at a time, used or not; begin again after so many refusals."""
    best, random = Best(one, call), call.rng.random
    for start in starts(one, call, best):
        slots: list[str | None] = [None] * 10
        for letter, digit in start.items():
            slots[digit] = letter
        worth = [one.worth[letter] if letter else 0 for letter in slots]
        total, stuck = sum(digit * worth[digit] for digit in range(10)), 0
        while stuck < stuck_max and call.meter.spend(2):
            i, j = int(10 * random()), int(10 * random())
            after = total + (j - i) * (worth[i] - worth[j])
            leads = (i == 0 and slots[j] in one.leading) or (j == 0 and slots[i] in one.leading)
            if leads or not accept(abs(total), abs(after)):
                stuck += 1
                continue
            stuck = 0 if abs(after) < abs(total) else stuck + 1
            slots[i], slots[j], worth[i], worth[j] = slots[j], slots[i], worth[j], worth[i]
            total = after
            if total == 0:
                break
        digits = {letter: digit for digit, letter in enumerate(slots) if letter}
        wrong = wrong_columns(one, digits)
        if best.note(digits, float(wrong)) or call.meter.empty:
            return best.candidates()
    return best.candidates()


def climbing(one: Puzzle, call: Call) -> Candidates:
    """Exchange digits while the difference between words and sum shrinks; then begin again."""
    return _swaps(one, call, lambda before, after: after < before, stuck_max=60)


def annealing(one: Puzzle, call: Call) -> Candidates:
    """The same, but worse differences pass while it is hot; heat counts in powers of ten."""
    meter, rng = call.meter, call.rng

    def accept(before: int, after: int) -> bool:
        heat = (0.1 + 0.5 * call.temperature) * (1 - min(1.0, meter.used / meter.limit)) + 0.02
        rise = math.log10(after + 1) - math.log10(before + 1)
        return rise <= 0 or rng.random() < math.exp(-rise / heat)

    return _swaps(one, call, accept, stuck_max=80)


BEAM_WIDTH: Final = 60


def beam(one: Puzzle, call: Call) -> Candidates:
    """Column by column, keeping a few of the partial solutions, drawn; takes nothing back."""
    best = Best(one, call)
    told = try_quoted(one, call, best)
    if best.solved:
        return best.candidates()
    states: list[tuple[Digits, int]] = [(digits, 0) for digits in _beginnings(told)]
    for column in columns_of(one):
        grown = [
            (digits, carried)
            for digits, carry in _column_filled(one, column, states, call)
            for fits, carried in [column.sums(digits, carry)]
            if fits
        ]
        if not grown:
            break
        call.rng.shuffle(grown)
        states = grown[:BEAM_WIDTH]
    for digits, _ in states:
        whole = filled(one, digits, call.rng)
        if best.note(whole, float(wrong_columns(one, whole))):
            break
    return best.candidates()


def _beginnings(told: Sequence[Digits]) -> list[Digits]:
    return [{}, *told[:2]]


def _column_filled(
    one: Puzzle, column: Column, states: Sequence[tuple[Digits, int]], call: Call
) -> list[tuple[Digits, int]]:
    """Every state with every way to give digits to the column's letters, while steps last."""
    grown = list(states)
    for letter in column.letters:
        wider = []
        for digits, carry in grown:
            if letter in digits:
                wider.append((digits, carry))
                continue
            used = set(digits.values())
            wider += [
                ({**digits, letter: digit}, carry)
                for digit in range(letter in one.leading, 10)
                if digit not in used and call.meter.spend()
            ]
        grown = wider
    return grown


def meeting(one: Puzzle, call: Call) -> Candidates:
    """Meet in the middle: what half of the letters come to must cancel what the others come to.

    Few letters it goes through in full; of many it draws what its steps allow.
    """
    best = Best(one, call)
    try_quoted(one, call, best)
    letters = in_order(one.letters, call)
    left, right = letters[: len(letters) // 2], letters[len(letters) // 2 :]
    share = (call.meter.limit - call.meter.used) // 2
    by_sum: dict[int, list[tuple[int, ...]]] = {}
    for digits in _ways(one, left, share, call):
        value = sum(map(mul, digits, [one.worth[letter] for letter in left]))
        by_sum.setdefault(-value, []).append(digits)
    worth = [one.worth[letter] for letter in right]
    for digits in _ways(one, right, share, call):
        for other in by_sum.get(sum(map(mul, digits, worth)), ()):
            if not set(digits) & set(other):
                found = dict(zip((*left, *right), (*other, *digits), strict=True))
                if best.note(found, 0.0):
                    return best.candidates()
    best.give_up()
    return best.candidates()


def _ways(one: Puzzle, letters: Sequence[str], share: int, call: Call) -> list[tuple[int, ...]]:
    """Ways to give different digits to the letters: all if the share of steps suffices."""
    every = _arrangements(len(letters))
    drawn = every if len(every) <= share else call.rng.sample(every, max(0, share))
    call.meter.used += len(drawn)
    heads = [at for at, letter in enumerate(letters) if letter in one.leading]
    return [digits for digits in drawn if all(digits[at] for at in heads)]


@lru_cache(maxsize=8)
def _arrangements(length: int) -> list[tuple[int, ...]]:
    return list(permutations(range(10), length))


SOLVERS: Final[tuple[Solver[Puzzle], ...]] = (
    Solver("columns", "columns", 1_000, columns),
    Solver("columns-with-zeros", "columns", 1_000, columns_with_zeros),
    Solver("bounds", "bounds", 400, bounds),
    Solver("climbing", "swaps", 10_000, climbing),
    Solver("annealing", "annealing", 10_000, annealing),
    Solver("beam", "beam", 2_500, beam),
    Solver("meeting", "meeting", 4_500, meeting),
)
