"""Tasks and answers made to exhaust a spore end early. Steps are counted, so time is not."""

from __future__ import annotations

from itertools import combinations

import pytest

from synapse.core.reasoning.tools import Result, Solution, check, solve
from synapse.core.reasoning.tools.expressions import DEPTH_MAX, expression
from synapse.core.reasoning.tools.rational import DIGITS_MAX, Rational, number
from synapse.core.reasoning.tools.reading import ANSWER_CHARACTERS_MAX, TASK_CHARACTERS_MAX

REFUSED = [
    "Compute 10^9 ** 10^9",
    "Compute (10^9) ^ (10^9)",
    "Compute 9^9^9",
    "Compute 2^(2^100)",
    "Compute 1e999 + 1",
    "Compute 1e99999999 + 1",
    "Compute " + "9" * (DIGITS_MAX + 1) + " + 1",
    "Compute " + "9" * 7_000 + " + 1",
    "Compute " + "9" * 200 + " * " + "9" * 200,
    "Compute " + "(" * 3_000 + "1 + 1" + ")" * 3_000,
    "Compute " + "-" * 7_000 + "1",
    "Compute " + "1 + " * 1_900 + "1",
    "Compute " + " + ".join(f"1/{prime}" for prime in range(10**5 + 1, 10**5 + 150, 2)),
    "Compute ١٢٣ + ٤٥٦",
    "Compute １２ + ３４",
    "Compute ² + ³",
    "Compute 1 + 1" + " " * 9_000,
    "What day of the week is ２０２６-11-21?",
    "What date is 99999999999999999999 days after 2026-11-21?",
    "How many km is " + "9" * 390 + " miles",
    "Find a satisfying assignment of: " + "(" * 3_000 + "a" + ")" * 3_000,
    "Find a satisfying assignment of: " + "not " * 1_900 + "a",
    "Colour the graph with 3 colours: " + "-" * 7_000,
    "Use 1 2 3 4 5 6 to make 99999999999999999999",
    "Solve " + "A" * 5_000 + " + " + "B" * 2_000 + " = C",
    "Solve SEND + MORE = МОNЕУ",  # letters that only look Latin
    "answer with a string that matches the regex /" * 170,
    "\x00What is 1 + 1?",
    "What is 1 + 1?\ud800",
]


@pytest.mark.parametrize("task", REFUSED, ids=range(len(REFUSED)))
def test_a_task_beyond_the_limits_is_nobodys_kind(task):
    assert solve(task) is None
    assert check(task, "1") is None


def pigeons(count):
    """So many pigeons in one hole fewer: unsatisfiable, and famously slow to find out."""
    some = [f"({' or '.join(f'p{i}h{j}' for j in range(count - 1))})" for i in range(count)]
    clash = [
        f"(not p{one}h{j} or not p{other}h{j})"
        for j in range(count - 1)
        for one, other in combinations(range(count), 2)
    ]
    return "Find a satisfying assignment of: " + " and ".join(some + clash)


def sparse_graph(size):
    """Far too many ways to colour it with three colours, and none that is quickly found."""
    edges = {(a, (a * a + b) % size) for a in range(size) for b in (1, 7)}
    kept = sorted((min(edge), max(edge)) for edge in edges if edge[0] != edge[1])
    return "Colour the graph with 3 colours: " + ", ".join(f"{a}-{b}" for a, b in kept)


SLOW = [
    pigeons(8),
    sparse_graph(180),
    "Use 97, 89, 83, 79, 73, 71 to make 99999",
    "Solve ABCDEFGHIJ + BCDEFGHIJA = CDEFGHIJAB",
]


@pytest.mark.parametrize("task", SLOW, ids=["sat", "graph", "game", "letters"])
def test_a_hard_instance_is_solved_or_given_up(task):
    found = solve(task)
    assert found is None or check(task, found.answer).result is not Result.FAIL


ANSWERS = [
    "9" * 9_000,
    "(" * 3_900,
    "=" * 3_900,
    " is " * 900,
    "`" * 3_900,
    "**a" * 1_200,
    "the answer is " * 270,
    "about " * 600 + "((",
    "x1=1 " * 790,
    "{" * 3_900,
    "1/" * 1_900 + "7",
    "10^9^9^9",
    "1e999999999",
    "\x00",
    "\ud800",
    "١",
]
TASKS = [
    "What is 1 + 1?",
    "how many km is 5 miles",
    "What day of the week is 2026-11-21?",
    "How many days are between 2024-02-28 and 2024-03-01?",
    "Is 1900 a leap year?",
    "Find a satisfying assignment of: (x1 or x2)",
    "Colour the graph with 3 colours: 1-2",
    "24 game: 4 7 8 8",
    "Solve SEND + MORE = MONEY",
]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
def test_a_hostile_answer_never_passes_and_never_raises(task, answer):
    verdict = check(task, answer)
    assert verdict is not None
    assert verdict.result is not Result.PASS


def test_limits_are_where_they_say_they_are():
    assert expression("(" * DEPTH_MAX + "1" + ")" * DEPTH_MAX).value == Rational.of(1)
    with pytest.raises(ValueError, match="too deep"):
        expression("(" * (DEPTH_MAX + 1) + "1" + ")" * (DEPTH_MAX + 1))
    assert number("9" * DIGITS_MAX).top == 10**DIGITS_MAX - 1
    with pytest.raises(OverflowError):
        Rational.of(10**DIGITS_MAX) * Rational.of(10)
    assert Rational.of(-1) ** Rational.of(10**80 + 1) == Rational.of(-1)
    task = "What is 1 + 1?".ljust(TASK_CHARACTERS_MAX)
    assert isinstance(solve(task), Solution)
    assert solve(task + " ") is None
    assert check("What is 1 + 1?", "2".ljust(ANSWER_CHARACTERS_MAX)).result is Result.PASS
    assert check("What is 1 + 1?", "2".ljust(ANSWER_CHARACTERS_MAX + 1)).result is Result.UNKNOWN
