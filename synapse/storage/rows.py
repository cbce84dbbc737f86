"""Records and private memories as the columns of two tables, checked on the way back.

A record must hash to its id, a body to what its header says and a signature to a sum of its own,
so that a bit which flipped on the disk is noticed here and not passed on.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Sequence
from typing import Any, Final

import zstandard

from synapse.core.errors import RecordError
from synapse.core.memory.memory import Memory, PrivateMemory, read_back
from synapse.core.memory.record import BODY_BYTES_MAX, Record, body_hash, stored_header

COMPRESSION_LEVEL: Final = 3  # zstd's own default: most of the gain at a fraction of the cost
PRIVATE_BYTES_MAX: Final = 6 * BODY_BYTES_MAX  # JSON makes at most six characters of one byte

Row = tuple[Any, ...]  # what sqlite3 hands over

_local: Final = threading.local()  # a decompressor for each thread: making one takes a microsecond


class DamagedError(Exception):
    """A row is not what was written. Never leaves the storage package."""


class RowWriter:
    """Makes rows. Not for two threads at once: the compressor is not."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)

    def record(self, position: int, record: Record) -> Row:
        """(position, id, kind, hlc ms, header, signature, its sum, body, packed)."""
        header = record.header
        body, packed = self._smallest(record.body)
        return (
            position,
            record.id,
            header.kind,
            header.hlc.ms,
            record.header_data,
            record.signature,
            zlib.crc32(record.signature),
            body,
            packed,
        )

    def private(self, position: int, memory: PrivateMemory) -> Row:
        """(position, id, created ms, body)."""
        content = {"text": memory.text, "kind": memory.kind, "tags": memory.tags}
        body = json.dumps(content, ensure_ascii=False).encode()
        return (position, memory.id, memory.created_ms, self._compressor.compress(body))

    def _smallest(self, body: bytes | None) -> tuple[bytes | None, bool]:
        if body is None:
            return None, False
        packed = self._compressor.compress(body)
        return (packed, True) if len(packed) < len(body) else (body, False)


def to_record(columns: Sequence[Any]) -> Record:
    """The record of (id, header, signature, its sum, body, packed). Raises DamagedError.

    A row that was written before signatures had a sum has None there.
    """
    record_id, header_data, signature, signature_sum, body, packed = columns
    if not isinstance(header_data, bytes) or not isinstance(signature, bytes):
        raise DamagedError("the header or the signature is not bytes")
    if signature_sum is not None and zlib.crc32(signature) != signature_sum:
        raise DamagedError("the signature is not the one that was written")
    if body is not None and not isinstance(body, bytes):
        raise DamagedError("the body is not bytes")
    if packed and body is not None:
        body = _unpacked(body, bytes_max=BODY_BYTES_MAX)
    try:
        record = Record.stored(record_id, header_data, signature, body)
    except RecordError as error:
        raise DamagedError(f"the header: {error}") from None
    if body is not None and body_hash(body) != record.header.body_hash:
        raise DamagedError("the body is not the one that was signed")
    return record


def to_memory(columns: Sequence[Any]) -> Memory | None:
    """The memory of (id, header, body, packed), which one was made of before; None once its body
    is erased. Raises DamagedError.

    Neither its signature nor the form of its body is looked at again.
    """
    record_id, header_data, body, packed = columns
    if body is None:
        return None
    if not isinstance(header_data, bytes) or not isinstance(body, bytes):
        raise DamagedError("the header or the body is not bytes")
    if packed:
        body = _unpacked(body, bytes_max=BODY_BYTES_MAX)
    try:
        header = stored_header(record_id, header_data)
        if body_hash(body) != header.body_hash:
            raise DamagedError("the body is not the one that was signed")
        return read_back(record_id, header, body)
    except RecordError as error:
        raise DamagedError(f"the header: {error}") from None


def to_private(columns: Sequence[Any]) -> PrivateMemory:
    """The private memory of (id, created ms, body). Raises DamagedError."""
    memory_id, created_ms, body = columns
    if not (isinstance(memory_id, bytes) and isinstance(body, bytes) and type(created_ms) is int):
        raise DamagedError("the id, the time or the body is of another type")
    content = json.loads(_unpacked(body, bytes_max=PRIVATE_BYTES_MAX))
    return PrivateMemory(
        id=memory_id,
        text=content["text"],
        kind=content["kind"],
        tags=tuple(content["tags"]),
        created_ms=created_ms,
    )


def _unpacked(packed: bytes, *, bytes_max: int) -> bytes:
    """Decompress at most `bytes_max` bytes, whatever the frame makes of a few flipped bits."""
    try:
        if not 0 <= zstandard.frame_content_size(packed) <= bytes_max:
            raise DamagedError(f"a body says that it is larger than {bytes_max} bytes")
        if (decompressor := getattr(_local, "decompressor", None)) is None:
            decompressor = _local.decompressor = zstandard.ZstdDecompressor()
        unpacked: bytes = decompressor.decompress(packed)
        return unpacked
    except zstandard.ZstdError as error:
        raise DamagedError(f"a body does not decompress: {error}") from None
