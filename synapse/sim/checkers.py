"""The promises, each as a question to the whole swarm. An answer is a list of what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from synapse.core.codec import EXCHANGE_BYTES_MAX
from synapse.core.errors import RecordError
from synapse.core.memory.record import RETRACTION, Record
from synapse.sim.host import Host

CANARY: Final = "canary-in-the-mine"  # part of every private memory; never seen on the wire
TIMERS_MAX: Final = 64  # three of the node's own, and one for each task in progress


class WireWatch:
    """Looks at every request and reply: are they small enough, and is anything private in them?"""

    def __init__(self) -> None:
        self.largest_bytes = 0
        self.canaries = 0
        self._canary = CANARY.encode()

    def see(self, data: bytes) -> None:
        """One request or reply."""
        self.largest_bytes = max(self.largest_bytes, len(data))
        self.canaries += self._canary in data

    def problems(self) -> Iterator[str]:
        """What was wrong with what was seen."""
        if self.canaries:
            yield f"private text was sent {self.canaries} times"
        if self.largest_bytes > EXCHANGE_BYTES_MAX:
            yield f"an exchange had {self.largest_bytes} bytes"


def equal(hosts: Sequence[Host]) -> bool:
    """Whether all of these hold the same records."""
    fingerprints = {host.node.ledger.records.fingerprint() if host.up else b"" for host in hosts}
    return len(fingerprints) == 1 and b"" not in fingerprints


def replicas_converge(hosts: Sequence[Host]) -> Iterator[str]:
    """Every host holds the same headers."""
    if not equal(hosts):
        counts = sorted({len(host.node.ledger.records) for host in hosts})
        yield f"hosts still differ: they hold {counts} records"


def lost(hosts: Sequence[Host]) -> Iterator[tuple[Host, bytes]]:
    """Acknowledged records, with their authors, that some host lacks; private ones, their own."""
    for author in hosts:
        private = {memory.id for memory in author.disk.private()}
        for record_id in author.observed.acknowledged:
            kept = record_id in private or all(record_id in host.disk for host in hosts)
            if not kept:
                yield author, record_id


def acknowledged_records_survive(hosts: Sequence[Host]) -> Iterator[str]:
    """What users were told is kept is on its author's disk and, unless private, on every other."""
    for author, record_id in lost(hosts):
        yield f"{record_id.hex()[:12]} of host {author.number}"


def no_header_leaves(hosts: Sequence[Host]) -> Iterator[str]:
    """What was ever durable on a host is on its disk and in its set."""
    for host in hosts:
        gone = [one for one in host.observed.durable if one not in host.disk]
        unknown = [one for one in host.disk.records() if one not in host.node.ledger.records]
        if gone or unknown:
            yield f"host {host.number} lost {len(gone)} records and forgot {len(unknown)}"


def records_verify(hosts: Sequence[Host]) -> Iterator[str]:
    """Every record on every disk is genuine."""
    distinct: dict[tuple[bytes, bytes, bytes | None], Record] = {}
    for host in hosts:
        for one in host.disk.records():
            distinct[one.header_data, one.signature, one.body] = one
    for header_data, signature, body in distinct:
        try:
            Record.verified(header_data, signature, body)
        except RecordError as error:
            yield f"a stored record is not genuine: {error}"


def bodies_agree(hosts: Sequence[Host]) -> Iterator[str]:
    """A record has its body on every host, or on none because its author took it back."""
    whole: dict[bytes, set[bool]] = {}
    taken_back: set[bytes] = set()
    for host in hosts:
        for one in host.disk.records():
            whole.setdefault(one.id, set()).add(one.body is not None)
            if one.kind == RETRACTION:
                taken_back.update(one.header.refs)
    for record_id, states in whole.items():
        if states != {record_id not in taken_back}:
            said = "was taken back" if record_id in taken_back else "was not taken back"
            yield f"{record_id.hex()[:12]} {said}; is it whole? {sorted(states)}"


def queues_are_bounded(hosts: Sequence[Host]) -> Iterator[str]:
    """When nothing happens nothing waits, but timers and what mailboxes may hold."""
    mailboxes = sum(host.settings.url is None for host in hosts)
    for host in hosts:
        if host.backlog() > TIMERS_MAX * (1 + mailboxes):
            yield f"{host.backlog()} things wait at host {host.number}"


def tasks_end(hosts: Sequence[Host]) -> Iterator[str]:
    """Every task has the same outcome everywhere, or its asker says until when it waits."""
    by_key = {host.key: host for host in hosts}
    for task_id, author in {
        task.id: task.author for host in hosts for task in host.node.ledger.tasks
    }.items():
        found = [host.node.ledger.tasks.get(task_id) for host in hosts]
        outcomes = {task.outcome.id if task and task.outcome else None for task in found}
        if len(outcomes) > 1:
            yield f"{task_id.hex()[:12]} has {len(outcomes)} outcomes"
        waits = author in by_key and by_key[author].node.thinking.deliberations.waiting(task_id)
        if None in outcomes and not waits:
            yield f"{task_id.hex()[:12]} neither ended nor waits"


Check = Callable[[Sequence[Host]], Iterator[str]]

CHECKS: Final[tuple[Check, ...]] = (
    replicas_converge,
    acknowledged_records_survive,
    no_header_leaves,
    records_verify,
    bodies_agree,
    queues_are_bounded,
    tasks_end,
)


def problems(hosts: Sequence[Host]) -> Iterator[str]:
    """Everything that is wrong with the honest hosts of a swarm that has come to rest."""
    for check in CHECKS:
        for problem in check(hosts):
            yield f"{check.__name__.replace('_', ' ')}: {problem}"
