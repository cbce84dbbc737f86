"""The shipped codec between hosts."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from synapse.core import codec
from synapse.core.messages import Message

REMEMBERED: Final = 4_096  # decoded exchanges; a push goes to many, in the same bytes


class Wire:
    """Encodes and decodes exchanges, and counts their messages.

    Decoding is a function of the bytes, and most of its time is signature checks, so the result
    for bytes that were decoded before is used again. Bytes that are refused are decoded each time.
    """

    def __init__(self) -> None:
        self.messages_sent = 0
        self.decode = lru_cache(REMEMBERED)(_decode)

    def encode(self, messages: list[Message]) -> bytes:
        """The bytes of one exchange."""
        self.messages_sent += len(messages)
        return codec.encode(messages)


def _decode(data: bytes) -> tuple[Message, ...]:
    return tuple(codec.decode(data))
