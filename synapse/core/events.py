"""Everything that can happen to a node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from synapse.core.memory.record import Record
from synapse.core.messages import Message
from synapse.core.text import Shareable, SharedText


@dataclass(frozen=True, slots=True)
class Restored:
    """Records read back from our own disk at the start; bodies of memories may be left out."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """The disk has been read: open for business. Sets the first timers."""


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message from the peer with this key, which the transport has authenticated.

    `reply` when it answers a request of ours: what we say back is then a new request.
    """

    peer: bytes
    message: Message
    reply: bool = False


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A peer answered a request of ours, and every message of its reply has been handled."""

    peer: bytes
    polled: bool = False  # the request held a `Poll`


@dataclass(frozen=True, slots=True)
class SendFailed:
    """A peer could not be reached; `reason` is a short code."""

    peer: bytes
    reason: str
    polled: bool = False


@dataclass(frozen=True, slots=True)
class Introduced:
    """Whoever answers at `url` described itself with this record."""

    url: str
    record: Record


@dataclass(frozen=True, slots=True)
class IntroductionFailed:
    """Nobody useful answered at `url`; `reason` is a short code."""

    url: str
    reason: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The timer of this name is due."""

    name: str


@dataclass(frozen=True, slots=True)
class Limit:
    """What a provider said of one of its limits: `remaining` of `limit` until `reset_ms` from now.

    `unit` is "requests" or "tokens"; None stands for what was not said.
    """

    unit: str
    window_ms: int
    limit: int | None = None
    remaining: int | None = None
    reset_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ModelReplied:
    """A model answered. `model` and `family` are what really served it."""

    call_id: int
    text: str
    model: str
    family: str
    tokens_in: int = 0
    tokens_out: int = 0
    took_ms: int = 0
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """A model did not answer. `failure` is one of `model_routing.FAILURES`."""

    call_id: int
    failure: str
    detail: str
    retry_after_ms: int | None = None
    took_ms: int = 0
    limits: tuple[Limit, ...] = ()


# Commands of this spore's own users. `token` comes back in the `Acknowledge`.


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep a shared memory."""

    token: int
    text: SharedText
    kind: SharedText
    tags: tuple[SharedText, ...] = ()


@dataclass(frozen=True, slots=True)
class RememberPrivately:
    """Keep a memory that never leaves this spore."""

    token: int
    text: str
    kind: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Retract:
    """Drop the body of one of our operator's own records, everywhere. Its header stays.

    A private memory leaves nothing behind.
    """

    token: int
    record_id: bytes
    private: bool = False


@dataclass(frozen=True, slots=True)
class SubmitTask:
    """Ask the swarm a question."""

    token: int
    text: SharedText
    wish: Mapping[str, Shareable] = field(default_factory=dict)  # as in a task's body


@dataclass(frozen=True, slots=True)
class AskPrivately:
    """Answer a question here: it is neither kept nor sent, but for the models it is put to."""

    token: int
    text: str
    wish: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GradeTask:
    """Say who was right: by the right answer, or by one position and whether it is right."""

    token: int
    task_id: bytes
    right_answer: str | None = None
    position: bytes | None = None
    right: bool = True


@dataclass(frozen=True, slots=True)
class AddPeer:
    """Talk to the spore at this address, for which the operator vouches."""

    token: int
    url: str


Command = Remember | RememberPrivately | Retract | SubmitTask | AskPrivately | GradeTask | AddPeer
Event = (
    Restored
    | Started
    | MessageReceived
    | Exchanged
    | SendFailed
    | Introduced
    | IntroductionFailed
    | TimerFired
    | ModelReplied
    | ModelFailed
    | Command
)
