"""Nodes that break the protocol on purpose. Each is the shipped node with another mouth."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import cycle
from typing import Any, Final

from synapse.core.effects import Effect, Send
from synapse.core.events import Event, MessageReceived
from synapse.core.memory.record import MEMORY, Header, Identity, Record, body_hash
from synapse.core.messages import Have, Message, Push, Summary, Supply
from synapse.core.node import Node

REPLAYED_MAX: Final = 64


class Echo(Node):
    """Tells everybody that it holds exactly what they hold, and passes nothing on."""

    def handle(self, event: Event, *, now_ms: int) -> list[Effect]:
        if isinstance(event, MessageReceived) and isinstance(event.message, Summary):
            return [] if event.reply else [Send(event.peer, None, event.message)]
        effects = super().handle(event, now_ms=now_ms)
        return [effect for effect in effects if not _passes_on(effect)]


class Forger(Node):
    """Alters every record that passes through it: the signature, the body or the author."""

    def __init__(self, identity: Identity, *args: Any, **kwargs: Any) -> None:
        super().__init__(identity, *args, **kwargs)
        self._forgeries = cycle((_other_signature, _other_body, _other_author))

    def handle(self, event: Event, *, now_ms: int) -> list[Effect]:
        return [self._forged(effect) for effect in super().handle(event, now_ms=now_ms)]

    def _forged(self, effect: Effect) -> Effect:
        if isinstance(effect, Send) and isinstance(effect.message, Push | Supply):
            records = tuple(next(self._forgeries)(one) for one in effect.message.records)
            return replace(effect, message=replace(effect.message, records=records))
        return effect


class Replayer(Node):
    """Says what it heard again and again, to everybody who talks to it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._heard: deque[Message] = deque(maxlen=REPLAYED_MAX)

    def handle(self, event: Event, *, now_ms: int) -> list[Effect]:
        effects = super().handle(event, now_ms=now_ms)
        if not isinstance(event, MessageReceived) or event.reply:
            return effects
        self._heard.append(event.message)
        return effects + [Send(event.peer, None, one) for one in [*self._heard][:8]]


class Equivocator(Node):
    """Signs two records for every place in its log, and shows each peer one of them."""

    def __init__(self, identity: Identity, *args: Any, **kwargs: Any) -> None:
        super().__init__(identity, *args, **kwargs)
        self._identity = identity

    def handle(self, event: Event, *, now_ms: int) -> list[Effect]:
        return [self._forked(effect) for effect in super().handle(event, now_ms=now_ms)]

    def _forked(self, effect: Effect) -> Effect:
        if not isinstance(effect, Send) or not isinstance(effect.message, Push):
            return effect
        if effect.peer[0] % 2:
            return effect
        records = tuple(self._twin(one) for one in effect.message.records)
        return replace(effect, message=replace(effect.message, records=records))

    def _twin(self, record: Record) -> Record:
        """Another memory at the same place of our log."""
        if record.header.writer != self.key or record.kind != MEMORY or record.body is None:
            return record
        body = record.body.replace(b"remembers", b"pretends.")
        header = replace(record.header, body_hash=body_hash(body))
        return Record.composed(self._identity, header, body)


LIARS: Final = (Echo, Forger, Replayer, Equivocator)


def _passes_on(effect: Effect) -> bool:
    return isinstance(effect, Send) and isinstance(effect.message, Push | Supply | Have)


def _other_signature(record: Record) -> Record:
    flipped = bytes([record.signature[0] ^ 1]) + record.signature[1:]
    return replace(record, signature=flipped)


def _other_body(record: Record) -> Record:
    return replace(record, body=(record.body or b"\x00")[:-1] + b"!")


def _other_author(record: Record) -> Record:
    author = bytes(reversed(record.header.writer))
    header: Header = replace(record.header, writer=author, operator=author)
    return replace(record, header_data=header.encode())
