"""What happened, as one running hash: two runs of a seed are the same run when it is equal."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from synapse.core.effects import Acknowledge, CallModel, Effect, Persist, Publish, Send, SetTimer
from synapse.core.events import (
    Event,
    Introduced,
    MessageReceived,
    ModelFailed,
    ModelReplied,
    SendFailed,
    TimerFired,
)

TAIL_LINES: Final = 40  # what a failure shows of the end


class Trace:
    """Every event, effect and byte on the wire, in order. Keeps the hash and the last lines."""

    def __init__(self) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.lines = 0
        self._digest = hashlib.sha256()

    def note(self, now_ms: int, host: int, what: str, data: bytes = b"") -> None:
        """`host` did or met this; `data` is what it put on the wire."""
        line = f"{now_ms:>9} ms  host {host:<4} {what}"
        self.tail.append(line)
        self.lines += 1
        self._digest.update(line.encode())
        self._digest.update(data)

    def hash(self) -> str:
        """The hash of everything so far, hexadecimal."""
        return self._digest.hexdigest()


def described(what: Event | Effect) -> str:
    """One line on an event or effect: no floats, no sets, nothing that differs between runs."""
    detail = _DETAILS.get(type(what))
    return f"{type(what).__name__} {detail(what)}" if detail else type(what).__name__


def _received(event: MessageReceived) -> str:
    kind = type(event.message).__name__
    return f"{kind} from {_short(event.peer)}{' (reply)' if event.reply else ''}"


def _persisted(effect: Persist) -> str:
    records = [record.id for record in effect.records]
    private = [memory.id for memory in effect.private]
    return " ".join(map(_short, [*records, *private, *effect.erased]))


def _short(key: bytes | None) -> str:
    return key.hex()[:12] if key is not None else "-"


_DETAILS: Final[dict[type[Any], Callable[[Any], str]]] = {
    MessageReceived: _received,
    SendFailed: lambda event: f"{_short(event.peer)} {event.reason}",
    Introduced: lambda event: f"{event.url} {_short(event.record.id)}",
    TimerFired: lambda event: event.name,
    ModelReplied: lambda event: f"{event.call_id} {event.text}",
    ModelFailed: lambda event: f"{event.call_id} {event.failure}",
    Persist: _persisted,
    Send: lambda effect: f"{type(effect.message).__name__} to {_short(effect.peer)}",
    SetTimer: lambda effect: f"{effect.name} {effect.after_ms}",
    CallModel: lambda effect: f"{effect.call_id} {effect.target}",
    Acknowledge: lambda effect: f"{effect.token} {_short(effect.id)} {effect.refused or ''}",
    Publish: lambda effect: effect.topic,
}
