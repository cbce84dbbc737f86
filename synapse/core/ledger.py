"""What a node holds, and the views folded from it: the only place where records come in.

The ledger decides nothing but entry. What a new record makes the node do is the node's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from synapse.core.membership.peer_table import PeerTable
from synapse.core.memory.record import NODE, RETRACTION, Draft, Identity, Record
from synapse.core.memory.record_set import Admission, RecordSet, retracted_dots
from synapse.core.memory.writer_log import WriterLog
from synapse.core.messages import Push, Supply
from synapse.core.reasoning.task_book import TaskBook
from synapse.core.trust.beliefs import Beliefs
from synapse.core.trust.evidence import Evidence

Read = Callable[[Sequence[bytes]], Sequence[Record]]


@dataclass(frozen=True, slots=True)
class Entered:
    """Records that are new here, and the ids whose bodies must go."""

    records: tuple[Record, ...] = ()
    erased: tuple[bytes, ...] = ()
    known: int = 0  # of those offered, how many were held already


class Ledger:
    """The record set with our own log and every view of it."""

    def __init__(self, identity: Identity, *, peers: PeerTable, rng: Random, read: Read) -> None:
        self.key = identity.key
        self.records = RecordSet()
        self.tasks = TaskBook()
        self.evidence = Evidence()
        self.beliefs = Beliefs(self.evidence, own=identity.key)
        self.peers = peers
        self.refused: Counter[str] = Counter()  # by reason, since the start
        self._log = WriterLog(identity, rng)
        self._read = read

    def restore(self, records: Sequence[Record]) -> None:
        """Take in what our own disk holds."""
        self.records.restore(records)
        for record in records:
            if record.header.writer == self.key:
                self._log.saw_own(record.header)
            self._fold(self.records.current(record))

    def write(self, draft: Draft, *, now_ms: int) -> Entered:
        """Sign a draft as our next record. Raises RecordError when its body is too large.

        Our own word is not subject to the rules of entry: it is kept even when our clock is so
        wrong that others will park it.
        """
        record = self._log.write(draft, now_ms=now_ms)
        self.records.restore((record,))
        return self._entered([record])

    def take_in(self, message: Push | Supply, *, now_ms: int) -> Entered:
        """Offer a peer's records; what is parked or refused stays out, the rest enters."""
        self.refused.update(message.refused)
        entered: list[Record] = []
        known = 0
        for record in message.records:
            admitted = self.records.admit(record, now_ms=now_ms)
            entered += admitted.records
            known += admitted.status is Admission.KNOWN
            if admitted.records:
                self._log.clock.observe(record.header.hlc, now_ms=now_ms)
            elif admitted.status is Admission.BAD_RETRACTION:
                self.refused[admitted.status] += 1
        return self._entered(entered, known=known)

    def due(self, *, now_ms: int) -> Entered:
        """Let in what was early and is due."""
        return self._entered(self.records.due(now_ms=now_ms))

    def _entered(self, records: Sequence[Record], *, known: int = 0) -> Entered:
        # A retraction may have come in the same message as the record it takes back.
        kept = tuple(self.records.current(record) for record in records)
        for record in kept:
            self._fold(record)
        named = [ref for one in records if one.kind == RETRACTION for ref in one.header.refs]
        # An author may name anything; only what its retraction covers is taken back.
        taken_back = [one for one in self._read(named) if self.records.current(one).body is None]
        for record in taken_back:
            self.tasks.withdraw(record)
            self.evidence.withdraw(record)
        return Entered(kept, tuple(one.id for one in taken_back), known)

    def _fold(self, record: Record) -> None:
        self.tasks.absorb(record)
        self.evidence.absorb(record)
        if record.kind == NODE:
            self.peers.describe(record)
        elif record.kind == RETRACTION:  # which need not name the ids of what it covers
            self.evidence.withdraw_dots(record.header.operator, retracted_dots(record))
