"""A machine that runs one node as the shipped driver does, and can lose power at any time.

Events wait in an inbox; those that wait together are handled together and share one commit, and
no effect is performed before that commit is durable.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from typing import Final

from synapse.core.effects import (
    Acknowledge,
    CallModel,
    Effect,
    Introduce,
    Persist,
    Publish,
    Send,
    SetTimer,
)
from synapse.core.events import Command, Event, MessageReceived, Restored, Started, TimerFired
from synapse.core.memory.record import Identity
from synapse.core.messages import Message, Push, Supply
from synapse.core.node import Node, NodeSettings
from synapse.core.wall.release import Wall
from synapse.sim.clock import VirtualClock
from synapse.sim.courier import DESCRIPTION, Courier
from synapse.sim.disk import Disk
from synapse.sim.models import ScriptedModel
from synapse.sim.network import Network, Respond
from synapse.sim.trace import Trace, described
from synapse.sim.wire import Wire

EPOCH_MS: Final = 1_700_000_000_000  # what an honest clock shows at the start
BATCH_MAX: Final = 256  # events that share a commit, as in the driver
SYNC_MS: Final = (1, 10)  # what a commit takes on an ordinary disk


@dataclass(frozen=True, slots=True)
class World:
    """What all hosts share."""

    clock: VirtualClock
    network: Network
    wire: Wire
    trace: Trace


@dataclass(slots=True)
class Observed:
    """What checkers and reports want to know of a host. No crash erases it.

    Records stand under their ids with the virtual time, in milliseconds, when it happened first.
    """

    acknowledged: dict[bytes, int] = field(default_factory=dict)
    durable: dict[bytes, int] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)  # by reason, in lives that ended
    payloads: int = 0  # records that peers sent
    payloads_new: int = 0


class Host:
    """One machine: what survives a crash. The rest is its `_Process`."""

    def __init__(
        self,
        number: int,
        settings: NodeSettings,
        *,
        world: World,
        rng: Random,
        models: Sequence[ScriptedModel] = (),
        node_class: type[Node] = Node,
    ) -> None:
        self.number = number
        self.settings = settings
        self.world = world
        self.rng = rng
        self.identity = Identity(rng.randbytes(32))
        self.key = self.identity.key
        self.disk = Disk()
        self.observed = Observed()
        self.skew_ms = 0
        self.models = {model.name: model for model in models}
        self.node_class = node_class
        self._process: _Process | None = None
        self._shown_ms = 0
        if settings.url is not None:
            world.network.attach(settings.url, self)

    @property
    def up(self) -> bool:
        """Whether it runs."""
        return self._process is not None

    @property
    def honest(self) -> bool:
        """Whether it runs the shipped node, unchanged."""
        return self.node_class is Node

    @property
    def node(self) -> Node:
        """The node it runs; it is up."""
        assert self._process is not None, "nothing runs here"
        return self._process.node

    def start(self) -> None:
        """Switch on."""
        assert self._process is None, "it runs already"
        self.note("starts")
        self._process = _Process(self)
        self._process.tell(Restored(self.disk.restored()), Started())

    def crash(self) -> None:
        """Lose power: what was not synced is gone, and nobody is told."""
        assert self._process is not None, "nothing runs here"
        self.note("loses power")
        self.observed.refused = self.refused()
        self._process.end()
        self._process = None
        self.disk.crash()

    def submit(self, command: Command) -> None:
        """A user's command."""
        assert self._process is not None, "nothing runs here"
        self._process.tell(command)

    def serve(self, path: str, caller: bytes, data: bytes, respond: Respond) -> None:
        """Answer a request."""
        assert self._process is not None, "nothing runs here"
        if path == DESCRIPTION:
            self._process.courier.describe(self.node.description, respond)
        else:
            self._process.courier.serve(caller, data, respond)

    def now_ms(self) -> int:
        """What this host's clock shows: perhaps wrong, but never running backwards."""
        self._shown_ms = max(self._shown_ms, EPOCH_MS + self.world.clock.now_ms + self.skew_ms)
        return self._shown_ms

    def refused(self) -> Counter[str]:
        """What was refused here, by reason, over all lives."""
        counted = Counter(self.observed.refused)
        if self._process is not None:
            counted.update(self._process.node.ledger.refused)
            counted["malformed"] += self._process.courier.malformed
        return +counted

    def backlog(self) -> int:
        """How many events, timers and messages wait."""
        return self._process.backlog() if self._process is not None else 0

    def note(self, what: str) -> None:
        """Put a line in the trace."""
        self.world.trace.note(self.world.clock.now_ms, self.number, what)


