"""Dates of the Gregorian calendar: days between, days after, days of the week, leap years.

Day numbers are counted here, day 1 being 1 January of year 1, as in ISO 8601's proleptic calendar.
Tasks about years before 1583 are left alone: dates that old are usually Julian.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from synapse.core.reasoning.tools.amounts import amount, judged
from synapse.core.reasoning.tools.rational import Rational
from synapse.core.reasoning.tools.reading import is_harmless, question, statement
from synapse.core.reasoning.tools.results import Check, Result, Solution

NAME: Final = "dates"
YEAR_MIN: Final = 1583  # the first whole year of the Gregorian calendar
YEAR_MAX: Final = 9999  # ISO 8601 without an agreement
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)

_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NAMES: Final = {name.lower(): i for i, name in enumerate(MONTHS, start=1)}
_SHORT: Final = {name[:3]: i for name, i in _NAMES.items()} | {"sept": 9}
_MONTH: Final = "|".join(
    sorted((*_NAMES, *(rf"{name}\b\.?" for name in _SHORT)), key=len, reverse=True)
)
DATE: Final = (  # ISO, 21 November 2026, November 21, 2026
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}"
    rf"|(?:the )?[0-9]{{1,2}}(?:st|nd|rd|th)? (?:of )?(?:{_MONTH}),? [0-9]{{4}}"
    rf"|(?:{_MONTH}) (?:the )?[0-9]{{1,2}}(?:st|nd|rd|th)?,? [0-9]{{4}})(?![-\w])"
)
_BETWEEN: Final = re.compile(
    rf"how many days (?:are |are there |is it |is |lie )?(between|from) ({DATE}) (and|to) ({DATE})",
    re.I,
)
_WEEKDAY: Final = re.compile(
    r"(?:(?:what|which) (?:day of the week|weekday) (?:is|was|will be|will) (?:it on )?"
    r"|on (?:what|which) (?:day of the week|weekday) (?:is|was|does|did|will) )"
    rf"({DATE})(?: be| fall)?(?: on)?",
    re.I,
)
_SHIFTED: Final = re.compile(
    r"(?:what|which) (?:is the )?date (?:is |was |will be |comes |falls )?([0-9]{1,7}|an?|one) "
    rf"(days?|weeks?) (after|before|from) ({DATE})",
    re.I,
)
_LEAP: Final = re.compile(r"(?:is|was) (?:the year )?([0-9]{4}) a leap year", re.I)
_ANY_DATE: Final = re.compile(rf"\b{DATE}", re.I)
_BOUND: Final = re.compile(rf"\b(?:(?:between|from|and|to) )?{DATE}", re.I)
_ANY_WEEKDAY: Final = re.compile(rf"\b(?:{'|'.join(WEEKDAYS)})\b", re.I)
_YES: Final = re.compile(
    r"(yes|no)\b[,. ]*(?:(?:it|this|([0-9]{4})) (?:is|was)( not|n't)? (?:a )?leap year)?"
)


class Day(NamedTuple):
    """A date. Compares as dates do."""

    year: int
    month: int
    day: int


def is_leap(year: int) -> bool:
    """Whether a year has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days_of(year: int, month: int) -> int:
    """How many days a month has."""
    return _LENGTHS[month - 1] + (month == 2 and is_leap(year))


def day_number(date: Day) -> int:
    """Days since the last day of year 0."""
    past = date.year - 1
    months = sum(days_of(date.year, month) for month in range(1, date.month))
    return 365 * past + past // 4 - past // 100 + past // 400 + months + date.day


def day_of(number: int) -> Day:
    """The date with this day number, which is at least 1."""
    year = number // 366 + 1  # never too late, and at most 21 years early within four digits
    while day_number(Day(year + 1, 1, 1)) <= number:
        year += 1
    month = 1
    rest = number - day_number(Day(year, 1, 1)) + 1
    while rest > days_of(year, month):
        rest -= days_of(year, month)
        month += 1
    return Day(year, month, rest)


