"""How much of mapped segments counts as memory in use.

Pages of a file that were read stay mapped. The system would take them back when it needs them, and
still has them when they are read again, which costs microseconds; but until then they count, and
an operator who set a limit sees it exceeded. So they are given back, a segment after another.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from synapse.retrieval.segment import Segment

LARGE: Final = 4  # times what may stay mapped: reading it anew all the time would take too long
LOOK_EVERY: Final = 8  # searches: one look takes about a hundredth of what one of them does


def mapped_bytes() -> int:
    """How many bytes of files this process has in memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[2]) * mmap.PAGESIZE
    except OSError:
        return 0


@dataclass(slots=True)
class Residency:
    """What may stay mapped, in bytes. Any thread may ask; should two meet, a segment is given back
    a little early."""

    at_rest: int | None = None  # after a bout of upkeep; None: everything
    at_once: int = 0  # while searches go on
    most: int = 0  # instead of both, when the segments are several times larger
    _before: int = field(default_factory=mapped_bytes)  # the program and its libraries
    _searches: int = 0
    _given_back: int = 0  # the number of the segment that was given back last
    _sized: tuple[Sequence[Segment], int] = ((), 0)  # the last segments, and how large they are

    def rest(self, segments: Sequence[Segment]) -> None:
        """Give back what is more than may stay."""
        self._trim(segments, self.at_rest)

    def searched(self, segments: Sequence[Segment]) -> None:
        """Once in a while: one search may have read all over the segments."""
        self._searches += 1
        if self.at_rest is not None and self._searches % LOOK_EVERY == 0:
            self._trim(segments, max(self.at_once, self.at_rest))

    def _trim(self, segments: Sequence[Segment], limit: int | None) -> None:
        if limit is None or self.at_rest is None:
            return
        if self._sized[0] is not segments:
            self._sized = segments, sum([len(each.contents.data) for each in segments])
        if self._sized[1] > LARGE * self.at_rest:
            limit = max(limit, self.most)
        for _ in segments:
            if mapped_bytes() - self._before <= limit:
                return
            self._given_back = (self._given_back + 1) % len(segments)
            segments[self._given_back].contents.release()
