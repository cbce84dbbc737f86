"""The Knowledge Wall: nothing that looks like a credential leaves, and no message repeats it."""

from __future__ import annotations

from random import Random
from string import ascii_letters, digits

import pytest

from synapse.core.errors import Refused, TextError
from synapse.core.wall.release import Wall

WALL = Wall()
OWN = "correct horse battery staple"

ALPHANUMERIC = ascii_letters + digits


def made_up(count: int, alphabet: str = ALPHANUMERIC) -> str:
    """Made here, so that no scanner takes this file for a leak."""
    return "".join(Random(count).choices(alphabet, k=count))


CREDENTIALS = {
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\n"
    f"{made_up(64)}\n{made_up(63)}\n-----END RSA PRIVATE KEY-----",
    "a bare private key": f"-----BEGIN PRIVATE KEY-----\n{made_up(64)}",
    "OpenAI": f"sk-{made_up(48)}",
    "OpenAI project": f"sk-proj-{made_up(40)}_{made_up(20)}",
    "Anthropic": f"sk-ant-api03-{made_up(80)}",
    "OpenRouter": f"sk-or-v1-{made_up(64, 'abcdef0123456789')}",
    "Hugging Face": f"hf_{made_up(34)}",
    "GitHub": f"ghp_{made_up(36)}",
    "GitHub app": f"ghs_{made_up(36)}",
    "GitHub fine-grained": f"github_pat_{made_up(60)}",
    "GitLab": f"glpat-{made_up(20)}",
    "AWS": f"AKIA{made_up(16, 'ABCDEFGHIJKLMNOP234567')}",
    "AWS temporary": f"ASIA{made_up(16, 'ABCDEFGHIJKLMNOP234567')}",
    "Google": f"AIza{made_up(35)}",
    "Groq": f"gsk_{made_up(52)}",
    "xAI": f"xai-{made_up(80)}",
    "Slack": f"xoxb-{made_up(12, digits)}-{made_up(24)}",
    "Stripe": f"sk_live_{made_up(24)}",
    "JSON web token": f"eyJ{made_up(20)}.eyJ{made_up(40)}.{made_up(43)}",
    "Synapse": f"sp_{made_up(48, 'abcdef0123456789')}",
    "an address": f"postgres://admin:{made_up(12)}@db.example.org/app",
    "a web address": f"HTTPS://admin:{made_up(12)}@example.org/",
    "our own": OWN,
}
each_credential = pytest.mark.parametrize("secret", CREDENTIALS.values(), ids=CREDENTIALS.keys())

HARMLESS = [
    "The tides follow the moon.",
    "Use sk- as the prefix of a key, and hf_ for the other one.",
    "ssh-rsa is a kind of public key; -----BEGIN CERTIFICATE----- is no secret",
    "See https://example.org:8080/path?user=a@b.c and mailto:someone@example.org",
    "My task-list: risk-assessment-of-the-new-supplier-contract",
    "commit 9f2c4d1e8b7a6f50c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0",
    "eyJ is how a token starts",
]


@pytest.mark.promise("private")
@each_credential
@pytest.mark.parametrize("around", ["{}", "key={}", "'{}'", "Here: {} (mine).", "line\n{}\nline"])
def test_a_credential_is_refused_and_not_repeated(secret: str, around: str) -> None:
    wall = Wall([OWN])
    with pytest.raises(Refused) as refusal:
        wall.release(around.format(secret), bytes_max=10_000)
    assert refusal.value.reason == "credential"
    assert not {word for word in secret.split() if len(word) > 4} & set(str(refusal.value).split())
    assert secret not in str(refusal.value)


@pytest.mark.promise("private")
@each_credential
@pytest.mark.parametrize("around", ["{}", "The key is {} as you asked.", "a\x00{}"])
def test_in_a_models_words_a_credential_is_blotted_out(secret: str, around: str) -> None:
    wall = Wall([OWN])
    shared = wall.share(around.format(secret), bytes_max=10_000)
    assert secret not in shared
    assert wall.credential_in(shared) is None
    assert "[removed]" in shared
    for line in secret.splitlines():  # the body of a private key is the key
        assert line not in shared


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_passes_as_it_is(text: str) -> None:
    assert WALL.release(text, bytes_max=10_000) == text
    assert WALL.share(text, bytes_max=10_000) == text


def test_an_empty_secret_is_no_secret() -> None:
    wall = Wall(["", OWN])
    assert wall.release("The tides.", bytes_max=100) == "The tides."
    assert wall.share("The tides.", bytes_max=100) == "The tides."


@pytest.mark.parametrize("text", ["", " \n\t ", "a\x00b", "a\ud800b", "x" * 101, "é" * 51])
def test_text_that_cannot_be_stored_is_refused(text: str) -> None:
    with pytest.raises(TextError):
        WALL.release(text, bytes_max=100)


def test_what_is_released_is_normal_and_trimmed() -> None:
    assert WALL.release("  e\u0301tude \n", bytes_max=100) == "\u00e9tude"


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(
    "text", ["plain", "\U0001d160" * 4_000, "\ufb2c" * 4_000, "e\u0301" * 9_000]
)
def test_shared_words_keep_to_their_bytes_whatever_normalising_makes_of_them(text: str) -> None:
    shared = WALL.share(text, bytes_max=16_000)
    assert len(shared.encode()) <= 16_000
    assert shared.encode().decode() == shared
    assert WALL.share(shared, bytes_max=16_000) == shared


def test_surrogates_and_nuls_are_taken_out_of_a_models_words() -> None:
    assert WALL.share("a\x00b\ud800c", bytes_max=100) == "a b?c"


@pytest.mark.parametrize(
    "label", ["note", "Fact 2", "v1.0", "a/b:c", "me@home", "naïve", "x" * 64, "c+"]
)
def test_labels_are_short_words(label: str) -> None:
    assert WALL.label(label, name="kind") == label


@pytest.mark.parametrize("label", ["x" * 65, "a\nb", "<b>", "-a", "a;b", '"', "a\u2028b", "a{b}"])
def test_other_labels_are_refused(label: str) -> None:
    with pytest.raises(Refused) as refusal:
        WALL.label(label, name="kind")
    assert refusal.value.reason == "label"


def test_a_label_may_not_be_a_credential_either() -> None:
    with pytest.raises(Refused, match="AWS"):
        WALL.label(CREDENTIALS["AWS"], name="a tag")


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(
    "piece",
    [
        "a.",
        "a+",
        "eyJ-",
        "eyJaaaaaaaaaaa.",
        "a://",
        "a://b:",
        "sk-",
        "-----BEGIN PRIVATE KEY-----",
        "xoxb-",
        "BEGIN ",
    ],
)
def test_text_made_to_slow_the_wall_does_not(piece: str) -> None:
    # Quadratic patterns would take minutes here, and the event loop with them.
    text = (piece * 60_000)[:60_000]
    for _ in range(3):
        WALL.credential_in(text)
        shared = WALL.share(text, bytes_max=60_000)
    assert len(shared.encode()) <= 60_000
