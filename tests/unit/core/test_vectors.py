"""The wire format against the vectors that other implementations use.

When one of these fails, spores of different versions no longer understand each other: that takes a
new protocol number, and a decision in `docs/decisions`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from synapse.core.codec import decode, decode_record, encode, encode_record
from synapse.core.errors import MessageError, RecordError
from synapse.core.memory.record import Record
from tests.vectors.make import FOLDER, MADE, spelt_out, text_of

RECORDS, MESSAGES = (
    json.loads((FOLDER / name).read_text(encoding="utf-8"))
    for name in ("records.json", "messages.json")
)


def each_of(cases: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["says"])


def parts(case: dict[str, Any]) -> tuple[bytes, bytes, bytes | None]:
    body = case["body"]
    return (
        bytes.fromhex(case["header"]),
        bytes.fromhex(case["signature"]),
        None if body is None else bytes.fromhex(body),
    )


@each_of(RECORDS["valid"])
def test_a_valid_record_is_accepted(case: dict[str, Any]) -> None:
    one = Record.verified(*parts(case))
    assert one.id.hex() == case["id"]
    assert (one.header.writer.hex(), one.kind) == (case["writer"], case["kind"])
    assert (one.header.seq, sorted(one.content())) == (case["seq"], case["content"])
    assert decode_record(encode_record(one)) == one


@pytest.mark.promise("authored")
@each_of(RECORDS["invalid"])
def test_an_invalid_record_is_refused_for_its_reason(case: dict[str, Any]) -> None:
    with pytest.raises(RecordError) as caught:
        Record.verified(*parts(case))
    assert caught.value.reason == case["reason"]


@each_of(MESSAGES["valid"])
def test_a_valid_exchange_says_what_it_says(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["exchange"])
    messages = decode(data)
    assert [spelt_out(one) for one in messages] == case["messages"]
    if "not genuine" not in case["says"]:
        assert encode(messages) == data


@each_of(MESSAGES["invalid"])
def test_an_invalid_exchange_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        decode(bytes.fromhex(case["exchange"]))


@pytest.mark.parametrize("name", MADE)
def test_the_files_are_what_make_writes(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == text_of(name), (
        "run `python -m tests.vectors.make` if the change is meant"
    )
