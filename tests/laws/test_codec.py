"""What is sent is what is read; what is not what we send is refused, and nothing else happens."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
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
from synapse.core.memory.record import BODY_BYTES_MAX, UINT_MAX, Record
from synapse.core.messages import (
    IDS_MAX,
    MESSAGES_MAX,
    PROTOCOL,
    RANGES_MAX,
    RECORDS_BYTES_MAX,
    RECORDS_MAX,
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
from tests.making import made_up_id, memory_chain, memory_record

CHAIN = memory_chain(6)
RECORDS = st.lists(st.sampled_from([*CHAIN, CHAIN[0].without_body()]), max_size=4).map(tuple)
FINGERPRINTS = st.binary(min_size=16, max_size=16)
IDS = st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(tuple)
COUNTS = st.integers(0, UINT_MAX)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    operators = sorted(draw(st.sets(st.binary(min_size=32, max_size=32), max_size=4)))
    rows = tuple(TableRow(one, draw(COUNTS), draw(FINGERPRINTS)) for one in operators)
    return Table(b"", rows, draw(st.booleans()))


@st.composite
def ranges(draw: st.DrawFn) -> Ranges:
    uppers = sorted(draw(st.sets(st.binary(min_size=1, max_size=40), max_size=6)))
    if draw(st.booleans()):
        uppers.append(b"")
    what = st.one_of(
        st.tuples(FINGERPRINTS, st.none()), st.tuples(st.none(), IDS), st.just((None, None))
    )
    return Ranges(made_up_id(1), tuple(Range(upper, *draw(what)) for upper in uppers))


MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Summary, FINGERPRINTS, COUNTS),
    tables(),
    ranges(),
    st.builds(Push, RECORDS),
    st.builds(Supply, RECORDS),
    st.just(Prune()),
    st.builds(Have, IDS),
    st.builds(Want, IDS),
    st.builds(Poll, st.integers(0, WAIT_MS_MAX)),
)
EXCHANGES = st.lists(MESSAGES, max_size=4)


@given(messages=EXCHANGES)
def test_what_is_sent_is_what_is_read(messages: list[Message]) -> None:
    data = encode(messages)
    assert decode(data) == messages
    assert encode(decode(data)) == data


@given(message=MESSAGES)
def test_a_message_is_no_larger_than_it_is_said_to_be(message: Message) -> None:
    assert len(encode([message])) - len(encode([])) <= size_bytes(message)


@pytest.mark.promise("authored")
@given(messages=EXCHANGES, data=st.data())
def test_changed_bytes_are_refused_or_are_another_valid_exchange(
    messages: list[Message], data: st.DataObject
) -> None:
    changed = bytearray(encode(messages))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed)))
        cut = data.draw(st.integers(0, 3))
        changed[at : at + cut] = data.draw(st.binary(max_size=3))
    only_genuine(bytes(changed))


@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_or_are_an_exchange(data: bytes) -> None:
    only_genuine(data)


def only_genuine(data: bytes) -> None:
    """Decode; whatever gets through is genuine, and is read again from what it is sent as."""
    try:
        messages = decode(data)
    except MessageError:
        return
    for message in messages:
        if isinstance(message, Push | Supply):
            for one in message.records:
                assert Record.verified(one.header_data, one.signature, one.body) == one


@pytest.mark.promise("authored")
@pytest.mark.parametrize("record", [CHAIN[1], CHAIN[1].without_body()])
def test_every_changed_byte_of_a_record_is_refused(record: Record) -> None:
    genuine = encode_record(record)
    assert decode_record(genuine) == record
    for at in range(len(genuine)):
        for bit in (0x01, 0x80):
            changed = genuine[:at] + bytes([genuine[at] ^ bit]) + genuine[at + 1 :]
            with pytest.raises(RecordError):
                decode_record(changed)


def test_one_bad_record_does_not_fail_the_others() -> None:
    envelope = cbor2.loads(encode([Push(tuple(CHAIN[:3]))]))
    envelope[1][0][1][1][1] = bytes(64)  # the second record's signature
    [message] = decode(cbor2.dumps(envelope, canonical=True))
    assert message == Push((CHAIN[0], CHAIN[2]), refused=("signature",))


BOUNDS = {
    "messages": [["prune"]] * (MESSAGES_MAX + 1),
    "ids": [["have", [made_up_id(1)] * (IDS_MAX + 1)]],
    "records": [["push", [[b"", bytes(64), None]] * (RECORDS_MAX + 1)]],
    "ranges": [["ranges", made_up_id(1), [[bytes([1]) * n, None] for n in range(1, 40)] * 8]],
    "a wait": [["poll", WAIT_MS_MAX + 1]],
    "a count": [["summary", bytes(16), UINT_MAX + 1]],
    "a bound": [["ranges", made_up_id(1), [[bytes(41), None]]]],
}


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("name", BOUNDS)
def test_more_than_the_limit_is_refused(name: str) -> None:
    with pytest.raises(MessageError):
        decode(cbor2.dumps([PROTOCOL, BOUNDS[name]], canonical=True))


NOT_OURS = {
    "another protocol": cbor2.dumps([PROTOCOL + 1, []]),
    "an unknown message": cbor2.dumps([PROTOCOL, [["sing"]]]),
    "a date": cbor2.dumps([PROTOCOL, [["poll", cbor2.CBORTag(1, 0)]]]),
    "a number as large as memory": cbor2.dumps([PROTOCOL, [["poll", 1 << 4096]]]),
    "not a number": cbor2.dumps([PROTOCOL, [["poll", float("nan")]]]),
    "no list": cbor2.dumps([PROTOCOL, [["have", {"a": 1}]]]),
    "unsorted rows": cbor2.dumps(
        [PROTOCOL, [["table", b"", [[bytes([n]) * 32, 1, bytes(16)] for n in (2, 1)], 1]]]
    ),
    "unsorted ranges": cbor2.dumps(
        [PROTOCOL, [["ranges", made_up_id(1), [[b"b", None], [b"a", None]]]]]
    ),
    "an open range that is not the last": cbor2.dumps(
        [PROTOCOL, [["ranges", made_up_id(1), [[b"", None], [b"a", None]]]]]
    ),
    "lists in lists in lists": b"\x81" * 10_000 + b"\x00",
    "a list without an end": b"\x9f\x01\x80\xff",
    "half an exchange": cbor2.dumps([PROTOCOL, [["prune"]]])[:-1],
    "nothing": b"",
    "too much": bytes(EXCHANGE_BYTES_MAX + 1),
}


@pytest.mark.promise("hostile_text")
@pytest.mark.parametrize("name", NOT_OURS)
def test_what_we_would_never_send_is_refused(name: str) -> None:
    with pytest.raises(MessageError):
        decode(NOT_OURS[name])


def test_as_many_records_as_fit_are_chosen_in_order() -> None:
    large = memory_record("x" * 60_000)
    chosen = fitting([large] * 100)
    assert 0 < len(chosen) < 100
    assert len(chosen) * 60_000 <= RECORDS_BYTES_MAX
    assert len(fitting([CHAIN[0]] * (RECORDS_MAX + 5))) == RECORDS_MAX
    assert fitting([large]) == (large,)
    assert BODY_BYTES_MAX < RECORDS_BYTES_MAX, "the first record always fits"


@pytest.mark.promise("bounded")
def test_what_one_exchange_carries_is_within_its_limit_and_nothing_is_lost() -> None:
    large = Supply(fitting([memory_record("x" * 60_000)] * 100))
    listed = Ranges(
        made_up_id(1),
        tuple(Range(bytes([n]), ids=(made_up_id(n),) * 32) for n in range(1, RANGES_MAX)),
    )
    messages: list[Message] = [large, listed] * 40
    sent: list[Message] = []
    while messages:
        now, messages = sendable(messages)
        assert 0 < len(now) <= MESSAGES_MAX
        assert len(encode(now)) <= EXCHANGE_BYTES_MAX
        sent += now
    assert sent == [large, listed] * 40
