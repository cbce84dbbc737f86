"""Who said the same before: found when a memory comes in, at a cost that does not grow.

Nothing is dropped for it. That two operators hold nearly one text is corroboration, and whoever
ranks or renders may say so.

Equal texts meet by their hash. Nearly equal ones meet by MinHash (Broder 1997) over the set of a
text's terms: of 24 hash functions each keeps its least value, and two texts agree in as many as
their sets overlap. Six bands of four such values lead to earlier memories: of pairs that share nine
terms in ten, 998 in 1,000 meet in a band; of pairs that share half, one in three does and is turned
away by the full signature. Whatever differs in a number or a denial is turned away too.

The tables are of fixed size: the youngest memories are remembered, and the older ones now and then.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from synapse.core.memory.memory import Memory
from synapse.retrieval import bm25
from synapse.retrieval.analysis import keys
from synapse.retrieval.engine import BEST, Engine
from synapse.retrieval.figures import figures
from synapse.retrieval.layout import ROWS_MAX
from synapse.retrieval.snapshot import words_of

BANDS: Final = 6
BAND_ROWS: Final = 4
HASHES: Final = BANDS * BAND_ROWS
NEAR: Final = 0.75  # of 24 values; the estimate is off by 0.09 one time in three
REMEMBERED: Final = 1 << 18  # memories; 136 bytes each, 36 MB when all are there

_DOORS: Final = BANDS + 1  # ways to an earlier memory: the bands, and the hash of the whole text
_TERMS_MIN: Final = 5  # shorter texts share their few terms with many: only equal ones count
_CONTENT_BYTES: Final = 8
_PACKED: Final = struct.Struct("<QQQ")  # size, next place, places in use

Numbers = npt.NDArray[np.uint64]

# Odd numbers, well spread: each puts the mixed terms in another order.
_FACTORS: Final = tuple(
    np.uint64((nth + 1) * 0x9E3779B97F4A7C15 % (1 << 64) | 1) for nth in range(HASHES)
)


@dataclass(frozen=True, slots=True)
class Mark:
    """What is remembered of a memory, beside its id."""

    signature: bytes
    text: int  # hashes of 64 bits, signed as databases want them
    operator: int

    def agrees(self, signature: bytes) -> bool:
        """Whether a text with this signature is nearly the same."""
        pairs = zip(self.signature, signature, strict=True)
        return sum(one == other for one, other in pairs) >= NEAR * HASHES


@dataclass(frozen=True, slots=True)
class Likeness:
    """A memory that says what an earlier one said."""

    id: bytes
    earlier: bytes
    share: float  # of their terms that both have, estimated; 1.0 for equal texts
    mark: Mark
    earlier_mark: Mark

    @property
    def same_text(self) -> bool:
        """Whether the texts are equal."""
        return self.mark.text == self.earlier_mark.text

    @property
    def same_operator(self) -> bool:
        """Whether one operator said both: then it is repetition, not corroboration."""
        return self.mark.operator == self.earlier_mark.operator


@dataclass(frozen=True, slots=True)
class _Part:
    """Some memories, signed."""

    ids: npt.NDArray[np.uint8]
    signatures: npt.NDArray[np.uint8]
    contents: Numbers  # of each: hashes of the text, the operator, the figures
    doors: npt.NDArray[np.uint32]  # of each: the value of every band, and of the text
    sizes: npt.NDArray[np.int64]  # how many different terms


class Duplicates:
    """Remembers what was said. One thread at a time."""

    def __init__(self, *, remembered: int = REMEMBERED, engine: Engine = BEST) -> None:
        self._words = words_of(engine)
        self._size = remembered
        self._next = 0  # the place of the next memory; places are used in a circle
        self._used = 0
        self._ids = _zeros((remembered, 32), np.uint8)
        self._signatures = _zeros((remembered, HASHES), np.uint8)
        self._contents = _zeros((remembered, 3), np.uint64)
        self._doors = _zeros((remembered, _DOORS), np.uint32)
        self._tables = _zeros((_DOORS, remembered), np.int32)  # by slot: a place, plus one

    @property
    def remembered(self) -> int:
        """How many memories at most."""
        return self._size

    def add(self, memories: Sequence[Memory]) -> list[Likeness]:
        """Remember these; the earlier memory that each is most like, if it is like any."""
        found: list[Likeness] = []
        most = min(ROWS_MAX, self._size)
        for first in range(0, len(memories), most):
            part = self._signed(memories[first : first + most])
            begun = 0
            for nth in self._suspects(part):
                self._keep(part, begun, nth)
                begun = nth
                likeness = self._met(part, nth)
                found += [likeness] if likeness is not None else []
            self._keep(part, begun, len(part.ids))
        return found

    def forget(self, ids: Sequence[bytes]) -> None:
        """Nothing is like these any more. Unknown ids are ignored."""
        known = self._ids[: self._used].view("<u8")[:, 0]
        for each in ids:
            for place in np.flatnonzero(known == int.from_bytes(each[:8], "little")).tolist():
                if self._ids[place].tobytes() == each:
                    self._ids[place] = 0
                    self._signatures[place] = 0
                    self._contents[place] = 0

    def packed(self) -> bytes:
        """All that is remembered, for `unpacked`."""
        used = slice(self._used)
        arrays = (self._ids, self._signatures, self._contents, self._doors)
        head = _PACKED.pack(self._size, self._next, self._used)
        return b"".join([head, *(each[used].tobytes() for each in arrays)])

    @classmethod
    def unpacked(cls, data: bytes, *, engine: Engine = BEST) -> Self:
        """From what `packed` returned."""
        size, following, used = _PACKED.unpack_from(data)
        made = cls(remembered=size, engine=engine)
        made._next, made._used = following, used
        at = _PACKED.size
        for each in (made._ids, made._signatures, made._contents, made._doors):
            part = np.frombuffer(data, each.dtype, used * each.shape[1], at)
            each[:used] = part.reshape(used, each.shape[1])
            at += part.nbytes
        by_age = np.roll(np.arange(used), -following) if used == size else np.arange(used)
        for door in range(_DOORS):
            made._tables[door, made._doors[by_age, door] % size] = by_age + 1  # the youngest last
        return made

    def _signed(self, memories: Sequence[Memory]) -> _Part:
        texts = [memory.text for memory in memories]
        packed = self._words.pairs(texts, keys, bm25.K1, bm25.B, bm25.REFERENCE_LENGTH)
        pairs = np.frombuffer(packed, dtype="<u8")
        row = (pairs & np.uint64(0xFFFF)).astype(np.int64)
        sizes = np.bincount(row, minlength=len(texts))
        values = np.zeros((len(texts), HASHES), dtype=np.uint64)
        filled = np.flatnonzero(sizes)
        if len(filled):
            firsts = (np.cumsum(sizes) - sizes)[filled]
            terms = _mixed(pairs >> np.uint64(24))
            for nth, factor in enumerate(_FACTORS):
                values[filled, nth] = np.minimum.reduceat(terms * factor, firsts)
        doors = np.zeros((len(texts), _DOORS), dtype=np.uint64)
        for nth in range(HASHES):
            doors[:, nth // BAND_ROWS] = _mixed(doors[:, nth // BAND_ROWS] ^ values[:, nth])
        contents = np.array(
            [
                (
                    _hashed(memory.text),
                    _hashed(memory.operator or memory.author),
                    _hashed("\n".join(figures(memory.text))),
                )
                for memory in memories
            ],
            dtype=np.uint64,
        )
        doors[:, BANDS] = contents[:, 0]
        return _Part(
            np.frombuffer(b"".join(memory.id for memory in memories), dtype=np.uint8).reshape(
                -1, 32
            ),
            (values >> np.uint64(56)).astype(np.uint8),
            contents,
            (doors >> np.uint64(32)).astype(np.uint32),
            sizes,
        )

    def _suspects(self, part: _Part) -> Iterator[int]:
        """Those that share a door with anything before them, in order."""
        shared = self._behind(part.doors).max(axis=1) >= 0
        for door in range(_DOORS):
            _, first = np.unique(part.doors[:, door], return_index=True)
            again = np.ones(len(shared), dtype=np.bool_)
            again[first] = False
            shared |= again
        yield from np.flatnonzero(shared & (part.sizes > 0)).tolist()

    def _behind(self, doors: npt.NDArray[np.uint32]) -> npt.NDArray[np.intp]:
        """The place of whoever came last through each of these doors; -1 for nobody."""
        places = self._tables[np.arange(_DOORS), doors % self._size].astype(np.intp) - 1
        places[self._doors[places, np.arange(_DOORS)] != doors] = -1
        return places

    def _met(self, part: _Part, nth: int) -> Likeness | None:
        """The earlier memory that is most like this one."""
        places = np.unique(self._behind(part.doors[nth]))
        places = places[places >= 0]
        if not len(places):
            return None
        agreeing = (self._signatures[places] == part.signatures[nth]).sum(axis=1)
        contents = self._contents[places]
        same_text = contents[:, 0] == part.contents[nth, 0]
        agreeing[contents[:, 2] != part.contents[nth, 2]] = 0
        if part.sizes[nth] < _TERMS_MIN:
            agreeing[~same_text] = 0
        agreeing[(self._ids[places] == part.ids[nth]).all(axis=1)] = 0  # it was added before
        agreeing += same_text & (agreeing > 0)
        best = int(np.argmax(agreeing))
        if agreeing[best] < NEAR * HASHES:
            return None
        place = int(places[best])
        return Likeness(
            part.ids[nth].tobytes(),
            self._ids[place].tobytes(),
            1.0 if same_text[best] else float(agreeing[best]) / HASHES,
            _mark(part.signatures[nth], part.contents[nth]),
            _mark(self._signatures[place], self._contents[place]),
        )

    def _keep(self, part: _Part, first: int, end: int) -> None:
        """Remember these rows."""
        count = end - first
        if not count:
            return
        places = (self._next + np.arange(count)) % self._size
        self._ids[places] = part.ids[first:end]
        self._signatures[places] = part.signatures[first:end]
        self._contents[places] = part.contents[first:end]
        self._doors[places] = part.doors[first:end]
        for door in range(_DOORS):
            self._tables[door, part.doors[first:end, door] % self._size] = places + 1
        self._next = (self._next + count) % self._size
        self._used = min(self._size, self._used + count)


def _zeros(shape: tuple[int, ...], dtype: type[Any]) -> npt.NDArray[Any]:
    """An array whose pages cost no memory until something is written there: small pages, because a
    few entries in a large table would else cost megabytes."""
    pages = mmap.mmap(-1, math.prod(shape) * np.dtype(dtype).itemsize)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):  # Linux
        with suppress(OSError):  # it has no huge pages
            pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, dtype).reshape(shape)


def _mark(signature: npt.NDArray[np.uint8], contents: Numbers) -> Mark:
    text, operator = contents[:2].view(np.int64).tolist()
    return Mark(signature.tobytes(), text, operator)


def _hashed(text: str) -> int:
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=_CONTENT_BYTES).digest()
    return int.from_bytes(digest)


def _mixed(numbers: Numbers) -> Numbers:
    """Well spread numbers (the finaliser of MurmurHash3)."""
    mixed: Numbers = numbers ^ numbers >> np.uint64(33)
    mixed = mixed * np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed = mixed * np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return mixed
