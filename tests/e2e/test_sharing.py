"""Spores started by hand, over real HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.processes import Process, eventually, spores


@pytest.mark.promise("convergent")
def test_two_spores_started_with_peers_share_a_memory_within_two_seconds(tmp_path: Path) -> None:
    alder = Process(tmp_path / "alder")
    birch = Process(tmp_path / "birch", peers=[alder.url])
    with spores(alder, birch):
        eventually(lambda: birch.health()["peers_alive"] == 1, seconds=10, why="birch meets alder")
        there = alder.remember("The tides follow the moon.")
        eventually(lambda: birch.holds(there), seconds=2, why="from the dialled to the dialler")
        back = birch.remember("Neap tides come with the half moon.")
        eventually(lambda: alder.holds(back), seconds=2, why="from the dialler to the dialled")


@pytest.mark.promise("convergent")
def test_a_spore_that_comes_late_gets_all_of_history(tmp_path: Path) -> None:
    alder = Process(tmp_path / "alder")
    birch = Process(tmp_path / "birch", peers=[alder.url])
    with spores(alder):
        for number in range(1_500):
            alder.remember(f"Entry {number} of a log that began long ago.")
        with spores(birch):
            eventually(
                lambda: birch.health()["fingerprint"] == alder.health()["fingerprint"],
                seconds=30,
                why="all of history, not the newest slice",
            )
            assert birch.health()["records_by_kind"]["memory"] == 1_500


@pytest.mark.promise("convergent")
def test_a_spore_that_nobody_can_dial_gets_and_gives_everything(tmp_path: Path) -> None:
    alder = Process(tmp_path / "alder")
    hermit = Process(tmp_path / "hermit", peers=[alder.url], SYNAPSE_DIALABLE="false")
    with spores(alder, hermit):
        eventually(lambda: hermit.health()["peers_alive"] == 1, seconds=10, why="it dials out")
        given = hermit.remember("Written where nobody can knock.")
        eventually(lambda: alder.holds(given), seconds=10, why="it gives")
        taken = alder.remember("Written where anybody can.")
        eventually(lambda: hermit.holds(taken), seconds=10, why="it gets")
        peers = alder.client.get("/api/federation/status")["peers"]
        assert [peer["url"] for peer in peers] == [None]


@pytest.mark.promise("private")
def test_a_private_memory_is_found_at_home_and_nowhere_else(tmp_path: Path) -> None:
    alder = Process(tmp_path / "alder")
    birch = Process(tmp_path / "birch", peers=[alder.url])
    with spores(alder, birch):
        eventually(lambda: birch.health()["peers_alive"] == 1, seconds=10, why="birch meets alder")
        secret = alder.remember("The spare key is under the third stone.", scope="private")
        shared = alder.remember("Gates are locked at nine.")
        eventually(lambda: birch.holds(shared), seconds=5, why="what is shared arrives")
        assert alder.holds(secret)
        assert not birch.holds(secret)
        assert b"third stone" not in (birch.folder / "log.db").read_bytes()


@pytest.mark.promise("durable")
def test_a_spore_that_lost_its_disk_gets_its_own_memories_back(tmp_path: Path) -> None:
    alder = Process(tmp_path / "alder")
    birch = Process(tmp_path / "birch", peers=[alder.url])
    with spores(alder):
        birch.start()
        kept = birch.remember("Written before the disk died.")
        eventually(lambda: alder.holds(kept), seconds=10, why="alder has a copy")
        birch.stop()
        for file in birch.folder.glob("log.db*"):
            file.unlink()
        with spores(birch):
            eventually(lambda: birch.holds(kept), seconds=10, why="it comes back")
            new = birch.remember("Written after.")
            eventually(lambda: alder.holds(new), seconds=10, why="and life goes on")
            assert alder.health()["equivocations"] == 0
