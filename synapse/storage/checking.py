"""Reads a whole log and checks every hash and every signature, in as many sittings as it takes.

How far it has come is kept beside the log, so that an interruption costs seconds. A spore may be
running on the file. To set what is damaged aside the spore must be stopped: then its next start
lacks those records, and its peers supply them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any, Final

from synapse.core.errors import RecordError
from synapse.core.memory.record import Record
from synapse.storage.proof import Flaw, LogView, Progress, Proof, Tally, intact, looking_at
from synapse.storage.rows import Row
from synapse.storage.sqlite_file import translated
from synapse.storage.sqlite_log import SqliteLog

CHUNK_ROWS: Final = 256  # checked by one thread: about 20 ms of work
SAVE_S: Final = 1.0  # between two notes of how far we are
FLAWS_MAX: Final = 100_000  # kept; a disk with more is to be replaced, and its log with it

Check = Callable[[Sequence[Row]], tuple[Tally, list[Flaw]]]


@dataclass(frozen=True, slots=True)
class Report:
    """What a check came to."""

    proof: Proof
    flaws: tuple[Flaw, ...]
    set_aside: int  # rows that were found damaged before, and not brought again by a peer
    resumed_at: int  # how many rows an earlier sitting had checked

    @property
    def well(self) -> bool:
        """Whether the log has everything that was ever written to it."""
        return not self.flaws and not self.set_aside


@dataclass(slots=True)
class _Sitting:
    """How far a check is: the last position of each table, and what was found until there."""

    lineage: str
    records_to: int = 0
    private_to: int = 0
    checked: int = 0
    flaws: list[Flaw] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def take(self, tally: Tally, flaws: Iterable[Flaw]) -> None:
        """Add what a chunk came to."""
        for operator, (total, count) in tally.sums.items():
            before, counted = self.tally.sums.get(operator, (0, 0))
            self.tally.sums[operator] = (before + total, counted + count)
        self.tally.bodies += tally.bodies
        self.tally.private_memories += tally.private_memories
        self.flaws += islice(flaws, FLAWS_MAX - len(self.flaws))


def sitting_path(log_path: Path) -> Path:
    """Where a check of this log keeps how far it is."""
    return log_path.with_suffix(".verify")


def verify(log_path: Path, *, anew: bool, progress: Progress) -> Report:
    """Check everything, from where the last check was interrupted unless `anew`.

    Raises StorageError when the file cannot be read at all.
    """
    kept = sitting_path(log_path)
    with looking_at(log_path, still=False) as view, translated(log_path):
        sitting = _Sitting(view.lineage.hex()) if anew else _resumed(kept, view.lineage.hex())
        resumed_at, total = sitting.checked, view.records + view.private_memories
        saved_at = monotonic()
        with ExitStack() as interrupted:
            interrupted.callback(_save, kept, sitting)
            for _ in _sit(view, sitting):
                progress(min(sitting.checked, total), total)  # a spore may be adding to it
                if monotonic() - saved_at >= SAVE_S:
                    _save(kept, sitting)
                    saved_at = monotonic()
            interrupted.pop_all()
        kept.unlink(missing_ok=True)
        progress(total, total)
        return Report(sitting.tally.proof(), tuple(sitting.flaws), view.set_aside, resumed_at)


def set_aside(log_path: Path, flaws: Iterable[Flaw]) -> int:
    """Take damaged rows out of a log that no spore is running on. How many are aside now.

    Raises StorageError when one is.
    """
    with closing(SqliteLog(log_path)) as log:
        for flaw in flaws:
            log.note(flaw.position, private=flaw.private, problem=flaw.problem)
        log.commit()
        return log.damaged


def _sit(view: LogView, sitting: _Sitting) -> Iterator[None]:
    """Check chunk after chunk; after each, `sitting` says how far it is."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for rows in _checked(
            threads, _check_records, view.record_rows(after=sitting.records_to), sitting
        ):
            sitting.records_to = rows[-1][0]
            yield
        for rows in _checked(
            threads, _check_private, view.private_rows(after=sitting.private_to), sitting
        ):
            sitting.private_to = rows[-1][0]
            yield


def _checked(
    threads: ThreadPoolExecutor, check: Check, rows: Iterator[Row], sitting: _Sitting
) -> Iterator[list[Row]]:
    """Chunks in their order, each checked; several are under way at once, for libsodium works
    outside the interpreter's lock."""
    under_way = []
    while True:
        chunk = list(islice(rows, CHUNK_ROWS))
        if chunk:
            under_way.append((chunk, threads.submit(check, chunk)))
        if not under_way:
            return
        if not chunk or len(under_way) > 2 * (os.cpu_count() or 1):
            done, outcome = under_way.pop(0)
            sitting.take(*outcome.result())
            sitting.checked += len(done)
            yield done


def _check_records(rows: Sequence[Row]) -> tuple[Tally, list[Flaw]]:
    tally, flaws = Tally(), list[Flaw]()
    for row in rows:
        for thing in intact(row, flaws):
            assert isinstance(thing, Record), "a row of a record holds one"
            try:
                tally.add(Record.verified(thing.header_data, thing.signature, thing.body))
            except RecordError as error:
                flaws.append(Flaw(row[0], thing.id.hex(), private=False, problem=str(error)))
    return tally, flaws


def _check_private(rows: Sequence[Row]) -> tuple[Tally, list[Flaw]]:
    tally, flaws = Tally(), list[Flaw]()
    for row in rows:
        for thing in intact(row, flaws, private=True):
            tally.add(thing)
    return tally, flaws


def _resumed(kept: Path, lineage: str) -> _Sitting:
    """The sitting that was interrupted, if it was of this log; else one that begins."""
    try:
        fields = json.loads(kept.read_text(encoding="utf-8"))
        if fields["lineage"] != lineage:
            return _Sitting(lineage)
        tally = Tally(
            {bytes.fromhex(key): (int(total, 16), n) for key, total, n in fields["sums"]},
            fields["bodies"],
            fields["private_memories"],
        )
        flaws = [Flaw(**flaw) for flaw in fields["flaws"]]
        return _Sitting(
            lineage, fields["records_to"], fields["private_to"], fields["checked"], flaws, tally
        )
    except (OSError, ValueError, TypeError, KeyError):
        return _Sitting(lineage)  # nothing is lost but the time


def _save(kept: Path, sitting: _Sitting) -> None:
    """Note how far we are. To lose the note costs time, so a full disk stops nothing."""
    fields: dict[str, Any] = {
        "lineage": sitting.lineage,
        "records_to": sitting.records_to,
        "private_to": sitting.private_to,
        "checked": sitting.checked,
        "flaws": [asdict(flaw) for flaw in sitting.flaws],
        "sums": [
            (operator.hex(), f"{total:x}", count)
            for operator, (total, count) in sorted(sitting.tally.sums.items())
        ],
        "bodies": sitting.tally.bodies,
        "private_memories": sitting.tally.private_memories,
    }
    partial = kept.with_name(f"{kept.name}.partial")
    with suppress(OSError):
        partial.write_text(json.dumps(fields), encoding="utf-8")
        os.replace(partial, kept)
