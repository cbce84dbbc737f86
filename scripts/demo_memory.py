"""A million memories, live: how quick and how good recall is while an index on disk grows.

    make demo-memory N=1000000        python -m scripts.demo_memory [--memories N] [--folder FOLDER]

The memories are generated (`benchmarks.retrieval.corpus`) and the index is the one spores use. Each
time the index has grown by a third, fifty questions of 5 to 30 words are asked, and fifty of eight
words that are taken from one memory: `found` says how often that memory is among the first five.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log10
from pathlib import Path
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from benchmarks.retrieval.corpus import Corpus, Known, known_items, questions
from benchmarks.retrieval.engines import memory_id
from benchmarks.retrieval.worker import disk_bytes, memory_mb, percentile
from synapse.core.memory.memory import Memory
from synapse.ports import Hits
from synapse.retrieval.budget import budget_for
from synapse.retrieval.engine import BEST
from synapse.retrieval.inverted import InvertedIndex

BATCH: Final = 1_000
ASKED: Final = 50
GROWTH: Final = 10 ** (1 / 8)  # from one measurement to the next: eight for each power of ten
SHOWN: Final = 18  # rows; the screen of a laptop
FIRST: Final = 10  # memories
HIT_LIMIT: Final = 5
BAR: Final = 28  # characters, for four powers of ten: 10 µs to 100 ms

out = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Measured:
    """How recall was at one size."""

    memories: int
    p50_us: float
    p99_us: float
    found: float
    exact: float  # share of answers that the budget did not cut
    disk_bytes: int
    own_mb: float


@dataclass(slots=True)
class State:
    """What the screen shows."""

    wanted: int
    rows: list[Measured]
    fed: int = 0
    feeding_s: float = 0.0  # of CPU

    def __rich__(self) -> Group:
        """The screen."""
        rate = self.fed / self.feeding_s if self.feeding_s else 0
        head = f"{self.fed:>12,} of {self.wanted:,} memories   {rate:,.0f} fed a CPU second"
        return Group(
            Text(head),
            ProgressBar(total=self.wanted, completed=self.fed, width=72),
            table(self.rows[-SHOWN:]),
        )


def table(rows: Sequence[Measured]) -> Table:
    """What was measured, a line a size."""
    shown = Table(box=None, pad_edge=False)
    for heading in ("memories", "p50", "p99", "found", "exact", "disk", "RAM"):
        shown.add_column(heading, justify="right")
    shown.add_column("10 µs to 100 ms: ─ p50, ╴ p99")
    for row in rows:
        p50, p99 = _place(row.p50_us), _place(row.p99_us)
        bar = "─" * p50 + "╴" * (p99 - p50)
        shown.add_row(
            f"{row.memories:,}",
            _time(row.p50_us),
            _time(row.p99_us),
            f"{row.found:.0%}",
            f"{row.exact:.0%}",
            f"{row.disk_bytes / 2**20:,.0f} MB",
            f"{row.own_mb:.0f} MB",
            bar,
        )
    return shown


def _place(value_us: float) -> int:
    return max(1, min(BAR, round(BAR * log10(max(value_us, 10.0) / 10) / 4)))


def _time(value_us: float) -> str:
    return f"{value_us:.0f} µs" if value_us < 1000 else f"{value_us / 1000:.2f} ms"


def sizes(wanted: int) -> list[int]:
    """How many memories there are when it is measured: from ten on, and at the end."""
    found, size = [], float(FIRST)
    while round(size) < wanted:
        found.append(round(size))
        size *= GROWTH
    return [*found, wanted]


class Demo:
    """Feeds an index and measures it."""

    def __init__(self, folder: Path, wanted: int, *, exact: bool) -> None:
        self._folder, self._exact = folder, exact
        self._corpus = Corpus()
        self._texts = self._corpus.texts(wanted)
        self._index = InvertedIndex(folder)
        self.state = State(wanted, [])

    def grow(self, upto: int, each: Callable[[], None]) -> None:
        """Feed until there are so many; `each` is called after every batch."""
        state = self.state
        while state.fed < upto:
            first = state.fed
            texts = islice(self._texts, min(BATCH, upto - first))
            memories = [
                Memory(memory_id(number), text, "note", (), "", number, True)
                for number, text in enumerate(texts, start=first)
            ]
            started = time.process_time()
            self._index.add(memories, covers=(first, first + len(memories)))
            self._index.maintain()
            state.feeding_s += time.process_time() - started
            state.fed += len(memories)
            each()

    def measure(self) -> Measured:
        """Ask, and note how it went. The second time a question is asked counts."""
        size = self.state.fed
        times_us = []
        exact = 0
        for query in questions(self._corpus, size, ASKED):
            exact += self._ask(query, 10).exact  # reads what it needs from the disk
            started = time.perf_counter_ns()
            self._ask(query, 10)
            times_us.append((time.perf_counter_ns() - started) / 1000)
        known = known_items(self._corpus, size, ASKED)
        return Measured(
            size,
            percentile(times_us, 50),
            percentile(times_us, 99),
            sum(map(self._found, known)) / len(known),
            exact / len(times_us),
            disk_bytes(self._folder),
            memory_mb()["anon_mb"],
        )

    def _ask(self, query: str, limit: int) -> Hits:
        budget = None if self._exact else budget_for(len(self._index))
        return self._index.search(query, limit=limit, budget=budget)

    def _found(self, known: Known) -> bool:
        hits = self._ask(known.query, HIT_LIMIT)
        return memory_id(known.answer) in [hit.id for hit in hits]

    def reopen(self) -> float:
        """Close it, open it again, and answer: how many milliseconds to the first answer."""
        self._index.close()
        started = time.perf_counter()
        self._index = InvertedIndex(self._folder)
        self._ask("how does a spore remember", 10)
        return (time.perf_counter() - started) * 1000


def show(folder: Path, wanted: int, *, exact: bool) -> None:
    """Grow an index to so many memories, and tell what happens."""
    demo = Demo(folder, wanted, exact=exact)
    out.print(f"index in {folder}, {BEST.name} loops")
    started = time.monotonic()
    live = Live(demo.state, console=out, refresh_per_second=4, transient=True)
    with live:
        for size in sizes(wanted):
            demo.grow(size, lambda: None)
            demo.state.rows.append(demo.measure())
    out.print(table(demo.state.rows))
    first, last = demo.state.rows[0], demo.state.rows[-1]
    out.print(
        f"{wanted:,} memories in {time.monotonic() - started:.0f} s, generating and asking "
        f"included; {wanted / demo.state.feeding_s:,.0f} fed a CPU second; "
        f"{last.disk_bytes / wanted:.0f} bytes each on disk"
    )
    out.print(
        f"recall at {last.memories:,} takes {last.p50_us / first.p50_us:.1f} times as long as at "
        f"{first.memories:,} (median); closed, opened and answered in {demo.reopen():.0f} ms"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments and show it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--memories", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="an empty one, which is kept")
    parser.add_argument("--exact", action="store_true", help="no budget, whatever the size")
    wanted = parser.parse_args(arguments)
    if wanted.memories < FIRST:
        parser.error(f"it takes {FIRST} memories at least")
    if wanted.folder and wanted.folder.exists() and any(wanted.folder.iterdir()):
        parser.error(f"{wanted.folder} is not empty")
    folder = wanted.folder or Path(tempfile.mkdtemp(prefix="synapse-memory-"))
    try:
        show(folder, wanted.memories, exact=wanted.exact)
    finally:
        if wanted.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
