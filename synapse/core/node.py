"""One node: routes events to its halves (gossip and thinking), and does what users command.

    handle(event, now_ms) -> [effect]

No I/O, no clock, no randomness of its own: the driver and the simulator run this very class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from synapse.core import events
from synapse.core.effects import Acknowledge, Effect, Persist
from synapse.core.errors import RecordError
from synapse.core.gossip import Gossip
from synapse.core.ledger import Ledger, Read
from synapse.core.membership import handshake
from synapse.core.membership.peer_table import PeerTable
from synapse.core.memory.memory import Memory, PrivateMemory
from synapse.core.memory.record import (
    CERTIFICATE,
    MEMORY,
    NODE,
    RETRACTION,
    TASK,
    Draft,
    Identity,
    Record,
)
from synapse.core.memory.record_set import dot_text
from synapse.core.reasoning.idle.schedule import OFF, IdleSettings
from synapse.core.reasoning.mechanisms import DEFAULTS, Quantum
from synapse.core.reasoning.model_routing import Target
from synapse.core.reasoning.task import LABEL_BYTES_MAX
from synapse.core.text import SharedText
from synapse.core.thinking import Thinking, ThinkingSettings
from synapse.core.wall.release import Wall, constant
from synapse.core.wall.release import dot as shared_dot

Search = Callable[[str, int], Sequence[Memory]]


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What an operator decides about a node."""

    name: str
    url: str | None  # where others dial it; None when nobody can
    software: str
    seeds: tuple[str, ...] = ()  # addresses the operator wrote
    public_seeds: tuple[str, ...] = ()  # addresses from a public list
    targets: tuple[Target, ...] = ()
    private_addresses: bool = False
    sync_interval_ms: int = 5_000
    task_deadline_ms: int = 60_000
    quantum: Quantum = DEFAULTS
    synthesis: bool = False  # whether a model writes out in prose what was decided
    idle: IdleSettings = OFF


