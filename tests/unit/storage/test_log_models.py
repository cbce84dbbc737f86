"""A log on disk against the same log in memory, under any sequence of calls."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from synapse.core.memory.memory import PrivateMemory
from synapse.core.memory.record import MEMORY, TASK, Record
from synapse.ports import RecordLog
from synapse.storage import sqlite_log
from synapse.storage.damage import Damage
from synapse.storage.layer import Batch
from synapse.storage.memory_log import MemoryLog
from synapse.storage.sqlite_log import SqliteLog
from tests.making import private, record


@cache
def nth_record(number: int) -> Record:
    kind = TASK if number % 3 == 0 else MEMORY
    return record({"text": f"text {number} " * (number % 20)}, kind=kind, seq=number)


@dataclass(frozen=True)
class Arrivals:
    """How much is staged at once; `erased` are random numbers that pick among what is there."""

    records: int
    private: int
    erased: tuple[int, ...]


arrivals = st.builds(
    Arrivals,
    records=st.integers(0, 4),
    private=st.integers(0, 2),
    erased=st.lists(st.integers(0, 999), max_size=2).map(tuple),
)


def nothing() -> None:
    pass


class WatchedLog(SqliteLog):
    """Calls back at the two ends of a write, where another thread may come in between."""

    before_write: Callable[[], None] = staticmethod(nothing)
    after_write: Callable[[], None] = staticmethod(nothing)

    def _write(self, batches: Sequence[Batch], found: Sequence[Damage]) -> None:
        self.before_write()
        super()._write(batches, found)
        self.after_write()


class Logs(RuleBasedStateMachine):
    """Does the same to both logs and looks at everything a reader can see."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.lives = 0
        self.model = MemoryLog()
        self.log = WatchedLog(self.folder / "0" / "log.db")
        self.records: list[Record] = []
        self.private: list[PrivateMemory] = []

    def teardown(self) -> None:
        self.log.close()
        shutil.rmtree(self.folder)

    def stage(self, new: Arrivals) -> None:
        records = [nth_record(len(self.records) + n) for n in range(1, new.records + 1)]
        texts = [private(f"own {n}", number=len(self.private) + n) for n in range(new.private)]
        self.records += records
        self.private += texts
        ids = self.ids()
        erased = [ids[pick % len(ids)] for pick in new.erased if ids]
        for log in (self.log, self.model):
            log.stage(records, private=texts, erased=erased)

    @rule(new=arrivals)
    def things_arrive(self, new: Arrivals) -> None:
        self.stage(new)

    @rule()
    def all_is_committed(self) -> None:
        self.log.commit()
        self.model.commit()

    @rule(before=arrivals, after=arrivals)
    def things_arrive_while_a_commit_runs(self, before: Arrivals, after: Arrivals) -> None:
        def before_it_is_durable() -> None:
            self.model.commit()
            self.stage(before)
            self.both_look_the_same()

        def after_it_is_durable() -> None:
            self.both_look_the_same()
            self.stage(after)
            self.both_look_the_same()

        self.log.before_write, self.log.after_write = before_it_is_durable, after_it_is_durable
        self.log.commit()
        self.log.before_write, self.log.after_write = nothing, nothing

    @rule()
    def the_power_fails(self) -> None:
        self.lives += 1
        again = self.folder / str(self.lives)
        shutil.copytree(self.folder / str(self.lives - 1), again)
        self.log.close()
        self.log = WatchedLog(again / "log.db")
        self.model.crash()

    @invariant()
    def both_look_the_same(self) -> None:
        assert self.seen(self.log) == self.seen(self.model)

    def ids(self) -> list[bytes]:
        return [each.id for each in self.records] + [each.id for each in self.private]

    def seen(self, log: RecordLog) -> dict[str, Any]:
        ids = self.ids()[::-1]
        newest = log.latest(MEMORY, limit=4)
        return {
            "scan": list(log.scan()),
            "tasks": list(log.scan(bodies_of=[TASK])),
            "read": log.read(ids),
            "memories": list(log.memories()),
            "memory": [log.memory(each) for each in ids],
            "counts": log.counts(),
            "newest": newest,
            "older": log.latest(MEMORY, limit=4, before=newest[-1][0]) if newest else [],
        }


def test_a_log_on_disk_is_the_log_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_log, "PAGE_ROWS", 3)  # so that every page boundary is met
    monkeypatch.setattr(sqlite_log, "KEYS_PER_QUERY", 3)
    run_state_machine_as_test(
        Logs,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
