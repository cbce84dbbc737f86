"""A whole node with nothing around it: events in by hand, effects kept, time moved by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from synapse.core import events
from synapse.core.effects import (
    Acknowledge,
    CallModel,
    Effect,
    Persist,
    Publish,
    Send,
    SetTimer,
)
from synapse.core.memory.memory import Memory, from_record
from synapse.core.memory.record import Record
from synapse.core.messages import Message, Push
from synapse.core.node import Node, NodeSettings
from synapse.core.reasoning.model_routing import EXTRACTIVE, Target
from synapse.core.reasoning.task import Task
from synapse.core.text import SharedText
from synapse.core.wall.release import Wall
from synapse.storage.memory_log import MemoryLog
from tests.making import START_MS, identity

EXTRACTOR = Target(EXTRACTIVE, EXTRACTIVE, account=EXTRACTIVE)


def model(family: str, *, name: str | None = None) -> Target:
    """A model of this family, with an account of its own."""
    return Target(name or family, family, account=f"account of {name or family}")


class Table:
    """One node, started. `search` finds what `memories` holds, whatever is asked."""

    def __init__(
        self,
        *targets: Target,
        number: int = 1,
        url: str | None = "https://one.example",
        log: MemoryLog | None = None,
        **settings: Any,
    ) -> None:
        self.now_ms = START_MS
        self.log = log or MemoryLog()
        self.memories: list[Memory] = []
        self.effects: list[Effect] = []  # everything ever asked for
        self.timers: dict[str, int] = {}  # name: when it is due
        self.calls: list[CallModel] = []  # not answered yet
        self.node = Node(
            identity(number),
            NodeSettings(
                name=f"node {number}",
                url=url,
                software="synapse/test",
                targets=targets,
                private_addresses=True,
                **settings,
            ),
            rng=Random(f"node {number}"),
            read=self.log.read,
            search=lambda query, limit: self.memories[:limit],
            wall=Wall(),
        )
        self.tell(events.Restored(tuple(self.log.scan())))
        self.tell(events.Started())

    def tell(self, event: events.Event) -> list[Effect]:
        """Hand in an event; the disk, the timers and the telephone do what they are told."""
        effects = self.node.handle(event, now_ms=self.now_ms)
        for effect in effects:
            match effect:
                case Persist(records, private, erased):
                    self.log.stage(records, private=private, erased=erased)
                case SetTimer(name, after_ms):
                    self.timers[name] = self.now_ms + after_ms
                case CallModel():
                    self.calls.append(effect)
        self.effects += effects
        return effects

    def hear(self, message: Message, *, peer: int = 2, reply: bool = False) -> list[Effect]:
        """A message from the peer with this number."""
        return self.tell(events.MessageReceived(identity(peer).key, message, reply))

    def hear_records(self, *records: Record, peer: int = 2) -> list[Effect]:
        """Pushed by a peer."""
        return self.hear(Push(records), peer=peer)

    def wait(self, ms: int) -> None:
        """Let time pass, and every timer that is due."""
        end_ms = self.now_ms + ms
        while due := sorted((at, name) for name, at in self.timers.items() if at <= end_ms):
            at_ms, name = due[0]
            del self.timers[name]
            self.now_ms = max(self.now_ms, at_ms)
            self.tell(events.TimerFired(name))
        self.now_ms = end_ms

    # Tasks.

    def remember(self, text: str) -> bytes:
        """Keep a memory, and find it whenever something is asked."""
        note = SharedText("note")
        effects = self.tell(events.Remember(1, SharedText(text), note))
        [record] = [
            one for effect in effects if isinstance(effect, Persist) for one in effect.records
        ]
        memory = from_record(record)
        assert memory is not None
        self.memories.append(memory)
        return record.id

    def ask(self, text: str = "What do the tides follow?") -> bytes:
        """Ask a question; the task's id."""
        effects = self.tell(events.SubmitTask(1, SharedText(text)))
        [task_id] = [one.id for one in effects if isinstance(one, Acknowledge)]
        assert task_id is not None
        return task_id

    def task(self, task_id: bytes) -> Task:
        """What is known of it."""
        task = self.node.ledger.tasks.get(task_id)
        assert task is not None
        return task

    def call(self, target: str) -> CallModel:
        """The call to this target that waits longest for its answer."""
        found = next(one for one in self.calls if one.target == target)
        self.calls.remove(found)
        return found

    def reply(
        self, target: str, answer: str, *, model: str = "", family: str | None = None, **fields: Any
    ) -> CallModel:
        """The model answers, a moment later; the call that it answers."""
        self.now_ms += 1
        call = self.call(target)
        text = json.dumps({"answer": answer, "confidence": 0.7, **fields})
        self.say(call, text, model=model or target, family=family or target)
        return call

    def say(self, call: CallModel, text: str, *, model: str, family: str) -> list[Effect]:
        """Answer a call with any text."""
        return self.tell(events.ModelReplied(call.call_id, text, model, family))

    def fail(self, target: str, failure: str, *, retry_after_ms: int | None = None) -> list[Effect]:
        """The model does not answer."""
        call = self.call(target)
        return self.tell(events.ModelFailed(call.call_id, failure, "scripted", retry_after_ms))


def notices(effects: Sequence[Effect], topic: str) -> list[dict[str, Any]]:
    """What was published on a topic."""
    return [dict(one.data) for one in effects if isinstance(one, Publish) and one.topic == topic]


def sent(effects: Sequence[Effect], kind: type[Message]) -> list[Send]:
    """The messages of one kind that were sent."""
    return [one for one in effects if isinstance(one, Send) and isinstance(one.message, kind)]


def persisted(effects: Sequence[Effect]) -> list[Record]:
    """The records that were made durable."""
    return [record for one in effects if isinstance(one, Persist) for record in one.records]
