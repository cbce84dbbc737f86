"""Reconciliation finds every difference, in few messages, each of them small, whoever asks.

The dumb twin of a comparison is the union of two sets.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synapse.core.codec import decode, encode
from synapse.core.errors import MessageError
from synapse.core.memory.id_index import KEY_BYTES, IdIndex
from synapse.core.messages import (
    IDS_MAX,
    RANGES_MAX,
    Range,
    Ranges,
)
from synapse.core.replication.reconciliation import LIST_MAX, SPLIT, opening, respond
from tests.making import START_MS, made_up_id

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
    try:
        [message] = decode(data)
    except MessageError as error:
        raise AssertionError("we said what others refuse") from error
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
    assert cost.comparisons <= 3
    assert cost.messages_max <= messages_max(len(one))


def messages_max(keys: int) -> int:
    """Either side's count falls to a sixteenth with each range it splits."""
    return 1 + 2 * math.ceil(math.log(max(keys, LIST_MAX) / LIST_MAX, SPLIT) + 1)


THOUSANDS = [key(START_MS + number // 3, number) for number in range(20_000)]
LACKING_ONE = THOUSANDS[:7777] + THOUSANDS[7778:]


@pytest.mark.promise("convergent")
@pytest.mark.parametrize(
    ("mine", "theirs", "cost"),
    [
        pytest.param(THOUSANDS, THOUSANDS, Cost(0, 0, 0), id="equal"),
        pytest.param(LACKING_ONE, THOUSANDS, Cost(1, 4, 3_000), id="one"),
        pytest.param(THOUSANDS[:-10], THOUSANDS, Cost(1, 4, 4_000), id="the newest ten"),
        pytest.param(THOUSANDS[:-3_000], THOUSANDS, Cost(3, 5, 15_000), id="the newest 3,000"),
        pytest.param([], THOUSANDS[:5_000], Cost(5, 5, 15_000), id="everything"),
        pytest.param(
            THOUSANDS[:10_000], THOUSANDS[10_000:], Cost(8, 7, 60_000), id="nothing in common"
        ),
        pytest.param(THOUSANDS[1::2], THOUSANDS[::2], Cost(13, 4, 600_000), id="every second"),
    ],
)
def test_thousands_of_keys_are_compared_at_little_cost(
    mine: list[bytes], theirs: list[bytes], cost: Cost
) -> None:
    one, other = indexed(mine), indexed(theirs)
    actual = reconcile(one, other)
    assert keys_of(one) == keys_of(other) == sorted({*mine, *theirs})
    assert actual.comparisons <= cost.comparisons
    assert actual.messages_max <= cost.messages_max
    assert actual.bytes <= cost.bytes


# Hostile ranges


class Watched(IdIndex):
    """An index that counts the keys someone made it walk."""

    def __init__(self) -> None:
        super().__init__()
        self.walked = 0

    def keys(self, start: int, stop: int) -> Iterator[bytes]:
        for one in super().keys(start, stop):
            self.walked += 1
            yield one


WATCHED = Watched()
for some in THOUSANDS:
    WATCHED.add(some)


@st.composite
def hostile_ranges(draw: st.DrawFn) -> tuple[Range, ...]:
    """Ranges that no honest index gives: bounds and payloads of all kinds, in any order."""
    bounds = st.one_of(
        st.sampled_from(THOUSANDS),
        st.sampled_from(THOUSANDS).map(lambda one: one[:9]),
        st.binary(max_size=KEY_BYTES),
        st.just(START_MS.to_bytes(8, "big")),
    )
    ids = st.one_of(
        st.just(()),
        st.integers(0, 25_000).map(lambda number: (made_up_id(number),)),
        st.integers(0, 400).map(lambda count: tuple(one[8:] for one in THOUSANDS[:count])),
        st.integers(30_000, 30_400).map(lambda end: tuple(map(made_up_id, range(30_000, end)))),
    )
    payloads = st.one_of(
        ids.map(lambda some: {"ids": some}),
        st.binary(min_size=16, max_size=16).map(lambda some: {"fingerprint": some}),
        st.just({}),
    )
    uppers = draw(st.lists(bounds, max_size=20))
    if draw(st.booleans()):
        uppers.sort()
    return tuple(Range(upper, **draw(payloads)) for upper in uppers)


def bounded(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """The answer to any ranges at all, and that it cost no more than it may."""
    WATCHED.walked = 0
    step = respond(WATCHED, ranges)
    listed = sum(len(one.ids or ()) for one in ranges)
    assert WATCHED.walked <= IDS_MAX + 2 * listed + LIST_MAX * RANGES_MAX
    assert len(step.ranges) < RANGES_MAX
    assert len(step.wanted) <= IDS_MAX
    assert len(step.surplus) <= IDS_MAX
    return step.ranges


EMPTY_LISTS = tuple(Range(one, ids=()) for one in THOUSANDS[:: len(THOUSANDS) // RANGES_MAX + 1])
MADE_UP = tuple(made_up_id(number) for number in range(30_000, 30_000 + IDS_MAX))


@pytest.mark.promise("bounded")
@given(hostile_ranges())
@example((Range(b"", ids=()),))
@example(EMPTY_LISTS)
@example((Range(b"", ids=MADE_UP),))
@example((Range(b"", ids=MADE_UP),) * RANGES_MAX)
@example(tuple(Range(one.upper, fingerprint=bytes(16)) for one in EMPTY_LISTS))
def test_no_ranges_make_us_walk_far_or_say_much(ranges: tuple[Range, ...]) -> None:
    reply = bounded(ranges)
    with suppress(MessageError):  # most of these are refused before anyone answers them
        decode(encode([Ranges(OPERATOR, ranges)]))
        sent(reply)


def test_a_list_of_made_up_ids_makes_us_ask_for_nothing_in_a_range_we_did_not_walk() -> None:
    step = respond(WATCHED, (Range(b"", ids=MADE_UP),))
    assert step.wanted == ()
    assert len(step.surplus) == IDS_MAX, "what it does not list it seems to lack"


def test_a_peer_that_lists_nothing_is_given_as_much_as_fits_and_no_more() -> None:
    step = respond(WATCHED, EMPTY_LISTS)
    assert step.surplus == tuple(one[8:] for one in keys_of(WATCHED)[:IDS_MAX])


@pytest.mark.promise("bounded")
def test_ids_crafted_to_cancel_out_still_change_the_fingerprint() -> None:
    """With XOR, these two sets of equal size would look the same for ever."""
    left, right = cancelling([made_up_id(number) for number in range(90_000, 90_258)])
    assert len(left) == len(right) > 0
    assert xor(left) == xor(right)
    both = THOUSANDS[:1_000]
    one, other = (
        indexed([*both, *(START_MS.to_bytes(8, "big") + made for made in some)])
        for some in (left, right)
    )
    assert one.fingerprint(0, len(one)) != other.fingerprint(0, len(other))
    reconcile(one, other)
    assert len(one) == len(both) + len(left) + len(right)


def xor(ids: Iterable[bytes]) -> int:
    return reduce(operator.xor, (int.from_bytes(one) for one in ids), 0)


def cancelling(ids: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Two sets of as many of these ids with equal XOR: Gaussian elimination over their 256 bits
    and one more that is always set, so that an even number of them cancels out."""
    basis: dict[int, tuple[int, int]] = {}
    for number, one in enumerate(ids):
        vector, used = int.from_bytes(one) << 1 | 1, 1 << number
        while vector and (known := basis.get(vector.bit_length())):
            vector, used = vector ^ known[0], used ^ known[1]
        if not vector:
            chosen = [other for at, other in enumerate(ids) if used >> at & 1]
            return chosen[::2], chosen[1::2]
        basis[vector.bit_length()] = (vector, used)
    raise AssertionError("258 vectors of 257 bits depend on each other")
