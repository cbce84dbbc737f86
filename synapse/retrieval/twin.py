"""The hot loops once more, with numpy: what serves where no compiler was, and what the compiled
ones are held against. Same arguments, same segments, same hits; see `native/` for what they do.

It adds up every posting of every block that could hold one of the best, where the compiled search
leaves out what cannot matter. That makes it slower, and an independent witness.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from synapse.retrieval import bm25, layout
from synapse.retrieval.analysis import keys as keys_of_text
from synapse.retrieval.layout import SECTIONS, Integers

ONE: Final = 1 << 16  # a factor of 1
ID_BYTES: Final = 32

Buffer: TypeAlias = "bytes | bytearray | memoryview | mmap | array[int]"
Factors = tuple[Buffer, int] | int  # of each profile, and the greatest; or one of them all
Hit = tuple[bytes, int, int, int]  # id, total, factor, position
Counts = tuple[int, int, int, bool]  # postings read, rows totalled, blocks searched, cut

_TYPES: Final = dict.fromkeys(SECTIONS, "<u4") | {
    "lists": "<u2", "forward": "u1", "ids": "u1", "id_filter": "<u8", "id_rows": "<u2",
    "profiles": "<u2", "labels": "u1",
}  # fmt: skip


class Block:
    """A segment, and what has changed since it was written."""

    def __init__(
        self,
        segment: Buffer,
        dead: Buffer | None,
        verified: Buffer | None,
        gone_keys: Buffer | None,
        gone_counts: Buffer | None,
    ) -> None:
        data = memoryview(segment)
        header = layout.read_header(data)
        self.header = header
        self.rows = header.rows
        self._views = {
            name: np.frombuffer(data[offset : offset + length], dtype=_TYPES[name])
            for name, (offset, length) in zip(SECTIONS, header.spans, strict=True)
        }
        self.dead = None if dead is None else np.frombuffer(dead, dtype=np.bool_)
        own = self["verified"] if len(self["verified"]) else self["created"]
        self.verified = own if verified is None else np.frombuffer(verified, dtype="<u4")
        self.newest_s = header.newest_s
        if verified is not None:
            self.newest_s = max(self.newest_s, int(self.verified.max(initial=0)))
        self.gone = dict(
            zip(
                np.frombuffer(gone_keys or b"", dtype="<u4").tolist(),
                np.frombuffer(gone_counts or b"", dtype="<u4").tolist(),
                strict=True,
            )
        )

    def __getitem__(self, section: str) -> npt.NDArray[np.uint32]:
        return self._views[section]

    def list_at(self, at: int) -> tuple[Integers, Integers]:
        """The rows of a list, and the impact in each."""
        words = self["lists"]
        count, runs = int(words[at]) + 1, int(words[at + 1]) + 1
        run = words[at + 2 : at + 2 + runs]
        impacts = np.repeat(np.bitwise_and(run, 255), np.right_shift(run, 8) + 1)
        rows = words[at + 2 + runs : at + 2 + runs + count]
        return rows, impacts.astype(np.uint32)

    def postings(self, place: Place) -> tuple[Integers, Integers]:
        """The rows that hold a term, the greatest impact first, and the impact in each."""
        if place.rank >= 0:
            return self.list_at(place.at)
        rare = self["rare_postings"][place.at : place.at + place.count]
        return np.bitwise_and(rare, 0xFFFF), np.bitwise_and(rare >> 16, 255)

    def id_of(self, row: int) -> bytes:
        """The id of the memory in this row."""
        return self["ids"][row * ID_BYTES : (row + 1) * ID_BYTES].tobytes()

    def record(self, row: int) -> tuple[Integers, Integers]:
        """Which of the frequent terms the row holds, by rank, and the impact of each."""
        start, stop = (int(each) for each in self["forward_starts"][row : row + 2])
        packed = self["forward"][3 * start : 3 * stop].tobytes()
        held = stop - start
        ranks = np.frombuffer(packed, dtype="<u2", count=held)
        return ranks.astype(np.uint32), np.frombuffer(packed, dtype="u1", offset=2 * held)


class Words:
    """Cuts text into terms."""

    def __init__(self, stop_words: tuple[str, ...]) -> None:
        """The analysis at hand has its stop words already; the compiled twin has not."""

    def keys(self, text: str) -> list[int] | None:
        """The keys of a text, in order."""
        return keys_of_text(text).tolist()

    def pairs(
        self,
        texts: list[str],
        keys_of: Callable[[str], array[int]],
        k1: float,
        b: float,
        reference: float,
    ) -> bytes:
        """Packed postings, row after row."""
        assert (k1, b, reference) == (bm25.K1, bm25.B, bm25.REFERENCE_LENGTH)
        packed = array("Q")
        for row, text in enumerate(texts):
            keys = keys_of(text)
            length = len(keys)
            for key, count in sorted(Counter(keys).items()):
                impact = bm25.impact(count, length)
                packed.append(key << 24 | (bm25.IMPACT_MAX - impact) << 16 | row)
        return packed.tobytes()


# Building.


def build(parts: tuple[Buffer, ...], rows: int) -> tuple[bytes, ...]:
    """The nine posting sections of packed postings."""
    pairs = np.sort(np.concatenate([np.frombuffer(part, dtype="<u8") for part in (*parts, b"")]))
    if len(pairs) and int((pairs & 0xFFFF).max()) >= rows:
        raise ValueError("a posting names a row that is not there")
    keys = (pairs >> 24).astype("<u4")
    firsts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
    sizes = np.diff(firsts, append=len(keys))
    listed = sizes >= _fewest(sizes)
    rare = ~np.repeat(listed, sizes)
    frequent = pairs[~rare]
    frequent_keys = keys[firsts[listed]]
    starts, words = _lists(frequent, sizes[listed])
    row_starts, records = _records(frequent, sizes[listed], rows)
    impacts = bm25.IMPACT_MAX - (pairs[rare] >> 16 & 255)
    return (
        frequent_keys.tobytes(),
        starts.astype("<u4").tobytes(),
        _directory(frequent_keys),
        words.tobytes(),
        keys[rare].tobytes(),
        (impacts << 16 | pairs[rare] & 0xFFFF).astype("<u4").tobytes(),
        _directory(keys[rare]),
        row_starts.astype("<u4").tobytes(),
        records.tobytes(),
    )


def _fewest(sizes: npt.NDArray[np.int64]) -> int:
    """How many postings a term needs to have a list of its own."""
    holding = np.bincount(np.minimum(sizes, 255), minlength=256)
    least, lists = 255, int(holding[255])
    while least > 2 and lists + holding[least - 1] <= layout.ROWS_MAX:
        least -= 1
        lists += int(holding[least])
    return least


def _lists(
    pairs: npt.NDArray[np.uint64], sizes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
    """Where each list begins, and the words of all."""
    number = np.arange(len(pairs))
    same = np.concatenate([[False], pairs[1:] >> 16 == pairs[:-1] >> 16])[: len(pairs)]
    stretch = np.maximum.accumulate(np.where(same, 0, number))
    run_firsts = np.flatnonzero((number - stretch) % 256 == 0)
    run_sizes = np.diff(run_firsts, append=len(pairs))
    firsts = np.cumsum(sizes) - sizes
    run_counts = np.diff(np.searchsorted(run_firsts, firsts), append=len(run_firsts))
    lengths = 2 + run_counts + sizes
    starts = np.cumsum(lengths) - lengths
    words = np.zeros(int(lengths.sum()), dtype="<u2")
    words[starts] = sizes - 1
    words[starts + 1] = run_counts - 1
    nth_run = np.arange(len(run_firsts)) - np.repeat(np.cumsum(run_counts) - run_counts, run_counts)
    impacts = bm25.IMPACT_MAX - (pairs[run_firsts] >> 16 & 255).astype(np.int64)
    words[np.repeat(starts, run_counts) + 2 + nth_run] = (run_sizes - 1) << 8 | impacts
    nth_row = number - np.repeat(firsts, sizes)
    words[np.repeat(starts + 2 + run_counts, sizes) + nth_row] = pairs & 0xFFFF
    return starts, words


def _records(
    pairs: npt.NDArray[np.uint64], sizes: npt.NDArray[np.int64], rows: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Where each row's record begins, in terms, and the bytes of all."""
    row = (pairs & 0xFFFF).astype(np.int64)
    held = np.bincount(row, minlength=rows)
    starts = np.concatenate([[0], np.cumsum(held)])
    order = np.argsort(row, kind="stable")
    row, rank = row[order], np.repeat(np.arange(len(sizes)), sizes)[order]
    nth = np.arange(len(row)) - starts[row]
    records = np.zeros(3 * len(row), dtype=np.uint8)
    at = 3 * starts[row]
    records[at + 2 * nth] = rank & 255
    records[at + 2 * nth + 1] = rank >> 8
    records[at + 2 * held[row] + nth] = bm25.IMPACT_MAX - (pairs[order] >> 16 & 255)
    return starts, records


