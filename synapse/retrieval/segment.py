"""One segment in use: its bytes, and what has changed since they were written.

A segment never changes. Removing a memory, or noting that one was verified, makes another segment
over the same bytes; a search goes on with the one it began with.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synapse.retrieval import layout, twin
from synapse.retrieval.engine import Engine
from synapse.retrieval.labels import ProfileTable
from synapse.retrieval.layout import Header, Integers, Profile, Rows
from synapse.retrieval.spans import Spans, joined
from synapse.retrieval.twin import Buffer

_ID: Final = twin.ID_BYTES


class Contents:
    """The bytes, and what is worked out of them once."""

    def __init__(self, data: Buffer) -> None:
        """Raises DamagedSegment."""
        self.data = memoryview(data)
        self.header: Header = layout.read_header(self.data)
        layout.verify(self.data, self.header, ("labels",))
        forward = self.header.spans[layout.SECTIONS.index("forward")][1]
        self.postings = forward // 3 + self.header.rare

    def verify(self) -> None:
        """Hold all bytes against their checksums. Raises DamagedSegment."""
        layout.verify(self.data, self.header)
        self.release()

    def release(self) -> None:
        """Let go of the pages of the file that were read; they come back when they are needed."""
        if isinstance(self.data.obj, mmap.mmap):
            self.data.obj.madvise(mmap.MADV_DONTNEED)

    @cached_property
    def view(self) -> twin.Block:
        """Its sections as arrays."""
        return twin.Block(self.data, None, None, None, None)

    @cached_property
    def profiles(self) -> ProfileTable:
        """The profiles of its memories."""
        return ProfileTable(layout.read_labels(self.data, self.header))


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened to a segment's memories since it was written."""

    dead: bytes | None = None  # by row, 1 for a removed one
    verified: bytes | None = None  # by row, seconds, 32 bits
    gone_keys: bytes | None = None  # the terms of the removed ones, ascending
    gone_counts: bytes | None = None
    dead_count: int = 0


