"""The provider of tests says what was written down, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from synapse.core.errors import ProviderError
from synapse.ports import ModelReply
from synapse.providers.scripted import Scripted, ScriptError
from tests.unit.providers.asking import request


def say(scripted, target="a", question="?"):
    return asyncio.run(scripted.complete(target, request(question), timeout_ms=1))


def test_lines_are_said_in_order_and_requests_are_kept():
    served = ModelReply("second", "qwen3", "qwen")
    scripted = Scripted({"a": ["first", served], "b": ["other"]})
    assert say(scripted, "a", "one") == ModelReply("first", "a", "a")
    assert say(scripted, "b", "two").text == "other"
    assert say(scripted, "a", "three") is served
    assert [(target, asked.question) for target, asked in scripted.requests] == [
        ("a", "one"),
        ("b", "two"),
        ("a", "three"),
    ]


def test_an_error_in_the_script_is_raised():
    scripted = Scripted({"a": [ProviderError("slow", "too late"), "then this"]})
    with pytest.raises(ProviderError, match="too late"):
        say(scripted)
    assert say(scripted).text == "then this"


def test_a_function_answers_each_request():
    scripted = Scripted({"a": lambda asked: asked.question.upper()})
    assert say(scripted, question="hm?").text == "HM?"


@pytest.mark.parametrize("target", ["a", "nobody"])
def test_a_script_that_has_run_out_says_where(target):
    scripted = Scripted({"a": ["only"]})
    say(scripted)
    with pytest.raises(ScriptError, match=f"'{target}' has no line .* 'more'"):
        say(scripted, target, "more")


def test_a_script_is_a_list_of_lines_and_not_a_text():
    with pytest.raises(AssertionError, match="list of lines"):
        Scripted({"a": "oops"})
