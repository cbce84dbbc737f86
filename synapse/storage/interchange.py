"""Records as rows that any program can read, out of a log and into one.

A row has readable fields for people, and the signed bytes that count: what comes in is verified and
has to be let in by the rules for any peer's record, whatever its readable fields say. Private
memories have no signature; they go out only when asked for. A file of rows ends with the proof of
what went before. `json_lines` and `parquet` are the shapes it may have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from synapse.core.errors import RecordError, StorageError, TextError
from synapse.core.memory.memory import (
    LABEL_CHARACTERS_MAX,
    TAGS_MAX,
    TEXT_BYTES_MAX,
    PrivateMemory,
    from_record,
)
from synapse.core.memory.record import CERTIFICATE, RETRACTION, Record
from synapse.core.memory.record_set import Admission, RecordSet
from synapse.storage.files import new_file
from synapse.storage.proof import Flaw, LogView, Progress, Proof, Tally, intact, looking_at
from synapse.storage.sqlite_file import translated
from synapse.storage.sqlite_log import SqliteLog
from synapse.storage.views import Views, save

BATCH: Final = 1_000  # rows of one commit
FIRST_KINDS: Final = (CERTIFICATE, RETRACTION)  # without them others may not be let in
FIELDS: Final = (
    "id", "private", "kind", "operator", "author", "created_ms", "text", "tags",
    "header", "signature", "body",
)  # fmt: skip

Row = dict[str, Any]
"""A record or a private memory: all of `FIELDS`. Ids, keys and what is signed are bytes; a field
that the thing does not have is None."""


class Shape(Protocol):
    """A kind of file that holds rows."""

    def write(self, path: Path, rows: Iterable[Row], ending: Callable[[], Proof]) -> None:
        """Fill a file with rows, then with the proof that `ending` gives. Raises OSError."""

    def read(self, path: Path) -> Iterator[Row | Proof | None]:
        """The rows of a stranger's file; the proof at its end; None for what is neither. A row may
        lack fields, and have any value in those it has. Raises OSError, StorageError."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote, and what of the log was too damaged to go out."""

    proof: Proof
    flaws: tuple[Flaw, ...]


@dataclass(slots=True)
class Imported:
    """What became of the rows of a file."""

    entered: int = 0
    known: int = 0
    waiting: int = 0  # for a certificate, a retraction or their time; they did not come in
    private_memories: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # by reason
    proof: Proof | None = None  # of the rows that are genuine
    promised: Proof | None = None  # by the file, at its end
    fingerprint: str = ""  # of all that the log holds now

    @property
    def whole(self) -> bool:
        """Whether everything that was exported is in the log now."""
        return self.proof == self.promised and not self.waiting and not self.refused


def export(
    log_path: Path, shape: Shape, target: Path, *, private: bool, progress: Progress
) -> Exported:
    """Write a log, as it is at this moment, to a new file. Raises StorageError, StorageFull."""
    flaws: list[Flaw] = []
    tally = Tally()
    with looking_at(log_path) as view, new_file(target) as partial:
        total = view.records + (view.private_memories if private else 0)
        things = _counted(_things(view, private=private, flaws=flaws), tally, progress, total)
        shape.write(partial, map(to_row, things), tally.proof)
    return Exported(tally.proof(), tuple(flaws))


def take_in(
    log_path: Path, shape: Shape, source: Path, *, now_ms: int, progress: Progress
) -> Imported:
    """Offer the rows of a file to a log that no spore is running on; it is made when there is
    none. Raises StorageError, StorageFull: what was committed by then stays."""
    if not source.is_file():
        raise StorageError(f"there is no file {source}")
    with translated(source), closing(SqliteLog(log_path)) as log:
        return _Import(log, now_ms=now_ms).run(shape.read(source), progress)


def to_row(thing: Record | PrivateMemory) -> Row:
    """A record or a private memory, in its readable and its signed form."""
    if isinstance(thing, PrivateMemory):
        return dict.fromkeys(FIELDS) | {
            "id": thing.id,
            "private": True,
            "kind": thing.kind,
            "created_ms": thing.created_ms,
            "text": thing.text,
            "tags": list(thing.tags),
        }
    header, memory = thing.header, from_record(thing)
    return dict.fromkeys(FIELDS) | {
        "id": thing.id,
        "private": False,
        "kind": header.kind,
        "operator": header.operator,
        "author": header.writer,
        "created_ms": header.hlc.ms,
        "text": memory.text if memory is not None else None,
        "tags": list(memory.tags) if memory is not None else None,
        "header": thing.header_data,
        "signature": thing.signature,
        "body": thing.body,
    }


