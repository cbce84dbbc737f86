"""Records and memories for tests: genuine ones, and the same ones on every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from synapse.core.clock import Timestamp
from synapse.core.memory.memory import PrivateMemory
from synapse.core.memory.record import (
    MEMORY,
    Header,
    Identity,
    Record,
    body_hash,
    encode_body,
)

START_MS = 1_700_000_000_000  # when time begins; the record with seq 5 is of 5 ms later


def identity(number: int = 1) -> Identity:
    """The key pair with this number."""
    return Identity(Random(f"identity {number}").randbytes(32))


def made_up_id(number: int) -> bytes:
    """The id of something that does not exist."""
    return Random(f"id {number}").randbytes(32)


def record(
    content: Mapping[str, object],
    *,
    kind: str = MEMORY,
    writer: Identity | None = None,
    operator: Identity | None = None,
    epoch: int = 1,
    seq: int = 1,
    previous: bytes | None = None,
    hlc: Timestamp | None = None,
    refs: Sequence[bytes] = (),
) -> Record:
    """A signed record. Its writer is `identity()` and its own operator unless told otherwise.

    Past seq 1 the record before it is made up, unless `previous` names one.
    """
    writer = writer or identity()
    if previous is None:
        previous = made_up_id(seq - 1) if seq > 1 else b""
    body = encode_body(content, rng=Random(f"{writer.key.hex()} {epoch} {seq} {kind}"))
    header = Header(
        operator=(operator or writer).key,
        writer=writer.key,
        epoch=epoch,
        epoch_start_ms=START_MS,
        seq=seq,
        previous=previous,
        hlc=hlc or Timestamp(START_MS + seq, 0),
        kind=kind,
        body_hash=body_hash(body),
        body_bytes=len(body),
        refs=tuple(refs),
    )
    return Record.composed(writer, header, body)


def memory_record(
    text: str,
    *,
    seq: int = 1,
    kind: str = "note",
    tags: Sequence[str] = (),
    writer: Identity | None = None,
    previous: bytes | None = None,
    hlc: Timestamp | None = None,
) -> Record:
    """A shared memory; `kind` is the user's word for it."""
    content = {"text": text, "kind": kind, "tags": list(tags)}
    return record(content, seq=seq, writer=writer, previous=previous, hlc=hlc)


def memory_chain(count: int, *, writer: Identity | None = None) -> list[Record]:
    """The first `count` memories of one writer, each naming the one before."""
    chain: list[Record] = []
    for seq in range(1, count + 1):
        previous = chain[-1].id if chain else b""
        chain.append(memory_record(f"memory {seq}", seq=seq, writer=writer, previous=previous))
    return chain


def private(
    text: str, *, number: int = 1, kind: str = "note", tags: Sequence[str] = ()
) -> PrivateMemory:
    """A private memory; those with different numbers have different ids."""
    return PrivateMemory(
        id=Random(f"private {number}").randbytes(32),
        text=text,
        kind=kind,
        tags=tuple(tags),
        created_ms=START_MS + number,
    )
