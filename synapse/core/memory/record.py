"""One immutable, signed record: the only kind of thing that is replicated.

A record is a header and a body. The header is a fixed-order array in deterministic CBOR (RFC 8949
section 4.2); its SHA-256 under a domain tag is the record's id, and the author's Ed25519 signature
covers that id. The body is a CBOR map with a 16-byte salt, hashed into the header, so that it can
be erased while the header stays, and cannot be guessed from the hash afterwards.

Signatures are checked by libsodium's strict rule and no other: libraries disagree on edge cases,
and one signature accepted here and refused there would split the set for ever. Bytes are kept and
forwarded as they were received. `docs/protocol.md` says the same for a second implementation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import cbor2
import nacl.exceptions
import nacl.signing

from synapse.core.clock import COUNT_MAX, MS_MAX, Timestamp
from synapse.core.errors import RecordError
from synapse.core.text import Shareable

VERSION: Final = 1
HEADER_BYTES_MAX: Final = 640  # eight 32-byte references and every integer at its widest
BODY_BYTES_MAX: Final = 65_536  # a long note; larger texts are sent in parts
REFS_MAX: Final = 8
SALT_BYTES: Final = 16
DEPTH_MAX: Final = 16  # nesting of a body; ours use three levels
UINT_MAX: Final = (1 << 63) - 1  # what every database and language we target holds in one integer

_ID_TAG: Final = b"synapse/record/1\x00"
_BODY_TAG: Final = b"synapse/body/1\x00"
_SIGNATURE_TAG: Final = b"synapse/signature/1\x00"
_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")

# Kinds of record. A kind that is not known here is stored and replicated all the same.
MEMORY: Final = "memory"
TASK: Final = "task"
POSITION: Final = "position"
COMMITMENT: Final = "commitment"
ABSTENTION: Final = "abstention"
VERDICT: Final = "verdict"
LEASE: Final = "lease"
OUTCOME: Final = "outcome"
GRADE: Final = "grade"
RETRACTION: Final = "retraction"
NODE: Final = "node"
CERTIFICATE: Final = "certificate"

Dot = tuple[bytes, int, int]
"""(writer, epoch, seq): where in which log a record stands. Unique unless its writer lied."""


class Identity:
    """An Ed25519 key pair. `key` is public; nothing here prints the other half."""

    def __init__(self, seed: bytes) -> None:
        """Derive the pair from 32 secret bytes."""
        self._signing_key = nacl.signing.SigningKey(seed)
        self.key = bytes(self._signing_key.verify_key)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message`."""
        return self._signing_key.sign(message).signature

    def __repr__(self) -> str:
        return f"Identity({self.key.hex()[:16]}…)"


