"""Grades in, weights out: each counts once, in whatever order, and nobody is infallible."""

from __future__ import annotations

import math
from random import Random

import pytest

from synapse.core.memory.record import GRADE, MEMORY, Record
from synapse.core.trust.evidence import Evidence, Grade
from synapse.core.trust.weights import PROBABILITY_MAX, probability, weight
from tests.making import identity, record


def grade(
    right: object, *, seq: int = 1, observer: int = 1, kind: str = GRADE, **fields: object
) -> Record:
    said = {"family": "polar", "task_kind": "text", "right": right, "source": "user", **fields}
    return record(said, kind=kind, seq=seq, writer=identity(observer))


def totals(*grades: Record) -> tuple[int, int]:
    evidence = Evidence()
    for one in grades:
        evidence.absorb(one)
    return evidence.counts.totals(("polar", "text"))


def test_right_and_wrong_are_counted() -> None:
    evidence = Evidence()
    assert evidence.absorb(grade(1)) == Grade("polar", "text", True, "user")
    assert evidence.absorb(grade(0, seq=2)) == Grade("polar", "text", False, "user")
    assert evidence.absorb(grade(1, observer=2)) == Grade("polar", "text", True, "user")
    assert evidence.counts.totals(("polar", "text")) == (2, 1)
    assert evidence.counts.totals(("solar", "text")) == (0, 0)
    assert evidence.counts.graded() == [("polar", "text")]


def test_a_grade_that_comes_twice_counts_once() -> None:
    assert totals(grade(1), grade(1), grade(1)) == (1, 0)


@pytest.mark.promise("convergent")
def test_the_order_of_arrival_does_not_matter() -> None:
    rng = Random(4)
    grades = [grade(rng.randrange(2), seq=seq, observer=1 + seq % 3) for seq in range(1, 30)]
    expected = totals(*grades)
    assert sum(expected) == 29
    for _ in range(20):
        rng.shuffle(grades)
        assert totals(*grades, *grades[:9]) == expected


@pytest.mark.parametrize(
    "nonsense",
    [
        grade(2),
        grade(None),
        grade("1"),
        grade([1]),
        grade(1, family=7),
        grade(1, task_kind=None),
        grade(1, kind=MEMORY),
        grade(1).without_body(),
    ],
)
def test_nonsense_is_no_grade(nonsense: Record) -> None:
    assert Evidence().absorb(nonsense) is None
    assert totals(nonsense) == (0, 0)


def test_the_worked_example() -> None:
    # Nobody graded it: Beta(1.2, 0.8) has mean 0.6, and ln(0.6 / 0.4) - ln(0.3) = 1.6094.
    assert probability(0, 0) == pytest.approx(0.6)
    assert weight(0, 0) == pytest.approx(1.6094, abs=1e-4)
    # Right 8 times and wrong twice: (8 + 1.2) / (10 + 2) = 0.76667, ln(3.28571) + 1.20397.
    assert probability(8, 2) == pytest.approx(0.76667, abs=1e-5)
    assert weight(8, 2) == pytest.approx(2.39356, abs=1e-5)


def test_nobody_becomes_infallible_and_nobody_votes_against() -> None:
    assert probability(10**9, 0) == PROBABILITY_MAX < 1
    assert math.isfinite(weight(10**9, 0))
    assert weight(0, 10**9) == 0.0


def test_more_right_answers_never_weigh_less() -> None:
    for wrong in range(6):
        weights = [weight(right, wrong) for right in range(40)]
        assert weights == sorted(weights)
