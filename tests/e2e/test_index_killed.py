"""An index whose process is killed while it merges: nothing that it had is wrong afterwards."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from synapse.retrieval.inverted import InvertedIndex
from synapse.retrieval.scan import ScanIndex
from tests.e2e.indexing import COUNT, HEAD_ROWS, feed, memory

KILLS = 12


def killed_while_merging(folder: Path, rng: random.Random) -> int:
    """Feed until some step, then SIGKILL. Returns the position that was reached."""
    command = [sys.executable, "-m", "tests.e2e.indexing", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reached = 0
        for _ in range(rng.randint(1, 15)):
            reached = int(process.stdout.readline() or reached)
        process.kill()
    return reached


@pytest.mark.promise("durable")
def test_an_index_killed_while_it_merges_keeps_or_asks_again_for_every_memory(
    tmp_path: Path,
) -> None:
    rng = random.Random(20261121)
    reached = [killed_while_merging(tmp_path, rng) for _ in range(KILLS)]
    assert reached[-1] > reached[0], "it goes on where it was, and not from the start"
    index = InvertedIndex(tmp_path, head_rows=HEAD_ROWS)
    assert index.damage == []
    feed(index)
    scan = ScanIndex()
    scan.add([memory(number) for number in range(1, COUNT + 1)])
    assert list(index.missing(COUNT)) == []
    assert len(index) == len(scan) == COUNT
    for query in ("apple pie", "word3 own100", "own8 own31 own5999"):
        assert index.search(query, limit=50) == scan.search(query, limit=50)
    index.close()
