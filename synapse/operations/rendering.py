"""From the node's state to replies. Pure: nothing here changes anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from synapse.core.membership.peer_table import Peer, Seed
from synapse.core.memory.memory import Memory
from synapse.core.memory.record import Record
from synapse.core.reasoning.canonical import grouped
from synapse.core.reasoning.model_routing import EXTRACTIVE, Target, TargetState
from synapse.core.reasoning.session import Waiting
from synapse.core.reasoning.task import Position, Task
from synapse.replies import (
    Citation,
    DeltaView,
    DissentView,
    MemoryView,
    PeerView,
    RecallResult,
    RecordView,
    SeedView,
    TargetView,
    TaskStatus,
    TaskSummary,
    TaskView,
)

NameOf = Callable[[str], str]
"""A spore's own name for itself, by its public key in hexadecimal."""


def memory_view(memory: Memory, *, now_ms: int, name_of: NameOf) -> MemoryView:
    """A memory for people and programs."""
    return MemoryView(
        id=memory.id.hex(),
        text=memory.text,
        kind=memory.kind,
        tags=list(memory.tags),
        author=memory.author,
        author_name=name_of(memory.author),
        created_ms=memory.created_ms,
        age_ms=max(0, now_ms - memory.created_ms),
        scope="shared" if memory.shared else "private",
    )


def recall_result(memory: Memory, score: float, *, now_ms: int, name_of: NameOf) -> RecallResult:
    """A memory that was found, and how well it matched."""
    view = memory_view(memory, now_ms=now_ms, name_of=name_of)
    return RecallResult(**view.model_dump(), score=score)


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
    *,
    own_key: bytes,
    name_of: NameOf,
) -> TaskView:
    """A task with everything known about it."""
    outcome = task.outcome
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
    )


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


def target_view(target: Target, state: TargetState, *, now_ms: int) -> TargetView:
    """One model that may be asked."""
    resting = state.until_ms > now_ms
    return TargetView(
        name=target.name,
        family=target.family,
        state="resting" if resting else "ready",
        reason=state.reason if resting else "",
        until_ms=state.until_ms if resting else 0,
        calls=state.calls,
        replies=state.replies,
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
    )
