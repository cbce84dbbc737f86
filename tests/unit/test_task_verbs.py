"""Asking with wishes, asking privately, grading: the verbs of tasks as every face calls them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import combinations
from typing import Any

import pytest

from synapse.core.errors import NotFound, Refused, TextError
from synapse.core.messages import Push
from synapse.core.reasoning.task import BUDGET_MAX, CHOICES_MAX, DEADLINE_MS_MAX
from synapse.operations.tasks import ANYTHING, Wanted
from synapse.replies import TaskView
from synapse.storage.memory_log import MemoryLog
from tests.driving import Driven, running, spore
from tests.making import identity, made_up_id, record

pytestmark = pytest.mark.anyio

KEY = "gsk_" + "a1" * 26
SUM = "What is six times seven, and why do people ask?"
CALLER = identity(2)
PRIVATE = Wanted(private=True)


def says(answer: str) -> Any:
    return lambda _: f'{{"answer": "{answer}", "confidence": 0.9}}'


SCRIPTS = {"amber": says("42"), "jade": says("54"), "cobalt": says("42")}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def one() -> AsyncIterator[Driven]:
    made = spore(scripts=SCRIPTS)
    async with running(made):
        yield made


async def answered(one: Driven, text: str = SUM, wanted: Wanted = ANYTHING) -> TaskView:
    asked = await one.operations.submit_task(text, wanted)
    view = await one.operations.finished_task(asked.task_id, wait_ms=10_000, private=True)
    assert view.converged
    return view


# What may be wished for


@pytest.mark.parametrize(
    "wanted, said",
    [
        (Wanted(kind="essay"), "kind is one of"),
        (Wanted(choices=("yes",)), "2 to 26"),
        (Wanted(choices=tuple(map(str, range(CHOICES_MAX + 1)))), "2 to 26"),
        (Wanted(kind="number", choices=("1", "2")), "a number has no choices"),
        (Wanted(kind="choice"), "a choice needs its choices"),
        (Wanted(budget=0), "budget is 1 to 100"),
        (Wanted(budget=BUDGET_MAX + 1), "budget is 1 to 100"),
        (Wanted(deadline_ms=0), "deadline_ms is 1 to"),
        (Wanted(deadline_ms=DEADLINE_MS_MAX + 1), "deadline_ms is 1 to"),
    ],
)
@pytest.mark.parametrize("private", [False, True])
async def test_a_wish_that_cannot_be_is_refused_and_said(
    one: Driven, wanted: Wanted, said: str, private: bool
) -> None:
    wish = Wanted(wanted.kind, wanted.choices, wanted.budget, wanted.deadline_ms, private)
    with pytest.raises(Refused, match=said) as refusal:
        await one.operations.submit_task(SUM, wish)
    assert refusal.value.reason == "wish"
    assert one.operations.tasks(private=True).total == 0


async def test_the_widest_wishes_are_granted(one: Driven) -> None:
    letters = tuple(map(chr, range(ord("a"), ord("z") + 1)))
    wish = Wanted("choice", letters, BUDGET_MAX, DEADLINE_MS_MAX)
    asked = await one.operations.submit_task(SUM, wish)
    view = one.operations.task(asked.task_id)
    assert (view.kind, view.choices, view.privacy) == ("choice", list(letters), "shared")


async def test_a_choice_that_is_empty_or_a_credential_is_refused(one: Driven) -> None:
    with pytest.raises(TextError, match="a choice"):
        await one.operations.submit_task(SUM, Wanted(choices=("yes", " ")))
    with pytest.raises(Refused) as refusal:
        await one.operations.submit_task(SUM, Wanted(choices=("yes", KEY)))
    assert refusal.value.reason == "credential"
    assert one.operations.wall().wall.blocks == 1


async def test_a_budget_of_one_call_asks_one_model(one: Driven) -> None:
    view = await answered(one, wanted=Wanted(budget=1))
    assert (view.calls, len(view.models)) == (1, 1)


# What a task's view tells


def splits(answer: str, other: str) -> Any:
    said = {
        "answer": answer,
        "confidence": 0.6,
        "claims": ["It follows."],
        "alternatives": [{"answer": other, "weight": 0.3}],
    }
    return lambda _: json.dumps(said)


async def test_a_view_tells_each_share_and_whose_answer_it_is() -> None:
    one = spore(scripts={"amber": splits("42", "54"), "jade": says("54"), "cobalt": says("42")})
    async with running(one):
        view = await answered(one)
        told = one.operations.quantum()
    shares = next(position.hypotheses for position in view.deltas if position.family == "amber")
    assert [part.answer for part in shares] == ["42", "54"]
    assert sum(part.share for part in shares) == pytest.approx(1)
    assert sum(part.share for part in view.credit) == pytest.approx(1, abs=0.01)
    assert {part.family for part in view.credit} <= {one.family for one in view.deltas}
    assert (view.term, view.answered_by) == (0, None)
    assert told.superposition.counts["split_positions"] >= 1


async def test_whoever_drove_a_task_whose_asker_was_gone_is_named(one: Driven) -> None:
    asked = record({"text": "Who goes there?"}, kind="task", writer=CALLER)
    driver = identity(3)
    bound = record({"digest": made_up_id(4)}, kind="commitment", writer=driver, refs=(asked.id,))
    said = {"answer": "42", "stop_reason": "decided", "posterior": 0.9, "term": 2}
    outcome = record(
        said, kind="outcome", writer=driver, seq=2, previous=bound.id, refs=(asked.id,)
    )
    await one.driver.exchange(CALLER.key, [Push((asked, bound, outcome))])
    view = one.operations.task(asked.id.hex())
    assert (view.term, view.answered_by, view.commitments) == (2, driver.key.hex(), 1)


@pytest.mark.promise("honest")
async def test_families_graded_together_are_shown_with_how_they_err(one: Driven) -> None:
    assert one.operations.quantum().entanglement.model_dump()["pairs"] == []
    view = await answered(one, wanted=Wanted(kind="number"))
    await one.operations.grade_task(view.task_id, right_answer="42")
    pairs = one.operations.quantum().entanglement.model_dump()["pairs"]
    spoke = sorted({position.family for position in view.deltas})
    assert [pair["families"] for pair in pairs] == [list(two) for two in combinations(spoke, 2)]
    assert all((pair["kind"], pair["tasks"]) == ("number", 1) for pair in pairs)


# Private tasks


@pytest.mark.promise("private")
async def test_a_private_task_is_answered_and_leaves_no_record(one: Driven) -> None:
    before = one.operations.health()
    view = await answered(one, "What is in my diary?", PRIVATE)
    after = one.operations.health()

    assert (view.status, view.privacy, view.final_answer) == ("answered", "private", "42")
    assert (after.records, after.records_by_kind) == (before.records, before.records_by_kind)
    assert after.fingerprint == before.fingerprint
    assert not [one for one in one.log.scan() if b"diary" in one.header_data + (one.body or b"")]


@pytest.mark.promise("private")
async def test_a_private_task_shows_its_checks_and_leaves_no_trace_in_the_ledger_of_calls(
    one: Driven,
) -> None:
    view = await answered(one, "What is 6 * 7?", PRIVATE)
    assert {check.passed for check in view.verdicts} == {True, False}
    shared = await answered(one)
    named = {row.task for row in one.driver.attempts.recent(100)}
    assert named == {"", shared.task_id}


@pytest.mark.promise("private")
async def test_a_private_task_is_hidden_unless_private_ones_are_asked_for(one: Driven) -> None:
    shared, private = await answered(one), await answered(one, "What is my name?", PRIVATE)
    operations = one.operations

    with pytest.raises(NotFound) as hidden:
        operations.task(private.task_id)
    with pytest.raises(NotFound) as missing:
        operations.task(made_up_id(1).hex())
    assert str(hidden.value).replace(private.task_id, "") == str(missing.value).replace(
        made_up_id(1).hex(), ""
    )
    with pytest.raises(NotFound):
        await operations.finished_task(private.task_id, wait_ms=0)
    assert [task.task_id for task in operations.tasks().tasks] == [shared.task_id]
    assert {task.task_id for task in operations.tasks(private=True).tasks} == {
        shared.task_id,
        private.task_id,
    }
    assert [row.task_id for row in operations.convergence().tasks] == [shared.task_id]


@pytest.mark.promise("private")
async def test_a_private_task_is_gone_after_a_restart() -> None:
    log = MemoryLog()
    first = spore(scripts=SCRIPTS, log=log)
    async with running(first):
        private, shared = await answered(first, wanted=PRIVATE), await answered(first)
    again = spore(scripts=SCRIPTS, log=log)
    await again.driver.restore()
    async with running(again):
        assert again.operations.task(shared.task_id).converged
        with pytest.raises(NotFound):
            again.operations.task(private.task_id, private=True)


@pytest.mark.promise("private")
async def test_a_private_task_may_hold_what_a_shared_one_must_not(one: Driven) -> None:
    view = await answered(one, f"What opens {KEY}?", Wanted(choices=(KEY, "42"), private=True))
    assert KEY in view.description and view.choices == [KEY, "42"]


async def test_a_private_task_takes_no_grade(one: Driven) -> None:
    view = await answered(one, wanted=PRIVATE)
    with pytest.raises(Refused) as refusal:
        await one.operations.grade_task(view.task_id, right_answer="42")
    assert refusal.value.reason == "private"
    assert one.operations.newest_grades(10) == []


# Grading


def chances(one: Driven) -> dict[str, float]:
    return {family: view.overall for family, view in one.operations.trust().items()}


async def test_a_right_answer_grades_every_position(one: Driven) -> None:
    view = await answered(one)
    before = chances(one)
    graded = await one.operations.grade_task(view.task_id, right_answer="42.0")
    after = chances(one)

    spoke = {position.family: position.hypothesis == "42" for position in view.deltas}
    assert set(spoke) == set(graded.trust) and len(spoke) >= 2
    assert graded.grades == len(spoke)
    for family, right in spoke.items():
        assert (after[family] > before[family]) == right
        change = graded.trust[family]
        assert (change.before, change.after) == (before[family], after[family])
    shown = one.operations.task(view.task_id).grades
    assert {grade.family: grade.right for grade in shown} == spoke
    assert all(grade.own and grade.source == "user" for grade in shown)


async def test_a_position_that_is_wrong_grades_those_that_say_the_same(one: Driven) -> None:
    view = await answered(one)
    of_jade = [position.id for position in view.deltas if position.family == "jade"]
    graded = await one.operations.grade_task(view.task_id, position=of_jade[-1], right=False)
    assert graded.grades == 1
    [grade] = one.operations.task(view.task_id).grades
    assert (grade.family, grade.right) == ("jade", False)
    assert grade.position in of_jade


async def test_a_position_that_is_right_makes_the_others_wrong(one: Driven) -> None:
    view = await answered(one)
    right = next(position for position in view.deltas if position.hypothesis == "42")
    await one.operations.grade_task(view.task_id, position=right.id, right=True)
    said = {grade.family: grade.right for grade in one.operations.task(view.task_id).grades}
    assert said == {position.family: position.hypothesis == "42" for position in view.deltas}


async def test_a_grade_that_is_repeated_changes_nothing(one: Driven) -> None:
    view = await answered(one)
    await one.operations.grade_task(view.task_id, right_answer="42")
    trust = one.operations.trust()
    again = await one.operations.grade_task(view.task_id, right_answer="42")

    assert again.grades == 0
    assert all(change.before == change.after for change in again.trust.values())
    assert {family: told.overall for family, told in one.operations.trust().items()} == {
        family: told.overall for family, told in trust.items()
    }


async def test_who_thinks_better_of_it_is_believed_the_second_time(one: Driven) -> None:
    view = await answered(one)
    await one.operations.grade_task(view.task_id, right_answer="54")
    await one.operations.grade_task(view.task_id, right_answer="42")
    said = {grade.family: grade.right for grade in one.operations.task(view.task_id).grades}
    assert said["jade"] is False and True in said.values()


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"right": True},
        {"right_answer": "42", "position": made_up_id(1).hex(), "right": True},
        {"right_answer": "42", "right": True},
        {"position": made_up_id(1).hex()},
    ],
)
async def test_a_grade_says_one_thing(one: Driven, said: dict[str, Any]) -> None:
    view = await answered(one)
    with pytest.raises(Refused) as refusal:
        await one.operations.grade_task(view.task_id, **said)
    assert refusal.value.reason == "grade"


async def test_what_is_not_there_is_not_graded(one: Driven) -> None:
    view, unknown = await answered(one), made_up_id(1).hex()
    for task, said in (
        (unknown, {"right_answer": "42"}),
        (view.task_id, {"position": unknown, "right": True}),
        (view.task_id, {"position": view.task_id, "right": False}),
        ("x", {"right_answer": "42"}),
        (view.task_id, {"position": "x", "right": True}),
    ):
        with pytest.raises(NotFound):
            await one.operations.grade_task(task, **said)
    assert one.operations.newest_grades(10) == []


@pytest.mark.promise("private")
async def test_a_right_answer_that_is_a_credential_is_refused(one: Driven) -> None:
    view = await answered(one)
    with pytest.raises(Refused) as refusal:
        await one.operations.grade_task(view.task_id, right_answer=KEY)
    assert refusal.value.reason == "credential"


# Trust


@pytest.mark.promise("honest")
async def test_trust_is_explained_down_to_the_grades(one: Driven) -> None:
    view = await answered(one)
    await one.operations.grade_task(view.task_id, right_answer="42")

    jade = one.operations.trust()["jade"]
    [kind] = jade.kinds
    detail = one.operations.trust_detail("jade")

    assert (jade.right, jade.wrong, kind.kind) == (0, 1, view.kind)
    assert jade.overall == kind.probability == (0 + 1.2) / (1 + 2)
    assert kind.low < kind.probability < kind.high
    assert [(part.origin, part.right, part.wrong) for part in kind.portions] == [("own", 0, 1)]
    assert kind.grades == [grade.id for grade in detail.grades]
    assert [grade.id for grade in one.operations.task(view.task_id).grades].count(kind.grades[0])
    [grade] = detail.grades
    assert (grade.task, grade.family, grade.right, grade.own) == (view.task_id, "jade", False, True)
    assert one.operations.memory(grade.id).record == "grade"
    assert one.operations.trust_detail("family:jade", kind=view.kind) == detail


async def test_families_that_nobody_graded_stand_at_the_prior(one: Driven) -> None:
    trust = one.operations.trust()
    assert set(trust) == set(SCRIPTS)
    assert {view.overall for view in trust.values()} == {0.6}
    assert all(view.low < 0.6 < view.high and view.kinds == [] for view in trust.values())
    for subject, kind in (("jade", None), ("nobody", None), ("operator:00", None), ("", "free")):
        with pytest.raises(NotFound):
            one.operations.trust_detail(subject, kind=kind)


async def test_the_newest_grades_come_first_and_no_more_than_wanted(one: Driven) -> None:
    for text in (SUM, f"{SUM} Again?"):
        view = await answered(one, text)
        await one.operations.grade_task(view.task_id, right_answer="42")
    everything = one.operations.newest_grades(100)
    assert [grade.at_ms for grade in everything] == sorted(
        (grade.at_ms for grade in everything), reverse=True
    )
    assert one.operations.newest_grades(1) == everything[:1]


async def test_a_grade_that_is_taken_back_counts_no_longer(one: Driven) -> None:
    view = await answered(one)
    before = chances(one)
    await one.operations.grade_task(view.task_id, right_answer="42")
    for grade in one.operations.newest_grades(10):
        await one.operations.forget(grade.id)
    assert one.operations.task(view.task_id).grades == one.operations.newest_grades(10) == []
    assert chances(one) == before
