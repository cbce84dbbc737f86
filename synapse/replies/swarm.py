"""Other spores, and trust."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from synapse.replies.base import Reply


class PeerView(Reply):
    """One other spore, as this one sees it."""

    id: str
    name: str
    url: str | None
    state: Literal["alive", "suspect", "down"]
    families: list[str]
    heard_ms: int
    failures: int
    seed: bool


class SeedView(Reply):
    """An address the operator wrote, and what became of it."""

    url: str
    peer: str | None
    problem: str | None


class PortionView(Reply):
    """Grades of one origin, and what of them counts."""

    origin: str = Field(description="own, own of strangers, advisers or unknown.")
    right: float
    wrong: float
    factor: float


class TrustOnKind(Reply):
    """What is believed of one subject on one kind of task, and where that comes from."""

    kind: str
    probability: float = Field(description="The chance that its next answer is right, 0-1.")
    low: float = Field(description="Nine times in ten that chance lies between this …")
    high: float = Field(description="… and this.")
    weight: float = Field(description="Its vote, in nats.")
    right: float = Field(description="Grades on this kind, decayed and weighed.")
    wrong: float
    right_elsewhere: float = Field(description="From other kinds, at most eight grades together.")
    wrong_elsewhere: float
    portions: list[PortionView]
    grades: list[str] = Field(description="Ids of the newest grades.")


class TrustView(Reply):
    """What grades say of one model family, or of one operator."""

    overall: float = Field(
        description="The chance that its next answer is right, 0-1, on the kind of task on which "
        "it was graded most."
    )
    low: float = Field(description="Nine times in ten that chance lies between this …")
    high: float = Field(description="… and this.")
    right: int = Field(description="Grades by anybody, unweighed.")
    wrong: int
    weight: float = Field(description="Its vote, in nats.")
    why: str
    kinds: list[TrustOnKind] = Field(description="By kind of task.")


class TrustGrade(Reply):
    """One grade."""

    id: str
    task: str
    position: str
    family: str
    operator: str
    kind: str
    right: bool
    source: str
    observer: str
    own: bool
    at_ms: int


class TrustDetail(Reply):
    """One subject, down to the grades."""

    subject: str
    kinds: list[TrustOnKind]
    grades: list[TrustGrade] = Field(description="The newest, newest first.")


class FederationStatus(Reply):
    """The swarm, as this spore sees it."""

    total_nodes: int
    active_nodes: int
    blocked_nodes: int
    trust_distribution: dict[str, int]
    mean_trust: float
    dna_hash: str = Field(description="Fingerprint of the protocol spoken: for compatibility.")
    peers: list[PeerView]
    seeds: list[SeedView]


class FederationNode(Reply):
    """One node of the federation."""

    node_id: str
    name: str
    role: str
    tier: str
    specialization: list[str]
    active: bool


class FederationNodes(Reply):
    """Every node known."""

    nodes: list[FederationNode]
    total: int
    blocked: int


class Joined(Reply):
    """The answer to a request to join."""

    accepted: bool
    reason: str
    your_trust: float
    swarm_dna: dict[str, str]
    swarm_stats: dict[str, int]
