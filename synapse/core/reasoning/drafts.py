"""The records a deliberation writes, before they are signed. Every word passes `share` first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from synapse.core.memory.record import (
    ABSTENTION,
    COMMITMENT,
    GRADE,
    LEASE,
    MEMORY,
    OUTCOME,
    POSITION,
    REFS_MAX,
    VERDICT,
    Draft,
)
from synapse.core.reasoning.aggregation import DISSENT_MIN, Verdict
from synapse.core.reasoning.ballot import Ballot
from synapse.core.reasoning.canonical import digest
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.model_routing import EXTRACTIVE
from synapse.core.reasoning.prompts import Reply
from synapse.core.reasoning.task import (
    ANSWER_BYTES_MAX,
    CLAIM_BYTES_MAX,
    HYPOTHESIS_BYTES_MAX,
    LABEL_BYTES_MAX,
    Position,
    Task,
    commitment,
)
from synapse.core.reasoning.tools import Check, Result
from synapse.core.text import Shareable, SharedText

DISSENT_MAX: Final = 4  # with the answer this keeps an outcome well within a body
DISSENT_BYTES_MAX: Final = 4_000
CITES_MAX: Final = 64
FINDING_BYTES_MAX: Final = 8_000  # a question and its answer, as a memory


class Share(Protocol):
    """Makes words fit to leave, in at most so many bytes."""

    def __call__(self, text: str, *, bytes_max: int) -> SharedText:
        """The text, fit and cut."""


def position(
    task: Task,
    reply: Reply,
    *,
    model: str,
    family: str,
    cycle: int,
    challenge: bool,
    nonce: bytes,
    share: Share,
) -> Draft:
    """What a model answered."""
    said: dict[str, Shareable] = {
        "answer": share(reply.answer, bytes_max=ANSWER_BYTES_MAX),
        "claims": tuple(
            (share(claim.text, bytes_max=CLAIM_BYTES_MAX), *claim.cites) for claim in reply.claims
        ),
        "cites": reply.cites,
        "confidence": reply.confidence,
        "model": share(model, bytes_max=LABEL_BYTES_MAX),
        "family": share(family, bytes_max=LABEL_BYTES_MAX),
        "cycle": cycle,
        "nonce": nonce,
    }
    if len(reply.hypotheses) > 1:
        said["hypotheses"] = tuple(
            (share(answer, bytes_max=HYPOTHESIS_BYTES_MAX), weight)
            for answer, weight in reply.hypotheses
        )
    if reply.refutes:
        said["refutes"] = reply.refutes
    if challenge:
        said["challenge"] = 1
    return Draft(POSITION, said, refs=(task.id, *reply.cites)[:REFS_MAX])


def committed(task: Task, draft: Draft) -> Draft:
    """The commitment to a position that is not shown yet."""
    body = draft.content
    answer, family, nonce = body["answer"], body["family"], body["nonce"]
    assert isinstance(answer, str), "a position's draft has an answer"
    assert isinstance(family, str), "a position's draft has a family"
    assert isinstance(nonce, bytes), "a position's draft has a nonce"
    digest = commitment(answer, family=family, nonce=nonce)
    return Draft(COMMITMENT, {"digest": digest}, refs=(task.id,))


def abstention(task: Task, reason: str, *, share: Share) -> Draft:
    """That we were asked and have nothing to say."""
    said = share(reason, bytes_max=LABEL_BYTES_MAX)
    return Draft(ABSTENTION, {"reason": said}, refs=(task.id,))


def verdict(task: Task, position: Position, check: Check, *, share: Share) -> Draft:
    """What a checker found of a position's answer."""
    assert check.result is not Result.UNKNOWN, "what is not known is not stated"
    said: dict[str, Shareable] = {
        "tool": share(check.tool, bytes_max=LABEL_BYTES_MAX),
        "passed": int(check.result is Result.PASS),
        "evidence": share(check.evidence, bytes_max=CLAIM_BYTES_MAX),
    }
    return Draft(VERDICT, said, refs=(task.id, position.id))


def lease(task: Task, *, term: int, for_ms: int) -> Draft:
    """That we drive a task whose asker is gone."""
    return Draft(LEASE, {"term": term, "for_ms": for_ms}, refs=(task.id,))


@dataclass(frozen=True, slots=True)
class Spent:
    """What a task took: cycles, model calls, and under which term of its lease."""

    cycles: int
    calls: int
    term: int


