"""Formulas, graphs, the 24 game and cryptarithms: solved in bounded steps, verified exactly."""

from __future__ import annotations

import pytest

from synapse.core.reasoning.tools import Result, check, solve

SAT = "Find a satisfying assignment of: (x1 or not x2 or x3) and (x2 or x4)"
NO_SAT = "Find a satisfying assignment of: (a or b) and not a and not b"
GRAPH = "Colour the graph with 3 colours: 1-2, 2-3, 1-3"
NO_GRAPH = "Color the graph with 2 colors: 1-2, 2-3, 1-3"
GAME = "Use 3, 8, 8, 3 each exactly once with + - * / and parentheses to make 24"
NO_GAME = "Make 24 from 1, 1 and 1"
LETTERS = "Solve SEND + MORE = MONEY"
MONEY = "S=9 E=5 N=6 D=7 M=1 O=0 R=8 Y=2"

SOLVED = [
    (SAT, "x1=1 x2=1 x3=0 x4=0"),
    ("Satisfy: a & (!b | c)", "a=1 b=0 c=0"),
    ("Find a satisfying assignment for the formula p ∨ ¬q", "p=1 q=0"),
    (NO_SAT, "unsatisfiable"),
    (GRAPH, "1=1 2=2 3=3"),
    ("Color the graph with edges a-b, b-c using two colors", "a=2 b=1 c=2"),
    ("Find a proper 2-colouring of the graph: a-b; b-c", "a=2 b=1 c=2"),
    (NO_GRAPH, "impossible"),
    ("Colour the graph with 3 colours: 1-1", "impossible"),
    (GAME, "8 / (3 - (8 / 3))"),
    ("24 game: 4 7 8 8", "4 * (7 - (8 / 8))"),
    ("Use the numbers 2, 3 exactly once to make 5", "2 + 3"),
    (NO_GAME, "impossible"),
    (LETTERS, MONEY),
    ("Solve the cryptarithm TO + GO = OUT", "T=2 O=1 G=8 U=0"),
    ("Solve the cryptarithm AA + AA = AA", "impossible"),
]
NOT_UNDERSTOOD = [
    "Find a satisfying assignment of: a or b and c",  # which binds first?
    "Find a satisfying assignment of: (a xor b)",
    "Find a satisfying assignment of: (a or (b and c))",
    "Find a satisfying assignment of: (a or A)",
    "Find a satisfying assignment of: (a or b) with as few ones as possible",
    "Find a satisfying assignment of:",
    "Find all satisfying assignments of: (a or b)",
    "Colour the graph with 3 colours: 1-2, 2-3, and leave 3 red",
    "Colour the graph with 3 colours",
    "Colour the graph with 99 colours: 1-2",
    "Colour the map of Europe with 4 colours",
    "Use 3, 8, 8, 3 to make 24 using only addition",
    "Make 24 sandwiches from 3 8 8 3",
    "Use 1 2 3 4 5 6 7 8 to make 24",
    "Solve AB + CD = EF",  # may be algebra
    "Solve X + Y = Z",
    "Solve SEND + MORE = MONEY for cents",
    "Solve ABCDE + FGHIJ = KLMNO",  # more letters than digits
    "Solve send + more = money",
]


@pytest.mark.parametrize(("task", "answer"), SOLVED)
def test_what_is_understood_is_solved_and_passes_its_own_check(task, answer):
    found = solve(task)
    assert found is not None
    assert found.answer == answer
    verdict = check(task, answer)
    assert verdict is not None
    assert (verdict.tool, verdict.result) == (found.tool, Result.PASS)


@pytest.mark.parametrize("task", NOT_UNDERSTOOD)
def test_what_is_not_understood_in_whole_is_left_alone(task):
    assert solve(task) is None
    assert check(task, "a=1 b=1") is None


