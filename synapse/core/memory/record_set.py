"""The replicated set: an OR-Set of records, in log form.

Elements are record ids, dots are (writer, epoch, seq), additions live in the log, so a merge costs
the delta. This class decides what may enter and knows, in a few bytes a record, what is held; the
records themselves are on disk.

Entry depends only on records, never on who brought them or in which order: what cannot be judged
yet is parked, and enters when what it waits for has come. So any two spores that have met the same
records hold the same headers.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from synapse.core.crdt.frontier import Frontier
from synapse.core.crdt.retractions import Retractions
from synapse.core.memory.id_index import FINGERPRINT_BYTES, Blocks, IdIndex, key_of
from synapse.core.memory.record import CERTIFICATE, REFS_MAX, RETRACTION, Dot, Record

FUTURE_MS_MAX: Final = 600_000  # 10 minutes: what honest clocks were seen to differ by
PARKED_MAX: Final = 4_096  # about 4 MiB of ordinary records
PARKED_BYTES_MAX: Final = 16 << 20  # of all their headers and bodies: a liar's are large


class Admission(StrEnum):
    """What became of one record."""

    NEW = "new"
    KNOWN = "known"
    EARLY = "early"  # parked: its time is more than ten minutes ahead
    UNCERTIFIED = "uncertified"  # parked: its operator has not named this writer yet
    BODILESS = "bodiless"  # parked: without a body, and no retraction says why
    BAD_RETRACTION = "bad_retraction"  # refused: it does not say what it takes back


@dataclass(frozen=True, slots=True)
class Admitted:
    """The result of offering one record: what entered (it, and what had waited for it)."""

    status: Admission
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """What a record set knows of the records it holds, at one moment. Its certificates and
    retractions are not in it: they are folded from their records."""

    indexes: Mapping[bytes, Blocks]  # by operator
    counts_by_kind: Mapping[str, int]
    reached: Mapping[str, int]  # the frontier: contiguous numbers by log, and those beyond a gap
    ahead: Mapping[str, Sequence[int]]
    equivocations: Mapping[bytes, int]


def dot_text(dot: Dot) -> str:
    """A dot as the CRDTs and the bodies of retractions write it."""
    writer, epoch, seq = dot
    return f"{writer.hex()}/{epoch}/{seq}"


class RecordSet:
    """What one spore holds, and the rules of entry."""

    def __init__(self) -> None:
        self.frontier = Frontier()
        self.retractions = Retractions()
        self.equivocations: dict[bytes, int] = {}  # by writer: records on a dot already used
        self.counts_by_kind: dict[str, int] = {}
        self._indexes: dict[bytes, IdIndex] = {}
        self._row_fingerprints: dict[bytes, bytes] = {}  # until an operator's records change
        self._fingerprint: bytes | None = None  # of everything, likewise
        self._certificates: dict[tuple[bytes, bytes], bytes] = {}  # ids, by operator and writer
        self._parked = _Parked()

    # What is held.

    def __len__(self) -> int:
        return sum(self.counts_by_kind.values())

    def __contains__(self, record: Record) -> bool:
        index = self._indexes.get(record.header.operator)
        return index is not None and key_of(record) in index

    @property
    def parked(self) -> int:
        """How many records wait for something."""
        return len(self._parked)

    def operators(self) -> list[bytes]:
        """Whose records are held, sorted."""
        return sorted(self._indexes)

    def index(self, operator: bytes) -> IdIndex:
        """One operator's ids; empty when nothing of theirs is held."""
        return self._indexes.get(operator, _NOTHING)

    def row_fingerprint(self, operator: bytes) -> bytes:
        """The fingerprint of one operator's records."""
        known = self._row_fingerprints.get(operator)
        if known is None:
            index = self.index(operator)
            known = index.fingerprint(0, len(index))
            if index is not _NOTHING:  # a peer may ask about any number of made-up operators
                self._row_fingerprints[operator] = known
        return known

    def fingerprint(self) -> bytes:
        """The fingerprint of everything: equal on two spores that hold the same headers."""
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for operator in self.operators():
                digest.update(operator + self.row_fingerprint(operator))
            self._fingerprint = digest.digest()[:FINGERPRINT_BYTES]
        return self._fingerprint

    def current(self, record: Record) -> Record:
        """The record as it may be kept now: without its body once it was retracted."""
        return record.without_body() if self._retracted(record) else record

    def grounds(self, record: Record) -> tuple[bytes, ...]:
        """The ids of the records without which this one may enter nowhere: the certificate of its
        writer, and the retraction of a body it no longer has."""
        header = record.header
        found = []
        if header.writer != header.operator:
            found.append(self._certificates[header.operator, header.writer])
        if record.body is None:
            reasons = self.retractions.reasons(header.operator, dot_text(header.dot))
            found += [bytes.fromhex(tag) for tag in reasons[:1]]
        return tuple(found)

    # What is held, kept elsewhere to be quick at the next start.

    def held(self) -> Held:
        """Everything that `resume` needs; later changes to the set leave it alone."""
        return Held(
            indexes={operator: self.index(operator).blocks() for operator in self.operators()},
            counts_by_kind=dict(self.counts_by_kind),
            reached=self.frontier.contiguous(),
            ahead=self.frontier.ahead(),
            equivocations=dict(self.equivocations),
        )

    def resume(self, held: Held) -> None:
        """Hold what `held` said. The certificates and retractions of it must be in here already."""
        self._indexes = {operator: IdIndex(blocks) for operator, blocks in held.indexes.items()}
        self._row_fingerprints.clear()
        self._fingerprint = None
        self.counts_by_kind = dict(held.counts_by_kind)
        self.frontier = Frontier(held.reached, held.ahead)
        self.equivocations = dict(held.equivocations)

    def move(self, before: Held, after: Held) -> None:
        """Hold the same as before, with the keys that have not changed since where `after` has
        them: in a file, and not in memory."""
        for operator, blocks in before.indexes.items():
            self.index(operator).move(blocks, after.indexes[operator])

    def lose(self, key: bytes, *, kind: str) -> bool:
        """Hold a record no longer, which the disk lost; False when there is none with this key.
        Its number stays used, and what it brought about stays done."""
        for operator in self.operators():
            if self.index(operator).discard(key):
                self._row_fingerprints.pop(operator, None)
                self._fingerprint = None
                if kind in self.counts_by_kind:
                    self.counts_by_kind[kind] -= 1
                return True
        return False

    def came_again(self, writer: bytes) -> None:
        """A lost record was brought again: that its number was used twice is not its writer's
        doing."""
        count = self.equivocations.get(writer, 1) - 1
        if count > 0:
            self.equivocations[writer] = count
        else:
            self.equivocations.pop(writer, None)

    # Entry.

    def admit(self, record: Record, *, now_ms: int) -> Admitted:
        """Offer a genuine record. Never raises; what is parked or refused says why."""
        if record in self:
            return Admitted(Admission.KNOWN)
        record = self._parked.fuller(record)
        status = self._judge(record, now_ms=now_ms)
        if status is Admission.BAD_RETRACTION:
            self._parked.drop(record)
            return Admitted(status)
        if status is not Admission.NEW:
            self._parked.put(record, _awaited(record, status))
            return Admitted(status)
        entered = [self._enter(record)]
        for key in _lets_in(record):
            for waiting in self._parked.waiting_for(key):
                entered += self.admit(waiting, now_ms=now_ms).records
        return Admitted(Admission.NEW, tuple(entered))

    def due(self, *, now_ms: int) -> tuple[Record, ...]:
        """Let in what was parked for its time and is due now."""
        entered: list[Record] = []
        for waiting in self._parked.waiting_for(_ITS_TIME):
            if waiting.header.hlc.ms <= now_ms + FUTURE_MS_MAX:
                entered += self.admit(waiting, now_ms=now_ms).records
        return tuple(entered)

    def restore(self, records: Iterable[Record]) -> None:
        """Take in records from our own log, where only what had entered was written.

        Bodies may be missing: they were checked when the records first came.
        """
        for record in records:
            if record not in self:
                self._enter(record)

    def _judge(self, record: Record, *, now_ms: int) -> Admission:
        header = record.header
        if header.hlc.ms > now_ms + FUTURE_MS_MAX:
            return Admission.EARLY
        certified = (header.operator, header.writer) in self._certificates
        if header.writer != header.operator and not certified:
            return Admission.UNCERTIFIED
        if record.kind == RETRACTION:
            if record.body is None:
                return Admission.BODILESS
            return Admission.NEW if retracted_dots(record) else Admission.BAD_RETRACTION
        if record.body is None and not self._retracted(record):
            return Admission.BODILESS
        return Admission.NEW

    def _enter(self, record: Record) -> Record:
        header = record.header
        self._parked.drop(record)
        index = self._indexes.get(header.operator)
        if index is None:
            index = self._indexes[header.operator] = IdIndex()
        index.add(key_of(record))
        self._row_fingerprints.pop(header.operator, None)
        self._fingerprint = None
        self.counts_by_kind[header.kind] = self.counts_by_kind.get(header.kind, 0) + 1
        if not self.frontier.add(f"{header.writer.hex()}/{header.epoch}", header.seq):
            self.equivocations[header.writer] = self.equivocations.get(header.writer, 0) + 1
        if header.kind == CERTIFICATE and header.operator == header.writer:
            for writer in header.refs:
                self._certificates.setdefault((header.operator, writer), record.id)
        if header.kind == RETRACTION:
            for dot in retracted_dots(record):
                self.retractions.add(header.operator, dot, tag=record.id.hex())
        return self.current(record)

    def _retracted(self, record: Record) -> bool:
        # A retraction itself cannot be taken back: its body is what keeps others erased.
        header = record.header
        return header.kind not in (RETRACTION, CERTIFICATE) and self.retractions.covers(
            header.operator, dot_text(header.dot)
        )


