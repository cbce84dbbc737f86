"""The verbs. Each checks its input, asks the driver or reads the node, and returns a reply.

Nothing here knows whether it was called over HTTP, MCP or a terminal. Errors are those of
`core.errors`; every face turns them into its own form. `remembering` and `tasks` hold the verbs of
their subjects.
"""

from __future__ import annotations

from synapse.core.events import AddPeer
from synapse.core.trust import weights
from synapse.operations import quantum, spore, swarm
from synapse.operations.metrics import Metric, Timings, every_metric
from synapse.operations.remembering import MemoryVerbs
from synapse.operations.tasks import TaskVerbs
from synapse.replies import (
    CognitionView,
    CortexStatus,
    FederationNodes,
    FederationStatus,
    Health,
    Joined,
    Providers,
    QuantumView,
    TrustDetail,
    TrustGrade,
    TrustView,
    WallStatus,
)


class Operations(MemoryVerbs, TaskVerbs):
    """What a user of one spore can do."""

    # The swarm.

    async def join(self, url: str) -> Joined:
        """Talk to the spore at this address from now on. Raises Refused for a bad address."""
        await self.driver.submit(lambda token: AddPeer(token, url.rstrip("/")))
        return Joined(
            accepted=True,
            reason="the address is dialled now; /api/federation/status says what answered",
            your_trust=weights.probability(0, 0),
            swarm_dna=dict(swarm.SWARM_DNA),
            swarm_stats={"nodes": len(self._node.peers) + 1},
        )

    def federation_status(self) -> FederationStatus:
        """The swarm as this spore sees it."""
        return swarm.status(self.driver)

    def federation_nodes(self) -> FederationNodes:
        """Every node known, this one first."""
        return swarm.nodes(self.driver)

    def trust(self) -> dict[str, TrustView]:
        """What grades say of each model family; families that nobody graded stand at the prior."""
        return swarm.trust(self.driver)

    def trust_detail(self, subject: str, *, kind: str | None = None) -> TrustDetail:
        """One family or operator, down to the grades. Raises NotFound."""
        return swarm.trust_detail(self.driver, subject, kind)

    def newest_grades(self, limit: int) -> list[TrustGrade]:
        """The last grades by anybody, newest first."""
        return swarm.newest_grades(self.driver, limit)

    def wall(self) -> WallStatus:
        """What crossed the Knowledge Wall, and what it stopped."""
        return WallStatus(
            wall=self._gate.counts(),
            collective_size=spore.memory_counts(self.driver)[0],
            recent_audit=list(self._gate.audit),
        )

    # The spore itself.

    def ready(self) -> str | None:
        """None when this spore can serve, else what is missing. Cheap: probes ask every second."""
        if self.driver.stalled is not None:
            return str(self.driver.stalled)
        if not self.driver.indexer.filled:
            return f"memories are being indexed: {self.driver.indexer.indexed} so far"
        return None

    def health(self) -> Health:
        """How this spore is."""
        return spore.health(self.driver, started_ms=self._started_ms)

    def count_refused(self, reason: str) -> None:
        """Note a request that an edge refused before it came here."""
        self._node.ledger.refused[reason] += 1

    async def metrics(self) -> list[Metric | Timings]:
        """Everything this spore counts."""
        await self.watch.catch_up()
        return every_metric(self.driver, self.watch, self.latency)

    def cortex(self) -> CortexStatus:
        """The local model that runs inside this spore."""
        return self._cortex()

    def providers(self) -> Providers:
        """Every model this spore may ask."""
        return spore.providers(self.driver, self._model_notes)

    def quantum(self) -> QuantumView:
        """The mechanisms of the reasoning: whether each is on, its formula, what it did."""
        return quantum.told(self.driver)

    def cognition(self) -> CognitionView:
        """What this spore does when nobody asks it anything."""
        return spore.cognition(self.driver)
