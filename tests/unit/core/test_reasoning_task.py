"""The fold of tasks, positions and outcomes: the same view on every spore, whatever came first."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from synapse.core.clock import Timestamp
from synapse.core.memory.record import MEMORY, OUTCOME, POSITION, TASK, Identity, Record
from synapse.core.reasoning import task_book as fold
from synapse.core.reasoning.task import (
    ANSWER_CHARACTERS_MAX,
    CLAIM_CHARACTERS_MAX,
    CLAIMS_MAX,
    LABEL_CHARACTERS_MAX,
    POSITIONS_MAX,
    TASK_BYTES_MAX,
    Dissent,
    Task,
)
from synapse.core.reasoning.task_book import TaskBook
from tests.making import START_MS, identity, made_up_id, record

ASKER, HELPER, STRANGER = identity(1), identity(2), identity(3)


def task(
    text: object = "Why do tides change?", *, seq: int = 1, writer: Identity = ASKER
) -> Record:
    return record({"text": text}, kind=TASK, seq=seq, writer=writer)


def position(
    of: Record, *, seq: int = 2, writer: Identity = HELPER, ms: int | None = None, **fields: object
) -> Record:
    said = {"answer": "The moon.", "family": "polar", "cycle": 0, **fields}
    hlc = Timestamp(ms if ms is not None else START_MS + seq, 0)
    return record(said, kind=POSITION, seq=seq, writer=writer, refs=(of.id,), hlc=hlc)


def outcome(of: Record, *, seq: int = 9, writer: Identity = ASKER, **fields: object) -> Record:
    said = {"answer": "The moon.", "stop_reason": "decided", "posterior": 0.8, **fields}
    return record(said, kind=OUTCOME, seq=seq, writer=writer, refs=(of.id,))


def folded(records: Sequence[Record]) -> list[Task]:
    book = TaskBook()
    for one in records:
        book.absorb(one)
    return list(book)


@pytest.mark.promise("convergent")
def test_any_order_of_arrival_gives_the_same_view() -> None:
    one, other = task(), task("And the weather?", seq=2)
    records = [
        one,
        other,
        *(position(one, seq=seq, answer=f"answer {seq}") for seq in range(3, 9)),
        position(other, seq=20, answer="Who knows."),
        outcome(one, seq=30),
        outcome(one, seq=31, answer="Second thoughts."),
        outcome(one, seq=32, writer=STRANGER, answer="Forged."),
        position(one, seq=40, family=7, answer=None),
    ]
    expected = folded(records)
    assert [len(each.positions) for each in expected] == [1, 6]
    rng = Random(2)
    for _ in range(200):
        rng.shuffle(records)
        assert folded(records + records) == expected  # twice over changes nothing either


@pytest.mark.promise("convergent")
def test_of_too_many_positions_every_spore_keeps_the_same() -> None:
    asked = task()
    records = [position(asked, seq=seq) for seq in range(2, POSITIONS_MAX + 40)]
    late = position(asked, seq=1, writer=ASKER, ms=START_MS + 10_000)
    rng = Random(3)
    views = []
    for _ in range(5):
        rng.shuffle(records)
        views.append(
            [one.id for one in folded([*records[:50], asked, late, *records[50:]])[0].positions]
        )
    assert all(view == views[0] for view in views)
    assert len(views[0]) == POSITIONS_MAX
    assert late.id in views[0]  # a flood of strangers does not drown what the asker found itself


def test_a_strangers_outcome_is_a_forged_answer() -> None:
    asked = task()
    assert folded([asked, outcome(asked, writer=STRANGER)])[0].outcome is None


def test_of_two_outcomes_the_earlier_counts() -> None:
    asked = task()
    first, second = outcome(asked, seq=5, answer="First."), outcome(asked, seq=6, answer="Second.")
    for order in ([asked, first, second], [second, asked, first]):
        found = folded(order)[0].outcome
        assert found is not None
        assert found.answer == "First."


def test_positions_stand_in_the_order_of_time() -> None:
    asked = task()
    records = [position(asked, seq=seq, ms=START_MS + 100 - seq) for seq in range(2, 9)]
    times = [one.created_ms for one in folded([asked, *records])[0].positions]
    assert times == sorted(times)


@pytest.mark.parametrize(
    "text", [None, 7, "", "  \n", ["a"], "x" * (TASK_BYTES_MAX + 1), "é" * TASK_BYTES_MAX]
)
def test_a_task_without_a_question_that_fits_is_none(text: object) -> None:
    assert folded([task(text)]) == []


NONSENSE: list[object] = [
    None,
    7,
    -1,
    1.5,
    float("nan"),
    float("inf"),
    "x",
    b"x",
    b"x" * 32,
    [],
    [1],
    [[]],
    {},
    {"a": []},
    [b"x"],
    [["a", float("nan"), 5]],
    1 << 62,
    True,
]


@pytest.mark.promise("hostile_text")
@pytest.mark.parametrize(
    "field", ["answer", "claims", "cites", "confidence", "model", "family", "cycle"]
)
def test_nonsense_in_a_position_is_never_an_error(field: str) -> None:
    asked = task()
    for value in NONSENSE:
        for one in folded([asked, position(asked, **{field: value})])[0].positions:
            assert isinstance(one.answer, str)
            assert one.answer
            assert all(isinstance(claim.text, str) for claim in one.claims)
            assert all(len(cite) == 32 for cite in one.cites)
            assert 0 <= one.confidence <= 1
            assert isinstance(one.model, str)
            assert one.family
            assert 0 <= one.cycle < 1 << 31


@pytest.mark.promise("hostile_text")
@pytest.mark.parametrize(
    "field",
    ["answer", "stop_reason", "posterior", "weak", "cycles", "cites", "supporters", "dissent"],
)
def test_nonsense_in_an_outcome_is_never_an_error(field: str) -> None:
    asked = task()
    for value in NONSENSE:
        found = folded([asked, outcome(asked, **{field: value})])[0].outcome
        if found is None:
            continue  # no reason why it stopped: no outcome
        assert found.answer is None or isinstance(found.answer, str)
        assert 0 <= found.posterior <= 1
        assert 0 <= found.cycles < 1 << 31
        assert all(len(one) == 32 for one in (*found.cites, *found.supporters))
        assert all(0 <= one.posterior <= 1 for one in found.dissent)


def test_an_outcome_without_an_answer_says_so() -> None:
    asked = task()
    found = folded([asked, outcome(asked, answer=None, stop_reason="nothing_recalled")])[0].outcome
    assert found is not None
    assert (found.answer, found.stop_reason) == (None, "nothing_recalled")


def test_dissent_is_read() -> None:
    asked = task()
    found = folded([asked, outcome(asked, dissent=[["Rome", 0.2, ["polar", 7]], ["?"], "no"])])[
        0
    ].outcome
    assert found is not None
    assert found.dissent == (Dissent("Rome", 0.2, ("polar",)),)


@pytest.mark.promise("bounded")
def test_what_a_stranger_wrote_at_length_is_cut() -> None:
    asked = task()
    long = "x" * 6_000
    said = position(asked, answer=long, claims=[long] * 5, model=long, family=long)
    [one] = folded([asked, said])[0].positions
    assert len(one.answer) == ANSWER_CHARACTERS_MAX
    assert [len(claim.text) for claim in one.claims] == [CLAIM_CHARACTERS_MAX] * 5
    assert len(one.family) == LABEL_CHARACTERS_MAX
    assert len(one.model) == 2 * LABEL_CHARACTERS_MAX

    [many] = folded(
        [asked, position(asked, claims=["y"] * 99, cites=[made_up_id(n) for n in range(99)])]
    )[0].positions
    assert (len(many.claims), len(many.cites)) == (CLAIMS_MAX, 64)


@pytest.mark.promise("bounded")
def test_the_oldest_answered_tasks_leave_memory_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "TASKS_MAX", 3)
    tasks = [task(f"question {seq}", seq=seq) for seq in range(1, 6)]
    book = TaskBook()
    for asked in tasks[:3]:
        book.absorb(asked)
    book.absorb(outcome(tasks[1], seq=50))
    for asked in tasks[3:]:
        book.absorb(asked)

    assert [one.text for one in book] == ["question 5", "question 4", "question 3"]
    assert len(book) == 5  # the others are in the log
    assert book.forgotten == 2


@pytest.mark.promise("bounded")
def test_positions_without_a_task_wait_in_bounded_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "ORPHANS_MAX", 4)
    tasks = [task(f"question {seq}", seq=seq) for seq in range(1, 9)]
    book = TaskBook()
    for number, asked in enumerate(tasks):
        book.absorb(position(asked, seq=100 + number))
    for asked in tasks:
        book.absorb(asked)
    assert [len(one.positions) for one in book] == [1, 1, 1, 1, 0, 0, 0, 0]


def test_what_was_taken_back_is_shown_no_longer() -> None:
    asked = task()
    kept, gone, end = position(asked, seq=3), position(asked, seq=4), outcome(asked)
    book = TaskBook()
    for one in (gone, asked, kept, end):
        book.absorb(one)
    book.withdraw(gone)
    book.withdraw(end)
    assert list(book) == folded([asked, kept])

    book.withdraw(asked)
    assert list(book) == []


def test_what_was_taken_back_while_it_waited_for_its_task_does_not_come_back() -> None:
    asked = task()
    book = TaskBook()
    book.absorb(position(asked))
    book.withdraw(position(asked))
    book.absorb(asked)
    assert list(book) == folded([asked])


def test_records_of_other_kinds_and_without_a_task_are_left_alone() -> None:
    book = TaskBook()
    assert book.absorb(record({"text": "a memory"}, kind=MEMORY)) is None
    assert book.absorb(record({"answer": "x"}, kind=POSITION)) is None
    assert len(book) == 0
