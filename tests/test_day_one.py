"""What a fresh clone needs: set-up, lock files, the container, the seed list, the commands."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from synapse import config

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
TOOLS = [Requirement(line) for line in PROJECT["optional-dependencies"]["dev"]]
SCRIPTS = sorted([*ROOT.glob("scripts/*.sh"), *ROOT.glob("*.sh"), ROOT / ".ci/run"])
TARGETS = [
    *("help", "setup", "demo", "demo-trust", "demo-memory", "run", "test", "check", "lint", "sim"),
    *("bench", "bench-answers", "bench-retrieval", "docs", "format", "lock", "clean"),
]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# Commands


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_executable_and_parse(script):
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    assert subprocess.run(["bash", "-n", script], capture_output=True, check=False).stderr == b""


def test_make_has_every_target_described_and_each_that_needs_it_sets_up_first():
    found = dict(re.findall(r"(?m)^([a-z-]+):(.*)## \S", read("Makefile")))
    assert list(found) == TARGETS
    without = [
        name for name, needs in found.items() if "setup" not in needs and "lint" not in needs
    ]
    assert without == ["help", "setup", "clean"]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("target", TARGETS)
def test_make_accepts_every_target(target):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--dry-run", "--directory", ROOT, target]
    run = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_ci_runs_make_test_and_decides_nothing_itself():
    lines = read(".ci/run").splitlines()
    assert lines[-1] == "make test"
    assert "set -euo pipefail" in lines


# Set-up, driven with a Python that only writes down what it is asked


FAKE_PYTHON = """#!/usr/bin/env bash
echo "$*" >>calls
case "$*" in
*version_info*) [ "$FAKE" != old ] ;;
*ensurepip*) [ "$FAKE" != no-venv ] ;;
"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
*"pip "*"install"*) [ -z "$PIP_SAYS" ] || { echo "$PIP_SAYS"; exit 1; } ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("scripts/setup.sh", "requirements-dev.lock", "pyproject.toml", "setup.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    kernel = "synapse/retrieval/native"
    shutil.copytree(ROOT / kernel, tmp_path / kernel)
    python = tmp_path / "python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    return tmp_path


def set_up(checkout: Path, *, python: str = "./python", fake: str = "", pip_says: str = ""):
    environ = {**os.environ, "PYTHON": python, "FAKE": fake, "PIP_SAYS": pip_says}
    command = [checkout / "scripts/setup.sh"]
    run = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    return run.returncode, run.stderr


def test_set_up_runs_once_and_again_when_the_lock_or_the_folder_changes(checkout):
    def calls() -> int:
        return len((checkout / "calls").read_text().splitlines())

    assert set_up(checkout) == (0, "")
    first = calls()
    assert set_up(checkout) == (0, "")
    assert calls() == first
    with (checkout / "requirements-dev.lock").open("a") as lock:
        lock.write("# changed\n")
    assert set_up(checkout) == (0, "")
    second = calls()
    assert second > first
    moved = checkout.rename(checkout.with_name("moved"))
    assert set_up(moved) == (0, "")
    assert "-m venv --clear .venv" in (moved / "calls").read_text().splitlines()[second:]


@pytest.mark.parametrize(
    ("arguments", "fixes"),
    [
        ({"python": "./none"}, ["Python 3.11", "apt install python3", "brew install", "PYTHON="]),
        ({"fake": "old"}, ["Python 3.11"]),
        ({"fake": "no-venv"}, ["venv", "apt install python3-venv"]),
        ({"pip_says": "error: command 'gcc' failed"}, ["build-essential", "xcode-select"]),
        ({"pip_says": "ERROR: No matching distribution found"}, ["network", "PIP_INDEX_URL"]),
        ({"pip_says": "PACKAGES DO NOT MATCH THE HASHES"}, ["cache"]),
        ({"pip_says": "something else"}, [".venv/setup.log", "something else"]),
    ],
)
def test_set_up_names_the_fix_for_what_is_missing(checkout, arguments, fixes):
    code, message = set_up(checkout, **arguments)
    assert code == 1
    assert [fix for fix in fixes if fix not in message] == []
    assert set_up(checkout) == (0, ""), "and it recovers once that is fixed"


# Packages


def locked(name: str) -> dict[str, list[str]]:
    """Versions by package: more than one where they differ between Python versions."""
    versions: dict[str, list[str]] = {}
    for package, version in re.findall(r"(?m)^([a-z0-9.-]+)(?:\[.*\])?==([^\s;]+)", read(name)):
        versions.setdefault(package, []).append(version)
    return versions


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [("requirements.lock", RUNTIME), ("requirements-dev.lock", RUNTIME + TOOLS)],
)
def test_lock_files_hold_a_fitting_version_of_everything_wanted(lock, wanted):
    versions = locked(lock)
    for requirement in wanted:
        found = versions.get(canonicalize_name(requirement.name), [])
        assert found, f"{lock} lacks {requirement.name}: run `make lock`"
        assert all(requirement.specifier.contains(version) for version in found), requirement


