"""The index of ids against its dumb twin, a sorted list."""

from __future__ import annotations

import gc
import tracemalloc
from bisect import bisect_left, insort
from hashlib import sha256
from random import Random

import pytest

from synapse.core.clock import Timestamp
from synapse.core.memory.id_index import (
    BLOCK_KEYS,
    KEY_BYTES,
    Blocks,
    IdIndex,
    fingerprint,
    key_of,
)
from tests.making import START_MS, memory_record


class Twin:
    """The same set as a sorted list, summed anew for every question."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []

    def add(self, key: bytes) -> bool:
        new = key not in self.keys
        if new:
            insort(self.keys, key)
        return new

    def discard(self, key: bytes) -> bool:
        known = key in self.keys
        if known:
            self.keys.remove(key)
        return known

    def fingerprint(self, start: int, stop: int) -> bytes:
        """In the words of `docs/protocol.md`."""
        some = self.keys[start:stop]
        total = sum(int.from_bytes(key[8:]) for key in some) % 2**256
        return sha256(total.to_bytes(32) + len(some).to_bytes(8)).digest()[:16]


TIMES = {
    "in order": lambda rng, number: START_MS + number,
    "backwards": lambda rng, number: START_MS - number,
    "at once": lambda rng, number: START_MS,
    "at random": lambda rng, number: rng.randrange(1 << 48),
}


def new_key(rng: Random, number: int, times: str) -> bytes:
    return TIMES[times](rng, number).to_bytes(8) + rng.randbytes(32)


@pytest.mark.parametrize("times", TIMES)
def test_thousands_of_operations_give_what_a_sorted_list_gives(times: str) -> None:
    rng, index, twin = Random(times), IdIndex(), Twin()
    for number in range(3_000):
        key = new_key(rng, number, times)
        if twin.keys and rng.random() < 0.1:
            key = rng.choice(twin.keys)
        if rng.random() < 0.1:
            gone = rng.choice([*twin.keys[-3:], *twin.keys[:3], key])
            assert index.discard(gone) == twin.discard(gone)
        assert index.add(key) == twin.add(key)
        assert len(index) == len(twin.keys)
        if number % 500 == 0:  # go on with what a file would give
            given = index.blocks()
            index = IdIndex(Blocks([memoryview(bytes(block)) for block in given.keys], given.sums))
        if number % 7 == 0:
            ask(index, twin, rng)
    assert list(index.keys(0, len(index))) == twin.keys


def ask(index: IdIndex, twin: Twin, rng: Random) -> None:
    start, stop = sorted(rng.randint(0, len(twin.keys)) for _ in range(2))
    assert index.fingerprint(start, stop) == twin.fingerprint(start, stop)
    assert (
        list(index.keys(start, min(stop, start + 40))) == twin.keys[start : min(stop, start + 40)]
    )
    at = rng.randrange(len(twin.keys))
    assert index.key_at(at) == twin.keys[at]
    assert twin.keys[at] in index
    bound = rng.choice([rng.randbytes(40), twin.keys[at], twin.keys[at][: rng.randint(0, 39)]])
    assert index.position(bound) == bisect_left(twin.keys, bound)
    assert (bound in twin.keys) == (len(bound) == KEY_BYTES and bound in index)


def test_an_index_can_be_emptied_and_filled_again() -> None:
    index, rng = IdIndex(), Random(5)
    keys = [new_key(rng, number, "at random") for number in range(1_200)]
    for _ in range(2):
        assert all(index.add(key) for key in keys)
        assert all(index.discard(key) for key in keys)
        assert len(index) == 0
        assert index.fingerprint(0, 0) == IdIndex().fingerprint(0, 0)
        assert not index.discard(keys[0])


def test_what_was_given_out_stays_as_it_was_while_the_index_goes_on() -> None:
    index, rng = IdIndex(), Random(6)
    keys = [new_key(rng, number, "at random") for number in range(1_500)]
    for key in keys[:1_000]:
        index.add(key)
    given, before = index.blocks(), index.fingerprint(0, 1_000)
    for key in keys[1_000:]:
        index.add(key)
    for key in keys[:300]:
        index.discard(key)
    then = IdIndex(given)
    assert list(then.keys(0, len(then))) == sorted(keys[:1_000])
    assert then.fingerprint(0, 1_000) == before


def test_records_that_come_in_the_order_of_time_fill_their_blocks() -> None:
    index, rng = IdIndex(), Random(7)
    for number in range(10 * BLOCK_KEYS):
        index.add(new_key(rng, number, "in order"))
    assert [len(block) for block in index.blocks().keys] == [BLOCK_KEYS * KEY_BYTES] * 10


def test_an_empty_index_holds_nothing_and_has_a_fingerprint() -> None:
    index = IdIndex()
    assert len(index) == 0
    assert bytes(40) not in index
    assert index.position(b"") == index.position(b"\xff" * 40) == 0
    assert list(index.keys(0, 0)) == []
    assert index.fingerprint(0, 0) == fingerprint(0, 0) == Twin().fingerprint(0, 0)


@pytest.mark.promise("convergent")
def test_the_fingerprint_does_not_depend_on_the_order_of_arrival() -> None:
    rng = Random(3)
    keys = [new_key(rng, number, "at random") for number in range(2_000)]
    indexes = []
    for _ in range(3):
        rng.shuffle(keys)
        index = IdIndex()
        for key in keys + keys[:100]:
            index.add(key)
        indexes.append(index)
    assert len({index.fingerprint(0, 2_000) for index in indexes}) == 1


def test_a_fingerprint_depends_on_every_id_and_on_how_many_there_are() -> None:
    assert fingerprint(5, 1) != fingerprint(5, 2)
    assert fingerprint(5, 1) != fingerprint(6, 1)
    assert fingerprint((1 << 256) + 5, 1) == fingerprint(5, 1), "sums are modulo 2^256"
    assert len(fingerprint(5, 1)) == 16


def test_keys_are_ordered_by_time_and_then_by_id() -> None:
    early, late = (
        memory_record("x", seq=seq, hlc=Timestamp(ms, 9)) for seq, ms in ((1, 255), (2, 256))
    )
    assert key_of(early) == (255).to_bytes(8) + early.id
    assert key_of(early) < key_of(late)


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("times", ["in order", "at random"])
def test_a_record_costs_about_40_bytes(times: str) -> None:
    rng = Random(1)
    keys = [new_key(rng, number, times) for number in range(20_000)]
    gc.collect()
    tracemalloc.start()
    try:
        index = IdIndex()
        for key in keys:
            index.add(key)
        index.fingerprint(0, len(index))
        size_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size_bytes / len(index) < 50


def test_blocks_that_did_not_change_since_may_lie_elsewhere() -> None:
    rng, index = Random(5), IdIndex()
    keys = [new_key(rng, number, "in order") for number in range(5 * BLOCK_KEYS)]
    for key in keys:
        index.add(key)
    before = index.blocks()
    late = keys[BLOCK_KEYS + 3][:8] + rng.randbytes(32)
    index.add(late)  # into the second block
    index.discard(keys[-1])
    whole = index.fingerprint(0, len(index))
    file = memoryview(b"".join(before.keys))
    starts = [sum(map(len, before.keys[:nth])) for nth in range(len(before.keys))]
    elsewhere = [
        file[start : start + len(block)] for start, block in zip(starts, before.keys, strict=True)
    ]

    index.move(before, Blocks(elsewhere, before.sums))

    now = index.blocks().keys
    assert sum(isinstance(block, memoryview) for block in now) == len(before.keys) - 2
    expected = sorted({*keys, late} - {keys[-1]})
    assert list(index.keys(0, len(index))) == expected
    assert index.fingerprint(0, len(index)) == whole
    assert index.add(keys[-1]), "it goes on as any other"
