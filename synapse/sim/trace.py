"""What happened, as one running hash: two runs of a seed are the same run when it is equal."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import Final

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
    return f"{type(what).__name__} {_detail(what)}"


def _detail(what: Event | Effect) -> str:
    match what:
        case MessageReceived(peer, message, reply):
            return f"{type(message).__name__} from {_short(peer)}{' (reply)' if reply else ''}"
        case SendFailed(peer, reason):
            return f"{_short(peer)} {reason}"
        case Introduced(url, record):
            return f"{url} {_short(record.id)}"
        case TimerFired(name):
            return name
        case ModelReplied(call_id, text):
            return f"{call_id} {text}"
        case ModelFailed(call_id, failure):
            return f"{call_id} {failure}"
        case Persist(records, private, erased):
            ids = [*(one.id for one in records), *(one.id for one in private), *erased]
            return " ".join(map(_short, ids))
        case Send(peer, _, message):
            return f"{type(message).__name__} to {_short(peer)}"
        case SetTimer(name, after_ms):
            return f"{name} {after_ms}"
        case CallModel(call_id, target):
            return f"{call_id} {target}"
        case Acknowledge(token, record_id, refused):
            return f"{token} {_short(record_id or b'')} {refused or ''}"
        case Publish(topic):
            return topic
        case _:
            return ""


def _short(key: bytes) -> str:
    return key.hex()[:12]