VERDICTS = [
    (SAT, "x1=True, x2=False, x3=False, x4=True", Result.PASS),
    (SAT, "A satisfying assignment is x1: 1, x2: 0, x3: 0, x4: 1.", Result.PASS),
    (SAT, "The answer is x1=1 x2=0 x3=0 x4=true", Result.PASS),
    (SAT, "x1=0 x2=1 x3=0 x4=0", Result.FAIL),
    (SAT, "x2=0 x4=0", Result.FAIL),
    (SAT, "x1=1 x4=1", Result.UNKNOWN),  # not all of them
    (SAT, "x1=1 x2=0 x3=0 x4=1 x1=0", Result.UNKNOWN),
    (SAT, "x1=1 x2=0 x3=0 x4=1 is not a solution", Result.UNKNOWN),
    (SAT, "x1=1 x2=0 x3=0 x4=1 x5=1", Result.UNKNOWN),
    (SAT, "unsatisfiable", Result.FAIL),
    (SAT, "It is not unsatisfiable", Result.UNKNOWN),
    (NO_SAT, "It is unsatisfiable.", Result.PASS),
    (NO_SAT, "a=1 b=0", Result.FAIL),
    (GRAPH, "1: red, 2: green, 3: blue", Result.PASS),
    (GRAPH, "Vertex 1 is Red, vertex 2 is green and vertex 3 is blue.", Result.PASS),
    (GRAPH, "1: red, 2: Red, 3: blue", Result.FAIL),
    (GRAPH, "1=1 2=2", Result.UNKNOWN),
    (GRAPH, "1=1 2=1", Result.FAIL),
    (GRAPH, "1=1 2=2 3=3 4=1", Result.UNKNOWN),
    (GRAPH, "1 is joined to 2", Result.UNKNOWN),
    ("Colour the graph with 2 colours: a-b, c-d", "a=1 b=2 c=3 d=1", Result.FAIL),
    (GRAPH, "impossible", Result.FAIL),
    (NO_GRAPH, "No proper coloring exists.", Result.PASS),
    (GAME, "8/(3-8/3)", Result.PASS),
    (GAME, "8 ÷ (3 − 8 ÷ 3) = 24", Result.PASS),
    (GAME, "The answer is 8 / (3 - 8/3).", Result.PASS),
    (GAME, "24 = 8/(3-8/3)", Result.PASS),
    (GAME, "8+8+3+3", Result.FAIL),
    (GAME, "3 * 8", Result.FAIL),
    (GAME, "(33 - 9) * 1", Result.FAIL),
    (GAME, "8/(3-3)*8", Result.FAIL),
    (GAME, "24", Result.FAIL),
    (GAME, "3^8 - 8/3", Result.UNKNOWN),
    (GAME, "8/(3-8/3) or 3*8", Result.UNKNOWN),
    (GAME, "not 8/(3-8/3)", Result.UNKNOWN),
    (GAME, "__import__('os')", Result.UNKNOWN),
    (GAME, "impossible", Result.FAIL),
    (NO_GAME, "impossible", Result.PASS),
    (LETTERS, "9567 + 1085 = 10652", Result.PASS),
    (LETTERS, "The solution is S=9, E=5, N=6, D=7, M=1, O=0, R=8, Y=2", Result.PASS),
    (LETTERS, "9567 + 1085 = 10653", Result.FAIL),
    (LETTERS, "9567 + 1085 = 10662", Result.UNKNOWN),  # E is 5 and 6
    (LETTERS, MONEY.replace("Y=2", "Y=3"), Result.FAIL),
    (LETTERS, MONEY.replace("Y=2", "Y=8"), Result.FAIL),
    (LETTERS, "M=0", Result.FAIL),
    (LETTERS, "S=9 E=5", Result.UNKNOWN),
    (LETTERS, "S=9 S=8", Result.UNKNOWN),
    (LETTERS, "S=95", Result.UNKNOWN),
]


@pytest.mark.parametrize(("task", "answer", "result"), VERDICTS)
def test_a_witness_is_put_in_and_an_unclear_one_is_unknown(task, answer, result):
    verdict = check(task, answer)
    assert verdict is not None
    assert verdict.result is result, verdict.evidence


def test_that_nothing_solves_a_large_instance_is_not_taken_on_trust():
    holes = " and ".join(
        [f"({' or '.join(f'p{i}h{j}' for j in range(6))})" for i in range(7)]
        + [f"(not p{i}h{k} or not p{j}h{k})" for k in range(6) for i in range(7) for j in range(i)]
    )
    verdict = check(f"Find a satisfying assignment of: {holes}", "unsatisfiable")
    assert verdict is not None
    assert verdict.result is Result.UNKNOWN
