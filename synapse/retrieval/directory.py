"""Where terms are in the segments that are past merging: looked up once, kept for later questions.

A term is looked up in every segment, and each time that means waiting for memory. Most questions
share their words with others, and full segments hardly ever change. For searches with a budget the
greatest impacts are kept too, copied from all segments to one place.
"""

from __future__ import annotations

import math
import threading
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import numpy as np

from synapse.retrieval.engine import Engine, Heads, Located
from synapse.retrieval.segment import Segment

SETTLED_S: Final = 10.0  # without another full segment; in bulk feeding one a second comes
WARMED_AT_ONCE: Final = 512  # terms: some 60 ms
WARMED_PART: Final = 0.75  # of the room for lists; the rest is for what questions ask for
SEGMENTS_LEAST: Final = 8  # half a million memories: in fewer, looking up is as quick
TERMS_MAX: Final = 8192  # whose places are kept: 16 MB at ten million memories
HEADS_BYTES_MAX: Final = 7 << 25  # of copied lists: an index may take 300 MB of its own
HEADS_BYTES_EACH: Final = 96  # for each memory, while that is less: about all that is asked for
QUESTIONS_MAX: Final = 512  # that are remembered, to know what was asked for: 1 MB
HEADS_BYTES_LEAST: Final = 1 << 23  # of some thousand terms in a few small segments

Want = tuple[int, int]
"""The key of a term, and how many postings its lists are to hold at most."""


@dataclass(slots=True)
class _Copied:
    """The heads of lists. Any thread may ask; those that were not asked for lately go first."""

    size_max: int  # bytes
    since_s: float  # on the monotonic clock
    size: int = 0
    held: dict[Want, Heads] = field(default_factory=dict)
    lately: deque[Sequence[Want]] = field(default_factory=lambda: deque(maxlen=QUESTIONS_MAX))
    common: list[int] | None = None  # terms to copy before they are asked for, the next at the end
    changing: threading.Lock = field(default_factory=threading.Lock)

    def get(self, wants: Sequence[Want]) -> list[Heads | None]:
        """What one question asks for, as far as it is there."""
        self.lately.append(wants)
        return list(map(self.held.get, wants))

    def put(self, want: Want, heads: Heads) -> None:
        with self.changing:
            self.size += len(heads) - len(self.held.pop(want, b""))
            self.held[want] = heads
            if self.size > self.size_max:
                self._shrink()

    def _shrink(self) -> None:
        """Make room for some time: looking for what was asked last takes a while."""
        asked = {want: nth for nth, wants in enumerate(list(self.lately)) for want in wants}
        for want in sorted(self.held, key=lambda want: asked.get(want, -1)):
            if self.size <= self.size_max * 3 // 4 or len(self.held) == 1:
                return
            self.size -= len(self.held.pop(want))


@dataclass(frozen=True, slots=True)
class Directory:
    """Of neighbouring segments of an index."""

    segments: tuple[Segment, ...]
    living: int
    lists_max: int  # bytes of copied lists
    _copied: _Copied
    _located: dict[int, Located] = field(default_factory=dict)

    @classmethod
    def of(
        cls, segments: tuple[Segment, ...], lists_max: int, *, settled: bool = False
    ) -> Directory:
        """Nothing is known yet. `settled`: they were there before, and no more are expected."""
        living = _living(segments)
        most = HEADS_BYTES_LEAST + HEADS_BYTES_EACH * living
        since_s = -math.inf if settled else time.monotonic()
        return cls(segments, living, lists_max, _Copied(min(lists_max, most), since_s))

    def followed_by(self, segments: tuple[Segment, ...]) -> Directory:
        """The directory of these segments, with what is known if they hold the same postings."""
        pairs = list(zip(self.segments, segments, strict=False))
        alike = len(self.segments) == len(segments)
        if alike and all(old is new for old, new in pairs):
            return self
        if not alike or not all(old.contents is new.contents for old, new in pairs):
            return Directory.of(segments, self.lists_max, settled=not self.segments)
        if all(old.changes.dead is new.changes.dead for old, new in pairs):
            return replace(self, segments=segments)
        return replace(
            self,
            segments=segments,
            living=_living(segments),
            _located={},  # there are fewer now
        )

    def locate(self, engine: Engine, wanted: Sequence[int]) -> list[Located]:
        """What the engine finds in these segments."""
        found = list(map(self._located.get, wanted))
        if None not in found:
            return cast("list[Located]", found)
        unknown = [key for key, its in zip(wanted, found, strict=True) if its is None]
        fresh = engine.locate(self._blocks(), array("I", unknown))
        if len(self._located) + len(fresh) > TERMS_MAX:
            for key in list(self._located)[: TERMS_MAX // 2]:
                self._located.pop(key, None)
        self._located.update(zip(unknown, fresh, strict=True))
        after = iter(fresh)
        return [next(after) if its is None else its for its in found]

    def heads(
        self,
        engine: Engine,
        wants: Sequence[Want],
        located: Sequence[Located],
        *,
        share: float = 1.0,
        least: int = 0,
    ) -> list[Heads]:
        """The lists of these terms, each as far as so many postings go: this directory's share of
        what is wanted of all, and at least some more."""
        found = self._copied.get(wants)
        if None in found:
            for nth, (want, heads) in enumerate(zip(wants, found, strict=True)):
                if heads is None:
                    most = least + int(want[1] * share)
                    found[nth] = fresh = engine.heads(self._blocks(), located[nth][1], most)
                    self._copied.put(want, fresh)
        return cast("list[Heads]", found)

    def warm(self, engine: Engine, most: int) -> None:
        """Copy the lists of some more of the commonest terms, as far as so many postings go, while
        there is room: no question has to wait for that then. While full segments keep coming it
        would be in vain."""
        copied = self._copied
        if time.monotonic() - copied.since_s < SETTLED_S:
            return
        if copied.common is None:
            copied.common = _commonest(self.segments[len(self.segments) // 2])
        some = copied.common[-WARMED_AT_ONCE:]
        if some and copied.size < copied.size_max * WARMED_PART:
            self.heads(engine, [(key, most) for key in some], self.locate(engine, some))
            del copied.common[-WARMED_AT_ONCE:]

    @property
    def copied_bytes(self) -> int:
        """Of lists."""
        return self._copied.size

    def _blocks(self) -> tuple[Any, ...]:
        return tuple([each.block for each in self.segments])


def _commonest(segment: Segment) -> list[int]:
    """The keys of the terms that most of a segment's memories hold, the commonest last."""
    view = segment.contents.view
    held = view["lists"][view["frequent_starts"]]
    keys: list[int] = view["frequent_keys"][np.argsort(held)[-TERMS_MAX // 2 :]].tolist()
    return keys


def _living(segments: Sequence[Segment]) -> int:
    return sum([each.living for each in segments])
