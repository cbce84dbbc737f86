"""Who said the same before: found when a memory comes in, at a cost that does not grow.

Nothing is dropped for it. That two spores hold nearly one text is corroboration, and whoever ranks
or renders may say so.

MinHash (Broder 1997) over the set of a text's terms: of 24 hash functions each keeps its least
value, and two texts agree in as many as their sets overlap. Six bands of four such values lead to
earlier memories: of pairs that share nine terms in ten, 998 in 1,000 meet in a band; of pairs that
share half, one in three does and is turned away by the full signature.

The tables are of fixed size: the youngest memories are remembered, and the older ones now and then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

from synapse.core.memory.memory import Memory
from synapse.retrieval import bm25
from synapse.retrieval.analysis import keys
from synapse.retrieval.engine import BEST, Engine
from synapse.retrieval.layout import ROWS_MAX
from synapse.retrieval.snapshot import words_of

BANDS: Final = 6
BAND_ROWS: Final = 4
HASHES: Final = BANDS * BAND_ROWS
NEAR: Final = 0.75  # of 24 values; the estimate is off by 0.09 one time in three
REMEMBERED: Final = 1 << 18  # memories; 90 bytes each, 24 MB

_TERMS_MIN: Final = 5  # shorter texts share their few terms with many
_CONTENT_BYTES: Final = 8

Numbers = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Likeness:
    """A memory that says what an earlier one said."""

    id: bytes
    earlier: bytes
    share: float  # of their terms that both have, estimated; 1.0 for equal texts
    same_text: bool
    same_author: bool  # then it is repetition, not corroboration


class Duplicates:
    """Remembers what was said. One thread at a time."""

    def __init__(self, *, remembered: int = REMEMBERED, engine: Engine = BEST) -> None:
        self._words = words_of(engine)
        self._size = remembered
        self._next = 0  # the place of the next memory; places are used in a circle
        self._ids = np.zeros((remembered, 32), dtype=np.uint8)
        self._signatures = np.zeros((remembered, HASHES), dtype=np.uint8)
        self._contents = np.zeros((remembered, 2), dtype=np.uint64)  # of the text, of the author
        self._tables = np.full((BANDS, remembered), -1, dtype=np.int32)  # by band value: a place

    def add(self, memories: Sequence[Memory]) -> list[Likeness]:
        """Remember these; the earlier memory that each is most like, if it is like any."""
        found: list[Likeness] = []
        for first in range(0, len(memories), ROWS_MAX):
            part = memories[first : first + ROWS_MAX]
            signatures, bands, sizes = self._signed([memory.text for memory in part])
            for nth, memory in enumerate(part):
                if sizes[nth] >= _TERMS_MIN:
                    likeness = self._meet(memory, signatures[nth], bands[nth])
                    found += [likeness] if likeness is not None else []
        return found

    def _signed(
        self, texts: list[str]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Of each text: eight bits of every value, the slot of every band, the number of terms."""
        packed = self._words.pairs(texts, keys, bm25.K1, bm25.B, bm25.REFERENCE_LENGTH)
        pairs = np.frombuffer(packed, dtype="<u8")
        row = (pairs & np.uint64(0xFFFF)).astype(np.int64)
        sizes = np.bincount(row, minlength=len(texts))
        values = np.zeros((len(texts), HASHES), dtype=np.uint64)
        filled = np.flatnonzero(sizes)
        if len(filled):
            firsts = (np.cumsum(sizes) - sizes)[filled]
            terms = _mixed(pairs >> np.uint64(24))
            for nth in range(HASHES):
                own = _mixed(terms + np.uint64(nth * 0x9E3779B97F4A7C15 % (1 << 64)))
                values[filled, nth] = np.minimum.reduceat(own, firsts)
        bands = np.zeros((len(texts), BANDS), dtype=np.uint64)
        for nth in range(HASHES):
            bands[:, nth // BAND_ROWS] = _mixed(bands[:, nth // BAND_ROWS] ^ values[:, nth])
        slots = (bands % np.uint64(self._size)).astype(np.int64)
        return (values >> np.uint64(56)).astype(np.uint8), slots, sizes

    def _meet(
        self,
        memory: Memory,
        signature: npt.NDArray[np.uint8],
        slots: npt.NDArray[np.int64],
    ) -> Likeness | None:
        """The earlier memory that is most like this one; then remember this one."""
        text = _content(memory.text)
        author = _content(memory.author)
        own_id = np.frombuffer(memory.id, dtype=np.uint8)
        bands = np.arange(BANDS)
        places = self._tables[bands, slots]
        places = np.unique(places[places >= 0])
        best = None
        if len(places):
            agreeing = (self._signatures[places] == signature).sum(axis=1)
            agreeing[(self._ids[places] == own_id).all(axis=1)] = 0  # it was added before
            nearest = int(np.argmax(agreeing))
            if agreeing[nearest] >= NEAR * HASHES:
                place = int(places[nearest])
                same_text = bool(self._contents[place, 0] == text)
                best = Likeness(
                    memory.id,
                    self._ids[place].tobytes(),
                    1.0 if same_text else float(agreeing[nearest]) / HASHES,
                    same_text,
                    bool(self._contents[place, 1] == author),
                )
        self._ids[self._next] = own_id
        self._signatures[self._next] = signature
        self._contents[self._next] = text, author
        self._tables[bands, slots] = self._next
        self._next = (self._next + 1) % self._size
        return best


def _content(text: str) -> np.uint64:
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=_CONTENT_BYTES).digest()
    return np.uint64(int.from_bytes(digest))


def _mixed(numbers: Numbers) -> Numbers:
    """Well spread numbers (the finaliser of MurmurHash3)."""
    mixed: Numbers = numbers ^ numbers >> np.uint64(33)
    mixed = mixed * np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed = mixed * np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return mixed
