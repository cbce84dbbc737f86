"""Writes `records.json` and `messages.json`: `python -m tests.vectors.make` from the checkout.

They are for other implementations of `docs/protocol.md`, and for us: whoever changes the wire
format by accident changes them. Everything in them is made from fixed seeds, so that running this
again changes nothing. Writers sign what is invalid too, where the signature would otherwise be the
first thing to be refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2

from synapse.core.clock import COUNT_MAX, MS_MAX, Timestamp
from synapse.core.codec import encode
from synapse.core.memory.id_index import fingerprint
from synapse.core.memory.record import (
    BODY_BYTES_MAX,
    CERTIFICATE,
    RETRACTION,
    UINT_MAX,
    Identity,
    Record,
    body_hash,
)
from synapse.core.memory.record_set import dot_text
from synapse.core.messages import (
    MESSAGES_MAX,
    PROTOCOL,
    RANGES_MAX,
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
from tests.making import START_MS, identity, made_up_id, memory_record, record

FOLDER = Path(__file__).parent
Case = dict[str, Any]

WRITER, OPERATOR = identity(1), identity(2)
NOTE = memory_record("The tides follow the moon.", tags=["sea"], seq=1)
NEXT = memory_record("zwölf Deiche, 潮", seq=2, previous=NOTE.id)
TAKEN_BACK = record(
    {"dots": [dot_text(NOTE.header.dot)]},
    kind=RETRACTION,
    seq=3,
    previous=NEXT.id,
    refs=[NOTE.id],
)
CERTIFIED = record({}, kind=CERTIFICATE, writer=OPERATOR, refs=[WRITER.key])
BY_HAND = record({"text": "signed by a certified writer"}, operator=OPERATOR, epoch=2)


# Records


def records() -> Case:
    """Valid records with their ids, and invalid ones with the reason for which each is refused."""
    return {
        "says": "A header, a signature, a body (null when it was erased), all hexadecimal.",
        "valid": [
            valid("a memory, the first of its log", NOTE),
            valid("the next one, which names the one before; text is UTF-8", NEXT),
            valid("the first one after it was taken back: its body is gone", NOTE.without_body()),
            valid("a retraction, which names what it takes back by dot and by id", TAKEN_BACK),
            valid("a certificate: its operator names a writer", CERTIFIED),
            valid("a record by that writer for its operator", BY_HAND),
            valid("every number at its widest and eight references", widest()),
            valid("a kind that nobody knows yet", record({"x": [0.5, None]}, kind="later_2")),
            valid("a body that is no map reads as empty, and is kept", with_body(b"\x01")),
            valid(
                "a body that is not deterministic CBOR (the integer 1 in two bytes) reads as empty",
                with_body(b"\xa1\x61a\x18\x01"),
            ),
            valid(
                "a body with a byte after its map reads as empty", with_body(b"\xa1\x61a\x01\x00")
            ),
        ],
        "invalid": [
            invalid("one bit of the header is flipped", "signature", flipped(NOTE.header_data)),
            invalid("one bit of the body is flipped", "body_hash", body=flipped(NOTE.body or b"")),
            invalid("the body is one byte longer", "body_size", body=(NOTE.body or b"") + b"\0"),
            invalid(
                "one bit of the signature is flipped",
                "signature",
                signature=flipped(NOTE.signature),
            ),
            invalid("the signature is another record's", "signature", signature=NEXT.signature),
            invalid(
                "the signature is of another key",
                "signature",
                signature=signed(NOTE.header_data, OPERATOR),
            ),
            invalid(
                "the signature covers the header and not its id",
                "signature",
                signature=WRITER.sign(b"synapse/signature/1\x00" + NOTE.header_data),
            ),
            resigned("the version takes two bytes", "not_canonical", b"\x8d\x18", after=1),
            resigned("the array has no length", "not_canonical", b"\x9f", end=b"\xff"),
            resigned("a byte follows the header", "not_canonical", b"\x8d", end=b"\x00"),
            resigned("the version is 1.0", "not_canonical", b"\x8d\xf9\x3c\x00", after=2),
            resigned("a tag stands before it", "not_canonical", b"\xd9\xd9\xf7\x8d"),
            spoilt("the version is 2", 0, 2),
            spoilt("the writer's key is a byte short", 2, WRITER.key[:31]),
            spoilt("seq is 0", 5, 0),
            spoilt("seq is 2^63", 5, 1 << 63),
            spoilt("seq is 2 and no record is named before it", 5, 2),
            spoilt("seq is 1 and a record is named before it", 6, NEXT.id),
            spoilt("the milliseconds are 2^48", 7, MS_MAX + 1),
            spoilt("the count is 2^16", 8, COUNT_MAX + 1),
            spoilt("the kind is in capitals", 9, "MEMORY"),
            spoilt("the kind ends in a line feed", 9, "memory\n"),
            spoilt("the body is longer than 65536", 11, BODY_BYTES_MAX + 1),
            spoilt("there are nine references", 12, [made_up_id(n) for n in range(9)]),
        ],
    }


def valid(says: str, one: Record) -> Case:
    return {
        "says": says,
        "id": one.id.hex(),
        "writer": one.header.writer.hex(),
        "kind": one.kind,
        "seq": one.header.seq,
        "content": sorted(one.content()),
        **parts(one.header_data, one.signature, one.body),
    }


def invalid(
    says: str,
    reason: str,
    header: bytes = NOTE.header_data,
    *,
    signature: bytes = NOTE.signature,
    body: bytes | None = NOTE.body,
) -> Case:
    return {"says": says, "reason": reason, **parts(header, signature, body)}


def resigned(says: str, reason: str, start: bytes, *, after: int = 1, end: bytes = b"") -> Case:
    """The header with other bytes at its start, `after` so many, and at its end; signed anew."""
    header = start + NOTE.header_data[after:] + end
    return invalid(says, reason, header, signature=signed(header))


def spoilt(says: str, at: int, value: object) -> Case:
    """The header with another value in one field, signed anew."""
    fields = cbor2.loads(NOTE.header_data)
    fields[at] = value
    header = cbor2.dumps(fields, canonical=True)
    return invalid(says, "header_shape", header, signature=signed(header))


def parts(header: bytes, signature: bytes, body: bytes | None) -> Case:
    return {
        "header": header.hex(),
        "signature": signature.hex(),
        "body": None if body is None else body.hex(),
    }


def signed(header: bytes, writer: Identity = WRITER) -> bytes:
    record_id = hashlib.sha256(b"synapse/record/1\x00" + header).digest()
    return writer.sign(b"synapse/signature/1\x00" + record_id)


def with_body(body: bytes) -> Record:
    header = replace(NOTE.header, body_hash=body_hash(body), body_bytes=len(body))
    return Record.composed(WRITER, header, body)


def widest() -> Record:
    body = bytes(BODY_BYTES_MAX)
    header = replace(
        NOTE.header,
        epoch=UINT_MAX,
        epoch_start_ms=MS_MAX,
        seq=UINT_MAX,
        previous=made_up_id(0),
        hlc=Timestamp(MS_MAX, COUNT_MAX),
        kind="k" * 32,
        body_hash=body_hash(body),
        body_bytes=len(body),
        refs=tuple(made_up_id(n) for n in range(1, 9)),
    )
    return Record.composed(WRITER, header).without_body()


def flipped(data: bytes) -> bytes:
    return data[:10] + bytes([data[10] ^ 1]) + data[11:]


# Messages


def messages() -> Case:
    """Exchanges with what they say, and bytes that are refused as a whole."""
    ids = [made_up_id(number) for number in (1, 2, 3)]
    mark = fingerprint(sum(int.from_bytes(one, "big") for one in ids), len(ids))
    rows = tuple(TableRow(one, 7, mark) for one in sorted(ids))
    wire = [NOTE.header_data, NOTE.signature, NOTE.body]
    bound = START_MS.to_bytes(8, "big")
    spoilt_records = [
        wire,
        [wire[0], bytes(64), wire[2]],
        [wire[0], wire[1], flipped(NOTE.body or b"")],
    ]
    return {
        "says": "The bytes of an exchange, hexadecimal, and what it says: ids of the records that "
        "are accepted, and for each that is refused the reason.",
        "valid": [
            said("nothing", []),
            said("a heartbeat; the fingerprint is of the ids 1, 2, 3", [Summary(mark, 3)]),
            said(
                "the answer to it, with the whole table", [Summary(mark, 3), Table(b"", rows, True)]
            ),
            said("a request for the rows that follow an operator", [Table(ids[0], (), False)]),
            said(
                "ranges: one to compare, one to skip, one listed in full, one listed as empty",
                [
                    Ranges(
                        OPERATOR.key,
                        (
                            Range(bound, fingerprint=mark),
                            Range(bound + ids[0][:2]),
                            Range(bound + b"\xff", ids=tuple(ids)),
                            Range(b"", ids=()),
                        ),
                    )
                ],
            ),
            said("new records", [Push((NOTE, NEXT))]),
            said(
                "records that were missing, one of them erased",
                [Supply((TAKEN_BACK, NOTE.without_body()))],
            ),
            said("a link turns lazy", [Prune()]),
            said("ids are announced, and asked for", [Have(tuple(ids)), Want(tuple(ids[:1]))]),
            said("a long poll", [Summary(mark, 3), Poll(WAIT_MS_MAX)]),
            {
                "says": "two of three records are not genuine: the third is accepted all the same",
                "exchange": exchange(["push", spoilt_records]).hex(),
                "messages": [["push", [NOTE.id.hex()], ["signature", "body_hash"]]],
            },
        ],
        "invalid": [
            refused("no bytes", b""),
            refused("protocol 2", cbor2.dumps([PROTOCOL + 1, []])),
            refused("protocol 1.0", cbor2.dumps([1.0, []])),
            refused("the protocol in two bytes", b"\x82\x18\x01\x80"),
            refused("an array without a length", b"\x82\x01\x9f\xff"),
            refused("a byte after the exchange", exchange() + b"\x00"),
            refused("an exchange cut short", exchange(["prune"])[:-1]),
            refused("a message that does not exist", exchange(["sing"])),
            refused("one field too many", exchange(["prune", 1])),
            refused("65 messages", exchange(*[["prune"]] * (MESSAGES_MAX + 1))),
            refused("a tag", exchange(["poll", cbor2.CBORTag(1, 0)])),
            refused("a wait of 25001 ms", exchange(["poll", WAIT_MS_MAX + 1])),
            refused("a wait below zero", exchange(["poll", -1])),
            refused("a fingerprint of 15 bytes", exchange(["summary", bytes(15), 3])),
            refused("an id of 31 bytes", exchange(["have", [ids[0][:31]]])),
            refused("rows out of order", exchange(["table", b"", packed(rows[::-1]), 1])),
            refused("a row twice", exchange(["table", b"", packed(rows[:1] * 2), 1])),
            refused("a row before those asked for", exchange(["table", max(ids), packed(rows), 1])),
            refused("ranges out of order", exchange(ranges([b"b", None], [b"a", None]))),
            refused("a bound twice", exchange(ranges([b"a", None], [b"a", None]))),
            refused("an open range that is not last", exchange(ranges([b"", None], [b"a", None]))),
            refused("a bound of 41 bytes", exchange(ranges([bytes(41), None]))),
            refused("257 ranges", exchange(ranges(*skips(RANGES_MAX + 1)))),
            refused("a signature of 63 bytes", exchange(["push", [[wire[0], bytes(63), wire[2]]]])),
            refused("a record without a place for its body", exchange(["push", [wire[:2]]])),
        ],
    }


def said(says: str, some: list[Message]) -> Case:
    return {
        "says": says,
        "exchange": encode(some).hex(),
        "messages": [spelt_out(one) for one in some],
    }


def refused(says: str, data: bytes) -> Case:
    return {"says": says, "exchange": data.hex()}


def spelt_out(message: Message) -> list[Any]:
    """A message in JSON: its name and fields; of records the ids, and why others were refused."""
    match message:
        case Summary(mark, count):
            return ["summary", mark.hex(), count]
        case Table(after, rows, complete):
            listed = [[row.operator.hex(), row.records, row.fingerprint.hex()] for row in rows]
            return ["table", after.hex(), listed, complete]
        case Ranges(operator, some):
            return ["ranges", operator.hex(), [[one.upper.hex(), payload(one)] for one in some]]
        case Push(some, reasons) | Supply(some, reasons):
            name = "push" if isinstance(message, Push) else "supply"
            return [name, [one.id.hex() for one in some], list(reasons)]
        case Prune():
            return ["prune"]
        case Have(ids) | Want(ids):
            name = "have" if isinstance(message, Have) else "want"
            return [name, [one.hex() for one in ids]]
        case Poll(wait_ms):
            return ["poll", wait_ms]


def payload(one: Range) -> str | list[str] | None:
    if one.ids is not None:
        return [each.hex() for each in one.ids]
    return one.fingerprint.hex() if one.fingerprint is not None else None


def exchange(*wire: Any) -> bytes:
    return cbor2.dumps([PROTOCOL, list(wire)], canonical=True)


def packed(rows: tuple[TableRow, ...]) -> list[Any]:
    return [[row.operator, row.records, row.fingerprint] for row in rows]


def ranges(*wire: Any) -> list[Any]:
    return ["ranges", OPERATOR.key, list(wire)]


def skips(count: int) -> list[Any]:
    return [[number.to_bytes(2, "big"), None] for number in range(1, count + 1)]


# Files

MADE = {"records.json": records, "messages.json": messages}


def text_of(name: str) -> str:
    """What the file of this name holds."""
    return json.dumps(MADE[name](), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in MADE:
        (FOLDER / each).write_text(text_of(each), encoding="utf-8")
