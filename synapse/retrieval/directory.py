"""Where terms are in the segments that are past merging: looked up once, kept for later questions.

A term is looked up in every segment, and each time that means waiting for memory. Most questions
share their words with others, and full segments hardly ever change. For searches with a budget the
greatest impacts are kept too, copied from all segments to one place.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from synapse.retrieval.engine import Engine, Heads, Located
from synapse.retrieval.segment import Segment

SEGMENTS_LEAST: Final = 16  # a million memories: in fewer, looking up is as quick
TERMS_MAX: Final = 4096  # whose places are kept: 8 MB at ten million memories
HEADS_BYTES_MAX: Final = 7 << 25  # of copied lists: an index may take 300 MB of its own
HEADS_BYTES_EACH: Final = 24  # for each memory, while that is less


@dataclass(slots=True)
class _Copied:
    """The heads of lists by key and length, those asked for last at the end."""

    size_max: int  # bytes
    heads: dict[tuple[int, int], Heads] = field(default_factory=dict)
    size: int = 0
    changing: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: tuple[int, int]) -> Heads | None:
        with self.changing:
            found = self.heads.pop(key, None)
            if found is not None:
                self.heads[key] = found
            return found

    def put(self, key: tuple[int, int], heads: Heads) -> None:
        with self.changing:
            self.size += len(heads) - len(self.heads.pop(key, b""))
            self.heads[key] = heads
            while self.size > self.size_max and len(self.heads) > 1:
                self.size -= len(self.heads.pop(next(iter(self.heads))))


@dataclass(frozen=True, slots=True)
class Directory:
    """Of the first segments of an index."""

    segments: tuple[Segment, ...]
    lists_max: int  # bytes of copied lists
    _copied: _Copied
    _located: dict[int, Located] = field(default_factory=dict)

    @classmethod
    def of(cls, segments: tuple[Segment, ...], lists_max: int) -> Directory:
        """Nothing is known yet."""
        rows = sum([each.rows for each in segments])
        return cls(segments, lists_max, _Copied(min(lists_max, HEADS_BYTES_EACH * rows)))

    def followed_by(self, segments: tuple[Segment, ...]) -> Directory:
        """The directory of these segments, with what is known if they hold the same postings."""
        pairs = list(zip(self.segments, segments, strict=False))
        alike = len(self.segments) == len(segments)
        if alike and all(old is new for old, new in pairs):
            return self
        if not alike or not all(old.contents is new.contents for old, new in pairs):
            return Directory.of(segments, self.lists_max)
        if all(old.changes.dead is new.changes.dead for old, new in pairs):
            return Directory(segments, self.lists_max, self._copied, self._located)
        return Directory(segments, self.lists_max, self._copied)  # there are fewer holders now

    def locate(self, engine: Engine, wanted: array[int]) -> list[Located]:
        """What the engine finds in these segments."""
        known = {key: found for key in wanted if (found := self._located.get(key)) is not None}
        unknown = array("I", [key for key in wanted if key not in known])
        if unknown:
            blocks = tuple([each.block for each in self.segments])
            fresh = dict(zip(unknown, engine.locate(blocks, unknown), strict=True))
            if len(self._located) + len(fresh) > TERMS_MAX:
                self._located.clear()
            self._located.update(fresh)
            known |= fresh
        return [known[key] for key in wanted]

    def heads(
        self,
        engine: Engine,
        wanted: array[int],
        located: Sequence[Located],
        most: Sequence[int],
    ) -> list[Heads]:
        """The lists of these terms, each as far as so many postings go."""
        blocks, found = None, []
        for key, (_, places), its in zip(wanted, located, most, strict=True):
            heads = self._copied.get((key, its))
            if heads is None:
                blocks = blocks or tuple([each.block for each in self.segments])
                heads = engine.heads(blocks, places, its)
                self._copied.put((key, its), heads)
            found.append(heads)
        return found
