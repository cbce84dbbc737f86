"""What of a JSON Schema is checked."""

from __future__ import annotations

import math

import pytest

from synapse.providers.schema import breach

ANSWER = {
    "type": "object",
    "properties": {
        "answer": {"type": "string", "minLength": 1, "maxLength": 5},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "cites": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        "kind": {"enum": ["a", "b"]},
        "inner": {"type": "object", "additionalProperties": False, "properties": {"n": {}}},
    },
    "required": ["answer"],
}


@pytest.mark.parametrize(
    "value",
    [
        {"answer": "Ana"},
        {"answer": "Ana", "confidence": 1, "cites": ["m1", "m2"], "kind": "a", "more": None},
        {"answer": "Ana", "confidence": 0.0, "inner": {"n": [1, {"x": 2}]}},
    ],
)
def test_a_value_that_fits_has_no_breach(value):
    assert breach(value, ANSWER) is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"answer": 5}, "'answer'"),
        ({"answer": ""}, "'answer'"),
        ({"answer": "too long"}, "'answer'"),
        ({"confidence": "high"}, "'confidence'"),
        ({"confidence": True}, "'confidence'"),
        ({"confidence": -51214342}, "'confidence'"),
        ({"confidence": 1.01}, "'confidence'"),
        ({"confidence": math.nan}, "'confidence'"),
        ({"cites": ["m1", 2]}, "'cites'"),
        ({"cites": ["m1"] * 3}, "'cites'"),
        ({"kind": "c"}, "'kind'"),
        ({"inner": {"other": 1}}, "'inner'"),
    ],
)
def test_a_breach_names_the_field(fields, named):
    assert named in (breach({"answer": "Ana", **fields}, ANSWER) or "")


def test_a_missing_field_and_a_wrong_whole_are_breaches():
    assert breach({}, ANSWER) == "the reply has no 'answer'"
    assert breach([], ANSWER) == "the reply is no object"
    assert breach(1.0, {"type": "integer"}) == "the reply is no integer"
    assert breach(None, {"type": "null"}) is None
