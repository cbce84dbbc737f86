"""What idle cognition did and cost, for people and programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from synapse.core.memory.record import Record
from synapse.core.reasoning.idle.desk import Done
from synapse.core.reasoning.idle.schedule import Timetable, Work
from synapse.core.reasoning.task import text_of

State = Literal["off", "resting", "yielding", "thinking"]


@dataclass(frozen=True, slots=True)
class BandReport:
    """One work: what it did and what it cost. Counts are since the start; times in milliseconds
    since 1970, None where there is none; `looked` is how many items it went through."""

    band: str
    work: str
    interval_ms: int | None  # None: the budget leaves it no call
    runs: int
    calls: int
    failed: int
    tokens_in: int
    tokens_out: int
    looked: int
    found: int
    skipped: Mapping[str, int]  # how often nothing came of it, by reason
    last_reason: str  # why nothing came of the last run; "" when something did
    last_run_ms: int | None
    next_run_ms: int | None


@dataclass(frozen=True, slots=True)
class Cognition:
    """What idle cognition is doing, for people and programs."""

    state: State
    reason: str
    calls_per_day: int
    calls_last_day: int
    memories_known: int
    thoughts: int
    bands: tuple[BandReport, ...]


@dataclass(frozen=True, slots=True)
class Thought:
    """A raw idea from the log, which nobody has verified: shown when somebody asks for it."""

    id: bytes
    author: bytes
    claim: str
    expected: str
    cites: tuple[bytes, ...]
    model: str
    at_ms: int


@dataclass(slots=True)
class Tally:
    """What one work has done since the start."""

    runs: int = 0
    calls: int = 0
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    looked: int = 0
    found: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    last_reason: str = ""
    last_run_ms: int | None = None

    def note(self, done: Done) -> None:
        """Count what a step came to."""
        self.looked += done.looked
        self.found += done.found
        self.last_reason = done.reason
        if done.reason:
            self.skipped[done.reason] += 1


def reported(name: str, work: Work, tally: Tally, timetable: Timetable) -> BandReport:
    """What is said of one work."""
    return BandReport(
        band=name,
        work=work.value,
        interval_ms=timetable.intervals_ms.get(work),
        runs=tally.runs,
        calls=tally.calls,
        failed=tally.failed,
        tokens_in=tally.tokens_in,
        tokens_out=tally.tokens_out,
        looked=tally.looked,
        found=tally.found,
        skipped=dict(sorted(tally.skipped.items())),
        last_reason=tally.last_reason,
        last_run_ms=tally.last_run_ms,
        next_run_ms=timetable.due_ms.get(work),
    )


def read_thought(record: Record) -> Thought:
    """A thought record as a value; what its author left out is empty."""
    fields, header = record.content(), record.header
    return Thought(
        id=record.id,
        author=header.writer,
        claim=text_of(fields, "claim"),
        expected=text_of(fields, "expected"),
        cites=header.refs,
        model=text_of(fields, "model"),
        at_ms=header.hlc.ms,
    )
