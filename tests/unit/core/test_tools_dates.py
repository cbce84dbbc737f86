"""Dates are counted here, since the core may not import datetime: here it is the twin."""

from __future__ import annotations

import datetime
from random import Random

import pytest

from synapse.core.reasoning.tools import Result, check, solve
from synapse.core.reasoning.tools.dates import Day, day_number, day_of, weekday

EXACT = [
    ("How many days are between 2024-02-28 and 2024-03-01?", "2"),
    ("How many days are there between 2024-03-01 and 2024-02-28?", "2"),
    ("How many days are there from 1 January 2026 to 31 December 2026?", "364"),
    ("What day of the week is 2026-11-21?", "Saturday"),
    ("Which weekday was July 20, 1969?", "Sunday"),
    ("On what day of the week did 14th of July 1789 fall?", "Tuesday"),
    ("What date is 90 days after 2026-11-21?", "2027-02-19"),
    ("What date is 90 days after 21 November 2026?", "19 February 2027"),
    ("What date is a week before March 1, 2024?", "23 February 2024"),
    ("What date is 2 weeks from 2024-02-20?", "2024-03-05"),
    ("Is 1900 a leap year?", "no"),
    ("Is 2000 a leap year?", "yes"),
]
NOT_UNDERSTOOD = [
    "What day of the week is 2026-02-30?",
    "What day of the week is today?",
    "What day of the week is 03/04/2026?",  # two readings
    "What day of the week was 14 October 1066?",  # a Julian date
    "What date is 3 months after 2026-11-30?",  # no agreed meaning
    "What date is 90 working days after 2026-11-21?",
    "What date is 9999999 days after 2026-11-21?",  # beyond four digits of a year
    "How many days are between 2024-02-28 and 2024-03-01 inclusive?",
    "How many days are from 2024-03-01 to 2024-02-28?",
    "How many days are between ٢٠٢٤-02-28 and 2024-03-01?",
    "What happened on 2026-11-21?",
]


@pytest.mark.parametrize(("task", "answer"), EXACT)
def test_what_is_understood_is_answered_exactly_and_passes_its_own_check(task, answer):
    found = solve(task)
    assert found is not None
    assert (found.tool, found.answer) == ("dates", answer)
    verdict = check(task, answer)
    assert verdict is not None
    assert verdict.result is Result.PASS


@pytest.mark.parametrize("task", NOT_UNDERSTOOD)
def test_what_is_not_understood_in_whole_is_left_alone(task):
    assert solve(task) is None
    assert check(task, "Saturday") is None


def test_days_are_numbered_as_datetime_numbers_them():
    random = Random(7)
    numbers = [1, 365, 366, 1461, 146_097, 146_098, 3_652_059]
    numbers += [random.randint(1, 3_652_059) for _ in range(3_000)]
    for number in numbers:
        date = datetime.date.fromordinal(number)
        day = Day(date.year, date.month, date.day)
        assert day_of(number) == day
        assert day_number(day) == number
        assert weekday(day) == date.strftime("%A")


ANSWERS = [
    ("What day of the week is 2026-11-21?", "It is a Saturday.", Result.PASS),
    ("What day of the week is 2026-11-21?", "2026-11-21 falls on a Saturday", Result.PASS),
    ("What day of the week is 2026-11-21?", "Sunday", Result.FAIL),
    ("What day of the week is 2026-11-21?", "Saturday or Sunday", Result.UNKNOWN),
    ("What day of the week is 2026-11-21?", "Not a Saturday", Result.UNKNOWN),
    ("What day of the week is 2026-11-21?", "2026-11-22 is a Saturday", Result.UNKNOWN),
    ("What date is 90 days after 2026-11-21?", "19 February 2027", Result.PASS),
    ("What date is 90 days after 2026-11-21?", "February 19th, 2027.", Result.PASS),
    ("What date is 90 days after 2026-11-21?", "Friday, 19 February 2027", Result.PASS),
    ("What date is 90 days after 2026-11-21?", "Monday, 19 February 2027", Result.UNKNOWN),
    ("What date is 90 days after 2026-11-21?", "2027-02-20", Result.FAIL),
    ("What date is 90 days after 2026-11-21?", "2027-02-19 or 2027-02-20", Result.UNKNOWN),
    ("What date is 90 days after 2026-11-21?", "19.02.2027", Result.UNKNOWN),
    ("How many days are between 2024-02-28 and 2024-03-01?", "2 days", Result.PASS),
    (
        "How many days are between 2024-02-28 and 2024-03-01?",
        "There are 2 days between 2024-02-28 and 2024-03-01.",
        Result.PASS,
    ),
    ("How many days are between 2024-02-28 and 2024-03-01?", "3", Result.FAIL),
    ("How many days are between 2024-02-28 and 2024-03-01?", "2 weeks", Result.UNKNOWN),
    ("Is 1900 a leap year?", "No, 1900 is not a leap year.", Result.PASS),
    ("Is 1900 a leap year?", "No, 1900 is a leap year.", Result.UNKNOWN),
    ("Is 1900 a leap year?", "Yes.", Result.FAIL),
]


@pytest.mark.parametrize(("task", "answer", "result"), ANSWERS)
def test_an_answer_is_judged_only_when_it_states_one_thing(task, answer, result):
    verdict = check(task, answer)
    assert verdict is not None
    assert verdict.result is result
