"""The store at any size: how fast it fills and starts, and what a memory costs on disk and in RAM.

    python -m benchmarks.store [--records 100000] [--tools] [--folder FOLDER]

Each start runs in a process of its own, and is of the store and the views of the core: no index, no
web. `rss_grown_mb` is what the start adds to the process; `file_mb` of it is mapped and goes when
others need the memory. CPU seconds say more than wall seconds on a machine that does other things.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random

from benchmarks.filling import BATCH, START_MS, identities, signed
from benchmarks.retrieval.corpus import Corpus
from synapse.core import events
from synapse.core.memory.record import Identity
from synapse.core.node import Node, NodeSettings
from synapse.core.wall.release import Wall
from synapse.driver.driver import RESTORE_CHUNK, VIEW_KINDS
from synapse.storage import backup, checking, views
from synapse.storage.sqlite_log import SqliteLog
from synapse.storage.views import Views, snapshot_path


def main(arguments: list[str]) -> None:
    """Print the figures as JSON objects."""
    parser = argparse.ArgumentParser(prog="benchmarks.store", description=__doc__.split("\n")[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--tools", action="store_true", help="verify, back up and restore too")
    parser.add_argument("--folder", type=Path, help="fill this one, and leave it")
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.start is not None:
        tell("start", **start(chosen.start))
        return
    with tempfile.TemporaryDirectory() as temporary:
        measure(chosen.folder or Path(temporary) / "data", chosen.records, tools=chosen.tools)


def measure(folder: Path, count: int, *, tools: bool) -> None:
    """Fill a log, start on it without and with a snapshot, and use the tools on it."""
    path = folder / "log.db"
    tell("fill", records=count, **fill(path, count))
    for _ in ("from the log", "from the snapshot which that start wrote"):
        command = [sys.executable, "-m", "benchmarks.store", "--start", str(folder)]
        subprocess.run(command, check=True)
    sizes = {name: file.stat().st_size / count for name, file in files(path).items()}
    tell("disk", **{f"{name}_bytes_a_record": round(size, 1) for name, size in sizes.items()})
    if tools:
        copy, again = folder / "backup", folder / "again" / "log.db"
        tell("verify", **timed(lambda: checking.verify(path, anew=True, progress=silent)))
        tell("backup", **timed(lambda: backup.back_up(path, copy, progress=silent)))
        tell("restore", **timed(lambda: backup.restore(copy, again, progress=silent)))


def files(path: Path) -> dict[str, Path]:
    """The log, and what is kept beside it."""
    return {"log": path, "snapshot": snapshot_path(path)}


def fill(path: Path, count: int) -> dict[str, float]:
    """Make a log of signed memories. Making them is not counted, storing them is."""
    log, making_s, began_s = SqliteLog(path), 0.0, time.process_time()
    made = signed(Corpus().texts(count), identities())
    while True:
        before_s = time.process_time()
        batch = list(islice(made, BATCH))
        making_s += time.process_time() - before_s
        if not batch:
            break
        log.stage(batch)
        log.commit()
    log.close()
    storing_s = time.process_time() - began_s - making_s
    return {
        "signed_per_cpu_s": round(count / making_s),
        "stored_per_cpu_s": round(count / storing_s),
    }


def start(folder: Path) -> dict[str, float | bool | int]:
    """What a spore does before it is ready, but for its index; then a snapshot, if one is due."""
    before = resident_mb()
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    log = SqliteLog(folder / "log.db")
    node = Node(
        Identity(bytes(32)),
        NodeSettings(name="measured", url=None, software="benchmark"),
        rng=Random(1),
        read=log.read,
        search=lambda query, limit: [],
        wall=Wall([]),
    )
    held = Views(log, node.ledger.records)
    found = held.load()
    for part in held.restored(found, VIEW_KINDS, own=node.key):
        while chunk := tuple(islice(part, RESTORE_CHUNK)):
            node.handle(events.Restored(chunk), now_ms=START_MS * 2)
    node.ledger.records.fingerprint()
    took_s, took_cpu_s, after = (
        time.monotonic() - began_s,
        time.process_time() - began_cpu_s,
        resident_mb(),
    )
    taken = held.look(tail=views.TAIL_AT_END)
    if taken is not None:
        views.save(log, taken)
    log.close()
    return {
        "records": len(node.ledger.records),
        "from_snapshot": found is not None,
        "cpu_s": round(took_cpu_s, 3),
        "wall_s": round(took_s, 3),
        "rss_grown_mb": round(after["VmRSS"] - before["VmRSS"], 1),
        "file_mb": round(after["RssFile"] - before["RssFile"], 1),
        "rss_mb": round(after["VmRSS"], 1),
    }


def timed(act: Callable[[], object]) -> dict[str, float]:
    """CPU and wall seconds of a call."""
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    act()
    return {
        "cpu_s": round(time.process_time() - began_cpu_s, 2),
        "wall_s": round(time.monotonic() - began_s, 2),
    }


def resident_mb() -> dict[str, float]:
    """Memory of this process by name, from /proc; zeros where there is none (macOS)."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found = {line.split(":")[0]: line.split() for line in lines}
    return {
        name: int(found[name][1]) / 1_024 if name in found else 0.0 for name in ("VmRSS", "RssFile")
    }


def silent(done: int, total: int) -> None:
    """Show no progress."""


def tell(figure: str, **values: object) -> None:
    """Print one line."""
    print(json.dumps({"benchmark": "store", "figure": figure, **values}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
