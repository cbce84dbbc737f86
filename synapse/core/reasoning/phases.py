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
    extract_only: bool
    calls_pending: bool
    help_awaited: bool  # a peer with a family we lack has been told and has not spoken
    nothing_recalled: bool  # the extractor found nothing that bears on the task
    past_deadline: bool
    attempts_left: bool
    cycles_left: int


Rule = tuple[Callable[[Progress], bool], Move, str]

# (when, what, why it stopped)
NEXT_MOVE: Final[tuple[Rule, ...]] = (
    (lambda p: p.votes > 0 and p.past_deadline, Move.COLLAPSE, "deadline"),
    (lambda p: p.calls_pending and not p.past_deadline, Move.STAY, ""),
    (lambda p: p.decided and not p.extract_only, Move.COLLAPSE, "decided"),
    (lambda p: p.help_awaited and not p.past_deadline, Move.STAY, ""),
    (lambda p: p.votes == 0 and p.nothing_recalled, Move.GIVE_UP, "nothing_recalled"),
    (lambda p: p.votes == 0 and p.attempts_left, Move.WAIT, ""),
    (lambda p: p.votes == 0, Move.GIVE_UP, "no_model_answered"),
    (lambda p: p.extract_only, Move.COLLAPSE, EXTRACT),
    (lambda p: p.families == 1, Move.COLLAPSE, "one_family"),
    (lambda p: p.unanimous, Move.COLLAPSE, "decided"),
    (lambda p: p.cycles_left > 0, Move.REVISE, ""),
    (lambda p: True, Move.COLLAPSE, "cycles_spent"),
)


def next_move(progress: Progress) -> tuple[Move, str]:
    """The move, and the stop reason when it ends the deliberation."""
    for holds, move, reason in NEXT_MOVE:
        if holds(progress):
            return move, reason
    raise AssertionError("the last rule always holds")
