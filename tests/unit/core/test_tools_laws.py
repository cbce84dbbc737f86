"""What holds of every tool: its solutions pass its own check, and no wrong answer ever does.

Each tool is compared with a dumb twin: Python's fractions, or trying every possibility.
"""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import permutations, product
from operator import mul

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from synapse.core.reasoning.tools import TOOLS, Result, check, solve
from synapse.core.reasoning.tools.automaton import Pattern
from synapse.core.reasoning.tools.expressions import expression
from synapse.core.reasoning.tools.rational import PLACES_MAX

law = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow],
)


def result(task, answer):
    verdict = check(task, answer)
    assert verdict is not None
    assert verdict.tool in TOOLS
    return verdict.result


def assert_solution_passes(task):
    found = solve(task)
    assert found is not None
    assert result(task, found.answer) is Result.PASS
    assert result(task, f"The answer is {found.answer}.") is Result.PASS
    return found.answer


# Arithmetic: expressions as text, beside their value by Python's own fractions.

numbers = st.one_of(
    st.integers(0, 10**6).map(lambda n: (str(n), Fraction(n))),
    st.integers(1, 999).map(lambda n: (f"{n}.25", Fraction(4 * n + 1, 4))),
    st.integers(1, 999).map(lambda n: (f"{n},000", Fraction(1_000 * n))),
)


def joined(parts):
    return st.tuples(parts, st.sampled_from("+-*/"), parts).map(join)


def join(triple):
    (left, one), sign, (right, other) = triple
    if one is None or other is None or (sign == "/" and other == 0):
        return f"({left} {sign} {right})", None
    value = {"+": one.__add__, "-": one.__sub__, "*": one.__mul__, "/": one.__truediv__}
    return f"({left} {sign} {right})", value[sign](other)


expressions = joined(st.recursive(numbers, joined, max_leaves=8))


@law
@given(expressions, st.integers(1, 9))
def test_arithmetic_agrees_with_fractions_and_passes_nothing_else(written, off):
    text, value = written
    task = f"Compute {text}"
    if value is None:
        assert solve(task) is None
        return
    answer = assert_solution_passes(task)
    assert Fraction(answer) == value
    assert result(task, str(value)) is Result.PASS
    assert result(task, str(value + off)) is not Result.PASS
    assert result(task, str(value + Fraction(1, off + 1))) is not Result.PASS
    assert result(task, f"It is {value + off}") is not Result.PASS


@law
@given(st.lists(st.sampled_from("+-*/^() 1234567890.x"), min_size=1, max_size=12).map("".join))
def test_whatever_is_read_as_arithmetic_is_read_as_python_reads_it(text):
    try:
        value = expression(text).value
    except (ArithmeticError, ValueError):
        return
    python = re.sub(r"([0-9.]+)", r"Fraction('\1')", text.replace("^", "**").replace("x", "*"))
    assert eval(python, {"Fraction": Fraction}) == Fraction(value.top, value.bottom)


@law
@given(st.integers(-(10**20), 10**20), st.integers(1, 10**18))
def test_a_number_that_is_written_out_in_full_is_the_number(top, bottom):
    value = expression(f"({top})/{bottom}").value
    exact = Fraction(top, bottom)
    assert Fraction(value.fraction()) == exact
    decimal = value.decimal()
    if decimal is None:
        assert 10**PLACES_MAX % exact.denominator != 0
    else:
        assert Fraction(decimal) == exact
    assert abs(Fraction(value.rounded(6)) - exact) <= Fraction(1, 2 * 10**6)


# Formulas and graphs: every assignment is tried.

literals = st.tuples(st.sampled_from("abcd"), st.booleans())
formulas = st.lists(st.lists(literals, min_size=1, max_size=3), min_size=1, max_size=12)


@law
@given(formulas, st.tuples(*[st.booleans()] * 4))
def test_formulas_agree_with_trying_every_assignment(clauses, tried):
    written = [
        "(" + " or ".join(name if hoped else f"not {name}" for name, hoped in clause) + ")"
        for clause in clauses
    ]
    task = f"Find a satisfying assignment of: {' and '.join(written)}"
    names = sorted({name for clause in clauses for name, _ in clause})

    def holds(values):
        return all(any(values[name] == hoped for name, hoped in clause) for clause in clauses)

    possible = any(
        holds(dict(zip(names, one, strict=True))) for one in product([0, 1], repeat=len(names))
    )
    answer = assert_solution_passes(task)
    assert (answer != "unsatisfiable") == possible
    assert (result(task, "unsatisfiable") is Result.PASS) == (not possible)
    values = dict(zip(names, tried[: len(names)], strict=True))
    said = result(task, ", ".join(f"{name} = {int(value)}" for name, value in values.items()))
    assert said is (Result.PASS if holds(values) else Result.FAIL)


edges = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 6)).filter(lambda edge: edge[0] != edge[1]),
    min_size=1,
    max_size=14,
)


