"""What is sent is what is read; what we would not send is refused, and nothing else happens."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse.core.codec import (
    EXCHANGE_BYTES_MAX,
    decode,
    decode_record,
    encode,
    encode_record,
    fitting,
    sendable,
    size_bytes,
)
from synapse.core.errors import MessageError, RecordError
from synapse.core.memory.record import BODY_BYTES_MAX, REFS_MAX, UINT_MAX, Record
from synapse.core.messages import (
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
from tests.laws.strategies import messages, records, widest_record
from tests.making import made_up_id, memory_chain, memory_record, record

CHAIN = memory_chain(6)
EXCHANGES = st.lists(messages(), max_size=4)


def exchange(*wire: Any) -> bytes:
    """The bytes of an exchange of anything at all."""
    return cbor2.dumps([PROTOCOL, list(wire)], canonical=True)


# There and back


@given(EXCHANGES)
def test_what_is_sent_is_what_is_read(sent: list[Message]) -> None:
    assert decode(encode(sent)) == sent


@given(records())
def test_a_record_on_its_own_is_read_as_it_was_sent(one: Record) -> None:
    for sent in (one, one.without_body()):
        assert decode_record(encode_record(sent)) == sent


def read(data: bytes) -> list[Message] | None:
    """What these bytes say, or None when they are refused. Nothing else may come of them."""
    try:
        received = decode(data)
    except MessageError as error:
        assert len(str(error)) < 300, "an error goes into logs and replies"
        return None
    for message in received:
        if isinstance(message, Push | Supply):
            for one in message.records:
                assert Record.verified(one.header_data, one.signature, one.body) == one
    return received


def is_read_one_way(data: bytes) -> None:
    """Whatever is accepted is genuine and is what we ourselves would have sent."""
    received = read(data)
    if received is None:
        return
    if not any(isinstance(one, Push | Supply) and one.refused for one in received):
        assert encode(received) == data


@pytest.mark.promise("authored")
@settings(max_examples=400)
@given(EXCHANGES, st.data())
def test_changed_bytes_are_refused_or_are_another_exchange(
    sent: list[Message], data: st.DataObject
) -> None:
    changed = bytearray(encode(sent))
    for _ in range(data.draw(st.integers(1, 3))):
        at, cut = data.draw(st.integers(0, len(changed))), data.draw(st.integers(0, 3))
        changed[at : at + cut] = data.draw(st.binary(max_size=3))
    is_read_one_way(bytes(changed))


@given(EXCHANGES, st.binary(min_size=1, max_size=5), st.integers(1, 200))
def test_longer_and_shorter_bytes_are_refused(sent: list[Message], more: bytes, fewer: int) -> None:
    data = encode(sent)
    assert read(data + more) is None
    assert read(data[:-fewer]) is None


ANY_VALUE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 70), 1 << 70),
        st.floats(),
        st.text(max_size=5),
        st.binary(max_size=40),
        st.sampled_from(["have", "push", "ranges", "table", 1, bytes(32), cbor2.undefined]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.builds(cbor2.CBORTag, st.integers(0, 300), inner),
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(ANY_VALUE, st.booleans())
def test_any_values_are_refused_or_are_an_exchange(value: Any, canonical: bool) -> None:
    is_read_one_way(cbor2.dumps(value, canonical=canonical))
    is_read_one_way(cbor2.dumps([PROTOCOL, [value]], canonical=canonical))


@settings(max_examples=300)
@given(st.binary(max_size=80))
def test_any_bytes_are_refused_or_are_an_exchange(data: bytes) -> None:
    is_read_one_way(data)
    is_read_one_way(exchange()[:2] + data)
    with pytest.raises(RecordError):
        decode_record(data)


# Records within a message


def test_one_bad_record_does_not_fail_the_others() -> None:
    wire = [[one.header_data, one.signature, one.body] for one in CHAIN]
    wire[0][0] = CHAIN[0].header_data + b"\x00"
    wire[1][1] = bytes(64)
    wire[2][2] = bytes(len(CHAIN[2].body or b""))
    wire[3][2] = b"short"
    wire[4][0] = b"\xff" * 700
    [message] = decode(exchange(["supply", wire]))
    assert message == Supply(
        (CHAIN[5],), refused=("not_canonical", "signature", "body_hash", "body_size", "header_size")
    )


@pytest.mark.parametrize(
    "bad",
    [
        [CHAIN[0].header_data, bytes(63), None],
        [CHAIN[0].header_data, bytes(64)],
        ["text", bytes(64), None],
        [CHAIN[0].header_data, bytes(64), "text"],
        None,
    ],
)
def test_what_has_not_even_the_shape_of_a_record_fails_its_exchange(bad: object) -> None:
    assert read(exchange(["push", [bad]])) is None, "its sender cannot have got it from others"


@pytest.mark.promise("authored")
@pytest.mark.parametrize("one", [CHAIN[1], CHAIN[1].without_body()], ids=["whole", "erased"])
def test_every_changed_byte_of_a_record_is_refused(one: Record) -> None:
    genuine = encode_record(one)
    for at in range(len(genuine)):
        for bit in (0x01, 0x80):
            changed = genuine[:at] + bytes([genuine[at] ^ bit]) + genuine[at + 1 :]
            with pytest.raises(RecordError):
                decode_record(changed)


def test_a_record_on_its_own_is_refused_when_it_is_larger_than_any() -> None:
    with pytest.raises(RecordError, match="larger"):
        decode_record(bytes(70_000))


# Limits

ID, FINGERPRINT = made_up_id(1), bytes(16)
SKIPS = [[number.to_bytes(2, "big"), None] for number in range(1, RANGES_MAX + 2)]
ROWS = [[number.to_bytes(32, "big"), 1, FINGERPRINT] for number in range(1, ROWS_MAX + 2)]

AT_THE_LIMIT_AND_PAST_IT = {
    "messages": ([["prune"]] * MESSAGES_MAX, [["prune"]] * (MESSAGES_MAX + 1)),
    "ids announced": ([["have", [ID] * IDS_MAX]], [["have", [ID] * (IDS_MAX + 1)]]),
    "ids wanted": ([["want", [ID] * IDS_MAX]], [["want", [ID] * (IDS_MAX + 1)]]),
    "ids listed": (
        [["ranges", ID, [[b"", [ID] * IDS_MAX]]]],
        [["ranges", ID, [[b"", [ID] * (IDS_MAX + 1)]]]],
    ),
    "ranges": ([["ranges", ID, SKIPS[:-1]]], [["ranges", ID, SKIPS]]),
    "a bound": (
        [["ranges", ID, [[bytes(40), FINGERPRINT]]]],
        [["ranges", ID, [[bytes(41), FINGERPRINT]]]],
    ),
    "rows": ([["table", b"", ROWS[:-1], 0]], [["table", b"", ROWS, 0]]),
    "records pushed": (
        [["push", [[b"", bytes(64), None]] * RECORDS_MAX]],
        [["push", [[b"", bytes(64), None]] * (RECORDS_MAX + 1)]],
    ),
    "records supplied": (
        [["supply", [[b"", bytes(64), None]] * RECORDS_MAX]],
        [["supply", [[b"", bytes(64), None]] * (RECORDS_MAX + 1)]],
    ),
    "a count": (
        [["summary", FINGERPRINT, UINT_MAX]],
        [["summary", FINGERPRINT, UINT_MAX + 1]],
    ),
    "a wait": ([["poll", WAIT_MS_MAX]], [["poll", WAIT_MS_MAX + 1]]),
    "a flag": ([["table", b"", [], 1]], [["table", b"", [], 2]]),
}


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("name", AT_THE_LIMIT_AND_PAST_IT)
def test_as_much_as_the_limit_is_read_and_one_more_is_refused(name: str) -> None:
    within, beyond = AT_THE_LIMIT_AND_PAST_IT[name]
    assert read(exchange(*within)) is not None
    assert read(exchange(*beyond)) is None


REFUSED = {
    "another protocol": cbor2.dumps([PROTOCOL + 1, []]),
    "a protocol that only equals ours": cbor2.dumps([1.0, []]),
    "a protocol that is a long story": cbor2.dumps(["x" * 100_000, []]),
    "an unknown message": exchange(["sing"]),
    "a message without a name": exchange([]),
    "a message with too few fields": exchange(["poll"]),
    "a message with too many fields": exchange(["prune", 1]),
    "a date": exchange(["poll", cbor2.CBORTag(1, 0)]),
    "a number as large as memory": exchange(["poll", 1 << 4096]),
    "a number below zero": exchange(["poll", -1]),
    "not a number": exchange(["poll", float("nan")]),
    "true for 1": exchange(["poll", True]),
    "a map for a list": exchange(["have", {"a": 1}]),
    "a short id": exchange(["have", [bytes(31)]]),
    "a short fingerprint": exchange(["summary", bytes(15), 1]),
    "rows out of order": exchange(["table", b"", ROWS[1::-1], 1]),
    "a row twice": exchange(["table", b"", [ROWS[0], ROWS[0]], 1]),
    "a row that was passed": exchange(["table", ROWS[1][0], ROWS[:2], 1]),
    "a table after half a key": exchange(["table", b"ab", [], 1]),
    "ranges out of order": exchange(["ranges", ID, [[b"b", None], [b"a", None]]]),
    "a bound twice": exchange(["ranges", ID, [[b"a", None], [b"a", None]]]),
    "an open range before the last": exchange(["ranges", ID, [[b"", None], [b"a", None]]]),
    "lists in lists in lists": b"\x81" * 10_000 + b"\x00",
    "a list without an end": b"\x82\x01\x9f\xff",
    "a number longer than need be": b"\x82\x18\x01\x80",
    "a list that is not there": b"\x82\x01\x9b" + b"\xff" * 8,
    "two exchanges": exchange() * 2,
    "half an exchange": exchange(["prune"])[:-1],
    "nothing": b"",
    "too much": exchange(["have", [bytes(32)]]).ljust(EXCHANGE_BYTES_MAX + 1, b"\x00"),
}


@pytest.mark.promise("hostile_text")
@pytest.mark.parametrize("name", REFUSED)
def test_what_we_would_never_send_is_refused(name: str) -> None:
    assert read(REFUSED[name]) is None


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("value", [[], {}, 0, [[]]], ids=repr)
def test_many_small_values_do_not_become_a_large_heap(value: object) -> None:
    packed = cbor2.dumps(value)
    count = (EXCHANGE_BYTES_MAX - 16) // len(packed)
    data = b"\x82\x01\x9a" + count.to_bytes(4, "big") + packed * count
    gc.collect()
    tracemalloc.start()
    try:
        assert read(data) is None
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 * EXCHANGE_BYTES_MAX


# What one exchange may carry


def bulky() -> list[Message]:
    """The largest message of each kind that we may ever send."""
    ids = tuple(made_up_id(number) for number in range(32))
    bounds = [bytes(38) + number.to_bytes(2, "big") for number in range(1, RANGES_MAX + 1)]
    rows = [TableRow(row[0], UINT_MAX, FINGERPRINT) for row in ROWS[:-1]]
    erased, whole = widest_record(None), widest_record(BODY_BYTES_MAX)
    return [
        Summary(FINGERPRINT, UINT_MAX),
        Table(ID, tuple(rows), complete=True),
        Ranges(ID, tuple(Range(bound, ids=ids) for bound in bounds)),
        Ranges(ID, tuple(Range(bound, fingerprint=FINGERPRINT) for bound in bounds)),
        Ranges(ID, tuple(Range(bound) for bound in bounds)),
        Push(fitting([erased] * (RECORDS_MAX + 1))),
        Supply(fitting([whole] * RECORDS_MAX)),
        Supply((whole,)),
        Prune(),
        Have((ID,) * IDS_MAX),
        Want((ID,) * IDS_MAX),
        Poll(WAIT_MS_MAX),
    ]


def test_no_message_is_larger_than_it_is_said_to_be() -> None:
    for message in bulky():
        assert len(encode([message])) <= size_bytes(message), type(message)
        assert size_bytes(message) <= EXCHANGE_BYTES_MAX, "or it could never be sent"


@given(messages())
def test_no_message_of_any_size_is_larger_than_it_is_said_to_be(message: Message) -> None:
    assert len(encode([message])) <= size_bytes(message)


@pytest.mark.promise("bounded")
@settings(max_examples=30)
@given(st.lists(st.sampled_from(bulky()), max_size=150))
def test_an_exchange_is_within_its_limits_and_nothing_is_lost(waiting: list[Message]) -> None:
    sent, left = [], waiting
    while left:
        now, left = sendable(left)
        assert 0 < len(now) <= MESSAGES_MAX
        assert len(encode(now)) <= EXCHANGE_BYTES_MAX
        sent += now
    assert sent == waiting


def test_the_largest_exchange_of_a_kind_is_read() -> None:
    large = record({"text": "x" * 65_000}, seq=2, refs=[made_up_id(1)] * REFS_MAX)
    messages: Sequence[Message] = [Supply(fitting([large] * RECORDS_MAX))] * 10
    now, later = sendable(messages)
    assert decode(encode(now)) == now
    assert len(now) == 4, "as `messages.RECORDS_BYTES_MAX` says"
    assert later == messages[4:]


@pytest.mark.promise("bounded")
def test_as_many_records_as_fit_are_chosen_in_order() -> None:
    large = memory_record("x" * 60_000)
    chosen = fitting([large, CHAIN[0]] * 100)
    assert chosen == tuple([large, CHAIN[0]] * 100)[: len(chosen)]
    assert sum(map(len, map(encode_record, chosen))) > RECORDS_BYTES_MAX - 70_000
    assert sum(map(len, map(encode_record, chosen))) <= RECORDS_BYTES_MAX
    assert len(fitting([CHAIN[0]] * (RECORDS_MAX + 5))) == RECORDS_MAX
    assert fitting([large]) == (large,)
    assert fitting([]) == ()
