"""A swarm: hosts on one clock and one network, every choice drawn from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from random import Random
from typing import Final

from synapse.core.events import Remember, RememberPrivately, Retract, SubmitTask
from synapse.core.memory.memory import TEXT_BYTES_MAX
from synapse.core.memory.record import MEMORY
from synapse.core.node import Node, NodeSettings
from synapse.core.reasoning.task import TASK_BYTES_MAX
from synapse.core.wall.release import Wall, constant
from synapse.sim.checkers import WireWatch
from synapse.sim.clock import Action, VirtualClock
from synapse.sim.host import Host, World
from synapse.sim.models import ScriptedModel
from synapse.sim.network import Conditions, Network
from synapse.sim.trace import Trace
from synapse.sim.wire import Wire

SEEDS: Final = 3  # addresses each operator is given


class Simulator:
    """The hosts and what they live in."""

    def __init__(self, seed: int, *, conditions: Conditions | None = None) -> None:
        self.rng = Random(seed)
        self.clock = VirtualClock()
        self.watch = WireWatch()
        self.trace = Trace()
        self.wire = Wire()
        self.network = Network(
            self.clock,
            self.child_rng(),
            conditions or Conditions(),
            trace=self.trace,
            watch=self.watch.see,
        )
        self.hosts: list[Host] = []
        self._world = World(self.clock, self.network, self.wire, self.trace)
        self._tokens = count(1)

    def child_rng(self) -> Random:
        """A generator of its own for one part, so that parts do not disturb each other."""
        return Random(self.rng.getrandbits(64))

    def add(
        self,
        *,
        dialable: bool = True,
        models: Sequence[ScriptedModel] = (),
        node_class: type[Node] = Node,
    ) -> Host:
        """One more host, switched off. It knows the first dialable ones there were before it."""
        number = len(self.hosts)
        urls = [host.settings.url for host in self.hosts if host.settings.url is not None]
        settings = NodeSettings(
            name=f"spore {number}",
            url=f"https://spore-{number}.example" if dialable else None,
            software="synapse sim",
            seeds=tuple(urls[:SEEDS]),
            targets=tuple(model.target for model in models),
        )
        host = Host(
            number,
            settings,
            world=self._world,
            rng=self.child_rng(),
            models=models,
            node_class=node_class,
        )
        self.hosts.append(host)
        return host

    def honest(self) -> list[Host]:
        """The hosts that run the shipped node, unchanged."""
        return [host for host in self.hosts if host.honest]

    def at(self, at_ms: int, action: Action) -> None:
        """Do something at a virtual time that has not passed."""
        self.clock.after(at_ms - self.clock.now_ms, action)

    # What users do. A host that is off has no users.

    def remember(self, host: Host, text: str) -> None:
        """Share a memory."""
        if host.up:
            shared = _WALL.release(text, bytes_max=TEXT_BYTES_MAX)
            host.submit(Remember(next(self._tokens), shared, constant("note")))

    def remember_privately(self, host: Host, text: str) -> None:
        """Keep a memory to the host."""
        if host.up:
            host.submit(RememberPrivately(next(self._tokens), text, "note"))

    def take_back(self, host: Host) -> None:
        """Retract the oldest memory of this host that is acknowledged and still has its text."""
        if host.up:
            kept = host.disk.read([*host.observed.acknowledged])
            own = [one.id for one in kept if one.kind == MEMORY and one.body is not None]
            if own:
                host.submit(Retract(next(self._tokens), own[0]))

    def ask(self, host: Host, question: str) -> None:
        """Submit a task."""
        if host.up:
            shared = _WALL.release(question, bytes_max=TASK_BYTES_MAX)
            host.submit(SubmitTask(next(self._tokens), shared))


_WALL: Final = Wall()
