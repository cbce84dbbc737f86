"""kill -9 at any moment loses nothing that was acknowledged."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest

from synapse.core.errors import PeerError
from tests.e2e.processes import Process, spores

KILLS = 50
WRITERS = 4


class Writers:
    """Threads that store memories as fast as they can until the spore is gone."""

    def __init__(self, spore: Process, run: int) -> None:
        self.acknowledged: list[str] = []
        self._spore = spore
        self._threads = [
            threading.Thread(target=self._write, args=(run, number)) for number in range(WRITERS)
        ]
        for thread in self._threads:
            thread.start()

    def _write(self, run: int, number: int) -> None:
        for count in range(1_000_000):
            try:
                self.acknowledged.append(self._spore.remember(f"run {run} by {number}: {count}"))
            except PeerError:
                return

    def join(self) -> None:
        for thread in self._threads:
            thread.join(timeout=30)
            assert not thread.is_alive()


@pytest.mark.promise("durable")
def test_no_acknowledged_memory_is_lost_in_fifty_kills_at_random_moments(tmp_path: Path) -> None:
    rng = random.Random(50)
    spore = Process(tmp_path / "spore")
    acknowledged: list[str] = []
    before: list[str] = []
    for run in range(KILLS):
        spore.start()
        assert all(spore.holds(record_id) for record_id in rng.sample(before, min(20, len(before))))
        writers = Writers(spore, run)
        time.sleep(rng.uniform(0.0, 0.25))
        spore.kill()
        writers.join()
        before = writers.acknowledged
        acknowledged += before
    with spores(spore):
        missing = [record_id for record_id in acknowledged if not spore.holds(record_id)]
        assert len(acknowledged) > KILLS, "the spore was killed while it was writing"
        assert missing == []
        assert spore.health()["equivocations"] == 0
