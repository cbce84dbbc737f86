"""When two answers are the same: each kind has one form, and prose is judged by wording."""

from __future__ import annotations

import ast
from random import Random

import pytest

from synapse.core.reasoning.canonical import canonical, digest, grouped
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.literals import literal

SAME = [
    ("42", "42.0"),
    ("1,234", "1234"),
    ("$1,234.50", "1234.5"),
    ("+7", "7"),
    (".5", "0.5"),
    ("-0", "0"),
    ("0.0", "0e5"),
    ("1e3", "1000"),
    ("12.", " 12 "),
    ("12!", "12"),
    ("1" + "0" * 80, "1e80"),
    ("1/2", "0.5"),
    ("2/4", "3 / 6"),
    ("-1/3", "-2/6"),
    ("\\frac{1}{2}", "1/2"),
    ("$\\dfrac{3}{4}$", "0.75"),
    ("50%", "0.5"),
    ("12.5 percent", "1/8"),
    ("5 km", "5km"),
    ("1,000 kg", "1000 kg"),
    ("12 km/h", "12 km / h"),
    ("3 Apples", "3 apples"),
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
    ("1/3", "0.333"),
    ("1/0", "0"),
    ("yes", "no"),
    ("Paris", "not Paris"),
    ("C", "C++"),
    ("C#", "C++"),
    ("-5 m", "5 m"),
    ("5 m", "5 km"),
    ("5 mW", "5 MW"),
    ("5 m", "5"),
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


def test_equal_answers_have_equal_digests_and_prose_has_none() -> None:
    assert digest("1/2") == digest("0.5") != digest("0.6")
    assert len(digest("Paris") or b"") == 8
    assert digest("a long sentence about many different things") is None


# Kinds.


def test_a_number_is_found_in_a_sentence_that_holds_one() -> None:
    said = ["The answer is 42.", "42", "It is 42 or 43.", "x = -3"]
    forms = [canonical(one, Kind.NUMBER) for one in said]
    assert forms[0] == forms[1] == "=42"
    assert forms[2] is None
    assert forms[3] == "=-3"


CITIES = ["Paris", "Rome", "New York"]


@pytest.mark.parametrize(
    "said", ["B", "b", "(b)", "B.", "b)", "B) Rome", "(B) rome", "Rome", "**Rome**", "B: Rome"]
)
def test_a_choice_is_named_by_its_label_or_its_text(said: str) -> None:
    assert canonical(said, Kind.CHOICE, CITIES) == "#1"


def test_choices_may_carry_their_own_labels() -> None:
    choices = ["1) red", "2) green"]
    assert canonical("2", Kind.CHOICE, choices) == canonical("green", Kind.CHOICE, choices) == "#1"
    assert canonical("b", Kind.CHOICE, choices) not in ("#0", "#1")


def test_a_choice_whose_text_is_a_number_is_no_label() -> None:
    assert canonical("2", Kind.CHOICE, ["4", "2", "3"]) == "#1"


def test_a_label_that_contradicts_its_text_is_neither_choice() -> None:
    form = canonical("A) Rome", Kind.CHOICE, CITIES)
    assert form not in ("#0", "#1", "#2")


def test_without_a_list_a_choice_is_its_label() -> None:
    said = ["B", "(b)", "B) Paris", "C"]
    forms = [canonical(one, Kind.CHOICE) for one in said]
    assert forms[0] == forms[1] == forms[2] != forms[3]


@pytest.mark.parametrize(
    "said",
    ["3, 1, 2", "{1, 2, 3}", "[2,3,1]", "1; 2; 3", "- 1\n- 3\n- 2", "1, 2 and 3", "1, 1, 2, 3"],
)
def test_a_set_is_its_items_in_whatever_order(said: str) -> None:
    assert canonical(said, Kind.SET) == canonical("1, 2, 3", Kind.SET)


def test_sets_that_differ_are_told_apart() -> None:
    assert canonical("1, 2", Kind.SET) != canonical("1, 2, 3", Kind.SET)
    assert canonical("1,200", Kind.SET) == canonical("1200", Kind.SET)
    assert canonical(", ".join(map(str, range(300))), Kind.SET) is None


def test_code_is_its_value_where_it_is_a_literal_and_its_lines_otherwise() -> None:
    def form(text: str) -> str | None:
        return canonical(text, Kind.CODE)

    assert form("{1:1, 2:4}") == form("{2: 4, 1: 1}") == form("```python\n{1:1,2:4}\n```")
    assert form("'a'") == form('"a"') != form("a")
    assert form("def f():\n\treturn 1  \n\n") == form("def f():\n    return 1")
    assert form("  x = 1\n  y = 2") == form("x = 1\ny = 2")
    assert form("if a:\n    b\nc") != form("if a:\n    b\n    c")


def test_a_plan_is_its_steps_in_order() -> None:
    def form(text: str) -> str | None:
        return canonical(text, Kind.PLAN)

    assert form("1. Boil water\n2. Add tea") == form("boil water -> add tea")
    assert form("- Boil water;\n- Add tea.") == form("Step 1: boil water\nStep 2: add tea")
    assert form("1. Boil water 2. Add tea") == form("boil water\nadd tea")
    assert form("add tea -> boil water") != form("boil water -> add tea")
    assert form("...") is None


@pytest.mark.parametrize("kind", list(Kind))
def test_hostile_text_is_read_in_every_kind(kind: Kind) -> None:
    rng = Random(kind.value)
    for text in ("(" * 9_000, "1," * 8_000, "9" * 16_000 + "/3", "a;" * 8_000, "\\" * 9_000, "\0"):
        assert len(canonical(text, kind, ["(a) one", "two", ""]) or "") <= 2 * len(text)
    for _ in range(300):
        text = "".join(
            rng.choice("0123abB(),.[]{}'\"/%-+e \n:;>\\") for _ in range(rng.randrange(24))
        )
        assert len(canonical(text, kind, CITIES) or "") <= 400, "reading makes nothing long of it"


# Literals: a twin that the language itself provides.


def made(rng: Random, depth: int = 0) -> object:
    """A random value that Python prints as a literal."""
    pick = rng.randrange(10 if depth < 3 else 5)
    match pick:
        case 0:
            return rng.randrange(-50, 1_000)
        case 1:
            return rng.choice(["", "a", "it's", 'say "x"', "tab\t", "back\\slash", "é", "\n"])
        case 2:
            return rng.choice([True, False, None])
        case 3:
            return rng.choice([0.5, -1.25, 1e30, 1e-7, 3.0])
        case 4:
            return rng.randrange(10)
        case 5 | 6:
            return [made(rng, depth + 1) for _ in range(rng.randrange(4))]
        case 7:
            return tuple(made(rng, depth + 1) for _ in range(rng.randrange(4)))
        case 8:
            return {rng.randrange(9): made(rng, depth + 1) for _ in range(rng.randrange(4))}
        case _:
            return {rng.randrange(9) for _ in range(rng.randrange(4))}


def same(one: object, other: object) -> bool:
    """Equal, and equal in print: True is not 1, and 1.0 is not 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        assert isinstance(other, list | tuple)
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        assert isinstance(other, dict)
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def test_every_value_that_python_prints_is_read_and_spacing_means_nothing() -> None:
    rng = Random(1)
    for _ in range(2_000):
        value = made(rng)
        form = literal(repr(value))
        assert form is not None, repr(value)
        outside = repr(value).replace(", ", " ,\n ") if "'" not in repr(value) else repr(value)
        assert literal(f"  {outside} ") == form
        assert literal(form.replace("f", "")) is not None or '"' in form


def test_two_values_have_one_form_just_when_they_are_the_same() -> None:
    rng = Random(2)
    values = [made(rng) for _ in range(400)]
    for one in values:
        for other in rng.sample(values, 40):
            assert (literal(repr(one)) == literal(repr(other))) == same(one, other)


def test_what_python_reads_as_another_value_is_read_as_another() -> None:
    for text in ("[1,2,]", "(1)", "(1,)", "{1,1}", "'\\x41\\u00e9'", '"a\\nb"', "[ ]", "{ }"):
        assert literal(text) == literal(repr(ast.literal_eval(text)))


@pytest.mark.parametrize(
    "text",
    ["", "a", "1 2", "[1", "[1 2]", "{1: 2, 3}", "f(1)", "1 + 1", "'a' 'b'", "[,]", "1,2", "0x10"],
)
def test_what_is_no_literal_has_no_form(text: str) -> None:
    assert literal(text) is None


def test_json_and_python_write_the_same_constants() -> None:
    assert literal('{"a": [true, null]}') == literal("{'a': [True, None]}")


def test_depth_and_length_are_bounded() -> None:
    assert literal("[" * 30 + "]" * 30) is not None
    assert literal("[" * 40 + "]" * 40) is None
    assert literal("1" * 20_000) is None
