"""One vector for each memory of one embedding model, in a file that only grows.

    header: 512 bytes. A magic number, format, dimensions, length of the model's name, CRC-32, name
    chunks: a magic number, how many rows, CRC-32 of the rows, then the rows
    a row:  the memory's id (32 bytes), its scale (32-bit float), its vector (8 bits a number)

Numbers are little-endian. A vector is stored divided by its greatest number, in 127 steps to either
side; times the scale, its dot product with a question of length 1 is their cosine.

All of it is derived. What a crash cut off is cut away, a damaged chunk is left out and the rest
copied to a new file: either is asked for again. Nothing damaged is kept, because text can be
guessed from its vector, and what its author takes back has to go everywhere: a row that is to be
forgotten is overwritten with zeros.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import struct
import threading
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import structlog

from synapse.core.errors import StorageError, StorageFull
from synapse.retrieval.layout import mixed

FORMAT_VERSION: Final = 1
HEADER_BYTES: Final = 512
DIMENSIONS_MAX: Final = 4_096  # the longest that embedding models give; 16 KiB in single precision
CHUNK_ROWS_MAX: Final = 4_096  # more is no chunk of ours; a batch of an endpoint is far smaller
SUFFIX: Final = ".vectors"

_MAGIC: Final = b"SYNVEC\r\n"
_HEADER: Final = struct.Struct("<8s4I")
_CHUNK_MAGIC: Final = b"VROW"
_CHUNK: Final = struct.Struct("<4s2I")
_ID: Final = 32
_VECTOR_AT: Final = _ID + 4
_STEPS: Final = 127  # to either side of zero
_DISK_FULL: Final = (28, 122)  # ENOSPC, EDQUOT

Vectors = npt.NDArray[np.float32]
"""Rows of length 1."""

Numbers = npt.NDArray[np.float32]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What readers see: the file as it was, and where in it each row is, by hashed id."""

    data: mmap.mmap | bytes = b""
    keys: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    offsets: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class _Chunk:
    at: int
    rows: int
    whole: bool


