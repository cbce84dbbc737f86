"""The inverted index: a log-structured merge of segments (see `layout`).

What is added becomes a small segment at once; eight small ones become a larger one, in memory up to
8,192 memories: the head. Then it is written to the disk, and eight such become a block of up to
65,536. A search takes the segments as they are and never waits. Everything is derived from the
log: positions that no written segment covers are fed again after a restart.

idf comes from live counts when a query is asked, so nothing written changes with what comes later.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from synapse.core.memory.memory import Memory
from synapse.ports import ANY, Filter, Hits, Labels, Ranking, Why
from synapse.retrieval import bm25, layout, segment, spans
from synapse.retrieval.analysis import QUERY_TERMS_MAX, keys
from synapse.retrieval.directory import HEADS_BYTES_MAX
from synapse.retrieval.engine import BEST, Engine
from synapse.retrieval.folder import Damage, Folder, replace_covers
from synapse.retrieval.labels import number, profile_of
from synapse.retrieval.layout import POSITION_BITS, DamagedSegment, Rows
from synapse.retrieval.ranking import seconds
from synapse.retrieval.residency import Residency
from synapse.retrieval.segment import Segment
from synapse.retrieval.snapshot import snapshot, words_of
from synapse.retrieval.spans import Span, Spans

HEAD_ROWS: Final = 8_192  # an eighth of a block: a memory is written three times in its life
FANOUT: Final = 8
_WAITING_MAX: Final = 4  # sealed segments that wait for `maintain` before `add` lends a hand
_TEXT_MAX: Final = 1 << 22  # characters that are analysed at once
_DEAD_SHARE: Final = 4  # a segment of which a quarter is removed is written anew
_HEAD_POSTINGS: Final = layout.POSTINGS_MAX // FANOUT


class InvertedIndex:
    """An `Index` for ten million memories. Gives the very answers of `ScanIndex`."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        engine: Engine = BEST,
        head_rows: int = HEAD_ROWS,
        residency: Residency | None = None,
        lists_max: int = HEADS_BYTES_MAX,
    ) -> None:
        """Without a folder everything stays in memory. Raises StorageError.

        `residency`: how much of the files may stay mapped; None: everything. `lists_max`: how many
        bytes of lists may be copied, for searches with a budget.
        """
        self._head_rows = head_rows
        self._residency = residency or Residency()
        self.damage: list[Damage] = []  # what could not be used, and has to be fed again
        self._engine = engine
        self._words = words_of(engine)
        # Taken in this order. The first two are held for long, by different threads if need be:
        # adding works on the head, upkeep on what has left it.
        self._feeding = threading.Lock()
        self._upkeep = threading.Lock()
        self._changing = threading.Lock()  # held while one snapshot takes the place of another
        self._folder = None if folder is None else Folder(folder, engine)
        self._bare: Spans = ()  # positions of the log that hold nothing that is searchable
        self._unverified: list[str] = []  # names of segments whose checksums are to be looked at
        self._now = snapshot((), lists_max=lists_max)
        if self._folder is not None:
            opened = self._folder.open()
            self._now = snapshot(opened.segments, self._now)
            self._bare = opened.covers
            self.damage += opened.damage
            self._unverified = [
                each.name for each in opened.segments if each.name not in opened.verified
            ]

    # Feeding.

    def add(
        self,
        memories: Sequence[Memory],
        *,
        labels: Sequence[Labels] | None = None,
        covers: Span | None = None,
    ) -> None:
        """Make these searchable at once. An id that is there already is left as it is.

        `covers` (after, upto) says that these are all the memories the log holds after one
        position, up to and with another, and that what those positions removed was removed.
        Raises StorageError when upkeep has to be done first and fails.
        """
        with self._feeding:
            parts = list(_parts(self._fresh(memories, labels), self._head_rows))
            for nth, part in enumerate(parts):
                last = nth == len(parts) - 1
                self._insert(part, (covers,) if covers and last else ())
            if covers and not parts:
                with self._changing:
                    self._bare = spans.joined((*self._bare, covers))
            if self._waiting() > _WAITING_MAX:
                with self._upkeep:
                    self._step()

    def remove(self, ids: Sequence[bytes]) -> None:
        """Stop finding these. Unknown ids are ignored. Takes a millisecond for each segment."""
        with self._changing:
            for nth, rows in self._rows_of(ids).items():
                before = self._now.segments[nth]
                self._change(nth, segment.with_removed(self._engine, before, rows))

    def verified(self, ids: Sequence[bytes], *, at_ms: int) -> None:
        """These proved useful then: they age from there. Unknown ids are ignored."""
        at_s = seconds(at_ms)
        with self._changing:
            for nth, rows in self._rows_of(ids).items():
                before = self._now.segments[nth]
                self._change(nth, segment.with_verified(self._engine, before, rows, at_s))

    def missing(self, upto: int) -> Spans:
        """Which positions (after, upto] of the log have to be fed, up to this one."""
        covered = (*segment.all_covered(self._now.segments), *self._bare)
        return spans.without(((0, upto),), covered)

    def __len__(self) -> int:
        """How many memories are searchable."""
        return self._now.living

    def _fresh(
        self, memories: Sequence[Memory], given: Sequence[Labels] | None
    ) -> list[tuple[Memory, Labels]]:
        """Those that are not there yet, each once."""
        both = zip(memories, given or [Labels()] * len(memories), strict=True)
        named = {memory.id: (memory, each) for memory, each in reversed(list(both))}
        named = dict(reversed(named.items()))
        places = self._engine.find(self._now.blocks, _joined_ids(list(named)))
        return [each for each, place in zip(named.values(), places, strict=True) if place < 0]

    def _insert(self, part: Sequence[tuple[Memory, Labels]], covers: Spans) -> None:
        head = self._head()
        if sum(each.rows for each in head) + len(part) > self._head_rows:
            self._seal(head)
        texts = [memory.text for memory, _ in part]
        pairs = self._words.pairs(texts, keys, bm25.K1, bm25.B, bm25.REFERENCE_LENGTH)
        created = [seconds(memory.created_ms) for memory, _ in part]
        created_s = np.array(created, dtype=np.uint32)
        positions = np.array([memory.position & POSITION_BITS for memory, _ in part], np.uint32)
        profiles, table = number(profile_of(memory, each) for memory, each in part)
        ids = _joined_ids([memory.id for memory, _ in part])
        data = layout.assemble(
            self._engine.build((pairs,), len(part)),
            Rows(ids, created_s, created_s, profiles, positions, table),
        )
        made = segment.made(self._engine, data, covers)
        with self._changing:
            self._now = snapshot((*self._now.segments, made), self._now)
        self._shape_head()

    # Keeping segments few.

    def maintain(self, *, steps: int = 1) -> bool:
        """Do that many bounded steps of upkeep; whether more are due. Raises StorageError.

        A step writes a segment, merges some into one of at most 65,536 memories, or looks at the
        checksums of one: a tenth of a second or two.
        """
        with self._upkeep:
            more = all(self._step() for _ in range(steps))
        self._residency.rest(self._now.segments)
        self._now.warm(self._engine)
        return more

    def checkpoint(self) -> None:
        """Make everything durable that was added, so that it need not be fed again.

        Raises StorageError.
        """
        with self._feeding, self._upkeep:
            self._seal(self._head())
            while self._waiting():
                self._step()
            self._save()

    def close(self) -> None:
        """Checkpoint, and let go of the files. Raises StorageError."""
        self.checkpoint()
        with self._changing:
            self._now = snapshot(())

    def _head(self) -> list[Segment]:
        return [each for each in self._now.segments if not each.sealed]

    def _shape_head(self) -> None:
        """Merge the youngest segments of the head while there are eight of about one size."""
        while True:
            head = self._head()
            if _postings(head) > _HEAD_POSTINGS:
                return self._seal(head)
            size = head[-1].rows.bit_length()
            alike = 0
            while alike < len(head) and head[-1 - alike].rows.bit_length() < size + 3:
                alike += 1
            if alike < FANOUT:
                return None
            self._merge(head[-alike:])

    def _seal(self, head: Sequence[Segment]) -> None:
        """The head becomes one segment, and a new head begins."""
        if head:
            self._merge(head, sealed=True)

    def _waiting(self) -> int:
        """How many sealed segments are not on the disk yet."""
        if self._folder is None:
            return 0 if self._due() is None else _WAITING_MAX + 1
        return sum(each.sealed and not each.name for each in self._now.segments)

    def _step(self) -> bool:
        """One step of upkeep; whether there was anything to do."""
        unwritten = [each for each in self._now.segments if each.sealed and not each.name]
        if self._folder is not None and unwritten:
            self._merge(unwritten[:1], sealed=True, written=True)
            self._save()
            return True
        due = self._due()
        if due is not None:
            # What is damaged must not be copied: its new checksums would vouch for it.
            if all(self._sound(each) for each in due):
                self._merge(due, sealed=True, written=True)
                self._save()
            return True
        return self._verify_one()

    def _due(self) -> Sequence[Segment] | None:
        """Which neighbours should become one: those with holes, else eight that are not full."""
        sealed = [each for each in self._now.segments if each.sealed]
        for each in sealed:
            if each.changes.dead_count * _DEAD_SHARE > each.rows:
                return [each]
        best: Sequence[Segment] | None = None
        since_full = 0
        for nth, each in enumerate(sealed):
            since_full = 0 if each.full else since_full + 1
            window = sealed[nth - FANOUT + 1 : nth + 1]
            if since_full >= FANOUT and (best is None or _living(window) < _living(best)):
                best = window
        while best and (_living(best) > layout.ROWS_MAX or _postings(best) > layout.POSTINGS_MAX):
            best = best[:-1]
        return best

    def _verify_one(self) -> bool:
        """Look at the checksums of one segment that was opened without; whether there was one."""
        present = {each.name: each for each in self._now.segments}
        while self._unverified:
            each = present.get(self._unverified.pop())
            if each is not None:
                self._sound(each)
                return True
        return False

    def _sound(self, each: Segment) -> bool:
        """Whether a segment's checksums match; it is dropped when they do not."""
        try:
            each.contents.verify()
        except DamagedSegment as error:
            self._drop(each, str(error))
            return False
        return True

    def _drop(self, damaged: Segment, reason: str) -> None:
        """A segment turned out to be damaged: what it held has to be fed again."""
        lost = damaged.covers or ((0, (1 << 63) - 1),)
        self.damage.append(Damage(damaged.name, reason, damaged.covers))
        with self._changing:
            self._bare = spans.without(self._bare, lost)
            self._now = snapshot(
                [
                    replace_covers(each, spans.without(each.covers, lost))
                    for each in self._now.segments
                    if each.contents is not damaged.contents
                ],
                self._now,
            )
        self._save()

    def _save(self) -> None:
        if self._folder is not None:
            self._folder.save([each for each in self._now.segments if each.name], self._bare)

    # Replacing segments by others.

    def _rows_of(self, ids: Sequence[bytes]) -> dict[int, list[int]]:
        """By number of the segment, the rows in which these live."""
        rows: dict[int, list[int]] = {}
        for place in self._engine.find(self._now.blocks, _joined_ids(ids)):
            if place >= 0:
                rows.setdefault(place >> 16, []).append(place & 0xFFFF)
        return rows

    def _change(self, nth: int, each: Segment) -> None:
        before = self._now.segments
        self._now = snapshot((*before[:nth], each, *before[nth + 1 :]), self._now)

    def _merge(
        self, before: Sequence[Segment], *, sealed: bool = False, written: bool = False
    ) -> None:
        """Neighbours become one segment, in memory or on the disk."""
        covers = segment.all_covered(before)
        after, places = None, segment.places_in_one(before)
        if any(each.living for each in before):
            if len(before) == 1 and before[0].changes is segment.NOTHING:
                data = before[0].contents.data
                places = [np.arange(before[0].rows, dtype=np.int32)]
            else:
                data = memoryview(segment.merged(self._engine, before, places))
            if written and self._folder is not None:
                after = self._folder.write(data, covers)
            else:
                after = segment.made(self._engine, data, covers)
            after = replace(after, sealed=sealed)
        with self._changing:
            segments = list(self._now.segments)
            first = [each.contents for each in segments].index(before[0].contents)
            now = segments[first : first + len(before)]
            segments[first : first + len(before)] = (
                [] if after is None else [self._caught_up(after, before, now, places)]
            )
            if after is None:
                self._bare = spans.joined((*self._bare, *covers))
            self._now = snapshot(segments, self._now)

    def _caught_up(
        self,
        after: Segment,
        before: Sequence[Segment],
        now: Sequence[Segment],
        places: segment.Places,
    ) -> Segment:
        """The new segment with what happened to the old ones while it was made."""
        for old, new, rows in zip(before, now, places, strict=True):
            if new.changes.dead is not old.changes.dead:
                dead = np.frombuffer(new.changes.dead or b"", dtype=np.bool_)
                gone = rows[dead & (rows >= 0)]
                after = segment.with_removed(self._engine, after, gone.tolist())
            if new.changes.verified is not old.changes.verified:
                times = segment.verified_of(new)
                later = np.flatnonzero((times > segment.verified_of(old)) & (rows >= 0))
                for at_s in np.unique(times[later]).tolist():
                    chosen = rows[later[times[later] == at_s]].tolist()
                    after = segment.with_verified(self._engine, after, chosen, at_s)
        return after

    # Searching.

    def search(
        self,
        query: str,
        *,
        limit: int,
        wanted: Filter = ANY,
        ranking: Ranking | None = None,
        budget: int | None = None,
    ) -> Hits:
        """The best `limit` matches, best first, ties by id. Nothing matches an empty query.

        `budget`: how many postings may be read before the answer need not be exact any more.
        """
        now = self._now
        found = now.search(
            self._engine, self._asked(query), limit=limit, wanted=wanted, by=ranking, budget=budget
        )
        self._residency.searched(now.segments)
        return found

    def why(self, query: str, memory_id: bytes, *, ranking: Ranking | None = None) -> Why | None:
        """What a memory's score for a query is made of; None for one that is not there."""
        now = self._now
        (place,) = self._engine.find(now.blocks, _joined_ids([memory_id]))
        return None if place < 0 else now.why(self._engine, query, place, ranking)

    def _asked(self, query: str) -> Counter[int]:
        """The keys of the query's terms, and how often each is asked for."""
        found = self._words.keys(query)
        return Counter((keys(query) if found is None else found)[:QUERY_TERMS_MAX])


def _parts(
    fresh: Sequence[tuple[Memory, Labels]], rows_max: int
) -> Iterator[list[tuple[Memory, Labels]]]:
    """The same memories, no more at once than a head holds or than can be analysed at once."""
    part: list[tuple[Memory, Labels]] = []
    characters = 0
    for each in fresh:
        if len(part) == rows_max or (part and characters + len(each[0].text) > _TEXT_MAX):
            yield part
            part, characters = [], 0
        part.append(each)
        characters += len(each[0].text)
    if part:
        yield part


def _joined_ids(ids: Sequence[bytes]) -> bytes:
    joined = b"".join(ids)
    assert len(joined) == 32 * len(ids), "an id is 32 bytes long"
    return joined


def _living(segments: Sequence[Segment]) -> int:
    return sum(each.living for each in segments)


def _postings(segments: Sequence[Segment]) -> int:
    return sum(each.contents.postings for each in segments)
