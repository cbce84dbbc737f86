"""Bodies on the wire: zstd above a kilobyte, and never more than the limit when unpacked."""

from __future__ import annotations

from typing import Final

import zstandard

from synapse.core.errors import MessageError

MEDIA_TYPE: Final = "application/cbor"
ENCODING: Final = "zstd"
_PACK_FROM_BYTES: Final = 1_024
_WINDOW_BYTES_MAX: Final = 8 << 20  # what a stranger may make us allocate to unpack


def pack(data: bytes) -> tuple[bytes, dict[str, str]]:
    """The bytes to send, and the headers that say how to read them."""
    headers = {"content-type": MEDIA_TYPE}
    if len(data) < _PACK_FROM_BYTES:
        return data, headers
    return zstandard.ZstdCompressor(level=3).compress(data), {
        **headers,
        "content-encoding": ENCODING,
    }


def unpack(data: bytes, encoding: str, *, bytes_max: int) -> bytes:
    """Undo `pack`. Raises MessageError for another encoding, damage, or more than `bytes_max`."""
    if encoding not in ("", ENCODING):
        raise MessageError(f"the body is encoded as {encoding[:32]!r}; only {ENCODING} is read")
    unpacked = _decompressed(data, bytes_max=bytes_max) if encoding else data
    if len(unpacked) > bytes_max:
        raise MessageError(f"the body is more than {bytes_max} bytes when unpacked")
    return unpacked


def _decompressed(data: bytes, *, bytes_max: int) -> bytes:
    """The text of a frame, up to one byte more than `bytes_max`."""
    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX).stream_reader(data)
    try:
        return reader.read(bytes_max + 1)
    except zstandard.ZstdError as error:
        raise MessageError(f"the body is damaged: {error}") from None
