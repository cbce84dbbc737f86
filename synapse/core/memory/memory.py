"""A memory as people and indexes see it, whether it came from a shared record or stayed private."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from synapse.core.errors import RecordError
from synapse.core.memory.record import DEPTH_MAX, MEMORY, Header, Record, decode_cbor

TEXT_BYTES_MAX = 60_000  # of one memory; leaves room for tags and salt in a 64 KiB body
LABEL_CHARACTERS_MAX = 64  # of a kind or a tag
TAGS_MAX = 16
FINDING = "finding"  # the kind of an answer that passed a check; it refers to its task first


@dataclass(frozen=True, slots=True)
class PrivateMemory:
    """A memory that never leaves this spore. It is not a `Record`, so no message can hold it."""

    id: bytes
    text: str
    kind: str
    tags: tuple[str, ...]
    created_ms: int


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory, shared or private."""

    id: bytes
    text: str
    kind: str  # the user's word: note, fact, …
    tags: tuple[str, ...]
    author: str  # the writer's public key, hexadecimal; empty for a private memory
    created_ms: int
    shared: bool
    operator: str = ""  # public key, hexadecimal; empty for a private memory
    family: str = ""  # of the model that wrote it, as its author says; empty for people's
    task: str = ""  # the id of the task that it is a finding about, hexadecimal
    position: int = field(default=0, compare=False)  # in the log of this spore; 0: not known


def from_record(record: Record, *, position: int = 0) -> Memory | None:
    """The memory a record holds; None for other kinds, erased bodies and nonsense."""
    if record.kind != MEMORY:
        return None
    return _memory(record.id, record.header, record.content(), position)


def read_back(record_id: bytes, header: Header, body: bytes) -> Memory | None:
    """The memory that `from_record` made of this body before, so that its form need not be checked
    again; None for a body that it makes nothing of."""
    try:
        content = decode_cbor(body, depth_max=DEPTH_MAX)
    except RecordError:
        return None
    return _memory(record_id, header, content, 0) if isinstance(content, dict) else None


def _memory(
    record_id: bytes, header: Header, content: Mapping[str, Any], position: int
) -> Memory | None:
    refs = header.refs
    text, kind, tags = content.get("text"), content.get("kind"), content.get("tags")
    if not isinstance(text, str) or not text.strip():
        return None
    return Memory(
        id=record_id,
        text=text,
        kind=_label(kind) or "note",
        tags=tuple(filter(None, map(_label, tags[:TAGS_MAX]))) if isinstance(tags, list) else (),
        author=header.writer.hex(),
        created_ms=header.hlc.ms,
        shared=True,
        operator=header.operator.hex(),
        family=_label(content.get("family")),
        task=refs[0].hex() if kind == FINDING and refs else "",
        position=position,
    )


def from_private(private: PrivateMemory, *, position: int = 0) -> Memory:
    """The same view of a memory that stays here."""
    return Memory(
        id=private.id,
        text=private.text,
        kind=private.kind,
        tags=private.tags,
        author="",
        created_ms=private.created_ms,
        shared=False,
        position=position,
    )


def _label(value: object) -> str:
    return value[:LABEL_CHARACTERS_MAX] if isinstance(value, str) else ""
