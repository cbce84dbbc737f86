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
    settled: bool  # asking them is not worth a call
    help_awaited: bool  # a peer with a family we lack, or one that committed, has not spoken
    nothing_recalled: bool  # the extractor found nothing that bears on the task
    past_deadline: bool
    attempts_left: bool
    budget_left: bool
    challenge_due: bool
    stable: bool  # another cycle changed nothing
    cycles_left: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table."""

    when: str  # in words, for `docs/reasoning.md`
    holds: Callable[[Progress], bool]
    move: Move
    reason: str = ""  # why it stopped, when the move ends the deliberation


# fmt: off
NEXT_MOVE: Final = (
    Rule("the deadline has passed, and ours are not shown",
         lambda p: p.past_deadline and p.hidden, Move.REVEAL),
    Rule("the deadline has passed",
         lambda p: p.past_deadline and p.votes > 0, Move.COLLAPSE, "deadline"),
    Rule("models are being asked",
         lambda p: p.calls_pending and not p.past_deadline, Move.STAY),
    Rule("the leader is sure enough, and ours are not shown",
         lambda p: p.decided and not p.extract_only and p.hidden, Move.REVEAL),
    Rule("the leader is sure enough",
         lambda p: p.decided and not p.extract_only, Move.COLLAPSE, "decided"),
    Rule("families are left that are worth asking, and calls",
         lambda p: p.members_left and p.budget_left and not (p.settled or p.past_deadline),
         Move.ASK),
    Rule("a peer is expected to speak",
         lambda p: p.help_awaited and not p.past_deadline, Move.STAY),
    Rule("ours are not shown",
         lambda p: p.hidden, Move.REVEAL),
    Rule("nobody spoke, and memory holds nothing about it",
         lambda p: p.votes == 0 and p.nothing_recalled, Move.GIVE_UP, "nothing_recalled"),
    Rule("nobody spoke, and attempts are left",
         lambda p: p.votes == 0 and p.attempts_left, Move.WAIT),
    Rule("nobody spoke",
         lambda p: p.votes == 0, Move.GIVE_UP, "no_model_answered"),
    Rule("memory was quoted, and no model spoke",
         lambda p: p.extract_only, Move.COLLAPSE, EXTRACT),
    Rule("asking whoever is left is not worth a call",
         lambda p: p.settled, Move.COLLAPSE, "settled"),
    Rule("no call is left, and the leader failed a check",
         lambda p: not p.budget_left and p.refuted, Move.GIVE_UP, "refuted"),
    Rule("no call is left",
         lambda p: not p.budget_left, Move.COLLAPSE, "budget"),
    Rule("the leader failed a check, and cycles are left",
         lambda p: p.refuted and p.cycles_left > 0 and not p.stable, Move.REVISE),
    Rule("the leader failed a check",
         lambda p: p.refuted, Move.GIVE_UP, "refuted"),
    Rule("most agree, no check has passed it, and a checker exists",
         lambda p: p.challenge_due, Move.CHALLENGE),
    Rule("only one family spoke",
         lambda p: p.families == 1, Move.COLLAPSE, "one_family"),
    Rule("all families agree",
         lambda p: p.unanimous, Move.COLLAPSE, "decided"),
    Rule("the last cycle changed nothing",
         lambda p: p.stable, Move.COLLAPSE, "stable"),
    Rule("cycles are left",
         lambda p: p.cycles_left > 0, Move.REVISE),
    Rule("otherwise",
         lambda p: True, Move.COLLAPSE, "cycles_spent"),
)
# fmt: on


def next_move(progress: Progress) -> tuple[Move, str]:
    """The move, and the stop reason when it ends the deliberation."""
    for rule in NEXT_MOVE:
        if rule.holds(progress):
            return rule.move, rule.reason
    raise AssertionError("the last rule always holds")
