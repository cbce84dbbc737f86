"""A disk without room stops intake, says so, loses nothing, and the spore goes on when there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse.core.errors import PeerError
from tests.e2e.processes import Process, eventually, spores

PROGRAM = Path(__file__).with_name("small_disk.py")
PAGES = 60  # 240 kB: an empty log takes 12 of them


def filled(spore: Process) -> list[str]:
    """Notes until the spore takes no more; the ids of those it acknowledged."""
    acknowledged: list[str] = []
    for number in range(10_000):
        try:
            acknowledged.append(spore.remember(f"{number:05}" * 200))
        except PeerError as refusal:
            assert refusal.reason == "status_507"
            assert "nothing stored is lost" in str(refusal)
            return acknowledged
    raise AssertionError("a disk of 240 kB took ten thousand notes")


@pytest.mark.promise("durable")
def test_intake_stops_on_a_full_disk_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    room = tmp_path / "room"
    full = Process(tmp_path / "full", program=PROGRAM, PAGES=str(PAGES), ROOM=str(room))
    peer = Process(tmp_path / "peer", peers=[full.url])
    with spores(full):
        acknowledged = filled(full)
        assert len(acknowledged) > 10
        assert full.health()["status"] == "stalled"
        assert all(map(full.holds, acknowledged)), "reads go on"
        with pytest.raises(PeerError, match="no room"):
            full.client.get("/ready")
        with spores(peer):
            elsewhere = peer.remember("The peer has room.")

            room.touch()
            eventually(lambda: full.health()["status"] == "ok", seconds=20, why="there is room")
            later = full.remember("There is room again.")
            eventually(lambda: full.holds(elsewhere), seconds=30, why="the peer brings its own")
            kept = [*acknowledged, later]
            eventually(lambda: all(map(peer.holds, kept)), seconds=30, why="the peer gets all")
        full.kill()
    again = Process(tmp_path / "full")
    with spores(again):
        assert all(map(again.holds, [*kept, elsewhere]))
