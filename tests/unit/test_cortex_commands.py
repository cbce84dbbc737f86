"""`synapse cortex`: nothing is fetched unasked, and nothing is said that was not looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from synapse import config
from synapse.app import cortex as local
from synapse.cli import cortex
from synapse.providers.gguf import ModelFileError
from tests import gguf
from tests.unit.providers.hub import MODEL, SHA256, Hub, running_hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as made:
        yield made


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs `synapse cortex …` with a data folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNAPSE_DATA_DIR", str(tmp_path / "data"))
    app = typer.Typer()
    cortex.register(app)

    def invoke(*arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(app, ["cortex", *arguments], input=answer)

    return invoke


def fetched(tmp_path: Path) -> list[str]:
    folder = tmp_path / "data" / "models"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("answer", [None, "", "\n", "n\n", "maybe\n"])
def test_nothing_is_fetched_without_a_yes(run, hub, tmp_path, answer):
    result = run("get", hub.url, answer=answer)
    assert result.exit_code == 1
    assert fetched(tmp_path) == []
    assert [command for command, _, _ in hub.asked] == ["HEAD"]


def test_before_the_question_stand_source_size_hash_and_room(run, hub):
    said = run("get", hub.url, "--sha256", SHA256, answer="n\n").stderr
    for expected in (hub.url, "127.0.0.1", f"{len(MODEL):,} bytes", SHA256, "free on disk"):
        assert expected in said
    assert "nothing will say" in run("get", hub.url, answer="n\n").stderr


@pytest.mark.parametrize("consent", [{"answer": "y\n"}, {}])
def test_a_yes_fetches_and_prints_the_setting(run, hub, tmp_path, consent):
    more = [] if consent else ["--yes"]
    result = run("get", hub.url, "--sha256", SHA256, *more, **consent)
    path = tmp_path / "data" / "models" / "tiny-1b.gguf"
    assert result.exit_code == 0
    assert result.stdout.endswith(f"cortex_model: {path}\n")
    assert path.read_bytes() == MODEL


def test_a_program_gets_json_and_nothing_else_on_stdout(run, hub):
    told = json.loads(run("get", hub.url, "--yes", "--json").stdout)
    assert told["size_bytes"] == len(MODEL)
    assert json.loads(run("status", "--json").stdout)["files"] == [told["file"]]


def test_a_wrong_hash_ends_with_an_error_and_no_file(run, hub, tmp_path):
    result = run("get", hub.url, "--sha256", "0" * 64, "--yes")
    assert isinstance(result.exception, ModelFileError)
    assert fetched(tmp_path) == []


def test_the_status_without_a_model_names_the_setting(run):
    result = run("status")
    assert result.exit_code == 0
    assert "cortex_model" in result.stdout
    assert json.loads(run("status", "--json").stdout)["model"] is None


def test_the_status_of_a_model_is_what_its_file_says(run, tmp_path, monkeypatch):
    file = gguf.write(tmp_path / "a.gguf")
    monkeypatch.setenv("SYNAPSE_CORTEX_MODEL", str(file))
    monkeypatch.setenv("SYNAPSE_CORTEX_CONTEXT_TOKENS", "512")
    said = json.loads(run("status", "--json").stdout)
    assert said["memory_needed_bytes"] == file.stat().st_size + 512 * 512
    assert said["model"]["name"] == "Tiny Noise"
    assert said["model"]["loaded"] is False
    assert said["model"]["calls"] == 0
    assert said["model"]["sha256"] is None
    assert "Tiny Noise" in run("status").stdout


def test_the_settings_make_a_target_only_when_a_model_is_set(tmp_path):
    assert local.local_model(config.load({}, {}, tmp_path)) is None
    file = gguf.write(tmp_path / "qwen3.gguf", general__name="Qwen3")
    settings = config.load({}, {"SYNAPSE_CORTEX_MODEL": str(file)}, tmp_path)
    found = local.local_model(settings)
    assert found is not None
    assert (found[0].name, found[0].family, found[0].timeout_ms) == ("cortex", "qwen", 60_000)
