"""`synapse recall` against a real spore, with every option."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from synapse.cli import cli
from tests.e2e.processes import Process, eventually, spores


@pytest.fixture(scope="module")
def spore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    made = Process(tmp_path_factory.mktemp("spore") / "data")
    with spores(made):
        for nth in range(3):
            made.remember("the tides follow the moon around the earth", kind="fact", tags=["sea"])
            made.remember(f"the tides of note number {nth} are told at length and with many words")
        eventually(
            lambda: len(told(made, "tides moon earth")["results"][0]["duplicates"]) == 2,
            seconds=20,
            why="who said the same is not known",
        )
        yield made


def told(spore: Process, *arguments: str) -> Any:
    result = CliRunner().invoke(cli, ["recall", *arguments, "--url", spore.url, "--json"])
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def test_recall_is_narrowed_packed_and_explained_from_the_command_line(spore: Process) -> None:
    key = spore.health()["id"]
    everything = told(spore, "tides")
    assert len(everything["results"]) == 4
    assert len(told(spore, "tides", "--kind", "fact", "--tag", "sea")["results"]) == 1
    for options, found in (
        (["--operator", key], 4), (["--author", key], 4), (["--operator", "0" * 64], 0),
        (["--family", "qwen"], 0), (["--task", "0" * 64], 0),
        (["--since", "2025-01-01"], 4), (["--until", "2025-01-01"], 0),
        (["--min-score", "1000"], 0), (["--exact"], 4), (["--quarantined"], 4), (["-k", "1"], 1),
    ):  # fmt: skip
        assert len(told(spore, "tides", *options)["results"]) == found, options
    packed = told(spore, "tides", "--tokens", "12")
    assert (len(packed["results"]), packed["tokens"] <= 12) == (1, True)
    assert packed["crowded_out"] > 0
    assert told(spore, "tides", "--why")["results"][0]["why"]["terms"][0]["term"] == "tide"


def test_people_read_what_else_says_so_and_why(spore: Process) -> None:
    shown = CliRunner().invoke(cli, ["recall", "tides moon", "--why", "--url", spore.url])
    assert shown.exit_code == 0
    words = " ".join(shown.stdout.split())
    assert "2 more that say the same" in words
    assert "x decay 1.00 x trust 1.00" in words


def test_a_mistyped_filter_is_an_error_and_not_an_empty_answer(spore: Process) -> None:
    for options, said in (
        (["--since", "soon"], "since is not a moment"),
        (["--operator", "bob"], "operator is 64 hexadecimal digits"),
        (["--tokens", "1000000"], "tokens"),
    ):
        result = CliRunner().invoke(cli, ["recall", "tides", *options, "--url", spore.url])
        assert result.exit_code != 0
        assert said in f"{result.output} {result.exception}"


def test_who_said_the_same_outlasts_kill_9(spore: Process) -> None:
    spore.kill()
    spore.start()
    eventually(
        lambda: len(told(spore, "tides moon earth")["results"][0]["duplicates"]) == 2,
        seconds=20,
        why="the groups were lost",
    )
