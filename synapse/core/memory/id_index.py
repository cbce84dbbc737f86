"""One operator's record ids in the order of time, with sums, for reconciliation.

Keys are 40 bytes: milliseconds of the record's HLC (8, big-endian) and its id (32), packed in
blocks so that a record costs 40 bytes. A fingerprint of any range is two prefix look-ups and the
sum of two partial blocks. Sums are modulo 2^256 and never XOR: 258 crafted ids are enough to hide
a record from a XOR fingerprint (`docs/protocol.md`).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from synapse.core.memory.record import Record

KEY_BYTES: Final = 40
FINGERPRINT_BYTES: Final = 16
_BLOCK_KEYS: Final = 512  # a block is 20 KiB: an insertion moves half of it, a lookup bisects it
_MODULUS: Final = 1 << 256


def key_of(record: Record) -> bytes:
    """Where a record stands in the order of reconciliation."""
    return record.header.hlc.ms.to_bytes(8, "big") + record.id


def fingerprint(total: int, count: int) -> bytes:
    """The 16-byte fingerprint of `count` ids that sum to `total` modulo 2^256."""
    data = (total % _MODULUS).to_bytes(32, "big") + count.to_bytes(8, "big")
    return hashlib.sha256(data).digest()[:FINGERPRINT_BYTES]


class IdIndex:
    """A sorted set of keys. Positions count from 0."""

    def __init__(self) -> None:
        self._blocks: list[bytearray] = []
        self._firsts: list[bytes] = []
        self._sums: list[int] = []
        self._count = 0
        self._prefix: tuple[list[int], list[int]] | None = None  # counts, sums before each block

    def __len__(self) -> int:
        return self._count

    def add(self, key: bytes) -> bool:
        """Insert a key; False when it was there."""
        assert len(key) == KEY_BYTES
        if not self._blocks:
            self._blocks, self._firsts, self._sums = [bytearray(key)], [key], [_value(key)]
        else:
            number = max(0, bisect_right(self._firsts, key) - 1)
            block = self._blocks[number]
            at = _position(block, key)
            if block[at * KEY_BYTES : (at + 1) * KEY_BYTES] == key:
                return False
            block[at * KEY_BYTES : at * KEY_BYTES] = key
            self._sums[number] += _value(key)
            if at == 0:
                self._firsts[number] = key
            if len(block) >= _BLOCK_KEYS * KEY_BYTES:
                self._split(number)
        self._count += 1
        self._prefix = None
        return True

    def __contains__(self, key: bytes) -> bool:
        if not self._blocks:
            return False
        block = self._blocks[max(0, bisect_right(self._firsts, key) - 1)]
        at = _position(block, key)
        return block[at * KEY_BYTES : (at + 1) * KEY_BYTES] == key

    def position(self, bound: bytes) -> int:
        """How many keys are below `bound`, which may be any prefix of a key."""
        number = max(0, bisect_right(self._firsts, bound) - 1)
        if not self._blocks:
            return 0
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

    def _sum_below(self, position: int) -> int:
        if position <= 0 or not self._blocks:
            return 0
        counts, sums = self._prefixes()
        number = min(bisect_right(counts, position) - 1, len(self._blocks) - 1)
        block = self._blocks[number]
        within = (position - counts[number]) * KEY_BYTES
        if within >= len(block):
            return sums[number] + self._sums[number]
        return sums[number] + sum(
            _value(block[offset : offset + KEY_BYTES]) for offset in range(0, within, KEY_BYTES)
        )

    def _prefixes(self) -> tuple[list[int], list[int]]:
        if self._prefix is None:
            lengths = (len(block) // KEY_BYTES for block in self._blocks)
            counts = list(accumulate(lengths, initial=0))[:-1]
            sums = list(accumulate(self._sums, initial=0))[:-1]
            self._prefix = (counts, sums)
        return self._prefix

    def _split(self, number: int) -> None:
        block = self._blocks[number]
        half = _BLOCK_KEYS // 2 * KEY_BYTES
        left, right = block[:half], block[half:]
        self._blocks[number : number + 1] = [left, right]
        self._firsts[number : number + 1] = [bytes(left[:KEY_BYTES]), bytes(right[:KEY_BYTES])]
        total = sum(_value(left[at : at + KEY_BYTES]) for at in range(0, half, KEY_BYTES))
        self._sums[number : number + 1] = [total, self._sums[number] - total]


def _value(key: bytes | bytearray) -> int:
    return int.from_bytes(key[8:], "big")


def _position(block: bytearray, bound: bytes) -> int:
    low, high = 0, len(block) // KEY_BYTES
    while low < high:
        middle = (low + high) // 2
        if block[middle * KEY_BYTES : (middle + 1) * KEY_BYTES] < bound:
            low = middle + 1
        else:
            high = middle
    return low