def signature_valid(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is `key`'s on `message`, by libsodium's strict rule."""
    try:
        nacl.signing.VerifyKey(key).verify(message, signature)
    except (nacl.exceptions.BadSignatureError, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Header:
    """What is signed. Keys are 32-byte Ed25519 public keys; times are milliseconds since 1970."""

    operator: bytes
    writer: bytes
    epoch: int  # which life of the writer's log; larger is later
    epoch_start_ms: int
    seq: int  # counts from 1 within the epoch
    previous: bytes  # the id of seq - 1, empty at seq 1
    hlc: Timestamp
    kind: str
    body_hash: bytes
    body_bytes: int
    refs: tuple[bytes, ...] = ()

    @property
    def dot(self) -> Dot:
        """Where in its writer's log this record stands."""
        return (self.writer, self.epoch, self.seq)

    def encode(self) -> bytes:
        """The canonical bytes of this header."""
        return cbor2.dumps(
            [
                VERSION,
                self.operator,
                self.writer,
                self.epoch,
                self.epoch_start_ms,
                self.seq,
                self.previous,
                self.hlc.ms,
                self.hlc.count,
                self.kind,
                self.body_hash,
                self.body_bytes,
                list(self.refs),
            ],
            canonical=True,
        )

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """Read canonical bytes. Raises RecordError for anything `encode` would not have made."""
        fields = cls._fields(data)
        _, operator, writer, epoch, epoch_start_ms, seq, previous, ms, count = fields[:9]
        kind, body_hash, body_bytes, refs = fields[9:]
        for name, value, bound in (
            ("epoch", epoch, UINT_MAX),
            ("epoch start", epoch_start_ms, MS_MAX),
            ("seq", seq, UINT_MAX),
            ("hlc milliseconds", ms, MS_MAX),
            ("hlc count", count, COUNT_MAX),
            ("body length", body_bytes, BODY_BYTES_MAX),
        ):
            if type(value) is not int or not 0 <= value <= bound:
                raise RecordError("header_shape", f"{name} is not an integer of 0 to {bound}")
        if not (_is_hash(operator) and _is_hash(writer) and _is_hash(body_hash)):
            raise RecordError("header_shape", "keys and hashes are 32 bytes")
        if seq < 1 or not (previous == b"" if seq == 1 else _is_hash(previous)):
            raise RecordError("header_shape", "seq starts at 1, which alone has no previous record")
        if not isinstance(kind, str) or not _KIND.fullmatch(kind):
            raise RecordError("header_shape", "a kind is a lower-case word of 32 characters")
        if not isinstance(refs, list) or len(refs) > REFS_MAX or not all(map(_is_hash, refs)):
            raise RecordError("header_shape", f"references are at most {REFS_MAX} ids")
        header = cls._of(fields)
        if header.encode() != data:
            raise RecordError("not_canonical", "the header is not deterministic CBOR")
        return header

    @classmethod
    def read_back(cls, data: bytes) -> Header:
        """Read what `decode` or `encode` saw before: nothing is checked again. Raises RecordError
        for what cannot be a header."""
        return cls._of(cls._fields(data))

    @classmethod
    def _fields(cls, data: bytes) -> list[Any]:
        if len(data) > HEADER_BYTES_MAX:
            raise RecordError("header_size", f"a header is at most {HEADER_BYTES_MAX} bytes")
        fields = decode_cbor(data, depth_max=2)
        if not isinstance(fields, list) or len(fields) != 13 or fields[0] != VERSION:
            raise RecordError("header_shape", f"a header is an array of 13, version {VERSION}")
        return fields

    @classmethod
    def _of(cls, fields: Sequence[Any]) -> Header:
        _, operator, writer, epoch, epoch_start_ms, seq, previous, ms, count = fields[:9]
        kind, body_hash, body_bytes, refs = fields[9:]
        return cls(
            operator,
            writer,
            epoch,
            epoch_start_ms,
            seq,
            previous,
            Timestamp(ms, count),
            kind,
            body_hash,
            body_bytes,
            tuple(refs),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A header with its signature and, unless it was retracted, its body.

    An instance from `verified` or `composed` is genuine: there is no other way to make one from
    bytes a peer sent. `stored` trusts the disk, where only genuine records were written.
    """

    id: bytes
    header: Header
    header_data: bytes
    signature: bytes
    body: bytes | None

    @classmethod
    def verified(cls, header_data: bytes, signature: bytes, body: bytes | None) -> Record:
        """Check everything that can be checked without knowing other records.

        Raises RecordError with the reason `header_size`, `header_shape`, `not_canonical`,
        `body_size`, `body_hash` or `signature`.
        """
        header = Header.decode(header_data)
        if body is not None:
            if len(body) != header.body_bytes:
                raise RecordError("body_size", "the body is not as long as its header says")
            if body_hash(body) != header.body_hash:
                raise RecordError("body_hash", "the body is not the one its header was signed with")
        record_id = hashlib.sha256(_ID_TAG + header_data).digest()
        if not signature_valid(header.writer, _SIGNATURE_TAG + record_id, signature):
            raise RecordError("signature", "the signature is not the writer's")
        return cls(record_id, header, header_data, signature, body)

    @classmethod
    def stored(
        cls, record_id: bytes, header_data: bytes, signature: bytes, body: bytes | None
    ) -> Record:
        """A record read back from our own disk: what hashes to its id was verified when it was
        written, and is not verified again. Raises RecordError (`header_hash`) for what does not."""
        return cls(record_id, stored_header(record_id, header_data), header_data, signature, body)

    @classmethod
    def composed(cls, identity: Identity, header: Header, body: bytes | None = None) -> Record:
        """Sign `header` as its writer."""
        assert header.writer == identity.key, "only the writer can sign its records"
        assert len(header.refs) <= REFS_MAX, "a record that no spore would take must not be signed"
        header_data = header.encode()
        record_id = hashlib.sha256(_ID_TAG + header_data).digest()
        signature = identity.sign(_SIGNATURE_TAG + record_id)
        return cls(record_id, header, header_data, signature, body)

    @property
    def kind(self) -> str:
        """What the record is: `memory`, `task`, `position` and so on."""
        return self.header.kind

    def content(self) -> Mapping[str, Any]:
        """The body's fields; empty when it was erased or its author wrote nonsense.

        Readers must treat every field as absent, of another type, or hostile.
        """
        if self.body is None:
            return {}
        try:
            fields = decode_canonical(self.body, depth_max=DEPTH_MAX)
        except RecordError:
            return {}
        if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
            return {}
        return fields

    def without_body(self) -> Record:
        """The same record after its author retracted it."""
        return Record(self.id, self.header, self.header_data, self.signature, None)


def stored_header(record_id: bytes, header_data: bytes) -> Header:
    """The header of a record on our own disk. Raises RecordError (`header_hash`)."""
    if hashlib.sha256(_ID_TAG + header_data).digest() != record_id:
        raise RecordError("header_hash", "the header does not hash to the id")
    return Header.read_back(header_data)


def encode_body(content: Mapping[str, object], *, rng: Random) -> bytes:
    """The bytes of a body with a fresh salt. `rng` must be unguessable outside the simulator.

    Raises RecordError when the body is larger than 64 KiB.
    """
    body = cbor2.dumps({**content, "salt": rng.randbytes(SALT_BYTES)}, canonical=True)
    if len(body) > BODY_BYTES_MAX:
        raise RecordError(
            "body_size", f"{len(body)} bytes are more than the {BODY_BYTES_MAX} of one record"
        )
    return body


def body_hash(body: bytes) -> bytes:
    """What a header says of its body."""
    return hashlib.sha256(_BODY_TAG + body).digest()


def decode_cbor(data: bytes, *, depth_max: int) -> Any:
    """Decode bytes a stranger wrote. Raises RecordError, never anything else.

    What follows the first value is ignored.
    """
    try:
        return cbor2.loads(
            data,
            max_depth=depth_max,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
            semantic_decoders=_NO_TAGS,
        )
    except (cbor2.CBORDecodeError, ValueError, OverflowError, MemoryError) as error:
        raise RecordError("not_canonical", f"not the CBOR we accept: {error}") from None


def decode_canonical(data: bytes, *, depth_max: int) -> Any:
    """The same for bytes that must be deterministic CBOR and nothing after it, so that every
    implementation reads the same or nothing."""
    value = decode_cbor(data, depth_max=depth_max)
    if cbor2.dumps(value, canonical=True) != data:
        raise RecordError("not_canonical", "that is not deterministic CBOR")
    return value


class _NoTags(dict[int, Any]):
    """Refuses every semantic tag: dates, big numbers and references have no place in a record."""

    def get(self, key: int, default: object = None) -> Any:
        raise ValueError(f"tag {key} is not allowed")

    def __getitem__(self, key: int) -> Any:
        raise ValueError(f"tag {key} is not allowed")

    def __contains__(self, key: object) -> bool:
        return True


_NO_TAGS: Final = _NoTags()


def _is_hash(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == 32


@dataclass(frozen=True, slots=True)
class Draft:
    """A record that is yet to be placed in our log and signed. Only what may be shared fits in."""

    kind: str
    content: Mapping[str, Shareable]
    refs: tuple[bytes, ...] = ()
