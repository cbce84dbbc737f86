"""When two answers are the same: numbers and labels have one form, prose is judged by wording."""

from __future__ import annotations

import pytest

from synapse.core.reasoning.canonical import canonical, grouped

SAME = [
    ("42", "42.0"),
    ("1,234", "1234"),
    ("$1,234.50", "1234.5"),
    ("+7", "7"),
    ("-0", "0"),
    ("0.0", "0e5"),
    ("1e3", "1000"),
    ("12.", " 12 "),
    ("12!", "12"),
    ("1" + "0" * 80, "1e80"),
    ("Paris", "paris."),
    ("  The Moon ", "the moon"),
    ("**Paris**", "paris"),
    ("`yes`", "Yes!"),
    ("Straße", "STRASSE"),
    ("north-east", "North East"),
    ("−5 °C", "-5 °C"),
]

DIFFERENT = [
    ("42", "43"),
    ("-5", "5"),
    ("0.1", "1"),
    ("1,23", "123"),
    ("yes", "no"),
    ("Paris", "not Paris"),
    ("C", "C++"),
    ("C#", "C++"),
    ("-5 m", "5 m"),
    ("a + b", "a - b"),
    ("x < 5", "x > 5"),
    ("50%", "50"),
    ("1267650600228229401496703205376", "1267650600228229401496703205377"),  # past 28 digits
    ("1e99", "1e-99"),
    ("", "0"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_answer_has_one_form_however_it_is_written(one: str, other: str) -> None:
    assert canonical(one) is not None
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_answers_have_different_forms(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize("prose", ["one two three four five", "", "…", "?!"])
def test_prose_and_nothing_at_all_have_no_form(prose: str) -> None:
    assert canonical(prose) is None


def test_a_number_of_sixty_thousand_digits_is_read_and_kept_apart_from_its_neighbour() -> None:
    long = "7" * 60_000
    assert canonical(long + "1") != canonical(long + "2")


def test_equal_labels_form_a_group_that_is_not_weak() -> None:
    grouping = grouped(["Paris", "Rome", "paris.", "ROME", "Oslo"])
    assert grouping.groups == (0, 1, 0, 1, 4)
    assert not grouping.weak


def test_prose_is_grouped_by_likeness_and_marked_weak() -> None:
    grouping = grouped(
        [
            "The tides follow the moon and the sun.",
            "The tides mostly follow the moon and the sun.",
            "Wind alone makes every wave upon the sea.",
        ]
    )
    assert grouping.groups == (0, 0, 2)
    assert grouping.weak


def test_one_answer_in_prose_makes_the_whole_count_weak() -> None:
    assert grouped(["Paris", "The answer to that question is surely Paris."]).weak


def test_a_label_joins_prose_that_says_little_more() -> None:
    assert grouped(["the blue whale it is", "the blue whale"]).groups == (0, 0)


def test_each_answer_joins_the_first_group_it_fits() -> None:
    answers = [
        "alpha beta gamma delta epsilon zeta",
        "alpha beta gamma delta eta theta",  # like the first: 4 of 8 words
        "gamma delta eta theta iota kappa",  # like the second only, which is no group's first
    ]
    assert grouped(answers).groups == (0, 0, 2)


def test_nothing_forms_no_groups() -> None:
    assert grouped([]).groups == ()
