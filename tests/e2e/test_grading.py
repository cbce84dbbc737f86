"""Asking with wishes, grading, trust and the models by the command line, of a real spore."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from synapse.cli import cli
from synapse.core.errors import PeerError
from tests.e2e.processes import Process, spores
from tests.e2e.test_models import a_model_server

SUM = "What is six times seven, and why do people ask?"


@pytest.fixture
def spore(tmp_path: Path) -> Iterator[Process]:
    with a_model_server() as server:
        server.answer = {"answer": "42", "confidence": 0.9}
        made = Process(tmp_path / "spore", LLM_ENDPOINT=server.url)
        with spores(made):
            yield made


def run(spore: Process, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--url", spore.url])


def told(spore: Process, *arguments: str) -> Any:
    result = run(spore, *arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def test_a_question_is_asked_graded_and_believed(spore: Process) -> None:
    task = told(spore, "ask", SUM, "--kind", "number", "--budget", "3", "--deadline-s", "60")
    graded = told(spore, "grade", task["task_id"], "--right-answer", "42")
    again = run(spore, "grade", task["task_id"], "--right-answer", "42")
    [family] = graded["trust"]
    everybody, one = told(spore, "trust"), told(spore, "trust", family, "--kind", "number")
    shown, explained = run(spore, "trust"), run(spore, "trust", family)

    assert (task["status"], task["kind"], graded["grades"]) == ("answered", "number", 1)
    change = graded["trust"][family]
    assert change["before"] < change["after"] == everybody[family]["overall"]
    assert again.stdout.startswith("0 grades")
    assert family in shown.stdout and f"{change['after']:.2f}" in shown.stdout
    assert one["grades"][0]["task"] == task["task_id"]
    assert one["grades"][0]["id"][:16] in explained.stdout and "own: 1.0 right" in explained.stdout


def test_one_position_is_graded_by_its_id(spore: Process) -> None:
    task = told(spore, "ask", SUM)
    position = task["deltas"][-1]["id"]
    graded = told(spore, "grade", task["task_id"], "--position", position, "--wrong")
    [change] = graded["trust"].values()
    assert change["after"] < change["before"]


def test_what_is_wrong_is_said_without_a_traceback(spore: Process) -> None:
    task = told(spore, "ask", SUM)["task_id"]
    for arguments, said in (
        (["ask", SUM, "--choice", "one"], "choices are 2 to 26 texts"),
        (["ask", SUM, "--budget", "0"], "budget is 1 to 100"),
        (["grade", task], "right_answer, or position and right"),
        (["grade", task, "--position", "0" * 64, "--right"], "no such position"),
        (["grade", "0" * 64, "--right-answer", "42"], "no such task"),
        (["trust", "nobody"], "no grade is about nobody"),
    ):
        result = run(spore, *arguments)
        assert isinstance(result.exception, PeerError), (arguments, result.output)
        assert said in str(result.exception)


def test_the_models_are_shown_with_their_state(spore: Process) -> None:
    told(spore, "ask", SUM)
    targets = {one["name"]: one for one in told(spore, "providers")["targets"]}
    shown = run(spore, "providers").stdout
    assert targets["llm_endpoint"]["state"] == "ready" and targets["llm_endpoint"]["replies"] > 0
    assert "llm_endpoint" in shown and "ready" in shown
    assert "llm_endpoint position: ok after" in shown


def test_a_name_stays_one_part_of_an_address(spore: Process) -> None:
    for arguments in (["trust", "../health"], ["grade", "../../health", "--right-answer", "1"]):
        result = run(spore, *arguments)
        assert isinstance(result.exception, PeerError)
        assert result.exception.reason == "status_404", result.exception


@pytest.mark.promise("private")
def test_a_private_question_leaves_nothing_on_the_disk_and_is_gone_after_a_restart(
    spore: Process,
) -> None:
    task = told(spore, "ask", "What is in my zebra diary?", "--private")
    before = spore.health()["records_by_kind"]
    spore.stop()
    files = [path for path in spore.folder.rglob("*") if path.is_file()]
    kept = [file.name for file in files if b"zebra" in file.read_bytes()]
    spore.start()

    assert (task["status"], task["privacy"], task["final_answer"]) == ("answered", "private", "42")
    assert kept == [] and b"zebra" not in spore.log.read_bytes()
    assert not {"task", "position", "outcome"} & set(before)
    with pytest.raises(PeerError) as error:
        spore.client.get(f"/api/task/{task['task_id']}")
    assert error.value.reason == "status_404"
