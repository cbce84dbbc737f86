"""Forms that tasks demand: JSON and regular expressions, whatever the task or answer tries."""

from __future__ import annotations

import pytest

from synapse.core.reasoning.tools import Result, check, solve
from synapse.core.reasoning.tools.automaton import TEXT_CHARACTERS_MAX, Pattern

KEYS = "Answer with a JSON object that has the keys a, b"
ONLY = 'Reply only with a valid JSON object with exactly the keys "x" and "y".'
REGEX = "Answer with a string that matches the regex /%s/"

JSON = [
    (KEYS, '{"a": 1, "b": [2]}', Result.PASS),
    (KEYS, '```json\n{"a": 1, "b": 2}\n```', Result.PASS),
    (KEYS, '`{"a": 1, "b": 2}`', Result.PASS),
    (KEYS, '{"a": 1, "b": 2, "c": 3}', Result.PASS),
    (KEYS, '{"a": 1}', Result.FAIL),
    (KEYS, "[1]", Result.FAIL),
    (KEYS, "a and b", Result.FAIL),
    (KEYS, "{'a': 1, 'b': 2}", Result.FAIL),
    (KEYS, '{"a": NaN, "b": 1}', Result.FAIL),
    (KEYS, 'Here you are: {"a": 1, "b": 2}', Result.UNKNOWN),
    (KEYS, '{"a": 1, "a": 2, "b": 3}', Result.UNKNOWN),
    (KEYS, '{"a":' + "[" * 2_000 + "]" * 2_000 + ',"b":1}', Result.UNKNOWN),
    (KEYS, '{"b": 1, "a": ' + "9" * 3_900 + "}", Result.PASS),
    (KEYS, '{"b": 1, "a": "' + "9" * 5_000 + '"}', Result.UNKNOWN),
    (ONLY, '{"y": 1, "x": 2}', Result.PASS),
    (ONLY, '{"y": 1, "x": 2, "z": 0}', Result.FAIL),
    ("Answer with JSON.", "[1, 2]", Result.PASS),
    ("Answer with a JSON array", "{}", Result.FAIL),
]


@pytest.mark.parametrize(("task", "answer", "result"), JSON)
def test_json_is_parsed_within_limits_and_its_keys_are_looked_for(task, answer, result):
    verdict = check(task, answer)
    assert verdict is not None
    assert verdict.result is result, verdict.evidence


def test_a_demand_behind_a_question_can_fail_an_answer_but_not_pass_it():
    task = f"What are the roots of x^2 = 4? {KEYS}."
    right, wrong = check(task, '{"a": 2, "b": -2}'), check(task, "2 and -2")
    assert right is not None
    assert wrong is not None
    assert (right.result, wrong.result) == (Result.UNKNOWN, Result.FAIL)


@pytest.mark.parametrize(
    "task",
    [
        "Translate into French: answer with a JSON object that has the keys a, b",
        "Do not answer with a JSON object that has the keys a, b",
        "Answer with a JSON object that has the keys a, b or c if there is one",
        "Answer with a JSON object that describes the keys a, b",
        "Answer with a string that matches the regex [a-z]+",
        "Answer with a string that matches the regex /é/",
        "Answer with a string that matches the regex //",
    ],
)
def test_a_demand_that_is_not_understood_in_whole_is_left_alone(task):
    assert check(task, "{}") is None


def test_a_form_is_nothing_that_could_be_solved():
    assert solve(KEYS) is None


MATCHES = [
    (r"[A-Z]{2}-\d{4}", "AB-1234", Result.PASS),
    (r"[A-Z]{2}-\d{4}", "`AB-1234`", Result.PASS),
    (r"[A-Z]{2}-\d{4}", "see AB-1234", Result.UNKNOWN),  # whole or part: dialects differ
    (r"[A-Z]{2}-\d{4}", "ab-1234", Result.FAIL),
    (r"^(red|green)$", "green", Result.PASS),
    (r"^(red|green)$", "greenish", Result.FAIL),
    (r"a/b", "a/b", Result.PASS),
    (r"(a)\1", "aa", Result.UNKNOWN),
    (r"(?=a)a", "a", Result.UNKNOWN),
    (r"(?i)a", "A", Result.UNKNOWN),
    (r"\bword\b", "word", Result.UNKNOWN),
    (r"a++", "a", Result.UNKNOWN),
    (r"a{1", "a{1", Result.UNKNOWN),
    (r"a{2,1}", "a", Result.UNKNOWN),
    (r"[a", "a", Result.UNKNOWN),
    (r"[z-a]", "b", Result.UNKNOWN),
    (r"(a", "a", Result.UNKNOWN),
    (r"a)", "a", Result.UNKNOWN),
    (r"*a", "a", Result.UNKNOWN),
    (r"\w+", "é", Result.UNKNOWN),  # a letter to some
    (r"\w+", "a" * (TEXT_CHARACTERS_MAX + 1), Result.UNKNOWN),
]


@pytest.mark.parametrize(("pattern", "answer", "result"), MATCHES)
def test_a_pattern_is_matched_where_all_dialects_agree(pattern, answer, result):
    verdict = check(REGEX % pattern, answer)
    assert verdict is not None
    assert verdict.result is result, verdict.evidence


# Each makes a backtracking engine run for longer than anybody waits.
CATASTROPHIC = [
    (r"(a+)+$", "a" * 900 + "b"),
    (r"(a|a)*$", "a" * 900 + "b"),
    (r"(a|aa)+$", "a" * 900 + "b"),
    (r"(a|a?)+$", "a" * 900 + "b"),
    (r"([a-zA-Z]+)*$", "a" * 900 + "!"),
    (r"(.*)*x", "y" * 900),
    (r"(.*a){20}x", "a" * 900),
    (r"^(\w+\s?)*$", "word " * 180 + "!"),
    (r"(x+x+)+y", "x" * 900),
    (r"(a?){50}a{50}", "a" * 50),
    ("a*" * 60 + "b", "a" * 900),
    (r"((a{0,30}){0,30}){0,30}", "a" * 900),
    (r"(()*)*", "a" * 900),
    (r"((((){100}){100}){100}){100}", "a"),
    ("(" * 90 + "a" + ")" * 90, "a"),
]


@pytest.mark.parametrize(("pattern", "answer"), CATASTROPHIC)
def test_patterns_that_hang_others_are_answered_or_refused(pattern, answer):
    verdict = check(REGEX % pattern, answer)
    assert verdict is not None
    assert verdict.result in Result


def test_nested_counts_are_matched_and_not_merely_refused():
    assert Pattern(r"(a+)+$").matches("a" * 700 + "b") is False
    assert Pattern(r"(a?){50}a{50}").matches("a" * 50) is True
    assert Pattern(r"(.*)*x").matches("y" * 700) is False
