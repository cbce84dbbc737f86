"""The swarm as one spore sees it. Pure: reads the node, changes nothing."""

from __future__ import annotations

import hashlib
from typing import Final

from synapse.core.membership.failure_detector import State
from synapse.core.memory.record import VERSION
from synapse.core.messages import PROTOCOL
from synapse.core.trust import weights
from synapse.driver.driver import Driver
from synapse.operations import rendering
from synapse.replies import FederationNode, FederationNodes, FederationStatus, TrustView

SWARM_DNA: Final = {
    "protocol_version": f"{PROTOCOL}.0.0",
    "record_version": str(VERSION),
    "memory_backend": "or-set-log",
    "signature": "ed25519",
}


def status(driver: Driver) -> FederationStatus:
    """The swarm as this spore sees it."""
    now_ms = driver.clock()
    peers = [rendering.peer_view(peer, now_ms=now_ms) for peer in driver.node.peers]
    believed = [view.overall for view in trust(driver).values()]
    return FederationStatus(
        total_nodes=len(peers) + 1,
        active_nodes=sum(peer.state == "alive" for peer in peers) + 1,
        blocked_nodes=0,
        trust_distribution={},
        mean_trust=sum(believed) / len(believed) if believed else weights.probability(0, 0),
        dna_hash=_dna_hash(),
        peers=peers,
        seeds=[rendering.seed_view(seed) for _, seed in sorted(driver.node.peers.seeds.items())],
    )


def nodes(driver: Driver) -> FederationNodes:
    """Every node known, this one first."""
    settings = driver.node.settings
    known = [
        FederationNode(
            node_id=driver.node.key.hex(),
            name=settings.name,
            role="spore",
            tier="self",
            specialization=driver.node.thinking.routing.families(),
            active=True,
        )
    ]
    now_ms = driver.clock()
    known += [
        FederationNode(
            node_id=peer.key.hex(),
            name=peer.said.name,
            role="spore",
            tier="seed" if peer.seed else "peer",
            specialization=list(peer.said.families),
            active=peer.state(now_ms=now_ms) is State.ALIVE,
        )
        for peer in driver.node.peers
    ]
    return FederationNodes(nodes=known, total=len(known), blocked=0)


def trust(driver: Driver) -> dict[str, TrustView]:
    """What grades say of each model family; families that nobody graded stand at the prior."""
    counts = driver.node.ledger.evidence.counts
    families = {family for family, _ in counts.graded()} | set(
        driver.node.thinking.routing.families()
    )
    for peer in driver.node.peers:
        families.update(peer.said.families)
    views = {}
    for family in sorted(families):
        right, wrong = counts.totals((family, "text"))
        views[family] = TrustView(
            overall=weights.probability(right, wrong),
            right=right,
            wrong=wrong,
            weight=weights.weight(right, wrong),
            why=f"{right + wrong} grades; without any a family stands at "
            f"{weights.probability(0, 0):.2f}",
        )
    return views


def _dna_hash() -> str:
    facts = "\n".join(f"{name}={value}" for name, value in sorted(SWARM_DNA.items()))
    return hashlib.sha256(facts.encode()).hexdigest()[:16]
