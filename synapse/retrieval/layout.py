"""The bytes of a segment: up to 65,536 memories, immutable once written.

A segment is a header and sections, each an array of little-endian integers that begins at a
multiple of eight:

    frequent_keys, frequent_starts, frequent_directory, lists
        Terms that several of its memories hold, by key, and where in `lists` each one's postings
        are: 16-bit words, the number of postings less 1, the number of runs less 1, the runs
        ((length - 1) << 8 | impact, greatest impact first), the rows, ascending in each run.
    rare_keys, rare_postings, rare_directory
        All other postings, by key: impact << 16 | row.
    forward_starts, forward
        Of each row, the ranks in `frequent_keys` of its terms (16 bits each), then their impacts.
    ids, id_filter, id_starts, id_rows
        The 32-byte ids by row, a Bloom filter over them, and the rows by bucket of the hashed id.
    created, verified, profiles, positions
        By row: seconds since 1970, twice (`verified` is left out while it equals `created`), the
        number of its profile (left out when there is one only), and its position in the log: the
        last 32 bits of it, or 0.
    labels
        The profiles, as JSON: what filters and trust ask about.

A directory leads from a key's first bits to the first key with these or greater ones.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from synapse.retrieval.analysis import ANALYSER_VERSION

FORMAT_VERSION: Final = 2
ROWS_MAX: Final = 1 << 16  # a row is 16 bits wide
POSTINGS_MAX: Final = 1 << 23  # of one segment: merging takes 24 bytes of memory for each
POSITION_BITS: Final = (1 << 32) - 1  # what is kept of a position: a hint
HEADER_BYTES: Final = 512
SECTIONS: Final = (
    "frequent_keys", "frequent_starts", "frequent_directory", "lists",
    "rare_keys", "rare_postings", "rare_directory", "forward_starts", "forward",
    "ids", "id_filter", "id_starts", "id_rows", "created", "verified", "profiles", "positions",
    "labels",
)  # fmt: skip
POSTING_SECTIONS: Final = 9  # the first so many come from `build`

_MAGIC: Final = b"SYNSEG\r\n"
_HEADER: Final = struct.Struct("<8s10I")  # a magic number, the fields of Header, a checksum
_SECTION: Final = struct.Struct("<IIQQ")  # CRC-32, nothing, offset, length
_TABLE_AT: Final = _HEADER.size
_FILTER_BITS: Final = 16  # of the Bloom filter, for each id: 2 % are looked for in vain
_BUCKET_ROWS: Final = 8

Integers = npt.NDArray[np.uint32]


class DamagedSegment(Exception):
    """The bytes are not those of a segment that this program wrote."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What memories have in common and filters ask about."""

    kind: str
    author: str
    operator: str
    family: str
    task: str
    tags: tuple[str, ...]
    shared: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """What a segment holds beside postings, by row."""

    ids: bytes
    created_s: Integers
    verified_s: Integers
    profiles: npt.NDArray[np.uint16]
    positions: Integers
    labels: tuple[Profile, ...]

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.created_s)


@dataclass(frozen=True, slots=True)
class Header:
    """The first bytes of a segment."""

    format: int
    analyser: int
    rows: int
    frequent: int
    rare: int
    profiles: int
    newest_s: int  # when the last verified of its memories was verified
    first_created_s: int
    last_created_s: int
    spans: tuple[tuple[int, int], ...]  # by section: offset and length
    checksums: tuple[int, ...]


def assemble(postings: Sequence[bytes], rows: Rows) -> bytes:
    """The whole segment: header and sections."""
    sections = [*postings, rows.ids, *_id_sections(rows.ids)]
    verified_apart = not np.array_equal(rows.verified_s, rows.created_s)
    sections += [
        rows.created_s.astype("<u4").tobytes(),
        rows.verified_s.astype("<u4").tobytes() if verified_apart else b"",
        rows.profiles.astype("<u2").tobytes() if len(rows.labels) > 1 else b"",
        rows.positions.astype("<u4").tobytes(),
        _labels_to_json(rows.labels),
    ]
    assert len(sections) == len(SECTIONS)
    offset, table, parts = HEADER_BYTES, b"", []
    for section in sections:
        table += _SECTION.pack(zlib.crc32(section), 0, offset, len(section))
        parts += [section, bytes(-len(section) % 8)]
        offset += len(section) + len(parts[-1])
    fields = (
        FORMAT_VERSION,
        ANALYSER_VERSION,
        len(rows),
        len(postings[0]) // 4,
        len(postings[4]) // 4,
        len(rows.labels),
        int(rows.verified_s.max(initial=0)),
        int(rows.created_s.min(initial=0xFFFFFFFF)),
        int(rows.created_s.max(initial=0)),
    )
    checksum = zlib.crc32(table, zlib.crc32(_HEADER.pack(_MAGIC, *fields, 0)))
    header = _HEADER.pack(_MAGIC, *fields, checksum) + table
    return b"".join([header.ljust(HEADER_BYTES, b"\0"), *parts])


