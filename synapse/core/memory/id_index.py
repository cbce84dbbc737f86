"""One operator's record ids in the order of time, with sums, for reconciliation.

Keys are 40 bytes: milliseconds of the record's HLC (8, big-endian) and its id (32), packed in
blocks so that a record costs 40 bytes. A fingerprint of any range is two prefix look-ups and the
sum of two partial blocks. Sums are modulo 2^256 and never XOR: 258 crafted ids are enough to hide
a record from a XOR fingerprint (`docs/protocol.md`).

A block is never changed, only replaced. So a copy of the list of blocks is a copy of the index,
which can be written to a file while the index goes on, and a block may lie in a mapped file until
a change replaces it.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from synapse.core.memory.record import Record

KEY_BYTES: Final = 40
FINGERPRINT_BYTES: Final = 16
BLOCK_KEYS: Final = 512  # a block is 20 KiB: an insertion copies it, a look-up bisects it
_MODULUS: Final = 1 << 256

Block = bytes | memoryview


def key_of(record: Record) -> bytes:
    """Where a record stands in the order of reconciliation."""
    return record.header.hlc.ms.to_bytes(8, "big") + record.id


def fingerprint(total: int, count: int) -> bytes:
    """The 16-byte fingerprint of `count` ids that sum to `total` modulo 2^256."""
    data = (total % _MODULUS).to_bytes(32, "big") + count.to_bytes(8, "big")
    return hashlib.sha256(data).digest()[:FINGERPRINT_BYTES]


@dataclass(frozen=True, slots=True)
class Blocks:
    """An index at one moment: its keys, sorted within and across blocks of which none is empty,
    and the sum of each block's ids modulo 2^256."""

    keys: Sequence[Block] = ()
    sums: Sequence[int] = ()
    firsts: Sequence[bytes] = ()  # the first key of each block, as far as an index is to move


