"""Bodies on the wire: small ones as they are, large ones squeezed, none larger than agreed."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest
import zstandard

from synapse.core.errors import MessageError
from synapse.transport.packing import ENCODING, MEDIA_TYPE, pack, unpack

LIMIT = 4 << 20


def squeezed(data: bytes, *, window_log: int = 20) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


@pytest.mark.parametrize("size", [0, 1, 1_023, 1_024, 100_000, LIMIT])
def test_what_is_packed_is_unpacked(size: int) -> None:
    data = Random(size).randbytes(size // 2) + b"x" * (size - size // 2)
    packed, headers = pack(data)
    assert headers["content-type"] == MEDIA_TYPE
    assert ("content-encoding" in headers) == (size >= 1_024)
    assert unpack(packed, headers.get("content-encoding", ""), bytes_max=LIMIT) == data


def test_repetition_costs_little() -> None:
    assert len(pack(b"synapse " * 10_000)[0]) < 1_000


@pytest.mark.promise("bounded")
def test_a_bomb_is_refused_before_it_goes_off() -> None:
    bomb = squeezed(bytes(256 << 20))
    assert len(bomb) < 40_000
    with pytest.raises(MessageError, match="more than"):
        unpack(bomb, ENCODING, bytes_max=LIMIT)


def test_a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    assert len(unpack(squeezed(bytes(LIMIT)), ENCODING, bytes_max=LIMIT)) == LIMIT
    with pytest.raises(MessageError, match="more than"):
        unpack(squeezed(bytes(LIMIT + 1)), ENCODING, bytes_max=LIMIT)


def test_a_body_that_was_not_packed_keeps_to_the_limit_too() -> None:
    with pytest.raises(MessageError, match="more than"):
        unpack(bytes(101), "", bytes_max=100)


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(("window_log", "fits"), [(20, True), (23, True), (24, False), (27, False)])
def test_a_window_that_would_take_much_memory_is_refused(window_log: int, fits: bool) -> None:
    parameters = zstandard.ZstdCompressionParameters(
        window_log=window_log, write_content_size=False
    )
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = stream.compress(b"a few bytes") + stream.flush()  # its size is not said in advance
    if fits:
        assert unpack(frame, ENCODING, bytes_max=LIMIT) == b"a few bytes"
    else:
        with pytest.raises(MessageError, match="damaged"):
            unpack(frame, ENCODING, bytes_max=LIMIT)


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity", "zstd, zstd", "ZSTD", "x" * 10_000])
def test_other_encodings_are_refused_by_name(encoding: str) -> None:
    with pytest.raises(MessageError) as error:
        unpack(b"", encoding, bytes_max=LIMIT)
    assert len(str(error.value)) < 200


def test_damage_is_refused() -> None:
    whole = squeezed(b"the tides follow the moon " * 200)
    for broken in (
        b"no zstd at all",
        whole[1:],
        b"\x00" + whole,
        whole[:20] + bytes(20) + whole[40:],
    ):
        with pytest.raises(MessageError, match="damaged"):
            unpack(broken, ENCODING, bytes_max=LIMIT)


def test_random_damage_is_refused_or_harmless() -> None:
    rng = Random(3)
    whole = squeezed(b"the tides follow the moon " * 200)
    for _ in range(2_000):
        broken = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        with suppress(MessageError):  # which is the other right answer
            assert len(unpack(bytes(broken), ENCODING, bytes_max=LIMIT)) <= LIMIT
