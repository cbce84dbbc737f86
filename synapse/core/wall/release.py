"""What may leave this spore: the one place where private text becomes `SharedText`.

A shared memory is read by strangers and can be erased but not unsaid, so text that looks like a
credential is stopped here, before it is signed. This is a net for accidents, not a judge of
meaning: what else is private, its author marks private.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from synapse.core.errors import Refused
from synapse.core.text import SharedText, clean

# Shapes that vendors document for their credentials. What they match is never shown. None may
# look far ahead from every place of a text: a memory made for it would hold up the whole spore.
_CREDENTIALS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        (
            "a private key",
            r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"
            r"(?:[\s\S]{0,8192}?-----END [A-Z ]{0,20}PRIVATE KEY-----|[A-Za-z0-9+/=\s]*)",
        ),
        ("an OpenAI-style key", r"\bsk-[A-Za-z0-9_-]{20,}"),
        ("a Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}"),
        ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})"),
        ("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
        ("an AWS access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        ("a Google API key", r"\bAIza[0-9A-Za-z_-]{35}"),
        ("a Groq key", r"\bgsk_[A-Za-z0-9]{40,}"),
        ("an xAI key", r"\bxai-[A-Za-z0-9]{40,}"),
        ("a Slack token", r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
        ("a Stripe key", r"\b[sr]k_live_[A-Za-z0-9]{20,}"),
        (
            "a JSON web token",
            r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        ),
        ("a Synapse key", r"\bsp_[0-9a-f]{48}\b"),
        (
            "a password in an address",
            r"(?i)\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@]{0,256}:[^\s/@]{3,256}@",
        ),
    )
)
_BLOT: Final = "[removed]"
_LABEL: Final = re.compile(r"[\w][\w .:/+@-]{0,63}", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Wall:
    """The rules of one spore. `secrets` are its own: they are recognised wherever they turn up."""

    secrets: Sequence[str] = ()

    def release(self, private: str, *, bytes_max: int, name: str = "text") -> SharedText:
        """`private` as text that may be shared.

        Raises TextError for what cannot be stored, and Refused (`credential`) for what looks like
        one; the message never repeats it.
        """
        text = clean(private, bytes_max=bytes_max, name=name)
        found = self.credential_in(text)
        if found is not None:
            raise Refused(
                "credential",
                f"{name} seems to hold {found}, and what is shared cannot be unsaid: take it "
                'out (a memory can also stay here, with "scope": "private")',
            )
        return SharedText(text)

    def label(self, private: str, *, name: str) -> SharedText:
        """A short word: a kind, a tag, a name. Raises as `release`, and Refused (`label`)."""
        text = self.release(private, bytes_max=256, name=name)
        if not _LABEL.fullmatch(text):
            raise Refused(
                "label", f"{name} is at most 64 letters, digits, spaces and any of _ . : / + @ -"
            )
        return text

    def credential_in(self, text: str) -> str | None:
        """What kind of credential `text` seems to hold, or None."""
        if any(secret and secret in text for secret in self.secrets):
            return "one of this spore's own keys"
        return next((kind for kind, pattern in _CREDENTIALS if pattern.search(text)), None)

    def share(self, text: str, *, bytes_max: int) -> SharedText:
        """A model's words, with whatever looks like a credential or cannot be stored blotted out,
        cut to so many bytes of UTF-8.

        Unlike `release` it never refuses: an answer is worth more than the slip in it.
        """
        storable = text.replace("\x00", " ").encode("utf-8", "replace").decode("utf-8")
        text = unicodedata.normalize("NFC", storable)
        for secret in filter(None, self.secrets):
            text = text.replace(secret, _BLOT)
        for _, pattern in _CREDENTIALS:
            text = pattern.sub(_BLOT, text)
        return SharedText(text.encode("utf-8")[:bytes_max].decode("utf-8", "ignore"))


def constant(text: str) -> SharedText:
    """One of our own words, written in the source."""
    return SharedText(text)


def dot(place: str) -> SharedText:
    """A record's place in its writer's log, which is public by construction."""
    return SharedText(place)