class IdIndex:
    """A sorted set of keys. Positions count from 0."""

    def __init__(self, blocks: Blocks | None = None) -> None:
        """An empty index, or what `blocks` once gave, which is believed."""
        given = blocks or Blocks()
        self._blocks = list(given.keys)
        self._firsts = [bytes(block[:KEY_BYTES]) for block in given.keys]
        self._sums = list(given.sums)
        self._count = sum(map(len, given.keys)) // KEY_BYTES
        self._total = sum(given.sums)
        self._prefix: tuple[list[int], list[int]] | None = None  # counts, sums before each block

    def __len__(self) -> int:
        return self._count

    def blocks(self) -> Blocks:
        """Everything that is in here now; later changes to the index leave it alone."""
        sums = tuple(total % _MODULUS for total in self._sums)
        return Blocks(tuple(self._blocks), sums, tuple(self._firsts))

    def move(self, before: Blocks, after: Blocks) -> None:
        """Use blocks of `after`, which lie elsewhere, for the equal ones of `before` that did not
        change since `blocks` gave them."""
        places = {first: nth for nth, first in enumerate(before.firsts)}
        for number, first in enumerate(self._firsts):
            nth = places.get(first)
            if nth is not None and self._blocks[number] is before.keys[nth]:
                self._blocks[number] = after.keys[nth]

    def add(self, key: bytes) -> bool:
        """Insert a key; False when it was there."""
        assert len(key) == KEY_BYTES
        if not self._blocks:
            self._blocks, self._firsts, self._sums = [b""], [key], [0]
        number = self._number(key)
        block = self._blocks[number]
        cut = _position(block, key) * KEY_BYTES
        if block[cut : cut + KEY_BYTES] == key:
            return False
        self._blocks[number] = b"".join((block[:cut], key, block[cut:]))
        if cut == 0:
            self._firsts[number] = key
        self._changed(number, _value(key), 1)
        if len(self._blocks[number]) > BLOCK_KEYS * KEY_BYTES:
            last = number == len(self._blocks) - 1 and cut == len(block)
            self._split(number, BLOCK_KEYS if last else BLOCK_KEYS // 2)
        return True

    def discard(self, key: bytes) -> bool:
        """Take a key out; False when it was not there."""
        if key not in self:
            return False
        number = self._number(key)
        block = self._blocks[number]
        cut = _position(block, key) * KEY_BYTES
        left = b"".join((block[:cut], block[cut + KEY_BYTES :]))
        self._changed(number, -_value(key), -1)
        if left:
            self._blocks[number], self._firsts[number] = left, left[:KEY_BYTES]
        else:
            del self._blocks[number], self._firsts[number], self._sums[number]
        return True

    def __contains__(self, key: bytes) -> bool:
        if not self._blocks:
            return False
        block = self._blocks[self._number(key)]
        cut = _position(block, key) * KEY_BYTES
        return block[cut : cut + KEY_BYTES] == key

    def position(self, bound: bytes) -> int:
        """How many keys are below `bound`, which may be any prefix of a key."""
        if not self._blocks:
            return 0
        number = self._number(bound)
        counts, _ = self._prefixes()
        return counts[number] + _position(self._blocks[number], bound)

    def key_at(self, position: int) -> bytes:
        """The key at a position below `len(self)`."""
        counts, _ = self._prefixes()
        number = bisect_right(counts, position) - 1
        at = (position - counts[number]) * KEY_BYTES
        return bytes(self._blocks[number][at : at + KEY_BYTES])

    def keys(self, start: int, stop: int) -> Iterator[bytes]:
        """The keys at positions `start` to `stop`, in order."""
        if start >= stop:
            return
        counts, _ = self._prefixes()
        number = bisect_right(counts, start) - 1
        left = stop - start
        at = start - counts[number]
        while left > 0 and number < len(self._blocks):
            block = self._blocks[number]
            for offset in range(
                at * KEY_BYTES, min(len(block), (at + left) * KEY_BYTES), KEY_BYTES
            ):
                yield bytes(block[offset : offset + KEY_BYTES])
            left -= len(block) // KEY_BYTES - at
            number, at = number + 1, 0

    def fingerprint(self, start: int, stop: int) -> bytes:
        """The fingerprint of the keys at positions `start` to `stop`."""
        return fingerprint(self._sum_below(stop) - self._sum_below(start), stop - start)

    def _number(self, bound: bytes) -> int:
        """Which block holds `bound`, if any does. There must be a block."""
        return max(0, bisect_right(self._firsts, bound) - 1)

    def _sum_below(self, position: int) -> int:
        if position <= 0:
            return 0
        if position >= self._count:  # each heartbeat asks for the whole: no prefixes for that
            return self._total
        counts, sums = self._prefixes()
        number = bisect_right(counts, position) - 1
        block = self._blocks[number]
        within = (position - counts[number]) * KEY_BYTES
        return sums[number] + _sum(block[:within])

    def _prefixes(self) -> tuple[list[int], list[int]]:
        if self._prefix is None:
            lengths = (len(block) // KEY_BYTES for block in self._blocks)
            counts = list(accumulate(lengths, initial=0))[:-1]
            sums = list(accumulate(self._sums, initial=0))[:-1]
            self._prefix = (counts, sums)
        return self._prefix

    def _changed(self, number: int, value: int, count: int) -> None:
        self._sums[number] += value
        self._total += value
        self._count += count
        self._prefix = None

    def _split(self, number: int, keys: int) -> None:
        """Leave so many keys in a block and put the others in one after it: half of them, or all
        but the newest, because records mostly come in the order of time."""
        block = bytes(self._blocks[number])
        left, right = block[: keys * KEY_BYTES], block[keys * KEY_BYTES :]
        total = _sum(right)
        self._blocks[number : number + 1] = [left, right]
        self._firsts.insert(number + 1, right[:KEY_BYTES])
        self._sums[number : number + 1] = [self._sums[number] - total, total]


def _value(key: Block) -> int:
    return int.from_bytes(key[8:], "big")


def _sum(block: Block) -> int:
    return sum(
        _value(block[offset : offset + KEY_BYTES]) for offset in range(0, len(block), KEY_BYTES)
    )


def _position(block: Block, bound: bytes) -> int:
    low, high = 0, len(block) // KEY_BYTES
    while low < high:
        middle = (low + high) // 2
        if bytes(block[middle * KEY_BYTES : (middle + 1) * KEY_BYTES]) < bound:
            low = middle + 1
        else:
            high = middle
    return low
