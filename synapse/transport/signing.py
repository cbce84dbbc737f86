"""One fixed profile of HTTP Message Signatures (RFC 9421): Ed25519, four components, no choices.

A request is bound to its method, path, body and recipient key, and a reply to the request it
answers. The host name is left out, because proxies rewrite it; the recipient's key takes its
place, so a request cannot be replayed to another spore. Pure functions over header values.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from synapse.core.errors import PeerError
from synapse.core.memory.record import Identity, signature_valid

WINDOW_S: Final = 120  # how far a peer's clock may be off before its requests are refused
NONCES_MAX: Final = 100_000  # of the last window; at 32 bytes each, some megabytes
NONCE_BYTES: Final = 16

_REQUEST_PARTS: Final = '("@method" "@path" "content-digest" "spore-to")'
_REPLY_PARTS: Final = '("@status" "content-digest" "signature";req;key="spore")'
_INPUT: Final = re.compile(
    r'spore=(?P<parts>\([^)]*\));created=(?P<created>\d{1,12});nonce="(?P<nonce>[0-9a-f]{32})"'
    r';keyid="(?P<key>[0-9a-f]{64})";alg="ed25519"'
)
_SIGNATURE: Final = re.compile(r"spore=:(?P<value>[A-Za-z0-9+/=]{88}):")


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signed a request, when, and what to bind the reply to."""

    key: bytes
    nonce: str
    signature: str


def content_digest(body: bytes) -> str:
    """The value of Content-Digest (RFC 9530) for these bytes as they travel."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def sign_request(
    identity: Identity, *, method: str, path: str, body: bytes, to: bytes, now_s: int, nonce: str
) -> dict[str, str]:
    """The headers that sign a request."""
    digest = content_digest(body)
    params = _params(_REQUEST_PARTS, now_s, nonce, identity.key)
    base = _request_base(method, path, digest, to.hex(), params)
    return {
        "content-digest": digest,
        "spore-to": to.hex(),
        "signature-input": f"spore={params}",
        "signature": _signature(identity, base),
    }


def verify_request(
    headers: Mapping[str, str], *, method: str, path: str, body: bytes, own_key: bytes, now_s: int
) -> Signed:
    """Who signed this request. Raises PeerError: `unsigned`, `stale`, `recipient`, `signature`."""
    params, fields = _read(headers, _REQUEST_PARTS)
    if abs(now_s - int(fields["created"])) > WINDOW_S:
        raise PeerError(
            "stale", f"the request was signed over {WINDOW_S} s ago or ahead: check both clocks"
        )
    if headers.get("spore-to") != own_key.hex():
        raise PeerError("recipient", "the request is meant for a spore with another key")
    key = bytes.fromhex(fields["key"])
    digest = _digest(headers, body)
    _check(headers, key, _request_base(method, path, digest, own_key.hex(), params))
    return Signed(key, fields["nonce"], headers["signature"])


def sign_reply(
    identity: Identity, *, status: int, body: bytes, request: Signed, now_s: int
) -> dict[str, str]:
    """The headers that sign a reply and bind it to its request."""
    digest = content_digest(body)
    params = _params(_REPLY_PARTS, now_s, request.nonce, identity.key)
    base = _reply_base(status, digest, request.signature, params)
    return {
        "content-digest": digest,
        "signature-input": f"spore={params}",
        "signature": _signature(identity, base),
    }


def verify_reply(
    headers: Mapping[str, str], *, status: int, body: bytes, request_signature: str, peer: bytes
) -> None:
    """Check that `peer` gave this reply to that request. Raises PeerError: `unsigned`, `signature`,
    `stranger`."""
    params, fields = _read(headers, _REPLY_PARTS)
    if fields["key"] != peer.hex():
        raise PeerError("stranger", "another spore answers at this address now")
    digest = _digest(headers, body)
    _check(headers, peer, _reply_base(status, digest, request_signature, params))


class Nonces:
    """Requests seen within the window: none is answered twice."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[bytes, str], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def first_use(self, signed: Signed, *, now_s: int) -> bool:
        """Whether this request is new. The oldest are forgotten when their window has passed."""
        while self._seen:
            oldest, seen_s = next(iter(self._seen.items()))
            if seen_s >= now_s - 2 * WINDOW_S and len(self._seen) < NONCES_MAX:
                break
            del self._seen[oldest]
        key = (signed.key, signed.nonce)
        if key in self._seen:
            return False
        self._seen[key] = now_s
        return True


def _params(parts: str, created_s: int, nonce: str, key: bytes) -> str:
    return f'{parts};created={created_s};nonce="{nonce}";keyid="{key.hex()}";alg="ed25519"'


def _request_base(method: str, path: str, digest: str, to: str, params: str) -> bytes:
    return (
        f'"@method": {method}\n"@path": {path}\n"content-digest": {digest}\n'
        f'"spore-to": {to}\n"@signature-params": {params}'
    ).encode()


def _reply_base(status: int, digest: str, request_signature: str, params: str) -> bytes:
    value = request_signature.removeprefix("spore=")
    return (
        f'"@status": {status}\n"content-digest": {digest}\n'
        f'"signature";req;key="spore": {value}\n"@signature-params": {params}'
    ).encode()


def _signature(identity: Identity, base: bytes) -> str:
    return _written(identity.sign(base))


def _written(signature: bytes) -> str:
    return f"spore=:{base64.b64encode(signature).decode()}:"


def _read(headers: Mapping[str, str], parts: str) -> tuple[str, dict[str, str]]:
    """The signature's parameters, which must be exactly those of the profile."""
    found = _INPUT.fullmatch(headers.get("signature-input", ""))
    if found is None or found["parts"] != parts:
        raise PeerError("unsigned", "there is no signature of the profile in docs/protocol.md")
    return found.string.removeprefix("spore="), found.groupdict()


def _digest(headers: Mapping[str, str], body: bytes) -> str:
    """The digest of the body, which must be the one its header gives."""
    digest = content_digest(body)
    if headers.get("content-digest") != digest:
        raise PeerError("signature", "the body is not the one of its Content-Digest")
    return digest


def _check(headers: Mapping[str, str], key: bytes, base: bytes) -> None:
    value = headers.get("signature", "")
    found = _SIGNATURE.fullmatch(value)
    try:
        signature = base64.b64decode(found["value"], validate=True) if found else b""
    except binascii.Error:
        signature = b""
    one_form = value == _written(signature)  # base64 can write the same bytes in several ways
    if not one_form or not signature_valid(key, base, signature):
        raise PeerError("signature", "the signature does not match what was received")