def no_answer(task: Task, reason: str, spent: Spent, *, share: Share) -> Draft:
    """That a task has no answer, and why."""
    return Draft(OUTCOME, _stop(reason, spent, share), refs=(task.id,))


def outcome(
    task: Task,
    ballot: Ballot,
    verdict: Verdict,
    *,
    reason: str,
    prose: str | None,
    cites: Sequence[bytes],
    spent: Spent,
    share: Share,
) -> Draft:
    """What a task came to. Indices of `verdict` point into the ballot's votes."""
    positions = ballot.positions
    said = _stop(reason, spent, share) | {
        "answer": share(ballot.votes[verdict.leader].answer, bytes_max=ANSWER_BYTES_MAX),
        "posterior": verdict.posterior,
        "weak": int(verdict.weak),
        "checked": int(verdict.checked.get(verdict.leader) is True),
        "agreement": verdict.agreement,
        "independence": verdict.independence,
        "uncertainty_bits": verdict.uncertainty_bits,
        "cites": tuple(cites)[:CITES_MAX],
        "supporters": tuple(dict.fromkeys(positions[i].id for i in verdict.supporters))[:CITES_MAX],
        "credit": tuple(
            (positions[index].id, round(part, 4))
            for index, part in enumerate(verdict.credit)
            if part > 0
        )[:CITES_MAX],
        "dissent": _dissent(ballot, verdict, share),
    }
    if prose is not None:
        said["prose"] = share(prose, bytes_max=ANSWER_BYTES_MAX)
    return Draft(OUTCOME, said, refs=(task.id, *cites)[:REFS_MAX])


def grade(
    task: Task, position: Position, *, kind: Kind, right: bool, source: str, share: Share
) -> Draft:
    """That a position was right or wrong, and how that is known."""
    said: dict[str, Shareable] = {
        "family": share(position.family, bytes_max=LABEL_BYTES_MAX),
        "operator": position.operator,
        "task_kind": share(kind.value, bytes_max=LABEL_BYTES_MAX),
        "right": int(right),
        "source": share(source, bytes_max=LABEL_BYTES_MAX),
    }
    form = digest(position.answer, kind, task.wish.choices)
    if form is not None:  # which wrong answer it was: to learn how often they coincide
        said["answer"] = form
    return Draft(GRADE, said, refs=(task.id, position.id))


def finding(
    task: Task, answer: str, *, how: str, share: Share, replaces: Sequence[bytes] = ()
) -> Draft:
    """A verified answer as a memory, which later tasks may recall and cite. `replaces` are ids of
    findings that turned out wrong."""
    said: dict[str, Shareable] = {
        "text": share(f"{task.text}\n{answer}", bytes_max=FINDING_BYTES_MAX),
        "kind": share("finding", bytes_max=LABEL_BYTES_MAX),
        "tags": (share(how, bytes_max=LABEL_BYTES_MAX),),
    }
    if (family := _family_of(task, answer)) is not None:
        said["family"] = share(family, bytes_max=LABEL_BYTES_MAX)
    if replaces:  # no references: what refers to a text that is gone is taken back in its turn
        said["replaces"] = tuple(replaces)[:CITES_MAX]
    return Draft(MEMORY, said, refs=(task.id,))


def _family_of(task: Task, answer: str) -> str | None:
    """The family whose answer this is, when the outcome says so."""
    if task.outcome is None or task.outcome.answer != answer:
        return None
    backed = (one for one in task.positions if one.id in task.outcome.supporters)
    return next((one.family for one in backed if one.family != EXTRACTIVE), None)


def _stop(reason: str, spent: Spent, share: Share) -> dict[str, Shareable]:
    return {
        "stop_reason": share(reason, bytes_max=LABEL_BYTES_MAX),
        "cycles": spent.cycles,
        "calls": spent.calls,
        "term": spent.term,
    }


def _dissent(ballot: Ballot, verdict: Verdict, share: Share) -> tuple[Shareable, ...]:
    """What else has some support, or passed a check."""
    return tuple(
        (
            share(ballot.votes[first].answer, bytes_max=DISSENT_BYTES_MAX),
            posterior,
            tuple(
                share(family, bytes_max=LABEL_BYTES_MAX)
                for family in sorted({ballot.votes[i].family for i in verdict.members[first]})[:8]
            ),
        )
        for first, posterior in verdict.shares[1:][:DISSENT_MAX]
        if posterior >= DISSENT_MIN or verdict.checked.get(first)
    )