def read_header(data: memoryview) -> Header:
    """What the first bytes say, and that the rest is long enough. Raises DamagedSegment."""
    if len(data) < HEADER_BYTES:
        raise DamagedSegment("it is shorter than a header")
    magic, *fields, checksum = _HEADER.unpack_from(data)
    form, analyser, rows, frequent, rare, profiles, newest_s, first_s, last_s = fields
    table = bytes(data[_TABLE_AT : _TABLE_AT + len(SECTIONS) * _SECTION.size])
    if magic != _MAGIC or form != FORMAT_VERSION:
        raise DamagedSegment("it has another format")
    if zlib.crc32(table, zlib.crc32(_HEADER.pack(magic, *fields, 0))) != checksum:
        raise DamagedSegment("its header does not match its checksum")
    entries = list(_SECTION.iter_unpack(table))
    spans = tuple((offset, length) for _, _, offset, length in entries)
    if any(offset + length > len(data) for offset, length in spans):
        raise DamagedSegment("its end is missing")
    checksums = tuple(crc for crc, *_ in entries)
    return Header(
        form, analyser, rows, frequent, rare, profiles, newest_s, first_s, last_s, spans, checksums
    )


def verify(data: memoryview, header: Header, sections: Sequence[str] = SECTIONS) -> None:
    """Hold sections against their checksums. Raises DamagedSegment."""
    for name in sections:
        offset, length = header.spans[SECTIONS.index(name)]
        if zlib.crc32(data[offset : offset + length]) != header.checksums[SECTIONS.index(name)]:
            raise DamagedSegment(f"its {name} do not match their checksum")


def read_labels(data: memoryview, header: Header) -> tuple[Profile, ...]:
    """The profiles, by number. Raises DamagedSegment."""
    offset, length = header.spans[SECTIONS.index("labels")]
    try:
        rows = json.loads(bytes(data[offset : offset + length]))
        labels = tuple(
            Profile(kind, author, operator, family, task, tuple(tags), shared)
            for kind, author, operator, family, task, tags, shared in rows
        )
    except (ValueError, TypeError, IndexError) as error:
        raise DamagedSegment(f"its labels cannot be read: {error}") from None
    if len(labels) != header.profiles:
        raise DamagedSegment("it has other labels than it says")
    return labels


def _labels_to_json(labels: Sequence[Profile]) -> bytes:
    rows = [
        (each.kind, each.author, each.operator, each.family, each.task, each.tags, each.shared)
        for each in labels
    ]
    return json.dumps(rows, separators=(",", ":")).encode()


# Ids. They are hashed once more, because nothing forces whoever makes them to spread them well.


def mixed(ids: bytes) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each 32-byte id."""
    parts = np.frombuffer(ids, dtype="<u8").reshape(-1, 4)
    hashed = np.full(len(parts), 0x9E3779B97F4A7C15, dtype=np.uint64)
    for column in range(4):
        hashed = (hashed ^ parts[:, column]) * np.uint64(0xD6E8FEB86659FD93)
        hashed ^= hashed >> np.uint64(32)
    return hashed


def filter_bits(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The three bits that an id sets in its word of the Bloom filter."""
    one, low = np.uint64(1), np.uint64(63)
    shifts = (np.uint64(0), np.uint64(6), np.uint64(12))
    bits = [one << (hashes >> shift & low) for shift in shifts]
    together: npt.NDArray[np.uint64] = bits[0] | bits[1] | bits[2]
    return together


def slots(hashes: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.int64]:
    """Which of `count` words or buckets an id belongs to."""
    return ((hashes >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.int64)


def _id_sections(ids: bytes) -> tuple[bytes, bytes, bytes]:
    hashes = mixed(ids)
    words = np.zeros(max(1, len(hashes) * _FILTER_BITS // 64), dtype="<u8")
    np.bitwise_or.at(words, slots(hashes, len(words)), filter_bits(hashes))
    buckets = max(1, len(hashes) // _BUCKET_ROWS)
    bucket = slots(hashes, buckets)
    starts = np.zeros(buckets + 1, dtype="<u4")
    np.cumsum(np.bincount(bucket, minlength=buckets), out=starts[1:])
    order = np.argsort(bucket, kind="stable").astype("<u2")
    return words.tobytes(), starts.tobytes(), order.tobytes()
