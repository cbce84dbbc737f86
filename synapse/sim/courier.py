"""One host's messages: out to peers and back, as the shipped transport and driver carry them.

A message to a peer whose own request is being handled travels in the reply; one to a peer that
cannot be dialled waits in a mailbox for its next request; the others are posted, one exchange at
a time with each peer, and what gathers meanwhile travels together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from synapse.core import codec
from synapse.core.errors import MessageError, RecordError
from synapse.core.events import (
    Event,
    Exchanged,
    Introduced,
    IntroductionFailed,
    MessageReceived,
    SendFailed,
)
from synapse.core.memory.record import Record
from synapse.core.messages import Message, Poll, joined
from synapse.sim.clock import VirtualClock
from synapse.sim.network import TIMEOUT_MS, Failure, Network, Reply, Respond, Server
from synapse.sim.wire import Wire

MAILBOX_MAX: Final = 64  # messages kept for one peer: met sooner than the bytes the driver allows
GOSSIP: Final = "/gossip"
DESCRIPTION: Final = "/description"


class Tell(Protocol):
    """How events are handed to the node."""

    def __call__(
        self,
        *events: Event,
        caller: bytes | None = None,
        done: Callable[[list[Message]], None] | None = None,
    ) -> None:
        """`done` gets the messages to `caller`, once what they rest on is durable."""


@dataclass(slots=True)
class _Mailbox:
    """Messages for a peer that cannot be dialled, and its requests that wait for some."""

    messages: deque[Message] = field(default_factory=lambda: deque(maxlen=MAILBOX_MAX))
    held: list[Respond] = field(default_factory=list)


class Courier:
    """Carries messages until its host loses power."""

    def __init__(
        self,
        server: Server,
        *,
        clock: VirtualClock,
        network: Network,
        wire: Wire,
        tell: Tell,
    ) -> None:
        self.closed = False
        self.malformed = 0  # requests that were not what the codec makes
        self._server = server
        self._clock = clock
        self._network = network
        self._wire = wire
        self._tell = tell
        self._outboxes: dict[bytes, deque[Message]] = {}
        self._mailboxes: dict[bytes, _Mailbox] = {}

    def waiting(self) -> int:
        """How many messages wait here."""
        return sum(map(len, self._outboxes.values())) + sum(
            len(mailbox.messages) for mailbox in self._mailboxes.values()
        )

    # Our own requests.

    def send(self, peer: bytes, url: str | None, message: Message) -> None:
        """Get a message to a peer, now or when it asks."""
        if url is None:
            mailbox = self._mailbox(peer)
            mailbox.messages.append(message)
            held, mailbox.held = mailbox.held, []
            for respond in held:
                self._answer(mailbox, [], respond)
        elif isinstance(message, Poll):
            self._post(peer, url, [message], wait_ms=message.wait_ms)
        elif peer in self._outboxes:
            self._enqueue(self._outboxes[peer], message)
        else:
            self._outboxes[peer] = deque((message,))
            self._clock.after(0, partial(self._empty_outbox, peer, url))

    def introduce(self, url: str) -> None:
        """Ask whoever answers at `url` who it is."""
        self._network.request(
            self._server,
            url,
            DESCRIPTION,
            b"",
            timeout_ms=TIMEOUT_MS,
            respond=partial(self._introduced, url),
        )

    @staticmethod
    def _enqueue(outbox: deque[Message], message: Message) -> None:
        together = joined(outbox[-1], message) if outbox else None
        if together is not None:
            outbox[-1] = together
        elif len(outbox) < MAILBOX_MAX:
            outbox.append(message)
        # Beyond that the peer is too slow to be pushed to; comparing will bring it what it lacks.

    def _empty_outbox(self, peer: bytes, url: str) -> None:
        if self.closed:
            return
        messages, rest = codec.sendable(self._outboxes.pop(peer))
        if messages:
            self._outboxes[peer] = deque(rest)
            self._post(peer, url, messages)

    def _post(self, peer: bytes, url: str, messages: list[Message], *, wait_ms: int = 0) -> None:
        self._network.request(
            self._server,
            url,
            GOSSIP,
            self._wire.encode(messages),
            timeout_ms=TIMEOUT_MS + wait_ms,
            respond=partial(self._replied, peer, url, wait_ms > 0),
        )

    def _replied(self, peer: bytes, url: str, polled: bool, reply: Reply) -> None:
        if self.closed:
            return
        try:
            messages = self._read(reply)
        except MessageError as error:
            if not polled:
                del self._outboxes[peer]
            self._tell(SendFailed(peer, str(error), polled))
            return
        received = [MessageReceived(peer, message, reply=True) for message in messages]
        self._tell(*received, Exchanged(peer, polled))
        if not polled:
            self._clock.after(0, partial(self._empty_outbox, peer, url))

    def _read(self, reply: Reply) -> Sequence[Message]:
        if isinstance(reply, Failure):
            raise MessageError(reply.reason)
        return self._wire.decode(reply)

    def _introduced(self, url: str, reply: Reply) -> None:
        if self.closed:
            return
        if isinstance(reply, Failure):
            self._tell(IntroductionFailed(url, reply.reason))
            return
        try:
            record = codec.decode_record(reply)
        except RecordError as error:
            self._tell(IntroductionFailed(url, error.reason))
        else:
            self._tell(Introduced(url, record))

    # Requests of others.

    def describe(self, description: Record | None, respond: Respond) -> None:
        """Say who we are."""
        if description is None:
            respond(Failure("not_ready"))
        else:
            respond(codec.encode_record(description))

    def serve(self, caller: bytes, data: bytes, respond: Respond) -> None:
        """Answer a peer's request, once everything it led to is durable."""
        try:
            messages = self._wire.decode(data)
        except MessageError:
            self.malformed += 1
            respond(Failure("refused"))
            return
        wait_ms = max((one.wait_ms for one in messages if isinstance(one, Poll)), default=0)
        received = [MessageReceived(caller, message) for message in messages]
        self._tell(*received, caller=caller, done=partial(self._served, caller, respond, wait_ms))

    def _served(
        self, caller: bytes, respond: Respond, wait_ms: int, replies: list[Message]
    ) -> None:
        mailbox = self._mailbox(caller)
        if wait_ms and not replies and not mailbox.messages:
            mailbox.held.append(respond)
            self._clock.after(wait_ms, partial(self._waited_enough, mailbox, respond))
        else:
            self._answer(mailbox, replies, respond)

    def _waited_enough(self, mailbox: _Mailbox, respond: Respond) -> None:
        if respond in mailbox.held and not self.closed:
            mailbox.held.remove(respond)
            self._answer(mailbox, [], respond)

    def _answer(self, mailbox: _Mailbox, replies: list[Message], respond: Respond) -> None:
        kept = list(mailbox.messages)
        mailbox.messages.clear()
        respond(self._wire.encode(codec.sendable(replies + kept)[0]))

    def _mailbox(self, peer: bytes) -> _Mailbox:
        return self._mailboxes.setdefault(peer, _Mailbox())