@law
@given(edges, st.integers(1, 4), st.lists(st.integers(1, 5), min_size=6, max_size=6))
def test_graphs_agree_with_trying_every_colouring(joints, colours, tried):
    task = f"Color the graph with {colours} colors: {', '.join(f'{a}-{b}' for a, b in joints)}"
    vertices = sorted({vertex for edge in joints for vertex in edge})

    def proper(given):
        return all(given[a] != given[b] for a, b in joints) and len(set(given.values())) <= colours

    possible = any(
        proper(dict(zip(vertices, one, strict=True)))
        for one in product(range(colours), repeat=len(vertices))
    )
    answer = assert_solution_passes(task)
    assert (answer != "impossible") == possible
    assert (result(task, "impossible") is Result.PASS) == (not possible)
    given_ = dict(zip(vertices, tried[: len(vertices)], strict=True))
    said = result(task, " ".join(f"{vertex}={colour}" for vertex, colour in given_.items()))
    assert said is (Result.PASS if proper(given_) else Result.FAIL)


# The 24 game: every order, every operation, every way to put parentheses.


def trees(parts):
    if len(parts) == 1:
        yield parts[0]
    for cut in range(1, len(parts)):
        for left in trees(parts[:cut]):
            for right in trees(parts[cut:]):
                for sign in "+-*/":
                    text, value = join((left, sign, right))
                    if value is not None:
                        yield text, value


@law
@given(st.lists(st.integers(1, 9), min_size=2, max_size=3), st.integers(1, 30))
def test_the_24_game_agrees_with_trying_every_expression(given_, goal):
    task = f"Use {', '.join(map(str, given_))} each exactly once to make {goal}"
    every = [
        tree
        for order in permutations(given_)
        for tree in trees([(str(n), Fraction(n)) for n in order])
    ]
    possible = any(value == goal for _, value in every)
    answer = assert_solution_passes(task)
    assert (answer != "impossible") == possible
    assert (result(task, "impossible") is Result.PASS) == (not possible)
    for text, value in every[::97]:
        assert result(task, text) is (Result.PASS if value == goal else Result.FAIL)
        assert result(task, f"{text} + 1") is Result.FAIL


# Cryptarithms: every way to give the letters digits.

words = st.text("ABCD", min_size=2, max_size=3)


@law
@given(words, words, words, st.permutations(range(10)))
def test_cryptarithms_agree_with_trying_every_digit(one, other, total, tried):
    task = f"Solve the cryptarithm {one} + {other} = {total}"
    letters = sorted(set(one + other + total))
    leading = [letters.index(word[0]) for word in (one, other, total)]
    weights = [0] * len(letters)
    for word, sign in ((one, 1), (other, 1), (total, -1)):
        for place, letter in enumerate(reversed(word)):
            weights[letters.index(letter)] += sign * 10**place

    def holds(digits):
        return sum(map(mul, weights, digits)) == 0 and all(digits[i] for i in leading)

    possible = any(map(holds, permutations(range(10), len(letters))))
    found = solve(task)
    assert found is not None
    assert (found.answer != "impossible") == possible
    if possible:
        assert_solution_passes(task)
    else:
        assert result(task, "impossible") is not Result.FAIL
    assert possible is False or result(task, "impossible") is not Result.PASS
    digits = tried[: len(letters)]
    said = " ".join(f"{letter}={digit}" for letter, digit in zip(letters, digits, strict=True))
    assert result(task, said) is (Result.PASS if holds(digits) else Result.FAIL)


# Regular expressions: Python's own engine, on patterns small enough not to hang it.

atoms = st.sampled_from(["a", "b", "-", r"\d", r"\w", r"\S", ".", "[ab]", "[^a]", "[a-c1]", r"\."])
patterns = st.recursive(
    st.one_of(atoms, st.sampled_from(["^", "$", ""])),
    lambda parts: st.one_of(
        st.lists(parts, max_size=3).map("".join),
        st.lists(parts, min_size=1, max_size=3).map(lambda them: f"({'|'.join(them)})"),
        st.tuples(parts, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@settings(law, max_examples=500)
@given(patterns, st.text("ab1-. \n", max_size=8))
def test_patterns_match_what_pythons_do(pattern, text):
    assume(len(pattern) < 60)
    assume(not text.endswith("\n"))  # before which Python's $ matches too
    found = Pattern(pattern).matches(text)
    whole, part = re.fullmatch(pattern, text), re.search(pattern, text)
    assert found is (True if whole else None if part else False)


# Anything at all.

pieces = st.sampled_from(
    [
        *("What is ", "Compute ", "how many ", "km ", "5 ", "(", ")", "1/0 ", " + ", "^", "%", "°"),
        *("Find a satisfying assignment of: ", "Color the graph with 3 colors: ", "1-2, ", "a or "),
        *("Make 24 from ", "3 8 8 3", "Solve ", "SEND + MORE = MONEY", "not ", "=", "is ", "\n"),
        *(
            "Answer with JSON",
            " that matches the regex /",
            "[",
            "{",
            "/",
            "2026-11-21",
            "?",
            ".",
            "é",
        ),
        *("What day of the week is ", "days after ", "the answer is ", "about ", "**", "`", "٣"),
    ]
)
anything = st.one_of(st.text(max_size=60), st.lists(pieces, max_size=8).map("".join))


@settings(law, max_examples=600)
@given(anything, anything)
def test_no_text_makes_a_tool_raise(task, answer):
    found = solve(task)
    verdict = check(task, answer)
    if found is not None:
        assert result(task, found.answer) is not Result.FAIL
        assert verdict is not None
