"""Nodes that break the protocol on purpose: the shipped node with another mouth."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from typing import Any, Final

from synapse.core.effects import Effect, Send
from synapse.core.events import Event, MessageReceived
from synapse.core.memory.record import MEMORY, Identity, Record, body_hash
from synapse.core.messages import Have, Message, Push, Summary, Supply
from synapse.core.node import Node

REPLAYED_MAX: Final = 8  # messages said again to whoever asks


class Liar(Node):
    """Handles events as a node does, and then says something else."""

    def __init__(self, identity: Identity, *args: Any, **kwargs: Any) -> None:
        super().__init__(identity, *args, **kwargs)
        self.identity = identity

    def handle(self, event: Event, *, now_ms: int) -> list[Effect]:
        """What this node wants done because of `event`."""
        return self.lie(event, super().handle(event, now_ms=now_ms))

    def lie(self, event: Event, effects: list[Effect]) -> list[Effect]:
        """What to do instead of `effects`."""
        raise AssertionError("each liar lies in its own way")


class Echo(Liar):
    """Tells everybody that it holds exactly what they hold, and passes nothing on."""

    def lie(self, event: Event, effects: list[Effect]) -> list[Effect]:
        """Answer a summary with itself; drop all records and announcements."""
        if isinstance(event, MessageReceived) and isinstance(event.message, Summary):
            return [] if event.reply else [Send(event.peer, None, event.message)]
        return [effect for effect in effects if not _sends(effect, Push, Supply, Have)]


class Forger(Liar):
    """Alters every record that passes through it: the signature, the body or the author."""

    def __init__(self, identity: Identity, *args: Any, **kwargs: Any) -> None:
        super().__init__(identity, *args, **kwargs)
        self._forgeries = cycle((_other_signature, _other_body, _other_author))

    def lie(self, event: Event, effects: list[Effect]) -> list[Effect]:
        """Send forgeries."""
        return [_with_records(one, lambda record: next(self._forgeries)(record)) for one in effects]


class Replayer(Liar):
    """Says what it heard first again and again, to everybody who talks to it."""

    def __init__(self, identity: Identity, *args: Any, **kwargs: Any) -> None:
        super().__init__(identity, *args, **kwargs)
        self._heard: deque[Message] = deque(maxlen=REPLAYED_MAX)

    def lie(self, event: Event, effects: list[Effect]) -> list[Effect]:
        """Add the old messages to every reply."""
        if not isinstance(event, MessageReceived) or event.reply:
            return effects
        if len(self._heard) < REPLAYED_MAX:
            self._heard.append(event.message)
        return [*effects, *(Send(event.peer, None, message) for message in self._heard)]


class Equivocator(Liar):
    """Signs two memories for every place in its log, and shows each peer one of them."""

    def lie(self, event: Event, effects: list[Effect]) -> list[Effect]:
        """Show the twins to half of the peers."""
        return [
            _with_records(one, self._twin) if isinstance(one, Send) and one.peer[0] % 2 else one
            for one in effects
        ]

    def _twin(self, record: Record) -> Record:
        """Another memory at the same place of our log; others' records as they are."""
        if record.header.writer != self.key or record.kind != MEMORY or record.body is None:
            return record
        body = record.body.replace(b"remembers", b"pretends.")
        header = replace(record.header, body_hash=body_hash(body))
        return Record.composed(self.identity, header, body)


LIARS: Final = (Echo, Forger, Replayer, Equivocator)


def _sends(effect: Effect, *kinds: type[Message]) -> bool:
    return isinstance(effect, Send) and isinstance(effect.message, kinds)


def _with_records(effect: Effect, change: Callable[[Record], Record]) -> Effect:
    """`effect` with each record changed, if it sends any."""
    if not isinstance(effect, Send) or not isinstance(effect.message, Push | Supply):
        return effect
    records = tuple(change(record) for record in effect.message.records)
    return replace(effect, message=replace(effect.message, records=records))


def _other_signature(record: Record) -> Record:
    return replace(record, signature=bytes([record.signature[0] ^ 1]) + record.signature[1:])


def _other_body(record: Record) -> Record:
    return replace(record, body=(record.body or b"?")[:-1] + b"!")


def _other_author(record: Record) -> Record:
    author = record.header.writer[::-1]
    header = replace(record.header, writer=author, operator=author)
    return replace(record, header_data=header.encode())
