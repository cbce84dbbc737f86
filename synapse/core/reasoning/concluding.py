"""What a deliberation leaves behind beside its outcome: verdicts, grades, and checked citations."""

from __future__ import annotations

from synapse.core.memory.record import Draft
from synapse.core.reasoning import drafts
from synapse.core.reasoning.aggregation import Verdict
from synapse.core.reasoning.ballot import Ballot, latest
from synapse.core.reasoning.drafts import Share
from synapse.core.reasoning.grading import graded_positions
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.prompts import OTHERS_MAX, Shown
from synapse.core.reasoning.session import Session
from synapse.core.reasoning.task import Position
from synapse.core.reasoning.tools import Result
from synapse.core.reasoning.tools.citations import supports


def shown_to_members(session: Session) -> tuple[Shown, ...]:
    """The distinct answers, in an order that says nothing, each with its claims and check."""
    shown: dict[str, Shown] = {}
    for one in latest(session.task.positions):
        check = session.checker.check(one.answer)
        found = f"{check.result.value}: {check.evidence}" if check is not None else ""
        claims = tuple(claim.text for claim in one.claims[:3])
        shown.setdefault(one.answer, Shown(one.id, one.answer, claims, found))
    return tuple(shown[answer] for answer in sorted(shown))[:OTHERS_MAX]


def cites(session: Session, ballot: Ballot, verdict: Verdict) -> list[bytes]:
    """Memories the leading answer rests on: offered, cited, and not contradicted in code."""
    texts = {quote.id: quote.text for quote in session.quotes}
    kept: dict[bytes, None] = {}
    for index in verdict.supporters:
        position = ballot.positions[index]
        denied = {
            cite
            for claim in position.claims
            for cite in claim.cites
            if cite in texts and supports(claim.text, texts[cite]) is False
        }
        kept.update(dict.fromkeys(cite for cite in position.cites if cite not in denied))
    return list(kept)


def verdicts(session: Session, *, share: Share) -> list[Draft]:
    """What our tools found, one record for each distinct answer that has none yet."""
    ruled = {one.position for one in session.task.verdicts}
    known = {one.answer for one in session.task.positions if one.id in ruled}
    said: dict[str, Position] = {}
    for one in session.task.positions:
        said.setdefault(one.answer, one)
    found = []
    for answer, position in said.items():
        check = session.checker.check(answer)
        if check is not None and answer not in known:
            found.append(drafts.verdict(session.task, position, check, share=share))
    return found


def grades(session: Session, kind: Kind, *, share: Share) -> list[Draft]:
    """Grades by checker: whoever said what passed was right, and whoever said what failed wrong."""
    graded = []
    for one in graded_positions(session.task):
        check = session.checker.check(one.answer)
        if check is not None:
            right = check.result is Result.PASS
            graded.append(
                drafts.grade(
                    session.task, one, kind=kind, right=right, source="checker", share=share
                )
            )
    return graded
