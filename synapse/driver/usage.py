"""Which memories proved useful: those that a verified answer of ours rests on. They age from then.

What others say was useful is theirs: only our own findings count here. Derived, and not kept apart:
an index that is built anew begins with the memories' own ages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from synapse.core.ledger import Ledger
from synapse.core.memory.memory import FINDING, from_record
from synapse.core.memory.record import Record


@dataclass(frozen=True, slots=True)
class Used:
    """Memories that an answer cites, and when that was found right."""

    ids: tuple[bytes, ...]
    at_ms: int


def used(ledger: Ledger, records: Iterable[Record]) -> Iterator[Used]:
    """What these new records say of memories that were cited. A finding that corrects its task's
    outcome says nothing: what the wrong answer cited was no help."""
    for record in records:
        if record.header.writer != ledger.key:
            continue
        memory = from_record(record)
        if memory is None or memory.kind != FINDING or not memory.task:
            continue
        task = ledger.tasks.get(bytes.fromhex(memory.task))
        if task is None or task.outcome is None or not task.outcome.cites:
            continue
        if memory.text == f"{task.text}\n{task.outcome.answer}":
            yield Used(task.outcome.cites, record.header.hlc.ms)