def _directory(keys: npt.NDArray[np.uint32]) -> bytes:
    bits = 1
    while bits < 20 and 8 << bits < len(keys):
        bits += 1
    firsts = np.arange((1 << bits) + 1, dtype=np.uint64) << np.uint64(32 - bits)
    entries: Integers = np.searchsorted(keys.astype(np.uint64), firsts).astype(np.uint32)
    return entries.tobytes()


def unpack(block: Block, rows: Buffer) -> bytes:
    """Packed postings of a segment; `rows` gives each row's new number, or -1."""
    renumbered = np.frombuffer(rows, dtype="<i4")
    starts = block["frequent_starts"].astype(np.int64)
    words = block["lists"]
    sizes, runs = words[starts].astype(np.int64) + 1, words[starts + 1].astype(np.int64) + 1
    nth_run = np.arange(int(runs.sum())) - np.repeat(np.cumsum(runs) - runs, runs)
    run = words[np.repeat(starts + 2, runs) + nth_run]
    impacts = np.repeat(np.bitwise_and(run, 255), np.right_shift(run, 8).astype(np.int64) + 1)
    nth_row = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    listed = words[np.repeat(starts + 2 + runs, sizes) + nth_row]
    rare = block["rare_postings"]
    keys = np.concatenate([np.repeat(block["frequent_keys"], sizes), block["rare_keys"]])
    impacts = np.concatenate([impacts, np.bitwise_and(rare >> 16, 255)]).astype(np.uint64)
    row = renumbered[np.concatenate([listed, rare & 0xFFFF])]
    packed = keys.astype(np.uint64) << 24 | (bm25.IMPACT_MAX - impacts) << 16
    kept: npt.NDArray[np.uint64] = (packed | row.astype(np.uint64))[row >= 0]
    return kept.astype("<u8").tobytes()


