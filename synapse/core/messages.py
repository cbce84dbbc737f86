"""What spores say to each other. Plain values; `codec` turns them into bytes and back.

Every message is bounded, so that nobody can make a spore hold or send more than it can:
one exchange stays below 4 MiB, which every hosting proxy we target lets through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from synapse.core.memory.record import Record

PROTOCOL: Final = 1
RECORDS_MAX: Final = 1_024  # of one message; at most a second of signature checks
RECORDS_BYTES_MAX: Final = 1 << 20  # headers and bodies of one message: four fit an exchange
IDS_MAX: Final = 1_024  # 32 KiB of ids
RANGES_MAX: Final = 256  # 16 ranges split 16 ways each
ROWS_MAX: Final = 1_024  # operators in one table message: 60 KiB
MESSAGES_MAX: Final = 64  # in one exchange
WAIT_MS_MAX: Final = 25_000  # of a long poll; proxies are known to cut requests at 60 s
FINGERPRINT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Range:
    """One stretch of the sorted keys (hlc, id), from the range before it up to `upper`.

    With a fingerprint it asks "is yours the same?"; with ids it says "this is all I have"; with
    neither it is skipped. An empty `upper` is infinity.
    """

    upper: bytes
    fingerprint: bytes | None = None
    ids: tuple[bytes, ...] | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The heartbeat: a fingerprint of everything held. Equal sets cost nothing more."""

    fingerprint: bytes
    records: int


@dataclass(frozen=True, slots=True)
class TableRow:
    """One operator's records: how many, and their fingerprint."""

    operator: bytes
    records: int
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of the operators after `after`, sorted; `complete` when none follow."""

    after: bytes
    rows: tuple[TableRow, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Ranges:
    """One step of range-based set reconciliation over one operator's records."""

    operator: bytes
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Push:
    """New records, sent on as soon as they are stored. The reply may prune this link."""

    records: tuple[Record, ...]
    refused: tuple[str, ...] = ()  # reasons of those that did not verify; never sent


@dataclass(frozen=True, slots=True)
class Supply:
    """Records the other side was found to lack, or asked for."""

    records: tuple[Record, ...]
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prune:
    """All you pushed was known: announce ids to me from now on (Plumtree's PRUNE)."""


@dataclass(frozen=True, slots=True)
class Have:
    """Ids of new records, to a peer that asked not to be pushed to (Plumtree's IHAVE)."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Want:
    """Send me these, and push to me again (Plumtree's GRAFT)."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Poll:
    """Hold your reply up to `wait_ms` for news: from a spore that nobody can dial."""

    wait_ms: int


Message = Summary | Table | Ranges | Push | Supply | Prune | Have | Want | Poll


def joined(first: Message, second: Message) -> Message | None:
    """Two pushes as one, so that a burst costs one exchange; None when they must stay apart."""
    if not (isinstance(first, Push) and isinstance(second, Push)):
        return None
    records = first.records + second.records
    size = sum(len(one.header_data) + len(one.body or b"") for one in records)
    if len(records) > RECORDS_MAX // 4 or size > RECORDS_BYTES_MAX // 2:
        return None
    return Push(records)
