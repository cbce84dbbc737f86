"""What a GGUF file says of itself, read without loading it: name, shape and context.

Only the header is read: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. It comes from
strangers, so every length in it is checked before anything of that length is read or skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from synapse.core.errors import SynapseError
from synapse.core.text import shortened
from synapse.providers.catalogue import family_of

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)  # what llama.cpp still reads
HEADER_BYTES_MAX: Final = 64 * 1024 * 1024  # vocabularies of 262,144 tokens fill about 15 MB
ENTRIES_MAX: Final = 10_000  # metadata fields; the largest we know of has about sixty
TEXT_BYTES_MAX: Final = 4 * 1024 * 1024  # of one text; chat templates have tens of kilobytes
ELEMENTS_MAX: Final = 4_000_000  # of one array; a vocabulary's merges are about 500,000
NAME_CHARACTERS_MAX: Final = 64  # a name is a column of every table that shows models

_CACHE_BYTES: Final = 2  # of one number in the key-value cache, which llama.cpp keeps as float16
_TEXT, _ARRAY = 8, 9
_LAYOUTS: Final[Mapping[int, str]] = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}


class ModelFileError(SynapseError):
    """A model's file cannot be had, or is not what it should be. The message says what to do."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the file says. None where it does not say, or does not say it in one number."""

    name: str
    architecture: str
    family: str
    size_bytes: int
    context_tokens: int | None  # that the model was trained for
    cache_bytes_a_token: int | None  # of the key-value cache

    def memory_bytes(self, context_tokens: int) -> int:
        """What running it needs at least: the file, and the cache for so many tokens."""
        return self.size_bytes + (self.cache_bytes_a_token or 0) * context_tokens


def read(path: Path) -> ModelFacts:
    """The facts in a file's header. Raises ModelFileError."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            fields = _fields(_Header(file, min(size, HEADER_BYTES_MAX)))
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from None
    if _whole(fields, "split.count") not in (None, 0, 1):
        raise ModelFileError(
            f"{path.name} is one part of several; join them with `llama-gguf-split --merge` first"
        )
    architecture = _word(fields, "general.architecture") or "unknown"
    name = _word(fields, "general.basename") or _word(fields, "general.name") or path.stem
    return ModelFacts(
        name=name,
        architecture=architecture,
        family=_family(name, path),
        size_bytes=size,
        context_tokens=_whole(fields, f"{architecture}.context_length"),
        cache_bytes_a_token=_cache_bytes(fields, architecture),
    )


def _family(name: str, path: Path) -> str:
    """Read off the name the file gives itself, else off the file's own; words join with dashes."""
    found = (family_of("-".join(one.split())) for one in (name, path.stem))
    return next((family for family in found if family != "unknown"), "unknown")


def _cache_bytes(fields: Mapping[str, object], architecture: str) -> int | None:
    """Keys and values of one token in every layer; None for shapes that differ by layer."""
    layers = _whole(fields, f"{architecture}.block_count")
    width = _whole(fields, f"{architecture}.embedding_length")
    heads = _whole(fields, f"{architecture}.attention.head_count")
    if not (layers and width and heads):
        return None
    kept = _whole(fields, f"{architecture}.attention.head_count_kv") or heads
    key = _whole(fields, f"{architecture}.attention.key_length") or width // heads
    value = _whole(fields, f"{architecture}.attention.value_length") or width // heads
    return layers * kept * (key + value) * _CACHE_BYTES


def _word(fields: Mapping[str, object], name: str) -> str | None:
    """A short printable text, None when there is none."""
    value = fields.get(name)
    if not isinstance(value, str):
        return None
    printable = "".join(c if c.isprintable() else " " for c in value)
    return shortened(printable, characters_max=NAME_CHARACTERS_MAX) or None


def _whole(fields: Mapping[str, object], name: str) -> int | None:
    """A whole number below 2^32, None for anything else."""
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32:
        return value
    return None


def _fields(header: _Header) -> dict[str, object]:
    """Every field but the arrays, which are skipped."""
    if header.take(4) != MAGIC:
        raise ModelFileError(f"{header.name} is no GGUF file")
    (version,) = header.numbers("I")
    if version not in VERSIONS:
        raise ModelFileError(f"{header.name} is GGUF of version {version}, not {VERSIONS}")
    _, count = header.numbers("QQ")
    if count > ENTRIES_MAX:
        raise header.broken()
    fields: dict[str, object] = {}
    for _ in range(count):
        name = header.text()
        (kind,) = header.numbers("I")
        fields[name] = _value(header, kind)
    return fields


def _value(header: _Header, kind: int) -> object:
    if kind == _TEXT:
        return header.text()
    if kind in _LAYOUTS:
        return header.numbers(_LAYOUTS[kind])[0]
    if kind != _ARRAY:
        raise header.broken()
    element, count = header.numbers("IQ")
    if count > ELEMENTS_MAX:
        raise header.broken()
    if element in _LAYOUTS:
        header.skip(count * struct.calcsize(_LAYOUTS[element]))
    elif element == _TEXT:
        for _ in range(count):
            header.skip(header.numbers("Q")[0])
    else:  # arrays of arrays are in the format, and in no model
        raise header.broken()
    return None


class _Header:
    """The first bytes of a file, taken in order; nothing beyond `limit` is read."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self.name = Path(file.name).name
        self._file = file
        self._left = limit

    def broken(self) -> ModelFileError:
        return ModelFileError(f"{self.name} is no GGUF file, or was cut short")

    def take(self, count: int) -> bytes:
        if count > self._left:
            raise self.broken()
        self._left -= count
        taken = self._file.read(count)
        if len(taken) != count:
            raise self.broken()
        return taken

    def skip(self, count: int) -> None:
        if count > self._left:
            raise self.broken()
        self._left -= count
        self._file.seek(count, 1)

    def numbers(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{layout}", self.take(struct.calcsize(f"<{layout}")))

    def text(self) -> str:
        (length,) = self.numbers("Q")
        if length > TEXT_BYTES_MAX:
            raise self.broken()
        return self.take(length).decode("utf-8", "replace")
