"""Prose for an answer that is already decided: when it is worth a call, and when it is refused."""

from __future__ import annotations

from synapse.core.reasoning import prompts
from synapse.core.reasoning.aggregation import Verdict
from synapse.core.reasoning.ballot import Ballot, kind_of
from synapse.core.reasoning.canonical import grouped
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.session import Session


def worth_it(session: Session, ballot: Ballot, verdict: Verdict, now_ms: int) -> bool:
    """Where answers are prose, several families' claims are worth bringing together, once."""
    return (
        not session.written_out
        and verdict.families > 1
        and ballot.kind in (Kind.FREE, Kind.PLAN)
        and session.budget_left > 0
        and now_ms < session.deadline_ms
    )


def accepted(session: Session, text: str) -> str | None:
    """The prose of a synthesis, if the answer it restates is the one that was decided."""
    written = prompts.read_synthesis(text)
    if written is None:
        return None
    answer, prose = written
    decided, task = session.decided[0], session.task
    kind = kind_of(task, (decided,))
    same = grouped([decided, answer], kind, task.wish.choices).groups == (0, 0)
    return prose if same else None
