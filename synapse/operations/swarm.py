"""The swarm as one spore sees it. Pure: reads the node, changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from heapq import nlargest, nsmallest
from typing import Final

from synapse.core.errors import NotFound
from synapse.core.membership.failure_detector import State
from synapse.core.memory.record import VERSION
from synapse.core.messages import PROTOCOL
from synapse.core.trust import weights
from synapse.core.trust.evidence import FAMILY, OPERATOR, Grade
from synapse.driver.driver import Driver
from synapse.operations import beta, rendering
from synapse.replies import (
    FederationNode,
    FederationNodes,
    FederationStatus,
    PortionView,
    TrustDetail,
    TrustGrade,
    TrustOnKind,
    TrustView,
)

GRADES_SHOWN: Final = 200  # of one subject; a page that people read
SUBJECTS_SHOWN: Final = 500  # families, and operators; any peer may name any number of either
KINDS_SHOWN: Final = 32  # of one subject; there are fewer, but a peer may write what it likes

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
    """What grades say of each model family; families that nobody graded stand at the prior.

    Operators that were graded come after, as `operator:` and their key.
    """
    evidence = driver.node.ledger.evidence
    families = set(evidence.families()) | set(driver.node.thinking.routing.families())
    for peer in driver.node.peers:
        families.update(peer.said.families)
    operators = {one for one in evidence.subjects() if one.startswith(OPERATOR)}
    shown = _shown(driver, [FAMILY + one for one in families])
    views = {one.removeprefix(FAMILY): _trust_view(driver, one) for one in shown}
    return views | {one: _trust_view(driver, one) for one in _shown(driver, operators)}


def _shown(driver: Driver, subjects: Iterable[str]) -> list[str]:
    """These subjects, sorted; of too many those that we graded ourselves come first."""
    judged = driver.node.ledger.beliefs.judged
    return sorted(nsmallest(SUBJECTS_SHOWN, subjects, key=lambda one: (not judged(one), one)))


def trust_detail(driver: Driver, subject: str, kind: str | None) -> TrustDetail:
    """One subject ("qwen", "family:qwen" or "operator:<key>"), down to the grades.

    Raises NotFound when nobody graded it.
    """
    about = subject if subject.startswith((FAMILY, OPERATOR)) else FAMILY + subject
    evidence = driver.node.ledger.evidence
    kinds = [one for one in evidence.kinds(about) if kind in (None, one)][:KINDS_SHOWN]
    if not kinds:
        raise NotFound(f"no grade is about {subject}")
    found = [grade for one in kinds for grade in evidence.about(about, one, GRADES_SHOWN)]
    return TrustDetail(
        subject=about,
        kinds=[_on_kind(driver, about, one) for one in kinds],
        grades=_newest(driver, found, GRADES_SHOWN),
    )


def newest_grades(driver: Driver, limit: int) -> list[TrustGrade]:
    """The last grades by anybody, newest first."""
    return _newest(driver, driver.node.ledger.evidence.newest(limit), limit)


def _newest(driver: Driver, grades: Iterable[Grade], limit: int) -> list[TrustGrade]:
    newest = nlargest(limit, grades, key=lambda one: (one.at_ms, one.id))
    return [rendering.trust_grade(one, driver.node.key) for one in newest]


def _trust_view(driver: Driver, subject: str) -> TrustView:
    ledger = driver.node.ledger
    graded = ledger.evidence.kinds(subject)[:KINDS_SHOWN]
    kinds = [_on_kind(driver, subject, kind) for kind in graded]
    right, wrong = ledger.beliefs.totals(subject)
    most = max(kinds, key=lambda one: (one.right + one.wrong, one.kind), default=None)
    prior = weights.probability(0, 0)
    low, high = (most.low, most.high) if most is not None else beta.interval(0, 0)
    return TrustView(
        overall=most.probability if most is not None else prior,
        low=low,
        high=high,
        right=right,
        wrong=wrong,
        weight=most.weight if most is not None else weights.weight(0, 0),
        why=f"{right + wrong} grades; "
        + (f"shown for {most.kind}, of which most are" if most is not None else "at the prior")
        + f"; without any a family stands at {prior:.2f}",
        kinds=kinds,
    )


def _on_kind(driver: Driver, subject: str, kind: str) -> TrustOnKind:
    told = driver.node.ledger.beliefs.explain(subject, kind, now_ms=driver.clock())
    low, high = beta.interval(told.right + told.right_elsewhere, told.wrong + told.wrong_elsewhere)
    return TrustOnKind(
        kind=kind,
        probability=told.probability,
        low=low,
        high=high,
        weight=told.weight,
        right=told.right,
        wrong=told.wrong,
        right_elsewhere=told.right_elsewhere,
        wrong_elsewhere=told.wrong_elsewhere,
        portions=[
            PortionView(origin=one.origin, right=one.right, wrong=one.wrong, factor=one.factor)
            for one in told.portions
        ],
        grades=[grade.hex() for grade in told.grades],
    )


def _dna_hash() -> str:
    facts = "\n".join(f"{name}={value}" for name, value in sorted(SWARM_DNA.items()))
    return hashlib.sha256(facts.encode()).hexdigest()[:16]
