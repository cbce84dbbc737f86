"""Every promise has a test, every mark names a promise, and the README promises no more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requirements import REQUIREMENTS, Requirement

ROOT = Path(__file__).resolve().parents[1]
NAMES = [
    "durable",
    "convergent",
    "never_forgets",
    "authored",
    "private",
    "hostile_text",
    "no_failure_is_an_answer",
    "bounded",
    "flat",
    "reproducible",
    "one_verb",
    "honest",
]


def marks() -> Iterator[tuple[str, str]]:
    """(the promise, where it is marked), for every mark below tests."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.promise":
                [name] = node.args
                assert isinstance(name, ast.Constant), f"{path}:{node.lineno}: name it in full"
                yield str(name.value), f"{path.relative_to(ROOT)}:{node.lineno}"


MARKS = list(marks())
each_requirement = pytest.mark.parametrize("row", REQUIREMENTS, ids=NAMES)


def readme() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## What it promises")[2].partition("\n## ")[0]
    return " ".join(section.split())


def test_the_twelve_promises_are_rows() -> None:
    assert [row.name for row in REQUIREMENTS] == NAMES


@each_requirement
def test_a_promise_has_a_test(row: Requirement) -> None:
    assert [place for name, place in MARKS if name == row.name]


def test_a_mark_names_a_promise() -> None:
    assert [(name, place) for name, place in MARKS if name not in NAMES] == []


@each_requirement
def test_a_row_names_a_source_that_is_there(row: Requirement) -> None:
    for source in row.source.split("; "):
        file, _, heading = source.partition(", ")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not heading or f"## {heading}\n" in text


@each_requirement
def test_a_row_is_one_sentence(row: Requirement) -> None:
    assert row.promise.endswith(".")
    assert ". " not in row.promise


def test_the_readme_lists_the_promises_in_order() -> None:
    titles = re.findall(r"(\d+)\. \*\*([^*]+)\.\*\*", readme())
    assert titles == [(str(n), row.title) for n, row in enumerate(REQUIREMENTS, start=1)]


@each_requirement
def test_what_holds_only_later_the_readme_says_so(row: Requirement) -> None:
    [line] = re.findall(rf"\*\*{row.title}\.\*\*(.*?)(?= \d+\. \*\*|$)", readme())
    assert line.strip()
    if row.later is not None:
        assert row.later in line
