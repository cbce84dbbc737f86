"""Small swarms put together by hand."""

from __future__ import annotations

from collections.abc import Sequence

from synapse.core.memory.record import MEMORY
from synapse.core.node import Node
from synapse.sim import checkers
from synapse.sim.host import Host
from synapse.sim.models import ScriptedModel
from synapse.sim.network import Conditions
from synapse.sim.simulator import Simulator

MINUTE_MS = 60_000


class Swarm:
    """Hosts that are switched on and have met; time moves by hand."""

    def __init__(self, *, seed: int = 1, conditions: Conditions | None = None) -> None:
        self.simulator = Simulator(seed, conditions=conditions)

    def add(
        self,
        count: int = 1,
        *,
        dialable: bool = True,
        models: Sequence[ScriptedModel] = (),
        node_class: type[Node] = Node,
    ) -> list[Host]:
        """More hosts, switched on now."""
        added = [
            self.simulator.add(dialable=dialable, models=models, node_class=node_class)
            for _ in range(count)
        ]
        for host in added:
            host.start()
        return added

    def wait(self, ms: int) -> None:
        """Let virtual time pass."""
        self.simulator.clock.run(self.simulator.clock.now_ms + ms)

    def problems(self) -> list[str]:
        """What the checkers say of the honest hosts."""
        found = list(checkers.problems(self.simulator.honest()))
        return found + list(self.simulator.watch.problems())

    def exchanges_in(self, ms: int) -> int:
        """How many exchanges begin while so much time passes."""
        before = self.simulator.network.exchanges
        self.wait(ms)
        return self.simulator.network.exchanges - before


def texts(host: Host) -> set[str]:
    """The shared memories on a host's disk."""
    memories = [record for record in host.disk.records() if record.kind == MEMORY and record.body]
    return {str(record.content()["text"]) for record in memories}
