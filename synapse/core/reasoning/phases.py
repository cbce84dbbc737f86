"""What a deliberation does next, as a table. The first rule that holds decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from synapse.core.reasoning.task import EXTRACT


class Move(StrEnum):
    """What to do with a task."""

    STAY = "stay"  # answers are on their way
    ASK = "ask"  # the gate: the next members, blind
    REVEAL = "reveal"  # show our blind answers: from now on they could be copied
    CHALLENGE = "challenge"  # bar the leader once, and look for another answer
    REVISE = "revise"  # ask again, cooler, showing the answers without names or counts
    COLLAPSE = "collapse"  # take the leading answer
    WAIT = "wait"  # nobody can be asked now: try again when a model may be there
    GIVE_UP = "give_up"  # say that there is no answer


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a deliberation that the table looks at."""

    votes: int
    families: int
    decided: bool
    unanimous: bool  # every family that spoke gives the same answer
    refuted: bool  # the leading answer failed a check
    extract_only: bool
    hidden: bool  # ours are not shown yet, or peers that committed wait for our turn
    calls_pending: bool
    members_left: bool  # families of ours that have not been asked
    help_awaited: bool  # a peer with a family we lack, or one that committed, has not spoken
    nothing_recalled: bool  # the extractor found nothing that bears on the task
    past_deadline: bool
    attempts_left: bool
    budget_left: bool
    challenge_due: bool
    stable: bool  # another cycle changed nothing
    cycles_left: int


Rule = tuple[Callable[[Progress], bool], Move, str]

# (when, what, why it stopped)
NEXT_MOVE: Final[tuple[Rule, ...]] = (
    (lambda p: p.past_deadline and p.hidden, Move.REVEAL, ""),
    (lambda p: p.past_deadline and p.votes > 0, Move.COLLAPSE, "deadline"),
    (lambda p: p.calls_pending and not p.past_deadline, Move.STAY, ""),
    (lambda p: p.decided and not p.extract_only and p.hidden, Move.REVEAL, ""),
    (lambda p: p.decided and not p.extract_only, Move.COLLAPSE, "decided"),
    (lambda p: p.members_left and p.budget_left and not p.past_deadline, Move.ASK, ""),
    (lambda p: p.help_awaited and not p.past_deadline, Move.STAY, ""),
    (lambda p: p.hidden, Move.REVEAL, ""),
    (lambda p: p.votes == 0 and p.nothing_recalled, Move.GIVE_UP, "nothing_recalled"),
    (lambda p: p.votes == 0 and p.attempts_left, Move.WAIT, ""),
    (lambda p: p.votes == 0, Move.GIVE_UP, "no_model_answered"),
    (lambda p: p.extract_only, Move.COLLAPSE, EXTRACT),
    (lambda p: not p.budget_left, Move.COLLAPSE, "budget"),
    (lambda p: p.refuted and p.cycles_left > 0 and not p.stable, Move.REVISE, ""),
    (lambda p: p.refuted, Move.GIVE_UP, "refuted"),
    (lambda p: p.challenge_due, Move.CHALLENGE, ""),
    (lambda p: p.families == 1, Move.COLLAPSE, "one_family"),
    (lambda p: p.unanimous, Move.COLLAPSE, "decided"),
    (lambda p: p.stable, Move.COLLAPSE, "stable"),
    (lambda p: p.cycles_left > 0, Move.REVISE, ""),
    (lambda p: True, Move.COLLAPSE, "cycles_spent"),
)


def next_move(progress: Progress) -> tuple[Move, str]:
    """The move, and the stop reason when it ends the deliberation."""
    for holds, move, reason in NEXT_MOVE:
        if holds(progress):
            return move, reason
    raise AssertionError("the last rule always holds")
