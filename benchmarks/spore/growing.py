"""Recall and the event loop while a peer pushes a thousand records a second, beside the same spore
at rest. Both are asked at the same steady rate, so that nothing but the burst differs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

from benchmarks.spore.asking import Asker, Beat, memory_mb, percentile
from tests.e2e.processes import Process, eventually

RECALL_EVERY_S: Final = 0.05
LIVE_EVERY_S: Final = 0.02
SEARCHABLE_WITHIN_S: Final = 60.0


def grown(
    spore: Process, questions: Sequence[str], *, seconds: float, rate: int
) -> Iterator[tuple[str, float]]:
    """Every figure by its name but the lag, which `lags` knows when the spore has stopped. Half of
    the rest is before the burst and half after it: the machine may do other things. `live_…` is the
    latency of the cheapest request: more than what the event loop lags, never less."""
    command = [sys.executable, "-m", "benchmarks.spore.pusher", spore.url]
    command += ["--seconds", str(seconds), "--rate", str(rate)]
    watched = _Watched(spore, questions)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        peer.stdout.readline()  # all is signed
        rest = [watched.during(lambda: time.sleep(seconds / 2))]
        before, began = spore.health()["index"]["memories"], time.monotonic()
        peer.stdin.write("go\n")
        peer.stdin.flush()
        said: list[str] = []
        burst = watched.during(lambda: said.append(peer.stdout.readline()))
    told = json.loads(said[0])
    ended = time.monotonic()
    eventually(
        lambda: spore.health()["index"]["memories"] >= before + told["pushed"],
        seconds=SEARCHABLE_WITHIN_S,
        why="everything that was pushed can be found",
    )
    searchable_s = time.monotonic() - ended
    for name, value in memory_mb(spore.pid).items():
        yield f"after_{name}", value
    rest.append(watched.during(lambda: time.sleep(seconds / 2)))
    yield from told.items()
    yield "searchable_after_s", searchable_s
    yield "began_s", began
    yield "ended_s", ended
    yield from compared("recall", [ms for one in rest for ms in one.recall_ms], burst.recall_ms)
    yield from compared("live", [ms for one in rest for ms in one.live_ms], burst.live_ms)


def compared(
    name: str, rest: Sequence[float], burst: Sequence[float]
) -> Iterator[tuple[str, float]]:
    """The same latency at rest and in the burst."""
    for percent in (50, 99):
        slow, slower = percentile(rest, percent), percentile(burst, percent)
        yield f"{name}_rest_p{percent}_ms", slow
        yield f"{name}_burst_p{percent}_ms", slower
        yield f"{name}_burst_p{percent}_ratio", slower / slow
    yield f"{name}_burst_max_ms", max(burst)


def lags(file: Path, *, began_s: float, ended_s: float) -> Iterator[tuple[str, float]]:
    """How late the event loop was in the burst, of which part the spore itself was the cause, as
    `probed` wrote it down."""
    whole = file.read_text("utf-8").rpartition("\n")[0]  # the last line may be half of one
    lines = [json.loads(line) for line in whole.splitlines()]
    burst = [one for one in lines if began_s <= one[0] <= ended_s]
    for name, column in (("wall", 1), ("own", 2)):
        values = [one[column] for one in burst]
        yield f"lag_{name}_p50_ms", percentile(values, 50)
        yield f"lag_{name}_p99_ms", percentile(values, 99)
        yield f"lag_{name}_max_ms", max(values)


@dataclass(frozen=True, slots=True)
class _Latencies:
    """Milliseconds of recalls and of the cheapest requests."""

    recall_ms: list[float]
    live_ms: list[float]


class _Watched:
    """A spore that is asked while something goes on."""

    def __init__(self, spore: Process, questions: Sequence[str]) -> None:
        self._url = spore.url
        self._questions = cycle(questions)

    def during(self, meanwhile: Callable[[], object]) -> _Latencies:
        """What it took while this went on."""
        recaller, watcher = Asker(self._url), Asker(self._url)
        beats = (
            Beat(lambda: recaller.recall(next(self._questions)), every_s=RECALL_EVERY_S),
            Beat(watcher.live, every_s=LIVE_EVERY_S),
        )
        try:
            meanwhile()
        finally:
            recalls, lives = (beat.stop() for beat in beats)
            recaller.close()
            watcher.close()
        return _Latencies(recalls, lives)