Awaited = tuple[Admission, bytes, str]
"""What a parked record waits for: why, whose word would let it in, and about what."""


class _Parked:
    """Records that wait, by what they wait for. The one that was offered longest ago gives way;
    reconciliation brings it again."""

    def __init__(self) -> None:
        self._records: OrderedDict[bytes, tuple[Record, Awaited]] = OrderedDict()
        self._waiting: dict[Awaited, dict[bytes, None]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def fuller(self, record: Record) -> Record:
        """The copy that waits, if it has the body that this one lacks."""
        known = self._records.get(record.id)
        return known[0] if known is not None and record.body is None else record

    def waiting_for(self, awaited: Awaited) -> list[Record]:
        """The records that this would let in, or bring nearer."""
        return [self._records[record_id][0] for record_id in self._waiting.get(awaited, ())]

    def put(self, record: Record, awaited: Awaited) -> None:
        """Keep a record until what it waits for has come."""
        self.drop(record)
        self._records[record.id] = (record, awaited)
        self._waiting.setdefault(awaited, {})[record.id] = None
        self._bytes += _size(record)
        while len(self._records) > PARKED_MAX or self._bytes > PARKED_BYTES_MAX:
            oldest, _ = next(iter(self._records.values()))
            self.drop(oldest)

    def drop(self, record: Record) -> None:
        """Forget a record, if it waits."""
        if record.id not in self._records:
            return
        known, awaited = self._records.pop(record.id)
        self._bytes -= _size(known)
        del self._waiting[awaited][record.id]
        if not self._waiting[awaited]:
            del self._waiting[awaited]


_ITS_TIME: Final[Awaited] = (Admission.EARLY, b"", "")


def _awaited(record: Record, status: Admission) -> Awaited:
    header = record.header
    match status:
        case Admission.EARLY:
            return _ITS_TIME
        case Admission.UNCERTIFIED:
            return (status, header.operator, header.writer.hex())
        case _:
            return (status, header.operator, dot_text(header.dot))


def _lets_in(record: Record) -> list[Awaited]:
    """What may have waited for this record. `_judge` decides."""
    header = record.header
    if header.kind == CERTIFICATE:
        return [(Admission.UNCERTIFIED, header.operator, key.hex()) for key in header.refs]
    if header.kind == RETRACTION:
        return [(Admission.BODILESS, header.operator, dot) for dot in retracted_dots(record)]
    return []


def _size(record: Record) -> int:
    return len(record.header_data) + len(record.body or b"")


def retracted_dots(record: Record) -> list[str]:
    """The dots a retraction names; empty when its author wrote nonsense."""
    dots = record.content().get("dots")
    if not isinstance(dots, list) or not 1 <= len(dots) <= REFS_MAX:
        return []
    return dots if all(isinstance(dot, str) and len(dot) <= 128 for dot in dots) else []


_NOTHING: Final = IdIndex()
