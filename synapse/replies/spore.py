"""One spore: its health, its wall, its models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from synapse.replies.base import Reply, VectorClockView


class IndexHealth(Reply):
    """The state of the search index."""

    memories: int
    complete: bool


class Health(Reply):
    """How this spore is."""

    status: Literal["ok", "starting", "stalled"]
    problem: str | None = Field(description="Why nothing can be written, when that is so.")
    spore: str
    id: str = Field(description="This spore's public key.")
    version: str
    role: str
    model: str = Field(description="The first model it asks, or `extractive`.")
    records: int
    records_by_kind: dict[str, int]
    fingerprint: str = Field(description="Equal on spores that hold the same records.")
    memories: int
    memories_private: int
    memories_collective: int
    peers: list[str]
    peers_alive: int
    refused: dict[str, int] = Field(description="Records and requests refused, by reason.")
    parked: int = Field(description="Records that wait for something before they can enter.")
    equivocations: int = Field(description="Numbers that some writer used twice.")
    clock: VectorClockView
    index: IndexHealth
    active_tasks: int
    converged_tasks: int
    cycles: int
    deltas_produced: int = Field(description="Records this spore wrote.")
    deltas_received: int = Field(description="Records it has from others.")
    confidence: float = Field(description="Mean posterior of the answers held; 0 without any.")
    wal_backend: Literal["persistent"] = "persistent"
    uptime: str
    uptime_ms: int
    last_provider: str
    last_model: str
    last_tier: str
    sce: CognitionView
    quantum: dict[str, Any]


class WallCounts(Reply):
    """What crossed the Knowledge Wall since the start."""

    commander_id: str
    crossings: int
    blocks: int
    audit_entries: int
    conflict_classes: int
    block_rate: float


class AuditEntry(Reply):
    """One thing the wall stopped. It never holds the text."""

    timestamp: float
    action: str
    provenance: str
    reason: str


class WallStatus(Reply):
    """The Knowledge Wall."""

    enabled: Literal[True] = True
    wall: WallCounts
    collective_size: int
    recent_audit: list[AuditEntry]


class CortexStatus(Reply):
    """The local model that runs inside this spore."""

    enabled: bool = False
    loaded: bool = False
    load_error: str | None = None
    file: str | None = Field(default=None, description="Its name, without the folder.")
    family: str = ""
    size_bytes: int = 0
    sha256: str | None = None
    load_seconds: float = 0.0
    waiting: int = 0
    replies: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = Field(default=0.0, description="Spent generating.")
    tokens_per_second: float = 0.0
    total_calls: int = 0
    total_tokens: int = 0
    total_tool_calls: int = 0
    escalations: int = 0
    trust_score: float = Field(
        default=0.0, description="The chance that its family's answer is right."
    )
    accuracy: float = 0.0
    uptime_seconds: float = 0.0
    tokens_per_call: float = 0.0


class QuotaView(Reply):
    """One limit a model is under, as far as it is known."""

    unit: str = Field(description="requests or tokens.")
    window_ms: int
    limit: int | None
    left: int | None


class TargetView(Reply):
    """One model this spore may ask."""

    name: str
    family: str
    state: Literal["ready", "resting", "probing", "full"]
    reason: str = Field(description="Why it cannot be asked, or how its last call failed.")
    until_ms: int = Field(description="When it can be asked again; 0 when it can be now.")
    calls: int
    replies: int
    failures: dict[str, int] = Field(description="By class.")
    success: float = Field(description="Recent share of calls that it answered, 0-1.")
    latency_ms: int = Field(description="Recent average.")
    tokens_in: int
    tokens_out: int
    in_flight: int
    quota: list[QuotaView]
    note: str | None = Field(description="What the start found: not listed, stale facts, ….")


class AttemptView(Reply):
    """One call to one model, as the ledger keeps it."""

    at_ms: int
    target: str
    outcome: str = Field(description="ok, or the class of its failure.")
    took_ms: int
    purpose: str
    task: str
    cycle: int
    model: str
    family: str
    tokens_in: int
    tokens_out: int
    cost_usd: float | None = Field(description="None when nobody told.")


class Providers(Reply):
    """Every model this spore may ask, in the order it asks them."""

    targets: list[TargetView]
    attempts: list[AttemptView] = Field(description="The newest calls, newest first.")
    note: str


class Mechanism(Reply):
    """One quantum-inspired mechanism. Its settings stand beside these fields."""

    model_config = ConfigDict(frozen=True, extra="allow")

    enabled: bool
    unit: str = Field(examples=["nats"])
    formula: str
    counts: dict[str, int] = Field(
        default_factory=dict, description="What it did on the tasks that are kept here."
    )


class QuantumView(Reply):
    """The six mechanisms: a metaphor for terms of the reasoning, all classical."""

    annealing: Mechanism
    superposition: Mechanism
    interference: Mechanism
    tunneling: Mechanism
    entanglement: Mechanism
    decoherence: Mechanism


class BandView(Reply):
    """One kind of idle work."""

    band: str
    work: str
    interval_ms: int | None
    runs: int
    calls: int
    failed: int
    tokens_in: int
    tokens_out: int
    looked: int = Field(description="Records looked at.")
    found: int
    skipped: dict[str, int] = Field(description="How often it did nothing, by reason.")
    last_reason: str
    last_run_ms: int | None
    next_run_ms: int | None


class CognitionView(Reply):
    """What this spore does when nobody asks it anything, and what that cost."""

    enabled: bool
    state: str = Field(description="off, resting, yielding (to tasks) or thinking.")
    reason: str
    calls_per_day: int
    calls_last_day: int
    memories_known: int
    thoughts: int = Field(description="Raw notes, which are no memories.")
    bands: list[BandView]