# Finding.


def find(blocks: tuple[Block, ...], ids: bytes) -> list[int]:
    """For each id of 32 bytes, block << 16 | row where it lives, or -1."""
    hashes, found = layout.mixed(ids), [-1] * (len(ids) // ID_BYTES)
    wanted = layout.filter_bits(hashes)
    for number, block in enumerate(blocks):
        words = block["id_filter"]
        maybe = (words[layout.slots(hashes, len(words))] & wanted) == wanted
        buckets = layout.slots(hashes, len(block["id_starts"]) - 1)
        for nth in np.flatnonzero(maybe).tolist():
            start, stop = block["id_starts"][buckets[nth] : buckets[nth] + 2]
            for row in block["id_rows"][start:stop].tolist():
                alive = block.dead is None or not block.dead[row]
                if alive and block.id_of(row) == ids[nth * ID_BYTES : (nth + 1) * ID_BYTES]:
                    found[nth] = number << 16 | row
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """Where one block keeps one term's postings."""

    at: int
    count: int
    rank: int  # -1: in the rare sections


Places = list[Place | None]  # by block


def locate(blocks: tuple[Block, ...], keys: Buffer) -> list[tuple[int, Places]]:
    """The living holders of each key, and where its postings are."""
    wanted = np.frombuffer(keys, dtype="<u4")
    by_block = [_places(block, wanted) for block in blocks]
    found = []
    for term, key in enumerate(wanted.tolist()):
        places = [each[term] for each in by_block]
        holders = sum(
            place.count - block.gone.get(key, 0)
            for block, place in zip(blocks, places, strict=True)
            if place is not None
        )
        found.append((holders, places))
    return found


def _places(block: Block, wanted: Integers) -> Places:
    frequent, rare = block["frequent_keys"], block["rare_keys"]
    ranks = np.searchsorted(frequent, wanted).tolist()
    lefts = np.searchsorted(rare, wanted).tolist()
    rights = np.searchsorted(rare, wanted, side="right").tolist()
    places: Places = []
    for key, rank, left, right in zip(wanted.tolist(), ranks, lefts, rights, strict=True):
        if rank < len(frequent) and frequent[rank] == key:
            at = int(block["frequent_starts"][rank])
            places.append(Place(at, int(block["lists"][at]) + 1, rank))
        else:
            places.append(Place(left, right - left, -1) if right > left else None)
    return places
