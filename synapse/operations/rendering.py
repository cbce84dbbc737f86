"""From the node's state to replies. Pure: nothing here changes anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from synapse.core.membership.peer_table import Peer, Seed
from synapse.core.memory.memory import Memory
from synapse.core.memory.record import Record
from synapse.core.reasoning.ballot import kind_of, latest
from synapse.core.reasoning.canonical import grouped
from synapse.core.reasoning.model_routing import EXTRACTIVE, TargetState
from synapse.core.reasoning.session import Waiting
from synapse.core.reasoning.task import CheckVerdict, Position, Task
from synapse.core.trust.evidence import Grade
from synapse.driver.gathering import Found
from synapse.ports import Why
from synapse.replies import (
    AbstentionView,
    Citation,
    ClaimView,
    Corroboration,
    CreditView,
    DeltaView,
    DissentView,
    GradeView,
    HypothesisView,
    MemoryView,
    PeerView,
    QuotaView,
    RecallResult,
    RecordView,
    SeedView,
    TargetView,
    TaskStatus,
    TaskSummary,
    TaskView,
    TermView,
    TrustGrade,
    VerdictView,
    WhyView,
)

GRADES_SHOWN: Final = 100  # of one task; more say the same

NameOf = Callable[[str], str]
"""A spore's own name for itself, by its public key in hexadecimal."""


def memory_view(memory: Memory, *, now_ms: int, name_of: NameOf) -> MemoryView:
    """A memory for people and programs."""
    return MemoryView(**_fields(memory, now_ms=now_ms, name_of=name_of))


def _fields(memory: Memory, *, now_ms: int, name_of: NameOf) -> dict[str, Any]:
    return {
        "id": memory.id.hex(),
        "text": memory.text,
        "kind": memory.kind,
        "tags": list(memory.tags),
        "author": memory.author,
        "author_name": name_of(memory.author),
        "created_ms": memory.created_ms,
        "age_ms": max(0, now_ms - memory.created_ms),
        "scope": "shared" if memory.shared else "private",
    }


def recall_result(found: Found, *, now_ms: int, name_of: NameOf) -> RecallResult:
    """A memory that was found, how well it matched, and why."""
    memory = found.memory
    return RecallResult(
        **_fields(memory, now_ms=now_ms, name_of=name_of),
        score=found.score,
        operator=memory.operator,
        family=memory.family,
        task=memory.task,
        corroborated_by=found.corroborated_by,
        corroborations=[
            Corroboration(id=one.id.hex(), operator=one.operator) for one in found.corroborations
        ],
        duplicates=[one.hex() for one in found.duplicates],
        why=_why(found.why) if found.why is not None else None,
    )


def _why(why: Why) -> WhyView:
    return WhyView(
        terms=[
            TermView(term=one.term, asked=one.asked, holders=one.holders, points=one.points)
            for one in why.terms
        ],
        relevance=why.relevance,
        decay=why.decay,
        trust=why.trust,
        cosine=why.cosine,
    )


def record_view(
    record: Record, memory: Memory | None, *, retracted: bool, name_of: NameOf
) -> RecordView:
    """A record as it is replicated."""
    header = record.header
    text = record.content().get("text") or record.content().get("answer")
    return RecordView(
        id=record.id.hex(),
        kind=memory.kind if memory is not None else record.kind,
        record=record.kind,
        text=text if isinstance(text, str) else None,
        tags=list(memory.tags) if memory is not None else [],
        scope="shared",
        author=header.writer.hex(),
        author_name=name_of(header.writer.hex()),
        created_ms=header.hlc.ms,
        retracted=retracted,
        writer=header.writer.hex(),
        operator=header.operator.hex(),
        epoch=header.epoch,
        seq=header.seq,
        refs=[ref.hex() for ref in header.refs],
    )


def private_view(memory: Memory) -> RecordView:
    """A private memory in the same shape. It is not a record: nothing signed it."""
    return RecordView(
        id=memory.id.hex(),
        kind=memory.kind,
        record="memory",
        text=memory.text,
        tags=list(memory.tags),
        scope="private",
        author="",
        author_name="",
        created_ms=memory.created_ms,
        retracted=False,
        writer="",
        operator="",
        epoch=0,
        seq=0,
        refs=[],
    )


