"""The page about the tools says what they do: each of its examples is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from synapse.core.reasoning.tools import TOOLS, Result, check, solve

PAGE = Path(__file__).resolve().parents[3] / "docs/tools.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"(?ms)^### (\w+)\n(.*?)(?=^##|\Z)", TEXT))
ROWS = [
    (tool, task, answer)
    for tool, section in SECTIONS.items()
    for task, answer in re.findall(r"(?m)^\| `([^`]+)` \| (.+) \|$", section)
]


def test_every_tool_has_its_section_with_examples():
    assert sorted(SECTIONS) == sorted(TOOLS)
    assert sorted({tool for tool, _, _ in ROWS}) == sorted(TOOLS)


@pytest.mark.parametrize(("tool", "task", "answer"), ROWS)
def test_an_example_is_answered_as_documented(tool, task, answer):
    found = solve(task)
    if answer.startswith("abstains"):
        assert found is None
        return
    assert found is not None
    assert (found.tool, f"`{found.answer}`") == (tool, answer)
    verdict = check(task, found.answer)
    assert verdict is not None
    assert verdict.result is Result.PASS
