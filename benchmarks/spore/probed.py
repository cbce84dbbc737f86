"""A spore that measures how late its event loop is: spore.py with one coroutine more.

    LAG_FILE=lag.jsonl python benchmarks/spore/probed.py --port 7860 …

The coroutine sleeps five milliseconds and looks how much later it wakes. `wall_ms` is all of that,
`own_ms` as much of it as this process computed meanwhile, in any thread: what it cannot blame on
whatever else the machine does. Where nothing else runs, the two are the same.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TextIO

ROOT: Final = Path(__file__).resolve().parents[2]
EVERY_S: Final = 0.005


async def measure(file: TextIO) -> None:
    """Until cancelled, write lines of [when, wall_ms, own_ms]; `when` is the machine's monotonic
    clock, in seconds. A second of them fills the file's buffer: what it costs is nothing."""
    while True:
        began, computed = time.monotonic(), time.process_time()
        await asyncio.sleep(EVERY_S)
        now = time.monotonic()
        late = max(0.0, now - began - EVERY_S)
        own = min(late, time.process_time() - computed)
        file.write(f"[{now:.4f}, {late * 1_000:.3f}, {own * 1_000:.3f}]\n")


async def beside(main: Coroutine[Any, Any, None], file: TextIO) -> None:
    """Run a spore, and measure meanwhile."""
    measuring = asyncio.create_task(measure(file))
    try:
        await main
    finally:
        measuring.cancel()


def run_probed(main: Coroutine[Any, Any, None]) -> None:
    """As `asyncio.run`. A spore ends by the signal that stopped it: its last lines are lost."""
    with open(os.environ["LAG_FILE"], "w", encoding="utf-8") as file, asyncio.Runner() as runner:
        runner.run(beside(main, file))


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from synapse.cli import main, running

    running.asyncio.run = run_probed  # type: ignore[assignment]  # the one place that runs a spore
    main(["serve", *sys.argv[1:]])