def task_status(task: Task, waiting: Waiting | None) -> TaskStatus:
    """Open, waiting for a model, answered, or known to have no answer."""
    if task.outcome is not None:
        return "answered" if task.outcome.answer is not None else "unanswered"
    return "waiting" if waiting is not None else "open"


def task_view(
    task: Task,
    waiting: Waiting | None,
    cited: Sequence[Memory],
    grades: Sequence[Grade],
    *,
    own_key: bytes,
    name_of: NameOf,
) -> TaskView:
    """A task with everything known about it."""
    outcome = task.outcome
    weighed = outcome is not None and outcome.support is not None
    reasoned = [one for one in task.positions if one.family != EXTRACTIVE]
    return TaskView(
        task_id=task.id.hex(),
        status=task_status(task, waiting),
        description=task.text,
        created_ms=task.created_ms,
        author=task.author.hex(),
        converged=outcome is not None,
        final_answer=outcome.answer if outcome is not None else None,
        citations=[citation(memory, name_of=name_of) for memory in cited],
        stop_reason=outcome.stop_reason if outcome is not None else None,
        posterior=outcome.support if outcome is not None else None,
        weak=outcome.weak if outcome is not None else False,
        models=list(dict.fromkeys(one.model or one.family for one in reasoned)),
        contributors=contributors(task),
        dissent=[
            DissentView(answer=one.answer, posterior=one.posterior, families=list(one.families))
            for one in (outcome.dissent if outcome is not None else ())
        ],
        deltas=[_delta(one) for one in task.positions],
        delta_count=len(task.positions),
        my_cycles=my_cycles(task, own_key),
        agreement_history=agreement_history(task.positions),
        retry_at_ms=waiting.retry_at_ms if waiting is not None else None,
        reasons=dict(waiting.reasons) if waiting is not None else {},
        privacy="private" if task.wish.private else "shared",
        kind=kind_of_task(task),
        choices=list(task.wish.choices),
        prose=outcome.prose if outcome is not None else None,
        checked=outcome.checked if outcome is not None else False,
        agreement=outcome.agreement if outcome and weighed else None,
        independence=outcome.independence if outcome and weighed else None,
        uncertainty_bits=outcome.uncertainty_bits if outcome and weighed else None,
        calls=outcome.calls if outcome is not None else 0,
        answered_by=outcome.author.hex() if outcome is not None and outcome.term else None,
        term=outcome.term if outcome is not None else 0,
        commitments=len({one.author for one in task.commitments}),
        credit=_credit(task, name_of),
        verdicts=[_verdict(one, name_of) for one in task.verdicts],
        abstentions=[
            AbstentionView(
                spore=one.author.hex(), spore_name=name_of(one.author.hex()), reason=one.reason
            )
            for one in task.abstentions
        ],
        grades=[_grade(one, own_key) for one in grades[:GRADES_SHOWN]],
    )


def kind_of_task(task: Task) -> str:
    """The form of a task's answer: as it was asked for, else as the answers are."""
    return kind_of(task, [one.answer for one in latest(task.positions)]).value


def task_summary(task: Task, waiting: Waiting | None, *, own_key: bytes) -> TaskSummary:
    """One task of a list."""
    return TaskSummary(
        task_id=task.id.hex(),
        status=task_status(task, waiting),
        description=task.text,
        created_ms=task.created_ms,
        converged=task.outcome is not None,
        final_answer=task.outcome.answer if task.outcome is not None else None,
        contributors=contributors(task),
        delta_count=len(task.positions),
        my_cycles=my_cycles(task, own_key),
        agreement_history=agreement_history(task.positions)[-10:],
        privacy="private" if task.wish.private else "shared",
    )


def citation(memory: Memory, *, name_of: NameOf) -> Citation:
    """A memory that an answer rests on."""
    return Citation(
        id=memory.id.hex(),
        text=memory.text,
        author=memory.author,
        author_name=name_of(memory.author),
    )


def contributors(task: Task) -> list[str]:
    """Spores whose positions support the outcome."""
    supporters = task.outcome.supporters if task.outcome is not None else ()
    return list(dict.fromkeys(one.author.hex() for one in task.positions if one.id in supporters))


def my_cycles(task: Task, own_key: bytes) -> int:
    """In how many cycles this spore took a position."""
    return len({one.cycle for one in task.positions if one.author == own_key})