def weekday(date: Day) -> str:
    """The English name of its day of the week. Day 1 was a Monday."""
    return WEEKDAYS[(day_number(date) - 1) % 7]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is wanted: a number of days, a weekday, a date, or yes or no."""

    answer: int | str | Day | bool
    iso: bool = True
    given: tuple[Day, ...] = ()

    @property
    def written(self) -> str:
        if isinstance(self.answer, bool):
            return "yes" if self.answer else "no"
        if isinstance(self.answer, Day):
            year, month, day = self.answer
            return (
                f"{year}-{month:02}-{day:02}" if self.iso else f"{day} {MONTHS[month - 1]} {year}"
            )
        return str(self.answer)


def solve(task: str) -> Solution | None:
    """Days, a weekday, yes or no, or a date in the form the task writes dates in."""
    asked = _understood(task)
    if asked is None:
        return None
    return Solution(NAME, asked.written, "count the days in any Gregorian calendar")


def check(task: str, answer: str) -> Check | None:
    """Count again and compare with the one number, weekday, date or `yes` the answer holds."""
    asked = _understood(task)
    if asked is None:
        return None
    right = _is_right(asked, answer)
    if right is None:
        return Check(NAME, Result.UNKNOWN, "no single answer is stated")
    return Check(NAME, Result.PASS if right else Result.FAIL, f"counted again: {asked.written}")


def _is_right(asked: _Asked, answer: str) -> bool | None:
    text = statement(answer)
    if text is None:
        return None
    if isinstance(asked.answer, bool):
        return _said_yes_right(asked.answer, text)
    if isinstance(asked.answer, int):
        said = amount(" ".join(_BOUND.sub(" ", text).split()))
        if said is None or said.unit:
            return None
        return judged(Rational.of(asked.answer), said, "")[0] is Result.PASS
    dates = [_read(one) for one in _ANY_DATE.findall(text)]
    days = [one.capitalize() for one in _ANY_WEEKDAY.findall(text)]
    rest = _ANY_WEEKDAY.sub(" ", _ANY_DATE.sub(" ", text))
    if not is_harmless(rest, ("after", "before", "from", "days", "weeks", "th")) or None in dates:
        return None
    if isinstance(asked.answer, str):
        others = [one for one in dates if one not in asked.given]
        return days[0] == asked.answer if len(days) == 1 and not others else None
    others = [one for one in dates if one not in asked.given] or dates
    if len(set(others)) != 1 or (days and days != [weekday(asked.answer)]):
        return None
    return others[0] == asked.answer


def _said_yes_right(right: bool, text: str) -> bool | None:
    found = _YES.fullmatch(text.lower().rstrip(". "))
    if found is None:
        return None
    yes = found[1] == "yes"
    contradicts = bool(found[2]) and yes == bool(found[3])
    return None if contradicts else yes == right


def _understood(task: str) -> _Asked | None:
    text = question(task)
    if text is None or len(text) > 200:  # one sentence, two dates
        return None
    try:
        return _days_between(text) or _weekday_of(text) or _shifted(text) or _leap(text)
    except ValueError:
        return None


def _days_between(text: str) -> _Asked | None:
    found = _BETWEEN.fullmatch(text)
    if found is None:
        return None
    between = found[1].lower() == "between"
    one, other = _day(found[2]), _day(found[4])
    if between != (found[3].lower() == "and") or (not between and other < one):
        return None
    return _Asked(abs(day_number(other) - day_number(one)))


def _weekday_of(text: str) -> _Asked | None:
    found = _WEEKDAY.fullmatch(text)
    if found is None:
        return None
    date = _day(found[1])
    return _Asked(weekday(date), given=(date,))


def _shifted(text: str) -> _Asked | None:
    found = _SHIFTED.fullmatch(text)
    if found is None:
        return None
    count = int(found[1]) if found[1].isdigit() else 1
    step = count * (7 if found[2].lower().startswith("week") else 1)
    date = _day(found[4])
    number = day_number(date) + (-step if found[3].lower() == "before" else step)
    if not day_number(Day(YEAR_MIN, 1, 1)) <= number <= day_number(Day(YEAR_MAX, 12, 31)):
        return None
    return _Asked(day_of(number), iso=found[4][4] == "-", given=(date,))


def _leap(text: str) -> _Asked | None:
    found = _LEAP.fullmatch(text)
    return _Asked(is_leap(int(found[1]))) if found and int(found[1]) >= YEAR_MIN else None


def _day(text: str) -> Day:
    """Read a date that a task gives. Raises ValueError for 30 February and years out of range."""
    date = _read(text)
    if date is None or date.year < YEAR_MIN:
        raise ValueError("not a date that is read here")
    return date


def _read(text: str) -> Day | None:
    numbers = [int(one) for one in re.findall(r"[0-9]+", text)]
    if len(numbers) == 3:
        year, month, day = numbers
    else:
        day, year = numbers
        named = re.findall(r"[a-z]+", text.lower())
        month = next(filter(None, (_NAMES.get(one) or _SHORT.get(one) for one in named)))
    if not (1 <= month <= 12 and year >= 1 and 1 <= day <= days_of(year, month)):
        return None
    return Day(year, month, day)
