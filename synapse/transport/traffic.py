"""How much was said to peers and heard from them, both over requests of ours and of theirs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Traffic:
    """Counts since the start. Bytes are those of bodies, as they were sent: packed, no headers."""

    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def heard(self, messages: int, size_bytes: int) -> None:
        """So much came in, and was understood."""
        self.messages_in += messages
        self.bytes_in += size_bytes

    def said(self, messages: int, size_bytes: int) -> None:
        """So much went out."""
        self.messages_out += messages
        self.bytes_out += size_bytes