NOTHING = Changes()


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A segment as searches see it."""

    contents: Contents
    block: Any  # the engine's
    covers: Spans
    changes: Changes = NOTHING
    name: str = ""  # of the file; empty while there is none
    sealed: bool = False  # whether it has left the head

    @property
    def rows(self) -> int:
        """How many memories it was written with."""
        return self.contents.header.rows

    @property
    def living(self) -> int:
        """How many of them were not removed."""
        return self.rows - self.changes.dead_count

    @property
    def full(self) -> bool:
        """Whether it is past merging."""
        return 2 * self.living > layout.ROWS_MAX or 2 * self.contents.postings > layout.POSTINGS_MAX


def made(engine: Engine, data: Buffer, covers: Spans, *, name: str = "") -> Segment:
    """A segment over these bytes. Raises DamagedSegment."""
    contents = Contents(data)
    try:
        block = engine.block(contents.data, None, None, None, None)
    except ValueError as error:
        raise layout.DamagedSegment(str(error)) from None
    return Segment(contents, block, covers, name=name, sealed=bool(name))


def changed(engine: Engine, segment: Segment, changes: Changes) -> Segment:
    """The same segment with other changes."""
    block = engine.block(
        segment.contents.data,
        changes.dead,
        changes.verified,
        changes.gone_keys,
        changes.gone_counts,
    )
    return replace(segment, block=block, changes=changes)


def with_removed(engine: Engine, segment: Segment, rows: Sequence[int]) -> Segment:
    """The segment without these rows."""
    changes = segment.changes
    dead = np.frombuffer(changes.dead or bytes(segment.rows), dtype=np.uint8).copy()
    newly = [row for row in sorted(set(rows)) if not dead[row]]
    if not newly:
        return segment
    dead[newly] = 1
    keys, counts = _counted(changes, _keys_of(segment.contents.view, newly))
    return changed(
        engine,
        segment,
        replace(
            changes,
            dead=dead.tobytes(),
            gone_keys=keys.tobytes(),
            gone_counts=counts.tobytes(),
            dead_count=changes.dead_count + len(newly),
        ),
    )


def _keys_of(view: twin.Block, rows: Sequence[int]) -> Integers:
    """The keys of all terms that these rows hold, repeated as often as rows hold them."""
    ranks = [view.record(row)[0] for row in rows]
    gone = np.zeros(view.rows, dtype=np.bool_)
    gone[np.asarray(rows)] = True
    rare = view["rare_keys"][gone[view["rare_postings"] & 0xFFFF]]
    return np.concatenate([view["frequent_keys"][np.concatenate(ranks)], rare])


def _counted(changes: Changes, keys: Integers) -> tuple[Integers, Integers]:
    """The removed terms so far and these, with their numbers."""
    old = np.frombuffer(changes.gone_keys or b"", dtype="<u4")
    counts = np.frombuffer(changes.gone_counts or b"", dtype="<u4")
    new, more = np.unique(keys, return_counts=True)
    at = np.searchsorted(old, new)
    known = np.zeros(len(new), dtype=np.bool_)
    inside = at < len(old)
    known[inside] = old[at[inside]] == new[inside]
    counts = counts.copy()
    counts[at[known]] += more[known].astype(np.uint32)
    fresh = ~known
    return (
        np.insert(old, at[fresh], new[fresh]).astype("<u4"),
        np.insert(counts, at[fresh], more[fresh]).astype("<u4"),
    )


def with_verified(engine: Engine, segment: Segment, rows: Sequence[int], at_s: int) -> Segment:
    """The segment with these rows verified then, if they were not verified later."""
    verified = verified_of(segment).copy()
    verified[rows] = np.maximum(verified[rows], at_s)
    changes = replace(segment.changes, verified=verified.astype("<u4").tobytes())
    return changed(engine, segment, changes)


def verified_of(segment: Segment) -> Integers:
    """By row, when the memory was made or last verified, in seconds."""
    if segment.changes.verified is not None:
        return np.frombuffer(segment.changes.verified, dtype="<u4")
    return segment.contents.view.verified


# Making one out of several.


Places = Sequence[npt.NDArray[np.int32]]
"""Of several segments, by row: its row in the one that they become, or -1 for a removed one."""


def places_in_one(segments: Sequence[Segment]) -> Places:
    """The memories of the fewest terms first. A term weighs most in short memories, so what a
    search reads first and sums up is close together: a tenth of its time at ten million."""
    living = [_living_rows(each) for each in segments]
    lengths = [
        np.diff(each.contents.view["forward_starts"].astype(np.int64))[rows]
        for each, rows in zip(segments, living, strict=True)
    ]
    order = np.argsort(np.concatenate(lengths), kind="stable")
    ranks = np.empty(len(order), dtype="<i4")
    ranks[order] = np.arange(len(order), dtype="<i4")
    places, first = [], 0
    for each, rows in zip(segments, living, strict=True):
        its = np.full(each.rows, -1, dtype="<i4")
        its[rows] = ranks[first : first + len(rows)]
        places.append(its)
        first += len(rows)
    return places


def merged(engine: Engine, segments: Sequence[Segment], places: Places) -> bytes:
    """The bytes of one segment with the living memories of these, where `places` says."""
    parts = [
        engine.unpack(each.block, its.tobytes()) for each, its in zip(segments, places, strict=True)
    ]
    living = [np.flatnonzero(its >= 0) for its in places]
    rows = _joined_rows(segments, living)
    order = np.argsort(np.concatenate([its[its >= 0] for its in places]))
    return layout.assemble(engine.build(tuple(parts), len(rows)), _in_order(rows, order))


def _living_rows(segment: Segment) -> npt.NDArray[np.intp]:
    if segment.changes.dead is None:
        return np.arange(segment.rows, dtype=np.intp)
    return np.flatnonzero(~np.frombuffer(segment.changes.dead, dtype=np.bool_))


def _in_order(rows: Rows, order: npt.NDArray[np.intp]) -> Rows:
    ids = np.frombuffer(rows.ids, dtype=np.uint8).reshape(-1, _ID)[order].tobytes()
    created_s, verified_s = rows.created_s[order], rows.verified_s[order]
    profiles, positions = rows.profiles[order], rows.positions[order]
    return Rows(ids, created_s, verified_s, profiles, positions, rows.labels)


def _joined_rows(segments: Sequence[Segment], living: Sequence[npt.NDArray[np.intp]]) -> Rows:
    numbers: dict[Profile, int] = {}
    ids, created, verified, profiles, positions = [], [], [], [], []
    for segment, rows in zip(segments, living, strict=True):
        view = segment.contents.view
        own = np.zeros(max(1, segment.contents.header.profiles), dtype=np.uint16)
        ids.append(view["ids"].reshape(-1, _ID)[rows].tobytes())
        created.append(view["created"][rows])
        positions.append(view["positions"][rows])
        verified.append(verified_of(segment)[rows])
        column = view["profiles"] if len(view["profiles"]) else np.zeros(segment.rows, np.uint16)
        for each in np.unique(column[rows]).tolist():  # those of removed rows go with them
            profile = segment.contents.profiles.profiles[each]
            own[each] = numbers.setdefault(profile, len(numbers))
        profiles.append(own[column[rows]])
    return Rows(
        b"".join(ids),
        np.concatenate(created),
        np.concatenate(verified),
        np.concatenate(profiles),
        np.concatenate(positions),
        tuple(numbers),
    )


def all_covered(segments: Sequence[Segment]) -> Spans:
    """Which positions of the log these segments hold between them."""
    return joined(span for segment in segments for span in segment.covers)