class Node:
    """The whole of a spore but its edges. Its parts are public to read, for views."""

    def __init__(
        self,
        identity: Identity,
        settings: NodeSettings,
        *,
        rng: Random,
        read: Read,
        search: Search,
        wall: Wall,
    ) -> None:
        """`read` fetches records by id, `search` finds shared memories; both answer at once."""
        self.key = identity.key
        self.settings = settings
        self._rng = Random(rng.getrandbits(64))
        self._wall = wall
        self._read = read
        peers = PeerTable(
            own_key=identity.key,
            rng=Random(rng.getrandbits(64)),
            private_addresses=settings.private_addresses,
        )
        self.ledger = Ledger(identity, peers=peers, rng=rng, read=read)
        self.thinking = Thinking(
            self.ledger,
            ThinkingSettings(
                targets=settings.targets,
                task_deadline_ms=settings.task_deadline_ms,
                quantum=settings.quantum,
                synthesis=settings.synthesis,
                idle=settings.idle,
            ),
            write=lambda draft, now_ms: self._write(draft, now_ms=now_ms)[1],
            read=read,
            search=search,
            share=wall.share,
            rng=Random(rng.getrandbits(64)),
        )
        self._gossip = Gossip(
            self.ledger,
            read=read,
            react=self.thinking.react,
            rng=Random(rng.getrandbits(64)),
            interval_ms=settings.sync_interval_ms,
            dialable=settings.url is not None,
        )
        for url in settings.seeds:
            peers.add_seed(url)
        for url in settings.public_seeds:
            peers.add_seed(url, public=True)

    @property
    def peers(self) -> PeerTable:
        """Who the peers are."""
        return self.ledger.peers

    def handle(self, event: events.Event, *, now_ms: int) -> list[Effect]:
        """What should happen because of `event`, in order."""
        handler = _HANDLERS[type(event)]
        return handler(self, event, now_ms)

    @property
    def description(self) -> Record | None:
        """Our signed self-description; None before `Started`."""
        return self._gossip.description

    # Starting.

    def _restored(self, event: events.Restored, now_ms: int) -> list[Effect]:
        self.ledger.restore(event.records)
        for record in event.records:
            if record.kind == NODE and record.header.writer == self.key:
                self._gossip.description = record
        return []

    def _started(self, event: events.Started, now_ms: int) -> list[Effect]:
        said = handshake.content(
            name=self._wall.label(self.settings.name, name="name"),
            url=SharedText(self.settings.url) if self.settings.url is not None else None,
            software=constant(self.settings.software),
            families=tuple(
                self._wall.share(one, bytes_max=LABEL_BYTES_MAX)
                for one in self.thinking.routing.families()
            ),
        )
        effects: list[Effect] = []
        if self.description is None or _differs(self.description, said):
            self._gossip.description, effects = self._write(Draft(NODE, said), now_ms=now_ms)
        return effects + self.thinking.resume(now_ms) + self._gossip.start(now_ms=now_ms)

    # Commands of this spore's users.

    def _remember(self, command: events.Remember, now_ms: int) -> list[Effect]:
        draft = Draft(MEMORY, {"text": command.text, "kind": command.kind, "tags": command.tags})
        return self._write_for(command.token, draft, now_ms=now_ms)[1]

    def _remember_privately(self, command: events.RememberPrivately, now_ms: int) -> list[Effect]:
        salt = self._rng.randbytes(16)
        memory = PrivateMemory(
            id=hashlib.sha256(b"synapse/private/1\x00" + salt + command.text.encode()).digest(),
            text=command.text,
            kind=command.kind,
            tags=command.tags,
            created_ms=now_ms,
        )
        return [Persist(private=(memory,)), Acknowledge(command.token, memory.id)]

    def _retract(self, command: events.Retract, now_ms: int) -> list[Effect]:
        if command.private:
            return [
                Persist(erased=(command.record_id,)),
                Acknowledge(command.token, command.record_id),
            ]
        found = self._read((command.record_id,))
        if not found:
            message = "there is no such record here"
            return [Acknowledge(command.token, refused="not_found", message=message)]
        header = found[0].header
        if header.operator != self.key or header.kind in (RETRACTION, CERTIFICATE):
            message = "only the operator of a memory can take it back"
            return [Acknowledge(command.token, refused="not_yours", message=message)]
        dots = (shared_dot(dot_text(header.dot)),)
        draft = Draft(RETRACTION, {"dots": dots}, refs=(command.record_id,))
        return self._write_for(command.token, draft, now_ms=now_ms)[1]

    def _submit_task(self, command: events.SubmitTask, now_ms: int) -> list[Effect]:
        draft = Draft(TASK, {**command.wish, "text": command.text})
        record, effects = self._write_for(command.token, draft, now_ms=now_ms)
        task = self.ledger.tasks.get(record.id) if record is not None else None
        return effects + self.thinking.begin(task, now_ms) if task is not None else effects

    def _add_peer(self, command: events.AddPeer, now_ms: int) -> list[Effect]:
        if not handshake.url_valid(command.url):
            message = "a peer's address is http(s)://host[:port], without user, query or fragment"
            return [Acknowledge(command.token, refused="address", message=message)]
        seed = self.peers.add_seed(command.url)
        seed.retry_ms = now_ms
        return [Acknowledge(command.token), *self._gossip.introductions(now_ms)]

    # Writing and taking in records.

    def _write_for(
        self, token: int, draft: Draft, *, now_ms: int
    ) -> tuple[Record | None, list[Effect]]:
        """Write a record and acknowledge it once it is durable."""
        try:
            record, effects = self._write(draft, now_ms=now_ms)
        except RecordError as error:
            return None, [Acknowledge(token, refused=error.reason, message=str(error))]
        assert isinstance(effects[0], Persist), "an acknowledgement follows what it acknowledges"
        return record, [effects[0], Acknowledge(token, record.id), *effects[1:]]

    def _write(self, draft: Draft, *, now_ms: int) -> tuple[Record, list[Effect]]:
        entered = self.ledger.write(draft, now_ms=now_ms)
        effects = self._gossip.after(entered, source=None, push=True, now_ms=now_ms)
        return entered.records[0], effects

    # Timers.

    def _timer(self, event: events.TimerFired, now_ms: int) -> list[Effect]:
        match event.name.split("/", 1):
            case ["task" | "check" | "lease" as kind, task_id]:
                return self.thinking.on_timer(kind, bytes.fromhex(task_id), now_ms)
            case ["idle"]:
                return self.thinking.on_idle(now_ms)
            case _:
                return self._gossip.on_timer(event.name, now_ms)


_HANDLERS: Final[dict[type[Any], Callable[[Node, Any, int], list[Effect]]]] = {
    events.Restored: Node._restored,
    events.Started: Node._started,
    events.MessageReceived: lambda node, event, now_ms: node._gossip.on_message(event, now_ms),
    events.Exchanged: lambda node, event, now_ms: node._gossip.on_exchanged(event, now_ms),
    events.SendFailed: lambda node, event, now_ms: node._gossip.on_send_failed(event, now_ms),
    events.Introduced: lambda node, event, now_ms: node._gossip.on_introduced(event, now_ms),
    events.IntroductionFailed: lambda node, event, now_ms: node._gossip.on_introduction_failed(
        event, now_ms
    ),
    events.TimerFired: Node._timer,
    events.ModelReplied: lambda node, event, now_ms: node.thinking.on_reply(event, now_ms),
    events.ModelFailed: lambda node, event, now_ms: node.thinking.on_failure(event, now_ms),
    events.Remember: Node._remember,
    events.RememberPrivately: Node._remember_privately,
    events.Retract: Node._retract,
    events.SubmitTask: Node._submit_task,
    events.AskPrivately: lambda node, event, now_ms: node.thinking.begin_privately(event, now_ms),
    events.GradeTask: lambda node, event, now_ms: node.thinking.grade(event, now_ms),
    events.AddPeer: Node._add_peer,
}


def _differs(before: Record, now: Mapping[str, Any]) -> bool:
    """Whether our description changed since it was last signed."""
    said = dict(before.content())
    said.pop("salt", None)
    return {**now, "families": list(now["families"])} != said