class Column:
    """The vectors of one model. One thread appends and any may forget, while others read.

    The file is made with the first vectors: only they tell the dimensions.
    """

    def __init__(self, folder: Path, *, model: str, dimensions: int | None = None) -> None:
        """`dimensions` are those that the model is asked for, None when it gives what it has.
        Nothing is read yet."""
        self.model = model
        self.damaged = 0  # chunks, and headers, that were left out when the file was opened
        marked = f"{model}\n{dimensions or ''}"
        self.path = folder / (hashlib.sha256(marked.encode()).hexdigest()[:16] + SUFFIX)
        self._dimensions: int | None = None
        self._writing = threading.Lock()
        self._starts: list[int] = []  # of the chunks
        self._snapshot = _Snapshot()
        self._file = -1

    def open(self) -> None:
        """Take up what is in the folder for this model, and remove what is there for any other:
        nobody would take out of it what its authors take back. Reads all of it.

        Raises StorageError.
        """
        folder = self.path.parent
        with self._writing, _as_storage_error("open the vectors"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for other in sorted(folder.glob(f"*{SUFFIX}*")):
                if other != self.path:
                    other.unlink(missing_ok=True)
            if self._file >= 0:  # the last time failed half way
                os.close(self._file)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            self._take_up_file()

    @property
    def dimensions(self) -> int | None:
        """How many numbers a vector has; None before the first."""
        return self._dimensions

    def __len__(self) -> int:
        """How many memories have a vector."""
        return len(self._snapshot.keys)

    def missing(self, ids: Sequence[bytes]) -> list[bytes]:
        """Those of the ids that have no vector, in their order."""
        offsets = _offsets(self._snapshot, ids)
        return [one for one, offset in zip(ids, offsets.tolist(), strict=True) if offset < 0]

    def cosines(self, ids: Sequence[bytes], question: Numbers) -> Numbers:
        """How near each memory is to a question, a vector of length 1: -1 to 1, and NaN where a
        memory has no vector."""
        snapshot = self._snapshot
        offsets = _offsets(snapshot, ids)
        found = offsets >= 0
        cosines = np.full(len(ids), np.nan, dtype=np.float32)
        if len(question) != self._dimensions or not found.any():
            return cosines
        data = np.frombuffer(snapshot.data, dtype=np.uint8)
        rows = data[offsets[found][:, None] + np.arange(self._row_bytes)]
        scales = np.ascontiguousarray(rows[:, _ID:_VECTOR_AT]).view("<f4")[:, 0]
        small = rows[:, _VECTOR_AT:].view(np.int8).astype(np.float32)
        products = np.einsum("ij,j->i", small, question)  # BLAS would wake threads for so little
        with np.errstate(over="ignore", invalid="ignore"):  # a bit of the file may have flipped
            nearness = products * scales
        nearness[~np.isfinite(nearness)] = np.nan
        cosines[found] = np.clip(nearness, -1.0, 1.0)
        return cosines

    def append(self, ids: Sequence[bytes], vectors: Vectors) -> None:
        """Keep vectors of memories that have none yet; for others nothing changes.

        Raises StorageError; ValueError for vectors of other dimensions than those before.
        """
        if self._dimensions not in (None, vectors.shape[1]):
            raise ValueError(f"{vectors.shape[1]} dimensions, where {self._dimensions} are kept")
        with self._writing:
            lacking = frozenset(self.missing(ids))
            fresh = {one: nth for nth, one in enumerate(ids) if one in lacking}
            if not fresh:
                return
            rows = _rows(list(fresh), vectors[list(fresh.values())])
            with _as_storage_error("write the vectors"):
                if self._dimensions is None:
                    self._begin(vectors.shape[1])
                at = os.lseek(self._file, 0, os.SEEK_END)
                chunk = _CHUNK.pack(_CHUNK_MAGIC, len(fresh), zlib.crc32(rows)) + rows
                try:
                    _write(self._file, chunk, at)
                except OSError:
                    os.ftruncate(self._file, at)  # what follows must begin where a chunk may
                    raise
                self._starts.append(at)
                first = at + _CHUNK.size
                offsets = first + np.arange(len(fresh), dtype=np.int64) * self._row_bytes
                self._publish(mixed(b"".join(fresh)), offsets)

    def forget(self, ids: Sequence[bytes]) -> int:
        """Overwrite the vectors of these; how many there were. Raises StorageError."""
        with self._writing:
            offsets = _offsets(self._snapshot, ids)
            gone = sorted({offset for offset in offsets.tolist() if offset >= 0})
            if not gone:
                return 0
            with _as_storage_error("forget a vector"):
                for offset in gone:
                    _write(self._file, bytes(self._row_bytes), offset)
                starts = {self._starts[bisect_right(self._starts, offset) - 1] for offset in gone}
                for start in sorted(starts):
                    self._seal(start)
                os.fsync(self._file)
            snapshot = self._snapshot
            kept = ~np.isin(snapshot.offsets, gone)
            self._snapshot = _Snapshot(snapshot.data, snapshot.keys[kept], snapshot.offsets[kept])
            return len(gone)

    def close(self) -> None:
        """Let go of the file."""
        with self._writing:
            self._snapshot = _Snapshot()
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    # The file.

    @property
    def _row_bytes(self) -> int:
        return _VECTOR_AT + (self._dimensions or 0)

    def _begin(self, dimensions: int) -> None:
        assert 0 < dimensions <= DIMENSIONS_MAX
        _write(self._file, _header(self.model, dimensions), 0)
        self._dimensions = dimensions

    def _take_up_file(self) -> None:
        """Read what is whole, and make it all that is there."""
        size = os.fstat(self._file).st_size
        if not size:
            return
        data = mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)
        self._dimensions = _dimensions(data, self.model)
        if self._dimensions is None:
            self.damaged += 1
            os.ftruncate(self._file, 0)
            _log.warning("vectors_damaged", problem="the header cannot be read", left="nothing")
            return
        chunks = list(_chunks(data, self._row_bytes))
        end = chunks[-1].at + self._chunk_bytes(chunks[-1].rows) if chunks else HEADER_BYTES
        torn = size - end > 0 and _may_be_torn(data[end : end + _CHUNK.size], size - end)
        lost = sum(not each.whole for each in chunks) + (end < size and not torn)
        if lost:
            self.damaged += lost
            _log.warning("vectors_damaged", chunks=lost, whole=len(chunks))
            data = self._copied(data, [each for each in chunks if each.whole])
            chunks = list(_chunks(data, self._row_bytes))
        elif torn:
            os.ftruncate(self._file, end)
        self._take_up_chunks(data, chunks)

    def _take_up_chunks(self, data: mmap.mmap, chunks: Sequence[_Chunk]) -> None:
        self._starts = [each.at for each in chunks]
        keys, offsets = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for each in chunks:
            first = each.at + _CHUNK.size
            raw = np.frombuffer(data, np.uint8, each.rows * self._row_bytes, first)
            ids = raw.reshape(each.rows, self._row_bytes)[:, :_ID]
            there = ids.any(axis=1)  # the others were forgotten
            places = first + np.arange(each.rows, dtype=np.int64) * self._row_bytes
            keys.append(mixed(np.ascontiguousarray(ids[there]).tobytes()))
            offsets.append(places[there])
        self._publish(np.concatenate(keys), np.concatenate(offsets))
        data.madvise(mmap.MADV_DONTNEED)  # it was read to look at checksums

    def _publish(self, keys: npt.NDArray[np.uint64], offsets: npt.NDArray[np.int64]) -> None:
        """Let readers see the file as it is now, with these rows more."""
        before, order = self._snapshot, np.argsort(keys, kind="stable")
        places = np.searchsorted(before.keys, keys[order])
        data = mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)
        self._snapshot = _Snapshot(
            data,
            np.insert(before.keys, places, keys[order]),
            np.insert(before.offsets, places, offsets[order]),
        )

    def _copied(self, data: mmap.mmap, chunks: Sequence[_Chunk]) -> mmap.mmap:
        """The file, put in place of itself with these chunks only."""
        fresh = self.path.with_suffix(f"{SUFFIX}.new")
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            at = _write(file, data[:HEADER_BYTES], 0)
            for each in chunks:
                chunk = data[each.at : each.at + self._chunk_bytes(each.rows)]
                at += _write(file, chunk, at)
            fresh.replace(self.path)
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file = file
        return mmap.mmap(file, 0, access=mmap.ACCESS_READ)

    def _seal(self, start: int) -> None:
        """Write the checksum of a chunk anew."""
        _, rows, _ = _CHUNK.unpack(os.pread(self._file, _CHUNK.size, start))
        body = os.pread(self._file, rows * self._row_bytes, start + _CHUNK.size)
        _write(self._file, _CHUNK.pack(_CHUNK_MAGIC, rows, zlib.crc32(body)), start)

    def _chunk_bytes(self, rows: int) -> int:
        return _CHUNK.size + rows * self._row_bytes


