"""One record: what makes it genuine, and everything that makes it not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import cbor2
import pytest

from synapse.core.clock import COUNT_MAX, MS_MAX, Timestamp
from synapse.core.errors import RecordError
from synapse.core.memory.record import (
    BODY_BYTES_MAX,
    CERTIFICATE,
    DEPTH_MAX,
    HEADER_BYTES_MAX,
    MEMORY,
    REFS_MAX,
    UINT_MAX,
    Header,
    Identity,
    Record,
    body_hash,
    encode_body,
    signature_valid,
)
from tests.making import START_MS, identity, made_up_id, memory_record, record

SPECCHECK = json.loads(
    (Path(__file__).parents[2] / "vectors/ed25519_speccheck.json").read_text(encoding="utf-8")
)
WHOLE = memory_record("the tide turns", seq=2)


def reason(header_data: bytes, signature: bytes, body: bytes | None) -> str | None:
    """Why these bytes are no record; None when they are one."""
    try:
        Record.verified(header_data, signature, body)
    except RecordError as error:
        return error.reason
    return None


def resigned(header_data: bytes, body: bytes | None = WHOLE.body) -> str | None:
    """Why a header is refused that its writer signed all the same."""
    record_id = hashlib.sha256(b"synapse/record/1\x00" + header_data).digest()
    signature = identity().sign(b"synapse/signature/1\x00" + record_id)
    return reason(header_data, signature, body)


def fields() -> list[Any]:
    """The fields of a good header, to spoil."""
    values: list[Any] = cbor2.loads(WHOLE.header_data)
    return values


# Signatures


@pytest.mark.promise("authored")
@pytest.mark.parametrize("number", range(12))
def test_of_the_signatures_that_libraries_disagree_on_only_the_strict_one_is_valid(
    number: int,
) -> None:
    case = SPECCHECK["cases"][number]
    key, message, signature = (
        bytes.fromhex(case[name]) for name in ("key", "message", "signature")
    )
    assert signature_valid(key, message, signature) == (number in SPECCHECK["accepted"])
    assert SPECCHECK["accepted"] == [3]


def test_a_signature_of_the_wrong_size_or_key_is_invalid_and_raises_nothing() -> None:
    someone = identity()
    good = someone.sign(b"message")
    assert signature_valid(someone.key, b"message", good)
    assert not signature_valid(someone.key, b"massage", good)
    assert not signature_valid(identity(2).key, b"message", good)
    for key, signature in ((someone.key, b""), (someone.key, good + b"\0"), (b"", good)):
        assert not signature_valid(key, b"message", signature)


def test_an_identity_is_made_of_its_seed_and_does_not_show_it() -> None:
    seed = Random(7).randbytes(32)
    assert Identity(seed).key == Identity(seed).key
    assert seed.hex() not in repr(Identity(seed))


# Genuine records


def test_a_record_is_what_its_bytes_say() -> None:
    again = Record.verified(WHOLE.header_data, WHOLE.signature, WHOLE.body)
    assert again == WHOLE == Record.stored(WHOLE.id, WHOLE.header_data, WHOLE.signature, WHOLE.body)
    assert again.header.encode() == again.header_data
    assert again.id == hashlib.sha256(b"synapse/record/1\x00" + again.header_data).digest()
    assert again.content()["text"] == "the tide turns"
    assert again.kind == MEMORY
    assert again.header.dot == (identity().key, 1, 2)


def test_an_erased_record_is_genuine_and_says_nothing() -> None:
    erased = WHOLE.without_body()
    assert Record.verified(WHOLE.header_data, WHOLE.signature, None) == erased
    assert (erased.id, erased.header) == (WHOLE.id, WHOLE.header)
    assert erased.content() == {}


def test_equal_contents_have_different_ids() -> None:
    bodies = {encode_body({"text": "yes"}, rng=Random(seed)) for seed in range(20)}
    assert len(bodies) == 20
    assert len({len(body) for body in bodies}) == 1
    assert {len(cbor2.loads(body)["salt"]) for body in bodies} == {16}


def test_only_its_writer_can_sign_a_record() -> None:
    with pytest.raises(AssertionError):
        Record.composed(identity(2), WHOLE.header, WHOLE.body)


# Altered records


@pytest.mark.promise("authored")
@pytest.mark.parametrize(
    ("part", "reasons"),
    [
        (
            0,
            {"signature", "header_shape", "header_size", "not_canonical", "body_size", "body_hash"},
        ),
        (1, {"signature"}),
        (2, {"body_hash"}),
    ],
    ids=["header", "signature", "body"],
)
def test_every_flipped_bit_is_refused_for_a_reason(part: int, reasons: set[str]) -> None:
    parts = [WHOLE.header_data, WHOLE.signature, WHOLE.body or b""]
    for bit in range(8 * len(parts[part])):
        changed = bytearray(parts[part])
        changed[bit // 8] ^= 1 << bit % 8
        altered = [*parts[:part], bytes(changed), *parts[part + 1 :]]
        assert reason(*altered) in reasons, bit


@pytest.mark.promise("authored")
def test_a_part_of_another_record_is_refused() -> None:
    other = memory_record("the tide turnt", seq=3)
    header, signature, body = WHOLE.header_data, WHOLE.signature, WHOLE.body
    assert reason(header, other.signature, body) == "signature"
    assert reason(other.header_data, signature, other.body) == "signature"
    assert reason(header, signature, other.body) == "body_hash"
    assert reason(header, signature, (body or b"") + b"\0") == "body_size"
    assert reason(header, signature, b"") == "body_size"
    assert reason(header, bytes(64), body) == "signature"
    assert reason(header, signature[:63], body) == "signature"


@pytest.mark.promise("authored")
def test_nobody_can_write_in_another_writers_name() -> None:
    forged = fields()
    forged[2] = identity(2).key
    assert resigned(cbor2.dumps(forged, canonical=True)) == "signature"


def longer_integer(data: bytes) -> bytes:
    assert data[1] == 1
    return data[:1] + b"\x18\x01" + data[2:]


def indefinite_array(data: bytes) -> bytes:
    return b"\x9f" + data[1:] + b"\xff"


def tagged(data: bytes) -> bytes:
    return b"\xd9\xd9\xf7" + data  # "what follows is CBOR"


def float_for_integer(data: bytes) -> bytes:
    return data[:1] + b"\xf9\x3c\x00" + data[2:]


def big_number(data: bytes) -> bytes:
    return data[:1] + b"\xc2\x41\x01" + data[2:]


def indefinite_string(data: bytes) -> bytes:
    return data[:2] + b"\x5f" + data[2:36] + b"\xff" + data[36:]


def text_for_bytes(data: bytes) -> bytes:
    return data.replace(b"\x66memory", b"\x46memory")


def trailing_byte(data: bytes) -> bytes:
    return data + b"\x00"


@pytest.mark.promise("authored")
@pytest.mark.parametrize(
    "spoil",
    [
        longer_integer,
        indefinite_array,
        tagged,
        float_for_integer,
        big_number,
        indefinite_string,
        text_for_bytes,
        trailing_byte,
    ],
)
def test_another_encoding_of_a_header_is_refused_even_when_it_is_signed(
    spoil: Callable[[bytes], bytes],
) -> None:
    spoilt = spoil(WHOLE.header_data)
    assert spoilt != WHOLE.header_data
    assert resigned(WHOLE.header_data) is None
    assert resigned(spoilt) in ("not_canonical", "header_shape")


NOT_A_HEADER = {
    "version": (0, [0, 2, None, "1"]),
    "operator": (1, [bytes(31), bytes(33), "x" * 32, None]),
    "writer": (2, [b"", bytes(64)]),
    "epoch": (3, [-1, UINT_MAX + 1, True, "1"]),
    "epoch start": (4, [-1, MS_MAX + 1, None]),
    "seq": (5, [0, -1, UINT_MAX + 1, 1]),
    "previous": (6, [b"", bytes(31), None]),
    "milliseconds": (7, [-1, MS_MAX + 1, float(START_MS)]),
    "count": (8, [-1, COUNT_MAX + 1]),
    "kind": (9, ["", "Memory", "1st", "a-b", "a b", "é", "k" * 33, "memory\n", b"memory", None]),
    "body hash": (10, [bytes(31), None]),
    "body length": (11, [-1, BODY_BYTES_MAX + 1]),
    "refs": (12, [None, [bytes(31)], [bytes(32)] * (REFS_MAX + 1), ["x" * 32], {}]),
}


@pytest.mark.parametrize("name", NOT_A_HEADER)
def test_a_field_of_the_wrong_type_or_size_is_refused_even_when_it_is_signed(name: str) -> None:
    at, values = NOT_A_HEADER[name]
    for value in values:
        spoilt = fields()
        spoilt[at] = value
        assert resigned(cbor2.dumps(spoilt, canonical=True)) == "header_shape", value


@pytest.mark.parametrize("value", [None, [], {}, 1, "header", [1] * 13, {1: 1}])
def test_what_is_no_header_at_all_is_refused(value: object) -> None:
    assert resigned(cbor2.dumps(value, canonical=True)) == (
        "not_canonical" if value == {1: 1} else "header_shape"
    )


def test_a_header_with_one_field_more_or_fewer_is_refused() -> None:
    for values in (fields()[:-1], [*fields(), 0]):
        assert resigned(cbor2.dumps(values, canonical=True)) == "header_shape"


@pytest.mark.parametrize("kind", ["a", "k" * 32, "position_2", CERTIFICATE])
def test_kinds_that_are_not_known_here_are_kept_all_the_same(kind: str) -> None:
    unknown = record({"anything": [1, None, 0.5]}, kind=kind)
    assert Record.verified(unknown.header_data, unknown.signature, unknown.body) == unknown
    assert unknown.content()["anything"] == [1, None, 0.5]


# Sizes


def test_a_header_is_about_200_bytes() -> None:
    now, previous = Timestamp(START_MS, 3), made_up_id(1)
    ordinary = memory_record("a memory", seq=1_000, previous=previous, hlc=now).header
    header = replace(ordinary, epoch=START_MS, epoch_start_ms=START_MS)
    assert len(header.encode()) == 179
    assert len(replace(header, refs=(previous,)).encode()) == 179 + 34


def test_the_widest_header_fits_with_room_to_spare_and_a_wider_one_is_refused() -> None:
    widest = Header(
        operator=identity().key,
        writer=identity().key,
        epoch=UINT_MAX,
        epoch_start_ms=MS_MAX,
        seq=UINT_MAX,
        previous=made_up_id(1),
        hlc=Timestamp(MS_MAX, COUNT_MAX),
        kind="k" * 32,
        body_hash=body_hash(b""),
        body_bytes=BODY_BYTES_MAX,
        refs=tuple(made_up_id(number) for number in range(REFS_MAX)),
    )
    data = widest.encode()
    assert len(data) <= HEADER_BYTES_MAX
    assert Header.decode(data) == widest
    assert resigned(data, None) is None
    assert resigned(bytes(HEADER_BYTES_MAX + 1)) == "header_size"


def test_a_body_of_64_kib_is_accepted_and_one_byte_more_is_refused() -> None:
    overhead = len(encode_body({"text": "x" * 65_000}, rng=Random(1))) - 65_000
    longest = "x" * (BODY_BYTES_MAX - overhead)
    whole = record({"text": longest})
    assert len(whole.body or b"") == BODY_BYTES_MAX
    assert reason(whole.header_data, whole.signature, whole.body) is None
    with pytest.raises(RecordError) as caught:
        encode_body({"text": longest + "x"}, rng=Random(1))
    assert caught.value.reason == "body_size"


# Bodies


NONSENSE = {
    "a list": cbor2.dumps([1, 2]),
    "a number": cbor2.dumps(1),
    "keys that are bytes": cbor2.dumps({b"text": "x"}),
    "keys that are numbers": cbor2.dumps({1: "x"}),
    "a key twice": b"\xa2\x61a\x01\x61a\x02",
    "keys out of order": b"\xa2\x61b\x01\x61a\x02",
    "a tag": cbor2.dumps({"text": cbor2.CBORTag(0, "2020-01-01T00:00:00Z")}),
    "an indefinite map": b"\xbf\x61a\x01\xff",
    "a longer integer": b"\xa1\x61a\x18\x01",
    "something after the map": cbor2.dumps({"text": "x"}) + b"\x00",
    "half a map": cbor2.dumps({"text": "x"})[:-1],
    "text that is not UTF-8": b"\xa1\x61a\x61\xff",
    "a lone surrogate": b"\xa1\x61a\x63\xed\xa0\x80",
    "depth": b"\xa1\x61a" + b"\x81" * DEPTH_MAX + b"\x00",
    "no CBOR": b"\xff\xff",
    "nothing": b"",
}


@pytest.mark.promise("hostile_text")
@pytest.mark.parametrize("name", NONSENSE)
def test_a_body_that_is_no_map_in_deterministic_cbor_is_kept_and_reads_as_empty(name: str) -> None:
    body = NONSENSE[name]
    header = replace(WHOLE.header, body_hash=body_hash(body), body_bytes=len(body))
    kept = Record.composed(identity(), header, body)
    assert Record.verified(kept.header_data, kept.signature, body) == kept
    assert kept.content() == {}


def test_a_body_may_nest_as_deep_as_the_limit() -> None:
    nested: object = 0
    for _ in range(DEPTH_MAX - 1):
        nested = [nested]
    assert record({"nested": nested}).content()["nested"] == nested
