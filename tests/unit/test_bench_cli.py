"""`synapse bench`: what is typed reaches the benchmark as typed, and tables say what was missed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

import benchmarks.__main__ as programs
from benchmarks.answers import __main__ as answers
from benchmarks.answers import report
from synapse.cli import bench
from synapse.core.errors import ConfigError

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    app = typer.Typer()
    bench.register(app)
    return lambda *arguments: CliRunner().invoke(app, ["bench", *arguments])


def figure(**changed: Any) -> dict[str, Any]:
    """A figure of the replay, which meets its bar unless changed."""
    its = {
        "layer": "replay",
        "dataset": "MATH-5",
        "figure": "team of 7: the count - best on calibration",
        "value": 3.6,
        "low": 2.0,
        "high": 5.0,
        "n": 721,
        "calls": None,
        "command": "synapse bench answers --layer replay",
        "note": "",
        "p": None,
    }
    return its | changed


# The command


@pytest.mark.parametrize("name", sorted(programs.PROGRAMS))
def test_every_benchmark_is_a_command(run: Run, name: str) -> None:
    assert name in run("--help").stdout


def test_what_follows_the_name_is_handed_on_as_typed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(programs, "run", lambda name, typed: handed.append((name, list(typed))))
    typed = ["--corpus", "c.jsonl", "--engines", "synapse,tantivy", "--json", "--help"]
    assert run("quality", *typed).exit_code == 0
    assert handed == [("quality", typed)]


def test_without_a_checkout_one_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"get a checkout.*docs/evidence\.md"):
        bench.programs(tmp_path)


def test_an_unknown_benchmark_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SystemExit, match="answers"):
        programs.main(["answer"])


def test_the_replay_asks_for_its_data(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(answers.replay.DATA_NAME, raising=False)
    with pytest.raises(SystemExit, match="which file holds the recorded answers"):
        answers.main(["--layer", "replay", "--json"])


def test_json_is_one_object_a_line_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [figure(), figure(dataset="GSM8K")]
    layer = answers.Layer(lambda parser: None, lambda chosen: iter(given))
    monkeypatch.setattr(answers, "LAYERS", {"replay": layer})
    answers.main(["--layer", "replay", "--json"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == given


def test_without_json_a_table_says_what_was_met(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    given = [figure(), figure(value=3.0)]
    layer = answers.Layer(lambda parser: None, lambda chosen: iter(given))
    monkeypatch.setattr(answers, "LAYERS", {"replay": layer})
    answers.main(["--layer", "replay"])
    rows = [line for line in capsys.readouterr().out.splitlines() if "best on cal" in line]
    assert [row.split()[-1] for row in rows] == ["met", "missed"]


# Bars


@pytest.mark.parametrize(
    ("changed", "met"),
    [
        ({}, "met"),
        ({"value": 3.4}, "missed"),
        ({"low": -0.1}, "missed"),
        ({"low": None}, "missed"),
        ({"value": None}, ""),
        ({"dataset": "CRUXEval", "value": 1.2}, "met"),
        ({"figure": "stop when calls add too little: calls", "value": 3.3}, "met"),
        (
            {"figure": "stop when calls add too little: calls", "value": 2.0, "dataset": "GSM8K"},
            "missed",
        ),
        ({"figure": "ECE, fitted", "value": 0.025}, "met"),
        ({"figure": "ECE, default", "value": 0.025}, ""),
        ({"layer": "live"}, ""),
    ],
)
def test_a_figure_is_held_against_the_bar_of_its_layer_and_dataset(
    changed: dict[str, Any], met: str
) -> None:
    assert report.row(figure(**changed)).met == met


def test_what_was_not_measured_says_so() -> None:
    assert report.row(figure(value=None, low=None)).value == "not measured"


# The document


def result(*figures: dict[str, Any]) -> dict[str, Any]:
    return {"command": "c", "took_s": 60, "cpus": 2, "python": "3", "figures": list(figures)}


def test_tables_are_written_between_the_markers_and_nowhere_else(tmp_path: Path) -> None:
    document, kept = tmp_path / "evidence.md", tmp_path / "answers.json"
    marks = "<!-- figures:replay -->\nold\n<!-- /figures:replay -->"
    document.write_text(f"# Evidence\n\nBefore.\n\n{marks}\n\nAfter.\n")
    kept.write_text(json.dumps({"replay": result(figure()), "solvers": result()}))
    arguments = ["--tables-only", "--layers", "replay", "--results", str(kept)]
    report.main([*arguments, "--document", str(document)])
    text = document.read_text()
    assert text.startswith("# Evidence\n\nBefore.\n\n<!-- figures:replay -->")
    assert text.endswith("<!-- /figures:replay -->\n\nAfter.\n")
    assert "old" not in text
    assert "| MATH-5 | team of 7: the count - best on calibration | 3.60 | 2.00 to 5.00 |" in text
    assert "solvers" not in text
    report.main([*arguments, "--document", str(document)])
    assert document.read_text() == text, "writing twice changes nothing"


def test_a_document_without_markers_gets_a_heading_and_both() -> None:
    text = report.placed("# Evidence\n", "solvers", report.block("solvers", result()))
    heading, _, rest = text.partition("<!-- figures:solvers -->")
    assert heading.endswith("## Solvers: small programs through real spores\n\n")
    assert rest.endswith("<!-- /figures:solvers -->\n")


def test_kinds_of_evidence_never_share_a_table() -> None:
    drawn = figure(layer="replay with drawn checks", figure="the count with checks")
    text = report.block("replay", result(figure(), drawn))
    tables = [part for part in text.split("\n\n") if part.startswith("| ")]
    assert len(tables) == 2
    assert not any("with checks" in one and "calibration" in one for one in tables)


def test_a_bar_that_no_figure_is_held_against_is_named(tmp_path: Path) -> None:
    text = report.block("replay", result(figure(), figure(figure="ECE, fitted", value=None)))
    missing = [line for line in text.splitlines() if line.startswith("No figure yet for: ")]
    assert "No figure yet for: calibration (≤ 0.025)." in missing
    assert not any("against its best member" in line for line in missing)


def test_a_layer_that_cannot_be_measured_keeps_what_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(answers.replay.DATA_NAME, raising=False)
    document, kept = tmp_path / "evidence.md", tmp_path / "answers.json"
    document.write_text("# Evidence\n")
    kept.write_text(json.dumps({"replay": result(figure())}))
    before = kept.read_text()
    arguments = ["--layers", "replay", "--results", str(kept), "--document", str(document)]
    report.main(arguments)
    assert "which file holds the recorded answers" in capsys.readouterr().out
    assert kept.read_text() == before


def test_the_picture_shows_differences_only() -> None:
    both = [figure(), figure(figure="team of 7: the count")]
    drawn = report.picture("replay", both)
    assert drawn.count("<circle") == 1