def agreement_history(positions: Sequence[Position]) -> list[float]:
    """By cycle, the share of positions in the largest group of same answers."""
    shares = []
    for cycle in sorted({one.cycle for one in positions}):
        groups = grouped([one.answer for one in positions if one.cycle == cycle]).groups
        shares.append(max(groups.count(group) for group in groups) / len(groups))
    return shares


def peer_view(peer: Peer, *, now_ms: int) -> PeerView:
    """Another spore, as this one sees it."""
    return PeerView(
        id=peer.key.hex(),
        name=peer.said.name,
        url=peer.url,
        state=peer.state(now_ms=now_ms).value,
        families=list(peer.said.families),
        heard_ms=peer.health.heard_ms,
        failures=peer.health.failures,
        seed=peer.seed,
    )


def seed_view(seed: Seed) -> SeedView:
    """An address the operator wrote."""
    return SeedView(
        url=seed.url,
        peer=seed.key.hex() if seed.key is not None else None,
        problem=seed.problem or None,
    )


def target_view(state: TargetState, note: str | None) -> TargetView:
    """One model that may be asked."""
    return TargetView(
        name=state.name,
        family=state.family,
        state=state.state,
        reason=state.reason,
        until_ms=state.until_ms,
        calls=state.calls,
        replies=state.replies,
        failures=dict(state.failures),
        success=state.success,
        latency_ms=state.latency_ms,
        tokens_in=state.tokens_in,
        tokens_out=state.tokens_out,
        in_flight=state.in_flight,
        quota=[
            QuotaView(
                unit=one.unit,
                window_ms=one.window_ms,
                limit=one.limit,
                left=one.left,
            )
            for one in state.buckets
        ],
        note=note,
    )


def uptime(elapsed_ms: int) -> str:
    """Elapsed time as people write it: 3h 20m 5s."""
    seconds = elapsed_ms // 1_000
    return f"{seconds // 3600}h {seconds // 60 % 60}m {seconds % 60}s"


def rounded(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts in a fixed order."""
    return {name: counts[name] for name in sorted(counts)}


def _delta(position: Position) -> DeltaView:
    return DeltaView(
        id=position.id.hex(),
        author=position.author.hex(),
        model=position.model,
        family=position.family,
        cycle=position.cycle,
        hypothesis=position.answer,
        claims=[claim.text for claim in position.claims],
        confidence=position.confidence,
        cites=[cite.hex() for cite in position.cites],
        timestamp=position.created_ms / 1_000,
        hypotheses=[
            HypothesisView(answer=answer, share=share) for answer, share in position.hypotheses
        ],
        statements=[
            ClaimView(text=claim.text, cites=[cite.hex() for cite in claim.cites])
            for claim in position.claims
        ],
        refutes=[one.hex() for one in position.refutes],
        challenge=position.challenge,
    )


def _credit(task: Task, name_of: NameOf) -> list[CreditView]:
    rows = []
    for position_id, share in task.outcome.credit if task.outcome is not None else ():
        position = task.position(position_id)
        if position is not None:
            author = position.author.hex()
            rows.append(
                CreditView(
                    position=position_id.hex(),
                    spore=author,
                    spore_name=name_of(author),
                    family=position.family,
                    share=share,
                )
            )
    return rows


def _verdict(verdict: CheckVerdict, name_of: NameOf) -> VerdictView:
    author = verdict.author.hex()
    return VerdictView(
        position=verdict.position.hex(),
        tool=verdict.tool,
        passed=verdict.passed,
        evidence=verdict.evidence,
        author=author,
        author_name=name_of(author),
    )


def trust_grade(grade: Grade, own_key: bytes) -> TrustGrade:
    """A grade by itself, with the task and the position it is about."""
    return TrustGrade(
        id=grade.id.hex(),
        task=grade.task.hex(),
        position=grade.position.hex(),
        family=grade.family,
        operator=grade.operator.hex(),
        kind=grade.task_kind,
        right=grade.right,
        source=grade.source,
        observer=grade.observer.hex(),
        own=grade.observer == own_key,
        at_ms=grade.at_ms,
    )


def _grade(grade: Grade, own_key: bytes) -> GradeView:
    return GradeView(
        id=grade.id.hex(),
        position=grade.position.hex(),
        family=grade.family,
        right=grade.right,
        source=grade.source,
        observer=grade.observer.hex(),
        own=grade.observer == own_key,
    )
