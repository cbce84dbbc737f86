"""What is read of a model's file, and that a hostile one is refused and costs nothing."""

from __future__ import annotations

import random
import struct

import pytest

from synapse.providers.gguf import ENTRIES_MAX, TEXT_BYTES_MAX, ModelFacts, ModelFileError, read
from tests import gguf

LLAMA = {
    "general.architecture": "llama",
    "llama.block_count": 32,
    "llama.embedding_length": 4_096,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
    "llama.context_length": 8_192,
}


@pytest.fixture
def file(tmp_path):
    """Writes bytes, or a container with this metadata, to a file of this name."""

    def write(content, name="model.gguf"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else gguf.container(content))
        return path

    return write


def test_a_made_up_model_is_read_without_loading_it(tmp_path):
    path = gguf.write(tmp_path / "a.gguf")
    assert read(path) == ModelFacts("Tiny Noise", "llama", "tiny", path.stat().st_size, 512, 512)


def test_memory_is_the_file_and_the_cache_of_all_layers(file):
    path = file(LLAMA)
    facts = read(path)
    assert facts.cache_bytes_a_token == 32 * 8 * (128 + 128) * 2  # 128 KiB, as of Llama 3 8B
    assert facts.memory_bytes(4_096) == path.stat().st_size + 512 * 1024 * 1024


def test_heads_of_another_width_than_the_model_are_counted_as_they_are(file):
    own = {"llama.attention.key_length": 256, "llama.attention.value_length": 64}
    assert read(file({**LLAMA, **own})).cache_bytes_a_token == 32 * 8 * (256 + 64) * 2


def test_shapes_that_differ_by_layer_make_no_guess(file):
    facts = read(file({**LLAMA, "llama.attention.head_count": [32, 16]}))
    assert facts.cache_bytes_a_token is None
    assert facts.memory_bytes(4_096) == facts.size_bytes


@pytest.mark.parametrize(
    ("fields", "name", "family"),
    [
        ({"general.basename": "Qwen3", "general.name": "Something"}, "a.gguf", "qwen"),
        ({"general.name": "Meta Llama 3.1 8B Instruct"}, "a.gguf", "llama"),
        ({"general.name": "7"}, "mistral-small.gguf", "mistral"),
        ({}, "Phi-4-mini-Q4_K_M.gguf", "phi"),
        ({}, "123.gguf", "unknown"),
    ],
)
def test_the_family_is_read_off_the_names_inside_and_then_off_the_files(file, fields, name, family):
    assert read(file(fields or {"x": 1}, name)).family == family


def test_a_name_from_inside_is_one_short_printable_line(file):
    facts = read(file({"general.name": "Qwen\x1b[31m\n\u202e" + "x" * 500}))
    assert facts.name.isprintable()
    assert len(facts.name) == 64


def test_a_part_of_a_model_says_how_to_join_the_parts(file):
    with pytest.raises(ModelFileError, match="gguf-split"):
        read(file({**LLAMA, "split.count": 3}))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ModelFileError, match="missing"):
        read(tmp_path / "missing.gguf")
    with pytest.raises(ModelFileError, match="models"):
        (tmp_path / "models").mkdir()
        read(tmp_path / "models")


def head(version: int = 3, entries: int = 1) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 0, entries)


def entry(kind: int, *rest: bytes) -> bytes:
    return struct.pack("<Q", 1) + b"x" + struct.pack("<I", kind) + b"".join(rest)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGU",
        b"GGML" + bytes(100),
        head(version=1) + entry(4, bytes(4)),
        head(version=0x03000000) + entry(4, bytes(4)),  # of the other byte order
        head(entries=ENTRIES_MAX + 1),
        head(entries=2**63),
        head() + struct.pack("<Q", 2**63),  # a name without end
        head() + struct.pack("<Q", TEXT_BYTES_MAX + 1) + bytes(TEXT_BYTES_MAX + 100),
        head() + entry(99),
        head() + entry(8, struct.pack("<Q", 100), b"short"),
        head() + entry(9, struct.pack("<IQ", 4, 2**62)),
        head() + entry(9, struct.pack("<IQ", 4, 1_000_000)),
        head() + entry(9, struct.pack("<IQ", 8, 2), struct.pack("<Q", 2**63)),
        head() + entry(9, struct.pack("<IQ", 9, 1), struct.pack("<IQ", 4, 1), bytes(4)),
    ],
)
def test_a_file_that_lies_about_its_lengths_is_refused(file, content):
    with pytest.raises(ModelFileError):
        read(file(content))


def test_every_cut_and_every_flipped_byte_of_a_header_is_survived(file):
    rng = random.Random(5)
    whole = gguf.container({**LLAMA, "tokens": ["a", "b"], "numbers": [1, 2], "rope": 1.5})
    for cut in range(0, len(whole), 7):
        path = file(whole[:cut])
        try:
            read(path)
        except ModelFileError as error:
            assert str(error)
    for _ in range(1_000):
        broken = bytearray(whole)
        broken[rng.randrange(4, len(broken))] = rng.randrange(256)
        try:
            facts = read(file(bytes(broken)))
        except ModelFileError:
            continue
        assert facts.memory_bytes(4_096) >= facts.size_bytes
