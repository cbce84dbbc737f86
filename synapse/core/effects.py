"""What a node asks to have done, in order.

Whatever follows a `Persist` in a batch of effects happens after those records are durable. That
one rule is what makes an acknowledgement mean something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from synapse.core.memory.memory import PrivateMemory
from synapse.core.memory.record import Record
from synapse.core.messages import Message


@dataclass(frozen=True, slots=True)
class Persist:
    """Make these durable; drop the bodies of the records whose ids are in `erased`."""

    records: tuple[Record, ...] = ()
    private: tuple[PrivateMemory, ...] = ()
    erased: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Send:
    """Give a message to the peer with this key.

    While that peer's own request is being answered the message travels in the reply; otherwise it
    is posted to `url`, or kept for the peer's next poll when it has none.
    """

    peer: bytes
    url: str | None
    message: Message


@dataclass(frozen=True, slots=True)
class Introduce:
    """Fetch the self-description of whoever answers at `url`.

    `trusted` when the operator wrote the address; one that a peer told us must be public.
    """

    url: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire `name` once, `after_ms` from now. Replaces a timer of the same name."""

    name: str
    after_ms: int


@dataclass(frozen=True, slots=True)
class Quote:
    """A memory offered to a model: data, whatever it says."""

    id: bytes
    text: str
    author: str


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What one model is asked. Extractive providers read `question` and `quotes`; others the
    rendered `system` and `user` prompts, which say the same."""

    system: str
    user: str
    question: str
    quotes: tuple[Quote, ...]
    temperature: float
    tokens_max: int
    schema: Mapping[str, Any] | None = None  # JSON Schema of the reply, for models that take one


@dataclass(frozen=True, slots=True)
class CallModel:
    """Ask one target once. The answer comes back as `ModelReplied` or `ModelFailed`.

    `purpose` (position, revision, challenge, synthesis, ...), `task` and `cycle` say what for, and
    are written down; a private task is not named.
    """

    call_id: int
    target: str
    request: ModelRequest
    timeout_ms: int
    purpose: str = "position"
    task: bytes = b""
    cycle: int = 0


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The command with this token is done: what it made, or why it was not done."""

    token: int
    id: bytes | None = None
    refused: str | None = None  # a short code
    message: str = ""


@dataclass(frozen=True, slots=True)
class Publish:
    """Something people may want to see as it happens. `topic` is one word; `data` is JSON-able."""

    topic: str
    data: Mapping[str, Any] = field(default_factory=dict)


Effect = Persist | Send | Introduce | SetTimer | CallModel | Acknowledge | Publish
