"""Messages to bytes and back: deterministic CBOR, version 1, every size checked on both sides.

`encode` asserts our own limits; `decode` raises MessageError for anything malformed, and verifies
every record on the way in. One bad record does not fail its message: the reason travels beside the
good ones, to be counted. This module is the only way for a peer's bytes to become values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

import cbor2

from synapse.core.errors import MessageError, RecordError
from synapse.core.memory.record import (
    BODY_BYTES_MAX,
    HEADER_BYTES_MAX,
    UINT_MAX,
    Record,
    decode_canonical,
)
from synapse.core.messages import (
    FINGERPRINT_BYTES,
    IDS_MAX,
    MESSAGES_MAX,
    PROTOCOL,
    RANGES_MAX,
    RECORDS_BYTES_MAX,
    RECORDS_MAX,
    ROWS_MAX,
    WAIT_MS_MAX,
    Have,
    Message,
    Poll,
    Prune,
    Push,
    Range,
    Ranges,
    Summary,
    Supply,
    Table,
    TableRow,
    Want,
)

EXCHANGE_BYTES_MAX: Final = 4 << 20  # of one request or reply, decompressed
_DEPTH_MAX: Final = 8
_ITEMS_MAX: Final = MESSAGES_MAX * 4 * (ROWS_MAX + 2)  # as many tables as may be, each of them full
_KEY_BYTES_MAX: Final = 40
_SIGNATURE_BYTES: Final = 64
_FETCH_STEP: Final = 64  # of the largest records these are four messages
_ITEM_BYTES_MAX: Final = 48  # of one key, id, bound or fingerprint with its length and array


def encode(messages: Sequence[Message]) -> bytes:
    """The bytes of one exchange. The caller keeps within the limits of `messages`."""
    assert len(messages) <= MESSAGES_MAX
    return cbor2.dumps([PROTOCOL, [_encode_one(message) for message in messages]], canonical=True)


def decode(data: bytes) -> list[Message]:
    """The messages of one exchange, their records verified. Raises MessageError."""
    if len(data) > EXCHANGE_BYTES_MAX:
        raise MessageError(f"an exchange is at most {EXCHANGE_BYTES_MAX} bytes")
    _check_items(data)
    try:
        envelope = decode_canonical(data, depth_max=_DEPTH_MAX)
    except RecordError as error:
        raise MessageError(str(error)) from None
    version, messages = _fields(envelope, 2, "an exchange")
    if _uint(version, UINT_MAX) != PROTOCOL:
        raise MessageError(f"protocol {version} is not spoken here; this is version {PROTOCOL}")
    return [_decode_one(message) for message in _list(messages, MESSAGES_MAX, "messages")]


def encode_record(record: Record) -> bytes:
    """One record on its own: what introduces a spore."""
    return cbor2.dumps(_encode_record(record), canonical=True)


def decode_record(data: bytes) -> Record:
    """Read and verify one record. Raises RecordError."""
    if len(data) > HEADER_BYTES_MAX + BODY_BYTES_MAX + 256:
        raise RecordError("body_size", "that is larger than any record")
    try:
        return _decode_record(decode_canonical(data, depth_max=2))
    except MessageError as error:
        raise RecordError("header_shape", str(error)) from None


def fitting(records: Iterable[Record]) -> tuple[Record, ...]:
    """The longest prefix of `records` that one message may carry."""
    chosen: list[Record] = []
    size = 0
    for record in records:
        size += len(record.header_data) + len(record.body or b"") + 2 * _SIGNATURE_BYTES
        if chosen and (size > RECORDS_BYTES_MAX or len(chosen) == RECORDS_MAX):
            break
        chosen.append(record)
    return tuple(chosen)


def fetched(
    ids: Sequence[bytes], read: Callable[[Sequence[bytes]], Sequence[Record]]
) -> tuple[Record, ...]:
    """As many of these records as one message may carry, and hardly more read from the disk."""
    steps = range(0, len(ids), _FETCH_STEP)
    return fitting(one for at in steps for one in read(ids[at : at + _FETCH_STEP]))


def sendable(messages: Iterable[Message]) -> tuple[list[Message], list[Message]]:
    """What one exchange may carry, in order, and what is left for the next."""
    now: list[Message] = []
    later: list[Message] = []
    size = 0
    for message in messages:
        size += size_bytes(message)
        fits = size <= EXCHANGE_BYTES_MAX and len(now) < MESSAGES_MAX and not later
        (now if fits else later).append(message)
    return now, later


def size_bytes(message: Message) -> int:
    """At most how many bytes this message becomes."""
    match message:
        case Push(records) | Supply(records):
            items = [len(one.header_data) + len(one.body or b"") for one in records]
            return sum(items) + (len(items) + 1) * 2 * _SIGNATURE_BYTES
        case Ranges(ranges=ranges):
            return sum(_ITEM_BYTES_MAX * (2 + len(one.ids or ())) for one in ranges) + 64
        case Table(rows=rows):
            return (len(rows) + 1) * 2 * _ITEM_BYTES_MAX
        case Have(ids) | Want(ids):
            return (len(ids) + 1) * _ITEM_BYTES_MAX
        case _:
            return 2 * _ITEM_BYTES_MAX


# Each message is [its name, its fields]. The table is the protocol; docs/protocol.md explains it.


def _encode_one(message: Message) -> list[Any]:
    match message:
        case Summary(fingerprint, records):
            return ["summary", fingerprint, records]
        case Table(after, rows, complete):
            packed = [[row.operator, row.records, row.fingerprint] for row in rows]
            return ["table", after, packed, int(complete)]
        case Ranges(operator, ranges):
            return ["ranges", operator, [_encode_range(one) for one in ranges]]
        case Push(records) | Supply(records):
            name = "push" if isinstance(message, Push) else "supply"
            return [name, [_encode_record(record) for record in records]]
        case Prune():
            return ["prune"]
        case Have(ids):
            return ["have", list(ids)]
        case Want(ids):
            return ["want", list(ids)]
        case Poll(wait_ms):
            return ["poll", wait_ms]


def _decode_one(value: object) -> Message:
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        raise MessageError("a message is an array that starts with its name")
    read = _READERS.get(value[0])
    if read is None:
        raise MessageError(f"there is no message {value[0][:32]!r}")
    return read(value)


def _read_summary(value: list[Any]) -> Message:
    _, fingerprint, records = _fields(value, 3, "summary")
    return Summary(_bytes(fingerprint, FINGERPRINT_BYTES), _uint(records, UINT_MAX))


def _read_table(value: list[Any]) -> Message:
    _, after, rows, complete = _fields(value, 4, "table")
    if not isinstance(after, bytes) or len(after) not in (0, 32):
        raise MessageError("a table starts after an operator's key, or after nothing")
    unpacked = []
    for row in _list(rows, ROWS_MAX, "rows"):
        operator, records, fingerprint = _fields(row, 3, "a row")
        unpacked.append(
            TableRow(
                _bytes(operator, 32),
                _uint(records, UINT_MAX),
                _bytes(fingerprint, FINGERPRINT_BYTES),
            )
        )
    operators = [row.operator for row in unpacked]
    if operators != sorted(set(operators)) or (operators and operators[0] <= after):
        raise MessageError("the rows of a table are sorted and each operator stands once")
    return Table(after, tuple(unpacked), bool(_uint(complete, 1)))


def _read_ranges(value: list[Any]) -> Message:
    _, operator, ranges = _fields(value, 3, "ranges")
    decoded = tuple(_decode_range(one) for one in _list(ranges, RANGES_MAX, "ranges"))
    uppers = [one.upper for one in decoded]
    if not all(low and (low < high or not high) for low, high in pairwise(uppers)):
        raise MessageError("ranges are in ascending order, and only the last may be open")
    return Ranges(_bytes(operator, 32), decoded)


def _read_records(make: Callable[..., Message]) -> Callable[[list[Any]], Message]:
    def read(value: list[Any]) -> Message:
        name, items = _fields(value, 2, "a message of records")
        records, refused = [], []
        for item in _list(items, RECORDS_MAX, name):
            try:
                records.append(_decode_record(item))
            except RecordError as error:
                refused.append(error.reason)
        return make(tuple(records), tuple(refused))

    return read


def _read_ids(make: Callable[[tuple[bytes, ...]], Message]) -> Callable[[list[Any]], Message]:
    def read(value: list[Any]) -> Message:
        name, ids = _fields(value, 2, "a message of ids")
        return make(tuple(_bytes(one, 32) for one in _list(ids, IDS_MAX, name)))

    return read


def _read_prune(value: list[Any]) -> Message:
    _fields(value, 1, "prune")
    return Prune()


def _read_poll(value: list[Any]) -> Message:
    _, wait_ms = _fields(value, 2, "poll")
    return Poll(_uint(wait_ms, WAIT_MS_MAX))


_READERS: Final[dict[str, Callable[[list[Any]], Message]]] = {
    "summary": _read_summary,
    "table": _read_table,
    "ranges": _read_ranges,
    "push": _read_records(Push),
    "supply": _read_records(Supply),
    "prune": _read_prune,
    "have": _read_ids(Have),
    "want": _read_ids(Want),
    "poll": _read_poll,
}


def _encode_record(record: Record) -> list[Any]:
    return [record.header_data, record.signature, record.body]


def _decode_record(value: object) -> Record:
    header, signature, body = _fields(value, 3, "a record")
    if not isinstance(header, bytes) or not isinstance(body, bytes | None):
        raise MessageError("a record is its header, its signature and its body, as bytes")
    return Record.verified(header, _bytes(signature, _SIGNATURE_BYTES), body)


def _encode_range(one: Range) -> list[Any]:
    if one.ids is not None:
        return [one.upper, list(one.ids)]
    return [one.upper, one.fingerprint]


def _decode_range(value: object) -> Range:
    upper, payload = _fields(value, 2, "a range")
    if not isinstance(upper, bytes) or len(upper) > _KEY_BYTES_MAX:
        raise MessageError(f"the bound of a range is at most {_KEY_BYTES_MAX} bytes")
    if payload is None:
        return Range(upper)
    if isinstance(payload, bytes):
        return Range(upper, fingerprint=_bytes(payload, FINGERPRINT_BYTES))
    return Range(upper, ids=tuple(_bytes(one, 32) for one in _list(payload, IDS_MAX, "ids")))


def _check_items(data: bytes) -> None:
    # 150 bytes of zstd are 4 MiB of empty lists, and those would be 300 MiB of objects. Only the
    # heads are looked at; whether they make sense is for the decoder to say.
    at = items = 0
    while at < len(data):
        items += 1
        if items > _ITEMS_MAX:
            raise MessageError(f"an exchange holds at most {_ITEMS_MAX} values")
        kind, length = data[at] >> 5, data[at] & 31
        at += 1
        if length >= 24:
            width = 1 << min(length - 24, 3)
            length = int.from_bytes(data[at : at + width], "big")
            at += width
        if kind in (2, 3):  # byte strings and text strings
            at += length


def _fields(value: object, count: int, name: str) -> list[Any]:
    if not isinstance(value, list) or len(value) != count:
        raise MessageError(f"{name} has {count} fields")
    return value


def _list(value: object, length_max: int, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise MessageError(f"{name} is not an array")
    if len(value) > length_max:
        raise MessageError(f"{name} holds {len(value)} items; the limit is {length_max}")
    return value


def _bytes(value: object, length: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != length:
        raise MessageError(f"not {length} bytes")
    return value


def _uint(value: object, bound: int) -> int:
    if type(value) is not int or not 0 <= value <= bound:
        raise MessageError(f"not an integer of 0 to {bound}")
    return value