def quantised(vectors: Vectors) -> tuple[npt.NDArray[np.int8], Numbers]:
    """Vectors in 8 bits a number, and for each what makes a dot product with it a cosine."""
    greatest = np.abs(vectors).max(axis=1, keepdims=True)
    small = np.rint(vectors * (_STEPS / greatest)).astype(np.int8)
    lengths = np.sqrt((small.astype(np.float32) ** 2).sum(axis=1))
    return small, (1 / lengths).astype(np.float32)


def _rows(ids: Sequence[bytes], vectors: Vectors) -> bytes:
    small, scales = quantised(vectors)
    return b"".join(
        memory_id + struct.pack("<f", scale) + vector.tobytes()
        for memory_id, scale, vector in zip(ids, scales.tolist(), small, strict=True)
    )


def _offsets(snapshot: _Snapshot, ids: Sequence[bytes]) -> npt.NDArray[np.int64]:
    """Where in the file the row of each id is, -1 for one that has none."""
    offsets = np.full(len(ids), -1, dtype=np.int64)
    if not ids or not len(snapshot.keys):
        return offsets
    keys = mixed(b"".join(ids))
    places = np.searchsorted(snapshot.keys, keys)
    for nth, (memory_id, place) in enumerate(zip(ids, places.tolist(), strict=True)):
        while place < len(snapshot.keys) and snapshot.keys[place] == keys[nth]:
            offset = int(snapshot.offsets[place])
            if snapshot.data[offset : offset + _ID] == memory_id:
                offsets[nth] = offset
                break
            place += 1  # two ids may have one hash
    return offsets


def _header(model: str, dimensions: int) -> bytes:
    name = model.encode()
    fields = (FORMAT_VERSION, dimensions, len(name))
    checksum = zlib.crc32(name, zlib.crc32(_HEADER.pack(_MAGIC, *fields, 0)))
    header = _HEADER.pack(_MAGIC, *fields, checksum) + name
    assert len(header) <= HEADER_BYTES
    return header.ljust(HEADER_BYTES, b"\0")


def _dimensions(data: mmap.mmap, model: str) -> int | None:
    """What the header says; None when it is not one of ours for this model."""
    if len(data) < HEADER_BYTES:
        return None
    dimensions = int(_HEADER.unpack(data[: _HEADER.size])[2])
    possible = 0 < dimensions <= DIMENSIONS_MAX
    return dimensions if possible and data[:HEADER_BYTES] == _header(model, dimensions) else None


def _chunks(data: mmap.mmap, row_bytes: int) -> Iterator[_Chunk]:
    """The chunks, as far as their lengths can be believed: up to the end of the file, or to what is
    no chunk. One that does not match its checksum is believed when another follows."""
    at, size = HEADER_BYTES, len(data)
    while at < size:
        if at + _CHUNK.size > size:
            return
        magic, rows, checksum = _CHUNK.unpack(data[at : at + _CHUNK.size])
        end = at + _CHUNK.size + rows * row_bytes
        if magic != _CHUNK_MAGIC or not 0 < rows <= CHUNK_ROWS_MAX or end > size:
            return
        whole = zlib.crc32(memoryview(data)[at + _CHUNK.size : end]) == checksum
        follows = end == size or data[end : end + 4] == _CHUNK_MAGIC
        if not whole and not follows:
            return
        yield _Chunk(at, rows, whole)
        at = end


def _may_be_torn(start: bytes, length: int) -> bool:
    """Whether the end of a file is a chunk whose writing a crash cut short."""
    if length < _CHUNK.size:
        return True
    magic, rows, _ = _CHUNK.unpack(start)
    return bool(magic == _CHUNK_MAGIC and 0 < rows <= CHUNK_ROWS_MAX)


def _write(file: int, data: bytes, at: int) -> int:
    """Write all of it. Raises OSError."""
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], at + done)
    return done


@contextlib.contextmanager
def _as_storage_error(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = StorageFull if error.errno in _DISK_FULL else StorageError
        raise kind(f"cannot {what}: {error.strerror}") from error
