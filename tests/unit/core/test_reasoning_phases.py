"""The table of moves: every rule is reached, and the first that holds decides."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from synapse.core.reasoning.phases import NEXT_MOVE, Move, Progress, next_move

DISAGREEING = Progress(  # two families have answered, differently, and there is time
    votes=2,
    families=2,
    decided=False,
    unanimous=False,
    extract_only=False,
    calls_pending=False,
    help_awaited=False,
    nothing_recalled=False,
    past_deadline=False,
    attempts_left=True,
    cycles_left=2,
)
SILENT = replace(DISAGREEING, votes=0, families=0)

# One line a rule, in the order of the table.
REACHED = [
    (replace(DISAGREEING, past_deadline=True, calls_pending=True), Move.COLLAPSE, "deadline"),
    (replace(DISAGREEING, calls_pending=True, decided=True), Move.STAY, ""),
    (replace(DISAGREEING, decided=True, help_awaited=True), Move.COLLAPSE, "decided"),
    (replace(DISAGREEING, help_awaited=True), Move.STAY, ""),
    (replace(SILENT, nothing_recalled=True), Move.GIVE_UP, "nothing_recalled"),
    (SILENT, Move.WAIT, ""),
    (replace(SILENT, attempts_left=False), Move.GIVE_UP, "no_model_answered"),
    (replace(DISAGREEING, extract_only=True, decided=True), Move.COLLAPSE, "extract"),
    (replace(DISAGREEING, families=1), Move.COLLAPSE, "one_family"),
    (replace(DISAGREEING, unanimous=True), Move.COLLAPSE, "decided"),
    (DISAGREEING, Move.REVISE, ""),
    (replace(DISAGREEING, cycles_left=0), Move.COLLAPSE, "cycles_spent"),
]


@pytest.mark.parametrize(("progress", "move", "reason"), REACHED)
def test_each_state_has_its_move(progress: Progress, move: Move, reason: str) -> None:
    assert next_move(progress) == (move, reason)


def test_every_rule_of_the_table_is_reached_by_one_of_these() -> None:
    deciding = [
        next(rule for rule, (holds, _, _) in enumerate(NEXT_MOVE) if holds(progress))
        for progress, _, _ in REACHED
    ]
    assert deciding == list(range(len(NEXT_MOVE)))


@pytest.mark.promise("no_failure_is_an_answer")
def test_no_state_takes_an_answer_that_nobody_gave() -> None:
    flags = (False, True)
    for decided, agreed, extract, pending, help_awaited, nothing, late, left in product(
        flags, repeat=8
    ):
        progress = Progress(
            0, 0, decided, agreed, extract, pending, help_awaited, nothing, late, left, 2
        )
        move, _ = next_move(progress)
        if not decided and not agreed:  # without votes neither can be
            assert move is not Move.COLLAPSE


def test_a_deliberation_ends_with_a_reason_and_only_then() -> None:
    ends = {move: {reason for _, one, reason in NEXT_MOVE if one is move} for move in Move}
    for move, reasons in ends.items():
        assert ("" in reasons) == (move in (Move.STAY, Move.REVISE, Move.WAIT))


@pytest.mark.promise("bounded")
def test_past_its_deadline_nothing_stays_as_it_is() -> None:
    for votes, pending, help_awaited in product((0, 1), (False, True), (False, True)):
        progress = replace(
            DISAGREEING,
            votes=votes,
            calls_pending=pending,
            help_awaited=help_awaited,
            past_deadline=True,
        )
        assert next_move(progress)[0] is not Move.STAY
