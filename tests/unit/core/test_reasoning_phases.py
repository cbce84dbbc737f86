"""The table of moves: every rule is reached, and the first that holds decides."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import combinations, product

import pytest

from synapse.core.reasoning.phases import NEXT_MOVE, Move, Progress, next_move

DISAGREEING = Progress(  # two families have answered, differently, and there is time
    votes=2,
    families=2,
    decided=False,
    unanimous=False,
    refuted=False,
    extract_only=False,
    hidden=False,
    calls_pending=False,
    members_left=False,
    settled=False,
    help_awaited=False,
    nothing_recalled=False,
    past_deadline=False,
    attempts_left=True,
    budget_left=True,
    challenge_due=False,
    stable=False,
    cycles_left=2,
)
SILENT = replace(DISAGREEING, votes=0, families=0)

# One line a rule, in the order of the table.
REACHED = [
    (replace(DISAGREEING, past_deadline=True, hidden=True), Move.REVEAL, ""),
    (replace(DISAGREEING, past_deadline=True, calls_pending=True), Move.COLLAPSE, "deadline"),
    (replace(DISAGREEING, calls_pending=True, decided=True), Move.STAY, ""),
    (replace(DISAGREEING, decided=True, hidden=True), Move.REVEAL, ""),
    (replace(DISAGREEING, decided=True, help_awaited=True), Move.COLLAPSE, "decided"),
    (replace(DISAGREEING, members_left=True, help_awaited=True), Move.ASK, ""),
    (replace(DISAGREEING, help_awaited=True, hidden=True), Move.STAY, ""),
    (replace(DISAGREEING, hidden=True), Move.REVEAL, ""),
    (replace(SILENT, nothing_recalled=True), Move.GIVE_UP, "nothing_recalled"),
    (SILENT, Move.WAIT, ""),
    (replace(SILENT, attempts_left=False), Move.GIVE_UP, "no_model_answered"),
    (replace(DISAGREEING, extract_only=True, decided=True), Move.COLLAPSE, "extract"),
    (replace(DISAGREEING, members_left=True, settled=True), Move.COLLAPSE, "settled"),
    (replace(DISAGREEING, budget_left=False, refuted=True), Move.GIVE_UP, "refuted"),
    (replace(DISAGREEING, budget_left=False), Move.COLLAPSE, "budget"),
    (replace(DISAGREEING, refuted=True, families=1), Move.REVISE, ""),
    (replace(DISAGREEING, refuted=True, stable=True), Move.GIVE_UP, "refuted"),
    (replace(DISAGREEING, challenge_due=True, unanimous=True), Move.CHALLENGE, ""),
    (replace(DISAGREEING, families=1), Move.COLLAPSE, "one_family"),
    (replace(DISAGREEING, unanimous=True), Move.COLLAPSE, "decided"),
    (replace(DISAGREEING, stable=True), Move.COLLAPSE, "stable"),
    (DISAGREEING, Move.REVISE, ""),
    (replace(DISAGREEING, cycles_left=0), Move.COLLAPSE, "cycles_spent"),
]


@pytest.mark.parametrize(("progress", "move", "reason"), REACHED)
def test_each_state_has_its_move(progress: Progress, move: Move, reason: str) -> None:
    assert next_move(progress) == (move, reason)


def test_every_rule_of_the_table_is_reached_by_one_of_these() -> None:
    deciding = [
        next(place for place, rule in enumerate(NEXT_MOVE) if rule.holds(progress))
        for progress, _, _ in REACHED
    ]
    assert deciding == list(range(len(NEXT_MOVE)))


@pytest.mark.promise("no_failure_is_an_answer")
def test_no_state_takes_an_answer_that_nobody_gave() -> None:
    impossible = ("decided", "unanimous", "hidden", "settled")  # without a vote
    flags = [one.name for one in fields(Progress) if one.type == "bool"]
    for up in combinations([one for one in flags if one not in impossible], 3):
        progress = replace(SILENT, **dict.fromkeys(up, True))
        assert next_move(progress)[0] is not Move.COLLAPSE


def test_a_deliberation_ends_with_a_reason_and_only_then() -> None:
    ends = {move: {rule.reason for rule in NEXT_MOVE if rule.move is move} for move in Move}
    for move, reasons in ends.items():
        assert ("" in reasons) == (move not in (Move.COLLAPSE, Move.GIVE_UP))


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
