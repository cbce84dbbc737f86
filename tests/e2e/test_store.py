"""What an operator does with a data folder: check it, copy it, move what is in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import ROOT, Process, eventually, spores
from tests.unit.storage.logs import damage

KEPT_FILES = ("identity.key",)
PROGRAM = "from synapse.cli import cli, main, store; store.register(cli); main()"


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of the store's commands in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def told(*arguments: str | Path, exit_code: int = 0) -> dict[str, Any]:
    """What a command says with --json."""
    result = command(*arguments, "--json")
    assert result.returncode == exit_code, result.stderr
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def remember(spore: Process, count: int, *, about: str) -> list[str]:
    return [spore.remember(f"{about}, number {number}") for number in range(count)]


def agree(one: Process, two: Process) -> bool:
    return bool(one.health()["fingerprint"] == two.health()["fingerprint"])


@pytest.mark.promise("convergent")
def test_a_flipped_byte_is_told_and_the_record_comes_again_from_a_peer(tmp_path: Path) -> None:
    alder = Process(tmp_path / "alder")
    birch = Process(tmp_path / "birch", peers=[alder.url])
    with spores(alder, birch):
        ids = remember(alder, 5, about="the bees dance")
        eventually(lambda: all(map(birch.holds, ids)), seconds=20, why="birch has them")
        eventually(lambda: agree(alder, birch), seconds=20, why="both hold the same")
        alder.stop()
        damage(alder.folder / "log.db", "body", bytes.fromhex(ids[2]))
        alder.start()
        eventually(lambda: alder.holds(ids[2]), seconds=20, why="birch supplies it")
        eventually(lambda: agree(alder, birch), seconds=20, why="both hold the same again")
    assert b"log_row_damaged" in alder.log.read_bytes()
    assert told("verify", "--data-dir", alder.folder)["well"]


@pytest.mark.promise("authored")
def test_a_spore_from_a_backup_does_not_use_a_number_twice(tmp_path: Path) -> None:
    alder = Process(tmp_path / "alder")
    birch = Process(tmp_path / "birch", peers=[alder.url])
    backup = tmp_path / "alder.backup"
    with spores(alder, birch):
        before = remember(alder, 5, about="before the backup")
        made = told("backup", backup, "--data-dir", alder.folder)
        assert made["well"]
        after = remember(alder, 5, about="after the backup")
        eventually(lambda: all(map(birch.holds, after)), seconds=20, why="birch has them")
        alder.kill()

        again = Process(tmp_path / "again", peers=[birch.url])
        restored = told("restore", backup, "--data-dir", again.folder)
        assert restored["fingerprint"] == made["fingerprint"]
        for name in KEPT_FILES:
            shutil.copy(alder.folder / name, again.folder / name)
        with spores(again):
            assert all(map(again.holds, before))
            new = remember(again, 5, about="in another life")
            eventually(lambda: all(map(again.holds, after)), seconds=30, why="birch returns them")
            eventually(lambda: all(map(birch.holds, new)), seconds=30, why="birch hears the new")
            eventually(lambda: agree(again, birch), seconds=30, why="both hold the same")
            assert again.health()["equivocations"] == birch.health()["equivocations"] == 0


def test_what_a_running_spore_exports_another_imports(tmp_path: Path) -> None:
    alder, rows = Process(tmp_path / "alder"), tmp_path / "rows.jsonl"
    with spores(alder):
        remember(alder, 5, about="the bees dance")
        secret = alder.remember("the key is under the mat", scope="private")
        out = told("export", rows, "--data-dir", alder.folder, "--private")
        assert out["fingerprint"] == alder.health()["fingerprint"]
        assert out["private_memories"] == 1
        busy = command("import", rows, "--data-dir", alder.folder)
        assert busy.returncode == 1
        assert "another spore is using" in " ".join(busy.stderr.split())

    birch = Process(tmp_path / "birch")
    came = told("import", rows, "--data-dir", birch.folder)
    assert came["well"] and came["entered"] == out["records"]
    assert came["fingerprint"] == out["fingerprint"]
    with spores(birch):
        assert birch.holds(secret)
        assert birch.health()["memories"] == 6


def test_a_check_says_what_to_do_and_repairs(tmp_path: Path) -> None:
    alder = Process(tmp_path / "alder")
    with spores(alder):
        ids = remember(alder, 5, about="the bees dance")
        assert told("verify", "--data-dir", alder.folder)["well"], "also while it runs"
        alder.stop()
        damage(alder.folder / "log.db", "signature", bytes.fromhex(ids[0]))

        found = told("verify", "--data-dir", alder.folder, exit_code=1)
        assert [row["id"] for row in found["damaged_rows"]] == [ids[0]]
        assert "synapse verify --repair" in found["advice"]
        plain = command("verify", "--data-dir", alder.folder)
        assert plain.returncode == 1
        assert ids[0] in "".join(plain.stderr.split())

        repaired = told("verify", "--repair", "--data-dir", alder.folder, exit_code=1)
        assert "peers" in repaired["advice"]
        assert repaired["set_aside"] == 1
        alder.start()
        assert not alder.holds(ids[0])
        assert alder.holds(ids[1])


def test_an_imported_file_that_was_altered_is_told(tmp_path: Path) -> None:
    alder, rows = Process(tmp_path / "alder"), tmp_path / "rows.jsonl"
    with spores(alder):
        remember(alder, 3, about="the bees dance")
    told("export", rows, "--data-dir", alder.folder)
    lines = rows.read_text("utf-8").splitlines()
    rows.write_text("\n".join(lines[1:]), "utf-8")
    came = told("import", rows, "--data-dir", tmp_path / "again", exit_code=1)
    assert "cut or altered" in came["advice"]
