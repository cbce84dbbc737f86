"""Tasks, and what became of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from synapse.replies.base import EXAMPLE_ID, Reply

TaskStatus = Literal["open", "waiting", "answered", "unanswered"]


class TaskSubmitted(Reply):
    """A task was taken in, and is durable. Its answer comes at `/api/task/{task_id}`."""

    status: Literal["ok"] = "ok"
    task_id: str = Field(examples=[EXAMPLE_ID])
    url: str = Field(description="Where to look for the answer.")
    privacy: Literal["shared", "private"] = Field(
        default="shared",
        description="A private task is answered by this spore alone, and is gone when it stops.",
    )
    note: str = Field(default="", description="What is to be known of a private task.")


class TrustChange(Reply):
    """What is believed of one model family on such tasks: the chance that it is right, 0-1."""

    before: float
    after: float


class Graded(Reply):
    """Grades were written down, and are durable."""

    task_id: str = Field(examples=[EXAMPLE_ID])
    grades: int = Field(description="How many were new; earlier tasks that asked the same count.")
    trust: dict[str, TrustChange] = Field(description="By model family.")


class ClaimView(Reply):
    """One statement a position rests on."""

    text: str
    cites: list[str]


class HypothesisView(Reply):
    """One answer of a position, and its share of the vote."""

    answer: str
    share: float


class VerdictView(Reply):
    """What a checker found of one position's answer."""

    position: str
    tool: str
    passed: bool
    evidence: str
    author: str
    author_name: str


class GradeView(Reply):
    """Somebody's word that a position was right or wrong."""

    id: str
    position: str
    family: str
    right: bool
    source: str = Field(description="user, checker or later task.")
    observer: str
    own: bool = Field(description="Whether it is this spore's operator's.")


class CreditView(Reply):
    """What one position was worth to the answer: what the posterior would lose without it."""

    position: str
    spore: str
    spore_name: str
    family: str
    share: float


class AbstentionView(Reply):
    """A spore that was asked and had nothing to say."""

    spore: str
    spore_name: str
    reason: str


class Citation(Reply):
    """A memory that an answer rests on."""

    id: str
    text: str
    author: str
    author_name: str


class DeltaView(Reply):
    """One position: what one model answered in one cycle."""

    id: str
    author: str
    model: str
    family: str
    cycle: int
    hypothesis: str
    claims: list[str]
    confidence: float
    cites: list[str]
    timestamp: float = Field(description="Seconds since 1970.")
    hypotheses: list[HypothesisView] = Field(description="Shares of its vote; they sum to 1.")
    statements: list[ClaimView] = Field(description="The claims, each with what it cites.")
    refutes: list[str] = Field(description="Positions of which it refutes a claim.")
    challenge: bool = Field(description="Asked for another answer than the leading one.")


class DissentView(Reply):
    """An answer that did not win."""

    answer: str
    posterior: float
    families: list[str]


class TaskView(Reply):
    """A task, and everything known about it here."""

    task_id: str = Field(examples=[EXAMPLE_ID])
    status: TaskStatus
    description: str = Field(examples=["Why do tides change from day to day?"])
    created_ms: int
    author: str
    converged: bool = Field(description="Whether there is an outcome.")
    final_answer: str | None
    citations: list[Citation] = Field(description="Memories the answer rests on.")
    stop_reason: str | None = Field(
        description="Why it stopped: extract, decided, one_family, cycles_spent, deadline, "
        "nothing_recalled, no_model_answered, settled, stable, budget, refuted."
    )
    posterior: float | None = Field(
        description="How much the evidence supports the answer, 0-1; None for an extract."
    )
    weak: bool = Field(description="True when sameness of answers was judged by wording alone.")
    models: list[str] = Field(description="Models that took part; empty when none did.")
    contributors: list[str] = Field(description="Spores whose positions support the answer.")
    dissent: list[DissentView]
    deltas: list[DeltaView] = Field(description="All positions, oldest first.")
    delta_count: int
    my_cycles: int
    agreement_history: list[float] = Field(
        description="By cycle, the share of positions that agree with the largest group."
    )
    retry_at_ms: int | None = Field(description="When a waiting task is tried again.")
    reasons: dict[str, str] = Field(description="Why each model could not serve a waiting task.")
    privacy: Literal["shared", "private"]
    kind: str = Field(description="The form of the answer: number, choice, set, code, plan, free.")
    choices: list[str]
    prose: str | None = Field(description="The answer written out; it says the same.")
    checked: bool = Field(description="Whether the answer passed a check in code.")
    agreement: float | None = Field(description="Weighted share of the leading answer, 0-1.")
    independence: float | None = Field(description="Independent votes the families amount to.")
    uncertainty_bits: float | None
    calls: int = Field(description="Model calls that the answer took.")
    answered_by: str | None = Field(
        description="The spore that drove the task when its asker was gone; else None."
    )
    term: int = Field(description="Of the lease it was answered under; 0 when its asker did.")
    commitments: int = Field(description="How many spores bound themselves to an answer, unseen.")
    credit: list[CreditView]
    verdicts: list[VerdictView]
    abstentions: list[AbstentionView]
    grades: list[GradeView]


class TaskSummary(Reply):
    """One task of a list."""

    task_id: str
    status: TaskStatus
    description: str
    created_ms: int
    converged: bool
    final_answer: str | None
    contributors: list[str]
    delta_count: int
    my_cycles: int
    agreement_history: list[float]
    privacy: Literal["shared", "private"]


class TaskList(Reply):
    """Tasks, newest first."""

    tasks: list[TaskSummary]
    total: int
    cursor: str | None = Field(description="Give it back as `cursor` for the next page.")


class TaskConvergence(Reply):
    """How far the positions on one task agree."""

    task_id: str
    description: str
    cycle: int
    agreement: float
    converged: bool
    delta_count: int
    history: list[float]


class Convergence(Reply):
    """Agreement on every task."""

    tasks: list[TaskConvergence]
    global_agreement: float
    active_tasks: int
    converged_tasks: int
