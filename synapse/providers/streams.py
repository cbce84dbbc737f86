"""A reply that comes piece by piece, read into the document it would have been in one piece.

Server-sent events (WHATWG HTML, section 9.2) whose data is JSON, the last one `[DONE]`. Half an
answer is no answer: a stream that stalls, breaks or ends without saying that it is finished is a
failure, and what had come of it is dropped.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from synapse.core.errors import ProviderError
from synapse.providers.failures import error_part
from synapse.providers.replies import first, text_of

STALL_S: Final = 15.0  # no source; the longest silence within an answer that we would sit through

_DONE: Final = "[DONE]"


async def collected(
    chunks: AsyncIterator[bytes], *, bytes_max: int, stall_s: float = STALL_S
) -> dict[str, Any]:
    """The document that a stream amounts to. Raises ProviderError.

    The caller bounds how long the first piece may take; after it no silence may be longer than
    `stall_s`. An error that comes in the stream is returned as the document it stands in.
    """
    whole = _Whole()
    events = _Events()
    taken = 0
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(None) as stall:
            async for chunk in chunks:
                stall.reschedule(clock() + stall_s)
                taken += len(chunk)
                if taken > bytes_max:
                    raise ProviderError("bad_reply", f"the stream is longer than {bytes_max} bytes")
                for data in events.fed(chunk):
                    if whole.add(data):
                        return whole.document
    except TimeoutError:
        raise ProviderError(
            "slow", f"the stream stalled for {stall_s:g} s after {whole.characters} characters"
        ) from None
    for data in events.fed(b"\n\n"):  # a last event that no blank line ended
        if whole.add(data):
            return whole.document
    if not whole.finished:
        raise ProviderError(
            "bad_reply", f"the stream ended early, after {whole.characters} characters"
        )
    return whole.document


class _Events:
    """Bytes in, the data of complete events out."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def fed(self, chunk: bytes) -> Iterator[str]:
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            text = line.rstrip(b"\r").decode("utf-8", "replace")
            if not text and self._data:
                yield "\n".join(self._data)
                self._data = []
            elif text.startswith("data:"):
                self._data.append(text[5:].removeprefix(" "))


class _Whole:
    """The pieces of one reply, put together."""

    def __init__(self) -> None:
        self.finished = False
        self._fields: dict[str, Any] = {}
        self._answer: list[str] = []
        self._refusal: list[str] = []
        self._reason: object = None
        self._error: dict[str, Any] | None = None

    @property
    def characters(self) -> int:
        """How much of the answer has come."""
        return sum(map(len, self._answer))

    @property
    def document(self) -> dict[str, Any]:
        """What a reply in one piece would have held, or the error that came instead."""
        message = {"content": "".join(self._answer), "refusal": "".join(self._refusal)}
        choice = {"message": message, "finish_reason": self._reason}
        return self._error or {**self._fields, "choices": [choice]}

    def add(self, data: str) -> bool:
        """Take in the data of one event; whether it was the last. Raises ProviderError."""
        if data == _DONE:
            self.finished = True
            return True
        try:
            piece = json.loads(data)
        except (ValueError, RecursionError):
            raise ProviderError("bad_reply", "a piece of the stream is not JSON") from None
        if not isinstance(piece, dict):
            raise ProviderError("bad_reply", "a piece of the stream is not an object")
        choice = first(piece.get("choices"))
        if error_part(piece) or error_part(choice):
            self._error = piece
            return True
        self._fields |= {name: piece[name] for name in ("model", "usage") if piece.get(name)}
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._answer.append(text_of(delta.get("content")))
            self._refusal.append(text_of(delta.get("refusal")))
        if choice.get("finish_reason"):
            self.finished, self._reason = True, choice["finish_reason"]
        return False