@dataclass(slots=True)
class _Work:
    """Events that belong together, and whoever waits for what they lead to."""

    events: Sequence[Event]
    caller: bytes | None = None  # whose request this is; messages to it are the reply
    replies: list[Message] = field(default_factory=list)
    done: Callable[[list[Message]], None] | None = None


class _Process:
    """One life of a host's node: everything that a crash erases."""

    def __init__(self, host: Host) -> None:
        world = host.world
        self.node = host.node_class(
            host.identity,
            host.settings,
            rng=Random(host.rng.getrandbits(64)),
            read=host.disk.read,
            search=host.disk.search,
            wall=Wall(),
        )
        self.courier = Courier(
            host, clock=world.clock, network=world.network, wire=world.wire, tell=self.tell
        )
        self._host = host
        self._clock = world.clock
        self._inbox: deque[_Work] = deque()
        self._committing = False
        self._timers: dict[str, int] = {}
        self._tickets = count()

    def end(self) -> None:
        """Nothing that is under way will reach this process."""
        self.courier.closed = True

    def backlog(self) -> int:
        """How many events, timers and messages wait."""
        return len(self._inbox) + len(self._timers) + self.courier.waiting()

    def tell(
        self,
        *events: Event,
        caller: bytes | None = None,
        done: Callable[[list[Message]], None] | None = None,
    ) -> None:
        """Hand in events; `done` gets the messages to `caller` once they may be sent."""
        if self.courier.closed:
            return
        self._inbox.append(_Work(events, caller=caller, done=done))
        if not self._committing:
            self._work()

    # Events in, one batch after another.

    def _work(self) -> None:
        while self._inbox and not self._committing:
            batch = [self._inbox.popleft() for _ in range(min(len(self._inbox), BATCH_MAX))]
            effects = [
                (work, effect)
                for work in batch
                for event in work.events
                for effect in self._handle(event)
            ]
            if any(isinstance(effect, Persist) for _, effect in effects):
                self._committing = True
                sync_ms = self._host.rng.randint(*SYNC_MS)
                self._clock.after(sync_ms, partial(self._committed, batch, effects))
            else:
                self._perform_all(batch, effects)

    def _handle(self, event: Event) -> list[Effect]:
        self._host.note(described(event))
        effects = self.node.handle(event, now_ms=self._host.now_ms())
        entries = [effect for effect in effects if isinstance(effect, Persist)]
        for entry in entries:
            self._host.disk.stage(entry)
        if isinstance(event, MessageReceived) and isinstance(event.message, Push | Supply):
            entered = {record.id for entry in entries for record in entry.records}
            offered = event.message.records
            self._host.observed.payloads += len(offered)
            self._host.observed.payloads_new += sum(one.id in entered for one in offered)
        return effects

    def _committed(self, batch: Sequence[_Work], effects: Sequence[tuple[_Work, Effect]]) -> None:
        if self.courier.closed:
            return
        self._host.disk.sync()
        self._committing = False
        self._perform_all(batch, effects)
        self._work()

    # Effects out, in order.

    def _perform_all(self, batch: Sequence[_Work], effects: Sequence[tuple[_Work, Effect]]) -> None:
        for work, effect in effects:
            self._host.note(described(effect))
            self._perform(work, effect)
        for work in batch:
            if work.done is not None:
                work.done(work.replies)

    def _perform(self, work: _Work, effect: Effect) -> None:
        match effect:
            case Persist(records):
                for record in records:
                    self._host.observed.durable.setdefault(record.id, self._clock.now_ms)
            case Send(peer, _, message) if work.caller == peer:
                work.replies.append(message)
            case Send(peer, url, message):
                self.courier.send(peer, url, message)
            case Introduce(url):
                self.courier.introduce(url)
            case SetTimer():
                self._set_timer(effect)
            case CallModel():
                self._call_model(effect)
            case Acknowledge():
                self._acknowledge(effect)
            case Publish():
                pass  # for people

    def _acknowledge(self, effect: Acknowledge) -> None:
        if effect.id is not None:
            self._host.observed.acknowledged[effect.id] = self._clock.now_ms

    def _set_timer(self, timer: SetTimer) -> None:
        ticket = self._timers[timer.name] = next(self._tickets)
        self._clock.after(timer.after_ms, partial(self._timer_due, timer.name, ticket))

    def _timer_due(self, name: str, ticket: int) -> None:
        if self._timers.get(name) == ticket:  # not replaced since
            del self._timers[name]
            self.tell(TimerFired(name))

    def _call_model(self, call: CallModel) -> None:
        model = self._host.models[call.target]
        delay_ms, event = model.answer(call, self._host.rng, now_ms=self._clock.now_ms)
        self._clock.after(delay_ms, partial(self.tell, event))
