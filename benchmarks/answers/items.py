"""Questions with one right answer, made from a seed, of kinds that no exact tool reads.

A tool that recomputed the answer would decide everything, and nothing would be learnt of the
models; a test holds that none understands a question here. Three kinds: stories with a sum in
them, small programs, and the calendar. The right answer is computed beside the text, never by
evaluating it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Final

from synapse.core.reasoning.kinds import Kind

_NAMES: Final = ("Rosa", "Idris", "Mei", "Tomas", "Wanjiru", "Lena", "Arun", "Noor", "Piet", "Ama")
_GOODS: Final = ("lamps", "kites", "jars of honey", "tulip bulbs", "chess sets", "pairs of gloves")
_WORDS: Final = (
    "harbour",
    "lantern",
    "meadow",
    "copper",
    "thimble",
    "orchard",
    "saffron",
    "gravel",
)
_WEEKDAYS: Final = (
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """A question, the form of its answer, and the right one."""

    topic: str  # stories, programs or calendar
    text: str
    kind: Kind
    right: str
    choices: tuple[str, ...] = ()


def items(count: int, *, seed: int) -> tuple[Item, ...]:
    """So many different questions, the kinds in turn; the first n of more are the same n."""
    rng = Random(f"items {seed}")
    made: dict[str, Item] = {}
    while len(made) < count:
        item = _MAKERS[len(made) % len(_MAKERS)](rng)
        made.setdefault(item.text, item)
    return tuple(made.values())


def stories(count: int, *, seed: int) -> tuple[Item, ...]:
    """So many different stories with a sum in them."""
    rng = Random(f"stories {seed}")
    made: dict[str, Item] = {}
    while len(made) < count:
        item = _story(rng)
        made.setdefault(item.text, item)
    return tuple(made.values())


def _story(rng: Random) -> Item:
    """Three to six things happen to a stock, each in words; then what it is worth, or what is left.

    Divisions come out even, and nothing goes below zero.
    """
    who, other = rng.sample(_NAMES, 2)
    goods = rng.choice(_GOODS)
    stock = rng.randint(12, 60)
    told = [f"{who} starts the week with {stock} {goods}."]
    for _ in range(rng.randint(3, 5)):
        stock, line = _happens(rng, stock, who, other)
        told.append(line)
    if rng.random() < 0.5:
        price = rng.randint(3, 19)
        told.append(f"Then {who} sells all that is left at {price} crowns apiece.")
        told.append("How many crowns does that bring in?")
        stock *= price
    else:
        told.append(f"How many {goods} does {who} have in the end?")
    return Item("stories", " ".join(told), Kind.NUMBER, str(stock))


def _happens(rng: Random, stock: int, who: str, other: str) -> tuple[int, str]:
    """One thing that happens to the stock: how much there is then, and how it is told."""
    less = rng.randint(1, max(1, stock // 2))
    boxes, each = rng.randint(2, 9), rng.randint(3, 14)
    parts = [n for n in (2, 3, 4, 5) if stock % n == 0]
    happenings: list[tuple[int, str]] = [
        (stock - less, f"On the market {less} of them are sold."),
        (stock + boxes * each, f"A cart brings {boxes} crates with {each} in each crate."),
        (stock + less, f"{other} gives back {less} that had been lent out."),
    ]
    if parts and stock > 5:
        n = rng.choice(parts)
        happenings.append(
            (
                stock - stock // n,
                f"A flood spoils one in every {n}, and those are thrown away.",
            )
        )
    if stock < 200:
        happenings.append((2 * stock, f"{other} then doubles whatever {who} has."))
    return rng.choice(happenings)


def _program(rng: Random) -> Item:
    """What a line of Python gives: the text and the value are made side by side."""
    numbers = [rng.randint(-9, 30) for _ in range(rng.randint(5, 8))]
    step, start = rng.randint(2, 3), rng.randint(0, 2)
    divisor, factor = rng.randint(2, 4), rng.randint(2, 7)
    word, second = rng.sample(_WORDS, 2)
    shift = rng.randint(1, 4)
    counts = {letter: word.count(letter) for letter in sorted(word)}
    made: list[tuple[str, object]] = [
        (
            f"sorted({numbers}, key=lambda n: (n % {divisor}, -n))[{start}::{step}]",
            sorted(numbers, key=lambda n: (n % divisor, -n))[start::step],
        ),
        (
            f"[n * {factor} for n in {numbers} if n % {divisor} == 1][::-1]",
            [n * factor for n in numbers if n % divisor == 1][::-1],
        ),
        (
            f"{word!r}[{shift}:] + {second!r}[::-{step}].upper()",
            word[shift:] + second[::-step].upper(),
        ),
        (
            f"[a + b for a, b in zip({word!r}, reversed({second!r}))][{start}:{start + 4}]",
            [a + b for a, b in zip(word, reversed(second), strict=False)][start : start + 4],
        ),
        (
            f"{{c: {word!r}.count(c) for c in sorted({word!r}) if c > 'h'}}",
            {letter: number for letter, number in counts.items() if letter > "h"},
        ),
        (
            f"[max({numbers}[i:i + 3]) - i for i in range({shift + 1})]",
            [max(numbers[i : i + 3]) - i for i in range(shift + 1)],
        ),
    ]
    expression, value = rng.choice(made)
    text = (
        f"What does this Python program print? Answer with the literal value.\n"
        f"value = {expression}\nprint(repr(value))"
    )
    return Item("programs", text, Kind.CODE, repr(value))


def _calendar(rng: Random) -> Item:
    """A date some days or working days away, by its weekday; or how many days lie between."""
    who = rng.choice(_NAMES)
    begins = date(2021, 1, 1) + timedelta(days=rng.randint(0, 1_500))
    said = f"{begins.day} {begins:%B} {begins.year}"
    days = rng.randint(20, 400)
    if rng.random() < 0.5:
        every, times = rng.randint(5, 23), rng.randint(4, 15)
        last = begins + timedelta(days=every * (times - 1))
        text = (
            f"{who} waters the cactus every {every} days, the first time on {said}. "
            f"On which weekday is it watered for the {_ordinal(times)} time?"
        )
        return Item("calendar", text, Kind.CHOICE, _WEEKDAYS[last.weekday()], _WEEKDAYS)
    ends = begins + timedelta(days=days)
    text = (
        f"{who} rents a boat from the morning of {said} to the evening of "
        f"{ends.day} {ends:%B} {ends.year}, and pays for every Sunday in that time, the first and "
        f"the last day included. How many Sundays is that?"
    )
    sundays = sum((begins + timedelta(days=n)).weekday() == 6 for n in range(days + 1))
    return Item("calendar", text, Kind.NUMBER, str(sundays))


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{endings.get(number % 10, 'th') if number not in (11, 12, 13) else 'th'}"


_MAKERS: Final[tuple[Callable[[Random], Item], ...]] = (_story, _program, _calendar)
