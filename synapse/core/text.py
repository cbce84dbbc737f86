"""Text as the record format demands it, and the few measures of likeness the core needs."""

from __future__ import annotations

import re
import unicodedata
from typing import NewType

from synapse.core.errors import TextError

SharedText = NewType("SharedText", str)
"""Text that passed the Knowledge Wall. Only `wall.release` makes one; only it may be sent."""

Shareable = SharedText | int | float | bytes | None | tuple["Shareable", ...]
"""What a replicated record may hold. A plain `str` is not among it, and mypy says so."""

_WORD = re.compile(r"\w+", re.UNICODE)


def clean(text: str, *, bytes_max: int, name: str = "text") -> str:
    """Return `text` in NFC with the outer white space removed.

    Raises TextError when it is empty, holds a NUL or a lone surrogate, or is longer than
    `bytes_max` bytes of UTF-8: such text would not survive a round trip through every peer.
    """
    if len(text) > bytes_max:  # a character is at least a byte: no need to normalise it first
        raise TextError(f"{name} is longer than {bytes_max} bytes; send it in parts")
    if "\x00" in text:
        raise TextError(f"{name} holds a NUL character; remove it")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TextError(f"{name} holds a lone surrogate at index {error.start}") from None
    cleaned = unicodedata.normalize("NFC", text).strip()
    if not cleaned:
        raise TextError(f"{name} is empty")
    if len(cleaned.encode("utf-8")) > bytes_max:
        raise TextError(f"{name} is longer than {bytes_max} bytes; send it in parts")
    return cleaned


def words(text: str) -> list[str]:
    """The words of `text`, case-folded, in order."""
    return _WORD.findall(text.casefold())


def likeness(one: str, other: str) -> float:
    """Jaccard index of two texts' sets of words, 0.0 (nothing shared) to 1.0 (the same words)."""
    first, second = set(words(one)), set(words(other))
    union = len(first | second)
    return len(first & second) / union if union else 1.0


def shortened(text: str, *, characters_max: int) -> str:
    """`text` on one line, cut with an ellipsis when it is longer than `characters_max`."""
    flat = " ".join(text.split())
    return flat if len(flat) <= characters_max else flat[: characters_max - 1].rstrip() + "…"
