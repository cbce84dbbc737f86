"""The guarantee: any two spores that can exchange messages end with the same records.

A node compares with one peer at a time, and only the node that began a comparison drives it, so
that a spore nobody can dial gets and gives everything over its own requests:

    ours to them                     theirs to us
    Summary            ------------>
                       <------------ Summary, and a Table when the fingerprints differ
    Ranges an operator ------------>
                       <------------ Ranges, Supply (what we lack), Want (what they lack)
    ...

Every message is bounded; what did not fit is found by the next comparison, which starts at once
while comparisons move records. Whoever is asked keeps no state about whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from synapse.core.codec import fetched
from synapse.core.memory.record import Record
from synapse.core.memory.record_set import RecordSet
from synapse.core.messages import (
    ROWS_MAX,
    Message,
    Ranges,
    Summary,
    Supply,
    Table,
    TableRow,
    Want,
)
from synapse.core.replication.reconciliation import opening, respond

OPERATORS_A_ROUND: Final = 16  # compared at once: 16 x 16 ranges fit one exchange
CATCH_UP_RECORDS: Final = 8  # a comparison that moved fewer met none of its bounds


@dataclass(slots=True)
class _Comparison:
    """The one we drive. When it `repeats` the one before, neither side took what was moved."""

    peer: bytes
    ours: bytes
    theirs: bytes
    repeats: bool
    moved: int = 0  # records, either way


class AntiEntropy:
    """Compares our set with a peer's. `read` fetches records from the log by id."""

    def __init__(
        self, records: RecordSet, read: Callable[[Sequence[bytes]], Sequence[Record]]
    ) -> None:
        self._records = records
        self._read = read
        self._comparison: _Comparison | None = None
        self._turn = b""  # the operator compared last

    def summary(self) -> Summary:
        """The heartbeat."""
        return Summary(self._records.fingerprint(), len(self._records))

    def on_summary(self, peer: bytes, theirs: Summary, *, driving: bool) -> list[Message]:
        """Answer a heartbeat, unless it is itself the answer to ours."""
        if driving:
            self._begin(peer, theirs.fingerprint)
            return []
        if theirs.fingerprint == self._records.fingerprint():
            return [self.summary()]
        return [self.summary(), self._table(after=b"")]

    def on_table(self, table: Table, *, driving: bool) -> list[Message]:
        """Start to reconcile the operators whose rows differ; to a request, give the rows."""
        if not driving:
            return [self._table(after=table.after)]
        theirs = {row.operator: row for row in table.rows}
        last = table.rows[-1].operator if table.rows else table.after
        ours = [
            operator
            for operator in self._records.operators()
            if operator > table.after and (table.complete or operator <= last)
        ]
        different = [
            operator
            for operator in sorted({*theirs, *ours})
            if operator not in theirs
            or theirs[operator].fingerprint != self._records.row_fingerprint(operator)
        ]
        # Some may differ for long, a peer's clock being ahead: the others get their turn first.
        next_ones = [operator for operator in different if operator > self._turn]
        if not next_ones and not table.complete:
            return [Table(last, (), complete=False)]  # asks for the rows that follow
        chosen = (next_ones or different)[:OPERATORS_A_ROUND]
        self._turn = chosen[-1] if next_ones else b""
        return [Ranges(operator, opening(self._records.index(operator))) for operator in chosen]

    def on_ranges(self, message: Ranges) -> list[Message]:
        """One step of reconciling one operator's records."""
        step = respond(self._records.index(message.operator), message.ranges)
        replies: list[Message] = []
        if step.ranges:
            replies.append(Ranges(message.operator, step.ranges))
        if step.surplus:
            replies.append(self.supply(step.surplus))
        if step.wanted:
            replies.append(Want(step.wanted))
        return replies

    def moved(self, peer: bytes, records: int) -> bool:
        """Records went one way or the other; whether to compare again at once, because we drive
        this comparison and it moved so many that some may not have fitted."""
        comparison = self._comparison
        if comparison is None or comparison.peer != peer or comparison.repeats:
            return False
        comparison.moved += records
        return comparison.moved >= CATCH_UP_RECORDS

    def supply(self, ids: Sequence[bytes]) -> Supply:
        """As many of these records as one message holds."""
        return Supply(fetched(ids, self.explained))

    def explained(self, ids: Sequence[bytes]) -> list[Record]:
        """These records from the log, each after those without which it can enter nowhere. They
        may stand far behind it, and what cannot enter is found missing again and again."""
        chosen: dict[bytes, Record] = {}
        for record in self._read(ids):
            grounds = [one for one in self._records.grounds(record) if one not in chosen]
            if grounds:  # a retraction may itself need a certificate, and that needs nothing
                chosen.update((one.id, one) for one in self.explained(grounds))
            chosen[record.id] = record
        return list(chosen.values())

    def _begin(self, peer: bytes, theirs: bytes) -> None:
        before, ours = self._comparison, self._records.fingerprint()
        repeats = before is not None and (before.peer, before.ours, before.theirs) == (
            peer,
            ours,
            theirs,
        )
        self._comparison = _Comparison(peer, ours, theirs, repeats)

    def _table(self, *, after: bytes) -> Table:
        operators = [operator for operator in self._records.operators() if operator > after]
        rows = tuple(
            TableRow(
                operator,
                len(self._records.index(operator)),
                self._records.row_fingerprint(operator),
            )
            for operator in operators[:ROWS_MAX]
        )
        return Table(after, rows, complete=len(operators) <= ROWS_MAX)