def from_row(row: Row) -> Record | PrivateMemory:
    """What a stranger's row says, verified. Raises RecordError, TextError."""
    if row.get("private") is True:
        return _private(row)
    header, signature, body = row.get("header"), row.get("signature"), row.get("body")
    if not (isinstance(header, bytes) and isinstance(signature, bytes)):
        raise RecordError("row", "a row has a header and a signature, or is a private memory")
    if body is not None and not isinstance(body, bytes):
        raise RecordError("row", "a body is bytes")
    return Record.verified(header, signature, body)


def _private(row: Row) -> PrivateMemory:
    memory_id, text, kind, tags = (row.get(name) for name in ("id", "text", "kind", "tags"))
    created_ms = row.get("created_ms")
    if not (
        isinstance(memory_id, bytes)
        and len(memory_id) == 32
        and isinstance(text, str)
        and 0 < len(text.encode("utf-8", "replace")) <= TEXT_BYTES_MAX
        and isinstance(tags, list)
        and len(tags) <= TAGS_MAX
        and all(isinstance(one, str) and len(one) <= LABEL_CHARACTERS_MAX for one in [kind, *tags])
        and type(created_ms) is int
        and 0 <= created_ms < 1 << 48
    ):
        raise TextError("that is no private memory")
    try:
        "".join([text, str(kind), *tags]).encode("utf-8")
    except UnicodeEncodeError:
        raise TextError("a lone surrogate is no text") from None
    return PrivateMemory(memory_id, text, str(kind), tuple(tags), created_ms)


def _things(view: LogView, *, private: bool, flaws: list[Flaw]) -> Iterator[Record | PrivateMemory]:
    """First what others need to be let in, then the rest in the order of arrival."""
    for kind in FIRST_KINDS:
        for row in view.rows_of_kind(kind):
            yield from intact(row, flaws)
    unseen: list[Flaw] = []
    for row in view.record_rows():
        for thing in intact(row, unseen):
            if thing.kind not in FIRST_KINDS:
                yield thing
    known = {flaw.position for flaw in flaws}
    flaws += [flaw for flaw in unseen if flaw.position not in known]
    if private:
        for row in view.private_rows():
            yield from intact(row, flaws, private=True)


def _counted(
    things: Iterable[Record | PrivateMemory], tally: Tally, progress: Progress, total: int
) -> Iterator[Record | PrivateMemory]:
    for number, thing in enumerate(things, start=1):
        tally.add(thing)
        if number % BATCH == 0:
            progress(number, total)
        yield thing
    progress(total, total)


class _Import:
    """One file on its way into one log."""

    def __init__(self, log: SqliteLog, *, now_ms: int) -> None:
        self._log = log
        self._now_ms = now_ms
        self._records = RecordSet()
        self._views = Views(log, self._records)
        self._outcome = Imported()
        self._tally = Tally()
        for part in self._views.restored(self._views.load(), FIRST_KINDS, own=b""):
            self._records.restore(part)

    def run(self, rows: Iterable[Row | Proof | None], progress: Progress) -> Imported:
        """Let in what may come in."""
        outcome = self._outcome
        for number, row in enumerate(rows, start=1):
            if isinstance(row, Proof):
                outcome.promised = row
                continue
            self._offer(row)
            if number % BATCH == 0:
                self._log.commit()
                progress(number, 0)
        self._log.commit()
        snapshot = self._views.look(tail=BATCH)
        if snapshot is not None:
            save(self._log, snapshot)
        outcome.waiting = self._records.parked
        outcome.proof = self._tally.proof()
        outcome.fingerprint = self._records.fingerprint().hex()
        return outcome

    def _offer(self, row: Row | None) -> None:
        try:
            thing = from_row(row or {})
        except RecordError as error:
            self._outcome.refused[error.reason] += 1
            return
        except TextError:
            self._outcome.refused["row"] += 1
            return
        self._tally.add(thing)
        if isinstance(thing, PrivateMemory):
            self._log.stage([], private=[thing])
            self._outcome.private_memories += 1
            return
        admitted = self._records.admit(thing, now_ms=self._now_ms)
        self._outcome.known += admitted.status is Admission.KNOWN
        self._outcome.entered += len(admitted.records)
        if admitted.status is Admission.BAD_RETRACTION:
            self._outcome.refused[admitted.status] += 1
        self._keep(admitted.records)

    def _keep(self, records: Sequence[Record]) -> None:
        """Stage what entered, and erase what it takes back."""
        named = [ref for one in records if one.kind == RETRACTION for ref in one.header.refs]
        held = self._log.read(named)
        erased = [one.id for one in held if self._records.current(one).body is None]
        if records:
            self._log.stage([self._records.current(one) for one in records], erased=erased)
