"""One fixed profile of HTTP Message Signatures: what was signed is accepted, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

import pytest

from synapse.core.errors import PeerError
from synapse.transport import signing
from synapse.transport.signing import (
    WINDOW_S,
    Nonces,
    Signed,
    content_digest,
    sign_reply,
    sign_request,
    verify_reply,
    verify_request,
)
from tests.making import identity

ASKER, SPORE, OTHER = identity(1), identity(2), identity(3)
NOW_S = 1_700_000_000
NONCE = "0123456789abcdef" * 2
BODY = b"an exchange"
PATH = "/gossip/exchange"


def request(*, body: bytes = BODY, now_s: int = NOW_S, nonce: str = NONCE) -> dict[str, str]:
    return sign_request(
        ASKER, method="POST", path=PATH, body=body, to=SPORE.key, now_s=now_s, nonce=nonce
    )


def judge(
    headers: dict[str, str],
    *,
    method: str = "POST",
    path: str = PATH,
    body: bytes = BODY,
    now_s: int = NOW_S,
) -> Signed:
    return verify_request(
        headers, method=method, path=path, body=body, own_key=SPORE.key, now_s=now_s
    )


def reason(attempt: Callable[[], object]) -> str:
    with pytest.raises(PeerError) as error:
        attempt()
    return error.value.reason


def altered(text: str, at: int) -> str:
    """The text with one character changed to another of its kind."""
    old = text[at]
    new = "b" if old == "a" else "a" if old.isalpha() else "1" if old == "0" else "0"
    return text[:at] + new + text[at + 1 :]


# Requests


def test_a_request_says_who_signed_it() -> None:
    headers = request()
    signed = judge(headers)
    assert (signed.key, signed.nonce, signed.signature) == (ASKER.key, NONCE, headers["signature"])


def test_the_digest_is_that_of_rfc_9530() -> None:
    # The example of its appendix B.1: the JSON text {"hello": "world"} and a line feed.
    body = (json.dumps({"hello": "world"}) + "\n").encode()
    assert content_digest(body) == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"


@pytest.mark.promise("authored")
def test_a_request_with_another_method_path_or_body_is_refused() -> None:
    headers = request()
    for attempt in (
        lambda: judge(headers, method="GET"),
        lambda: judge(headers, path="/gossip/node"),
        lambda: judge(headers, body=b"another exchange"),
        lambda: judge(headers, body=b""),
    ):
        assert reason(attempt) == "signature"


@pytest.mark.promise("authored")
@pytest.mark.parametrize("name", ["content-digest", "spore-to", "signature-input", "signature"])
def test_one_altered_character_of_any_header_is_refused(name: str) -> None:
    headers = request()
    for at in range(len(headers[name])):
        changed = {**headers, name: altered(headers[name], at)}
        assert reason(lambda changed=changed: judge(changed)) in (
            "unsigned",
            "stale",
            "recipient",
            "signature",
        )


@pytest.mark.parametrize("name", ["content-digest", "spore-to", "signature-input", "signature"])
def test_a_missing_header_is_refused(name: str) -> None:
    headers = request()
    del headers[name]
    assert reason(lambda: judge(headers)) in ("unsigned", "recipient", "signature")


@pytest.mark.promise("authored")
def test_a_request_to_another_spore_cannot_be_replayed_here() -> None:
    headers = sign_request(
        ASKER, method="POST", path=PATH, body=BODY, to=OTHER.key, now_s=NOW_S, nonce=NONCE
    )
    assert reason(lambda: judge(headers)) == "recipient"
    headers["spore-to"] = SPORE.key.hex()
    assert reason(lambda: judge(headers)) == "signature"


@pytest.mark.promise("authored")
def test_nobody_signs_with_the_key_of_another() -> None:
    headers = request()
    headers["signature-input"] = headers["signature-input"].replace(
        ASKER.key.hex(), OTHER.key.hex()
    )
    assert reason(lambda: judge(headers)) == "signature"


@pytest.mark.parametrize("offset_s", [-WINDOW_S, 0, WINDOW_S])
def test_clocks_may_differ_by_two_minutes(offset_s: int) -> None:
    assert judge(request(now_s=NOW_S + offset_s)).key == ASKER.key


@pytest.mark.parametrize("offset_s", [-WINDOW_S - 1, WINDOW_S + 1, -NOW_S, 10**11])
def test_a_stale_request_is_refused(offset_s: int) -> None:
    assert reason(lambda: judge(request(now_s=NOW_S + offset_s))) == "stale"


MALFORMED = [
    "",
    "spore",
    "spore=()",
    'spore=("@method");created=1;nonce="0";keyid="0";alg="ed25519"',
    'other=("@method" "@path" "content-digest" "spore-to");created=1',
    "\x00\xff",
    "spore=" + "(" * 10_000,
    'spore=("@method" "@path" "content-digest" "spore-to");created=' + "9" * 5_000,
]


@pytest.mark.parametrize("value", MALFORMED)
def test_a_malformed_signature_input_is_no_signature(value: str) -> None:
    assert reason(lambda: judge({**request(), "signature-input": value})) == "unsigned"


@pytest.mark.parametrize(
    "value", ["", "spore=::", "spore=:" + "A" * 88 + ":", "spore=:" + "=" * 88 + ":", "sig=:AA==:"]
)
def test_a_malformed_signature_is_refused(value: str) -> None:
    assert reason(lambda: judge({**request(), "signature": value})) == "signature"


@pytest.mark.promise("bounded")
def test_whatever_is_sent_in_the_headers_the_answer_is_a_refusal() -> None:
    rng = Random(9)
    honest = request()
    for _ in range(5_000):
        headers = dict(honest)
        for name in rng.sample(sorted(headers), rng.randrange(1, 4)):
            value = list(headers[name])
            for _ in range(rng.randrange(1, 6)):
                at = rng.randrange(len(value))
                value[at : at + rng.randrange(3)] = rng.choice(
                    ["", "\xff", '"', ";", "=", "é", "0"]
                )
                value = value or ["x"]
            headers[name] = "".join(value)
        if headers != honest:
            with pytest.raises(PeerError):
                judge(headers)


# Replays


@pytest.mark.promise("authored")
def test_a_request_is_answered_once() -> None:
    nonces = Nonces()
    signed = judge(request())
    assert nonces.first_use(signed, now_s=NOW_S)
    assert not nonces.first_use(signed, now_s=NOW_S)
    assert not nonces.first_use(signed, now_s=NOW_S + 2 * WINDOW_S)  # signed ahead, and still valid
    assert nonces.first_use(judge(request(nonce="f" * 32)), now_s=NOW_S)


def test_nonces_of_different_signers_do_not_clash() -> None:
    nonces = Nonces()
    assert nonces.first_use(Signed(ASKER.key, NONCE, ""), now_s=NOW_S)
    assert nonces.first_use(Signed(OTHER.key, NONCE, ""), now_s=NOW_S)


@pytest.mark.promise("bounded")
def test_nonces_are_forgotten_when_their_window_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "NONCES_MAX", 100)
    nonces = Nonces()
    for number in range(1_000):
        assert nonces.first_use(Signed(ASKER.key, f"{number:032x}", ""), now_s=NOW_S + number)
        assert len(nonces) <= 100
    assert nonces.first_use(Signed(ASKER.key, NONCE, ""), now_s=NOW_S + 100_000)
    assert len(nonces) == 1


# Replies


def answer(
    request_headers: dict[str, str], *, body: bytes = b"a reply", status: int = 200
) -> dict[str, str]:
    return sign_reply(SPORE, status=status, body=body, request=judge(request_headers), now_s=NOW_S)


def test_a_reply_is_bound_to_its_request() -> None:
    mine, another = request(), request(nonce="e" * 32)
    headers = answer(mine)
    verify_reply(
        headers,
        status=200,
        body=b"a reply",
        request_signature=mine["signature"],
        peer=SPORE.key,
    )
    assert (
        reason(
            lambda: verify_reply(
                headers,
                status=200,
                body=b"a reply",
                request_signature=another["signature"],
                peer=SPORE.key,
            )
        )
        == "signature"
    )


@pytest.mark.promise("authored")
def test_an_altered_reply_is_refused() -> None:
    mine = request()
    headers = answer(mine)

    def verdict(status: int, body: bytes, changed: dict[str, str]) -> str:
        return reason(
            lambda: verify_reply(
                changed,
                status=status,
                body=body,
                request_signature=mine["signature"],
                peer=SPORE.key,
            )
        )

    assert verdict(201, b"a reply", headers) == "signature"
    assert verdict(200, b"A reply", headers) == "signature"
    for name, value in headers.items():
        for at in range(len(value)):
            changed = {**headers, name: altered(value, at)}
            assert verdict(200, b"a reply", changed) in ("unsigned", "stranger", "signature")


def test_a_reply_of_another_spore_is_a_strangers() -> None:
    mine = request()
    headers = sign_reply(OTHER, status=200, body=b"x", request=judge(mine), now_s=NOW_S)
    assert (
        reason(
            lambda: verify_reply(
                headers,
                status=200,
                body=b"x",
                request_signature=mine["signature"],
                peer=SPORE.key,
            )
        )
        == "stranger"
    )


def test_a_request_is_no_reply() -> None:
    mine = request()
    assert (
        reason(
            lambda: verify_reply(
                mine, status=200, body=BODY, request_signature=mine["signature"], peer=ASKER.key
            )
        )
        == "unsigned"
    )