def test_both_lock_files_agree_and_hold_hashes_but_no_address_of_one_machine():
    runtime, all_of_it = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: all_of_it.get(name) for name in runtime} == runtime
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = read(name)
        packages = re.findall(r"(?m)^[a-z].*$", text)
        assert [line for line in packages if not line.endswith("\\")] == []
        assert re.findall(r"(?m)^-.*|file:|https?:|(?<!\S)/\S+", text) == []


def test_every_dependency_is_imported_somewhere_in_the_package():
    imported = set()
    for path in (ROOT / "synapse").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    used = {
        canonicalize_name(distribution)
        for module, distributions in packages_distributions().items()
        if module in imported
        for distribution in distributions
    }
    assert sorted({canonicalize_name(each.name) for each in RUNTIME} - used) == []


# The container


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's last stage, an instruction each."""
    text = re.sub(r"(?m)^#.*\n", "", read("Dockerfile")).replace("\\\n", " ")
    lines = [line.partition(" ") for line in text.splitlines() if line.strip()]
    starts = [index for index, (name, _, _) in enumerate(lines) if name == "FROM"]
    return [(name, " ".join(value.split())) for name, _, value in lines[starts[-1] :]]


def test_the_container_is_unprivileged_checked_and_keeps_its_data():
    image = dict(instructions())
    assert image["FROM"].endswith("-slim")
    assert image["USER"] == "1000"
    assert image["EXPOSE"] == "7860"
    assert image["VOLUME"] == "/data"
    assert "SYNAPSE_HOST=0.0.0.0" in image["ENV"] and "SYNAPSE_DATA_DIR=/data" in image["ENV"]
    assert "${SYNAPSE_PORT:-${PORT:-7860}}/live" in image["HEALTHCHECK"]
    assert json.loads(image["CMD"]) == ["python", "spore.py"]
    names = [name for name, _ in instructions()]
    assert names.index("USER") > max(i for i, name in enumerate(names) if name in ("RUN", "COPY"))


def test_the_container_holds_only_what_is_named_and_only_locked_packages():
    ignored = [line for line in read(".dockerignore").splitlines() if line[:1] not in ("#", "")]
    assert ignored[0] == "*"
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    text = read("Dockerfile")
    copied = re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", text)
    assert {name for names in copied for name in names.split()} == allowed
    assert "--require-hashes -r requirements.lock" in text
    assert "rm -" not in text, "licence files in *.dist-info must stay"


def test_the_containers_settings_are_settings(tmp_path):
    env = dict(pair.split("=", 1) for pair in dict(instructions())["ENV"].split())
    settings = config.load({}, {**env, "PORT": "8080"}, tmp_path)
    assert (settings.host, settings.port, str(settings.data_dir)) == ("0.0.0.0", 8080, "/data")


# The seed list


def test_the_seed_list_is_valid_and_empty_until_someone_publishes_a_seed():
    content = json.loads(read("bootstrap.json"))
    assert list(content) == ["comment", "version", "seeds"]
    assert (content["version"], content["seeds"]) == (1, [])
    assert config.seeds(config.load({"join": True}, {}, ROOT / "docs")) == ()
