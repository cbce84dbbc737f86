"""Reconciliation finds every difference, in few messages, each of them small, whoever asks.

The dumb twin of a comparison is the union of two sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synapse.core.codec import EXCHANGE_BYTES_MAX, decode, encode, sendable
from synapse.core.memory.id_index import KEY_BYTES, IdIndex
from synapse.core.memory.record import MEMORY, RETRACTION, Record
from synapse.core.memory.record_set import dot_text
from synapse.core.messages import (
    IDS_MAX,
    RANGES_MAX,
    ROWS_MAX,
    Message,
    Range,
    Ranges,
    Summary,
    Supply,
    Table,
    Want,
)
from synapse.core.memory.record_set import RecordSet
from synapse.core.replication.anti_entropy import OPERATORS_A_ROUND, AntiEntropy
from synapse.core.replication.reconciliation import LIST_MAX, SPLIT, opening, respond
from tests.making import START_MS, identity, made_up_id, memory_chain, record

OPERATOR = made_up_id(0)


def indexed(keys: Iterable[bytes]) -> IdIndex:
    index = IdIndex()
    for key in keys:
        index.add(key)
    return index


def keys_of(index: IdIndex) -> list[bytes]:
    return list(index.keys(0, len(index)))


def key(ms: int, number: int) -> bytes:
    return ms.to_bytes(8, "big") + made_up_id(number)


def sent(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """The ranges as they arrive: whatever is sent must be within the limits of `messages`."""
    data = encode([Ranges(OPERATOR, ranges)])
    assert len(data) <= EXCHANGE_BYTES_MAX // 8
    [message] = decode(data)
    assert isinstance(message, Ranges)
    return message.ranges


# Two indexes


@dataclass
class Cost:
    """What it took to make two sets equal."""

    comparisons: int = 0
    messages_max: int = 0  # of one comparison
    bytes: int = 0  # of all ranges


def compare(driver: IdIndex, answerer: IdIndex, cost: Cost) -> None:
    """One comparison as `AntiEntropy` carries it: what was found is on its way while the ranges
    are answered."""
    by_id = {one[8:]: one for index in (driver, answerer) for one in keys_of(index)}
    here, there = answerer, driver
    ranges = opening(driver)
    under_way: list[tuple[IdIndex, bytes]] = []
    messages = 0
    while ranges:
        messages += 1
        cost.bytes += len(encode([Ranges(OPERATOR, ranges)]))
        step = respond(here, sent(ranges))
        assert len(step.wanted) <= IDS_MAX and len(step.surplus) <= IDS_MAX
        for receiver, one in under_way:
            receiver.add(one)
        under_way = [(there, by_id[one]) for one in step.surplus]
        under_way += [(here, by_id[one]) for one in step.wanted]
        ranges, here, there = step.ranges, there, here
    for receiver, one in under_way:
        receiver.add(one)
    cost.messages_max = max(cost.messages_max, messages)


def reconcile(one: IdIndex, other: IdIndex) -> Cost:
    """Compare until equal; each comparison must find something."""
    cost = Cost()
    while one.fingerprint(0, len(one)) != other.fingerprint(0, len(other)):
        held = len(one) + len(other)
        compare(one, other, cost)
        cost.comparisons += 1
        assert len(one) + len(other) > held
    return cost


TIMES = {
    "all at once": lambda rng: START_MS,
    "seconds": lambda rng: START_MS + rng.randrange(10_000),
    "mostly just now": lambda rng: START_MS - int(rng.paretovariate(0.3)) % (1 << 40),
    "since 1970": lambda rng: rng.randrange(1 << 48),
}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Two overlapping sets of keys: what both have, and what only one or the other has."""
    rng = Random(draw(st.integers(0, 1 << 32)))
    time_of = TIMES[draw(st.sampled_from(sorted(TIMES)))]
    sizes = [draw(st.sampled_from([0, 1, 5, 33, 150, 700])) for _ in range(3)]
    both, mine, theirs = (
        [time_of(rng).to_bytes(8, "big") + rng.randbytes(32) for _ in range(size)] for size in sizes
    )
    return both + mine, both + theirs


@pytest.mark.promise("convergent")
@settings(max_examples=60)
@given(pairs())
def test_two_sets_become_their_union(pair: tuple[list[bytes], list[bytes]]) -> None:
    mine, theirs = pair
    one, other = indexed(mine), indexed(theirs)
    cost = reconcile(one, other)
    assert keys_of(one) == keys_of(other) == sorted({*mine, *theirs})
    assert cost.comparisons <= 7
    assert cost.messages_max <= 5


THOUSANDS = [key(START_MS + number // 3, number) for number in range(20_000)]


@pytest.mark.promise("convergent")
@pytest.mark.parametrize(
    ("mine", "theirs", "comparisons", "messages", "kilobytes"),
    [
        pytest.param(THOUSANDS, THOUSANDS, 0, 0, 0, id="equal"),
        pytest.param(THOUSANDS[:7777] + THOUSANDS[7778:], THOUSANDS, 1, 4, 3, id="one"),
        pytest.param(THOUSANDS[:-10], THOUSANDS, 1, 4, 3, id="the newest ten"),
        pytest.param(THOUSANDS[:-3000], THOUSANDS, 4, 4, 60, id="the newest three thousand"),
        pytest.param([], THOUSANDS[:5000], 5, 2, 1, id="everything"),
        pytest.param(THOUSANDS[:10_000], THOUSANDS[10_000:], 20, 4, 999, id="nothing in common"),
        pytest.param(THOUSANDS[1::2], THOUSANDS[::2], 40, 4, 999, id="every second one"),
    ],
)
def test_thousands_of_keys_are_compared_in_few_messages(
    mine: list[bytes], theirs: list[bytes], comparisons: int, messages: int, kilobytes: int
) -> None:
    one, other = indexed(mine), indexed(theirs)
    cost = reconcile(one, other)
    print(cost)
    assert keys_of(one) == keys_of(other) == sorted({*mine, *theirs})
    assert cost.comparisons <= comparisons
    assert cost.messages_max <= messages
    assert cost.bytes <= kilobytes * 1_000
