"""Brings a record set back at the start, and keeps what makes that quick.

With a snapshot that belongs to the log, a start reads only the records that views are folded from
and those that came after the snapshot. Without one it reads the log from its first record, and says
why. While the spore runs, a new snapshot is made whenever enough has come since the last, and one
more at the end; and a record that turns out to be damaged on the disk leaves the set, so that a
peer that has it supplies it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Final

import structlog

from synapse.core.errors import StorageError
from synapse.core.memory.id_index import KEY_BYTES
from synapse.core.memory.record import Record
from synapse.core.memory.record_set import RecordSet
from synapse.ports import RecordLog
from synapse.storage import snapshot
from synapse.storage.damage import Damage
from synapse.storage.rows import DamagedError
from synapse.storage.snapshot import Snapshot
from synapse.storage.sqlite_log import SqliteLog

TAIL_MIN: Final = 20_000  # records read one by one at a start: a quarter of a second
TAIL_SHARE: Final = 50  # or a fiftieth of all: so a key is written about fifty times, 2 kB a record
TAIL_AT_END: Final = 1_000  # fewer are read again sooner than a snapshot is written
LOOK_S: Final = 2.0  # between two looks at whether there is something to do
IDS_AT_ONCE: Final = 500  # of records that are looked up

_log = structlog.get_logger(__name__)


def snapshot_path(log_path: Path) -> Path:
    """Where the snapshot of the log in this file is."""
    return log_path.with_suffix(".views")


class Views:
    """One record set that follows one log. A log that is not on a disk is simply read."""

    def __init__(self, log: RecordLog, records: RecordSet) -> None:
        self._any_log = log
        self._log = log if isinstance(log, SqliteLog) else None
        self._records = records
        self._saved = 0  # the position of the last snapshot
        self._found: Snapshot | None = None  # the one we began with, whose keys lie in its file
        self._lost: dict[bytes, None] = {}  # ids that left the set, and have not come again

    def load(self) -> Snapshot | None:
        """The snapshot of this very log, if there is one. Blocks."""
        if self._log is None:
            return None
        path = snapshot_path(self._log.path)
        try:
            found = snapshot.read(path)
        except (DamagedError, OSError) as error:
            _log.warning("snapshot_damaged", file=str(path), problem=str(error), reading="the log")
            return None
        if found is None:
            return None
        last_id = self._log.last_id(up_to=found.position)
        if found.lineage != self._log.lineage or found.last_id != last_id:
            _log.warning("snapshot_of_another_log", file=str(path), reading="the log")
            return None
        return found

    def restored(
        self, found: Snapshot | None, kinds: Iterable[str], *, own: bytes
    ) -> Iterator[Iterator[Record]]:
        """What the node must be given, in parts. Between two parts the set is brought up to the
        snapshot, so each part must have been taken in before the next is asked for.

        `kinds` are those of which views are made; `own` is the operator whose clock goes on.
        To iterate over a part blocks; to ask for one does not.
        """
        kinds = tuple(kinds)
        if self._log is None or found is None:
            yield self._any_log.scan(bodies_of=kinds)
            return
        yield self._log.of_kinds(kinds, up_to=found.position)
        self._records.resume(found.held)
        found.release()
        self._found, self._saved = found, found.position
        yield chain(self._newest(own), self._log.scan(bodies_of=kinds, after=found.position))

    def _newest(self, operator: bytes) -> Iterator[Record]:
        """An operator's records of the last millisecond of its clock: one of them has the latest
        time and epoch of all. They are few, unless the wall clock was set back."""
        index = self._records.index(operator)
        if len(index):
            start = index.position(index.key_at(len(index) - 1)[:8])
            ids = (key[8:] for key in index.keys(start, len(index)))
            while some := list(islice(ids, IDS_AT_ONCE)):
                yield from self._any_log.read(some)

    async def keep(self) -> None:
        """Until cancelled: make snapshots, and let go of records that the disk lost."""
        log = self._log
        if log is None:
            return
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                taken = self.look(tail=max(TAIL_MIN, len(self._records) // TAIL_SHARE))
                written = await asyncio.to_thread(_renewed, log, taken)
                if taken is not None and written is not None:
                    self._records.move(taken.held, written.held)
                    self._found = written
                if self._found is not None:
                    await asyncio.to_thread(self._found.release)
        finally:
            log.before_closing(partial(_commit, log, self.look(tail=TAIL_AT_END)))

    def look(self, *, tail: int) -> Snapshot | None:
        """See to lost records; and a snapshot, if so much has come since the last one. It holds
        once everything that is staged by now is durable. Only where the set is changed."""
        log = self._log
        assert log is not None, "only a log on a disk loses something"
        # First the lineage: a record that leaves the log changes it, and is told of before.
        lineage = log.lineage
        self._see_who_returned(log)
        for damage in log.new_damage():
            if not damage.private and self._lost_from_set(damage):
                self._lost[damage.id] = None
        position = log.last_position
        if position - self._saved < tail:
            return None
        self._saved = position  # when there is no room for it, the next one is tried in its turn
        return Snapshot(lineage, position, last_id=b"", held=self._records.held())

    def _lost_from_set(self, damage: Damage) -> bool:
        """Take a lost record out of the set, where its time and id still name one."""
        key = damage.ms.to_bytes(8, "big") + damage.id
        return len(key) == KEY_BYTES and self._records.lose(key, kind=damage.kind)

    def _see_who_returned(self, log: SqliteLog) -> None:
        """Records that the disk lost and a peer brought again used their own numbers twice, which
        is not what is meant by it."""
        for record in log.read(list(islice(self._lost, IDS_AT_ONCE))):
            if record in self._records:
                del self._lost[record.id]
                self._records.came_again(record.header.writer)
                _log.info("log_row_healed", id=record.id.hex())


def _renewed(log: SqliteLog, taken: Snapshot | None) -> Snapshot | None:
    """Commit, and the snapshot as it lies in its file; None when none was written."""
    if not _commit(log, taken):
        return None
    try:
        return snapshot.read(snapshot_path(log.path))
    except (DamagedError, OSError):
        return None  # the next start says so; until then the keys stay in memory


def _commit(log: SqliteLog, taken: Snapshot | None) -> bool:
    """Make durable what a snapshot rests on, then write it; or set damaged rows aside. Whether a
    snapshot was written."""
    if taken is None and not log.damage_waits:
        return False
    try:
        log.commit()
    except StorageError:
        return False  # the driver meets the same error, and tells
    return taken is not None and save(log, taken)


def save(log: SqliteLog, taken: Snapshot) -> bool:
    """Write a snapshot; whether that went well. Without it the next start takes longer, and that is
    all."""
    path = snapshot_path(log.path)
    last_id = log.last_id(up_to=taken.position)
    try:
        snapshot.write(path, replace(taken, last_id=last_id))
    except OSError as error:
        _log.warning("snapshot_not_written", file=str(path), problem=str(error))
        return False
    return True
