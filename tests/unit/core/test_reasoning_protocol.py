"""The protocol through a whole node: gate, check, challenge, synthesis, commitments, leases,
private tasks, grades."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from synapse.core import events
from synapse.core.effects import Acknowledge, CallModel, Send
from synapse.core.memory.record import (
    ABSTENTION,
    COMMITMENT,
    GRADE,
    LEASE,
    MEMORY,
    OUTCOME,
    POSITION,
    TASK,
    VERDICT,
    Record,
)
from synapse.core.reasoning.leases import GRACE_MS, LEASE_MS, SPREAD_MS
from synapse.core.reasoning.model_routing import EXACT, Target
from synapse.core.reasoning.session import REVEAL_MS
from synapse.core.reasoning.task import Outcome, commitment
from synapse.core.text import SharedText
from tests.making import START_MS, identity, made_up_id, record
from tests.unit.core.nodes import EXTRACTOR, Table, model, persisted

POLAR, SOLAR, LUNAR = model("polar"), model("solar"), model("lunar")
TOOLS = Target(EXACT, EXACT, account=EXACT)
SUM = "Compute 17 * 23"
OTHER_LIFE = {"polar": identity(11), "solar": identity(12)}


def outcome(table: Table, task_id: bytes) -> Outcome:
    found = table.task(task_id).outcome
    assert found is not None
    return found


def kinds(table: Table) -> list[str]:
    return [one.kind for one in persisted(table.effects)]


def asking(text: str = SUM, **wish: Any) -> events.SubmitTask:
    return events.SubmitTask(1, SharedText(text), wish)


def ask(table: Table, text: str = SUM, **wish: Any) -> bytes:
    effects = table.tell(asking(text, **wish))
    [task_id] = [one.id for one in effects if isinstance(one, Acknowledge)]
    assert task_id is not None
    return task_id


def grade(table: Table, task_id: bytes, **said: Any) -> list[Acknowledge]:
    effects = table.tell(events.GradeTask(2, task_id, **said))
    return [one for one in effects if isinstance(one, Acknowledge)]


def teach(table: Table, family: str, *, right: int, wrong: int = 0) -> None:
    """Grades of our own: so often this family was right about a number."""
    for number in range(right + wrong):
        said = {"family": family, "task_kind": "number", "right": int(number < right)}
        refs = (made_up_id(number), made_up_id(1_000 + number))
        one = record(said, kind=GRADE, seq=number + 1, writer=OTHER_LIFE[family], refs=refs)
        header = replace(one.header, operator=identity(1).key)
        table.node.ledger.evidence.absorb(replace(one, header=header))


# The gate


def test_a_family_known_to_be_right_is_asked_first_and_alone() -> None:
    table = Table(POLAR, SOLAR, LUNAR)
    teach(table, "solar", right=20)
    task_id = ask(table, "Guess again", kind=SharedText("number"))
    assert [call.target for call in table.calls] == ["solar"]
    table.reply("solar", "7")
    table.calls.clear()
    assert outcome(table, task_id).answer == "7"


def test_when_nobody_is_known_everyone_is_asked_at_once() -> None:
    table = Table(POLAR, SOLAR, LUNAR)
    ask(table)
    assert [call.target for call in table.calls] == ["polar", "solar", "lunar"]


def test_a_budget_of_calls_is_kept() -> None:
    table = Table(POLAR, SOLAR, LUNAR)
    task_id = ask(table, "Guess", budget=2)
    assert len(table.calls) == 2
    table.reply("polar", "1")
    table.reply("solar", "2")
    assert (outcome(table, task_id).stop_reason, outcome(table, task_id).calls) == ("budget", 2)


def test_the_asker_may_set_the_deadline() -> None:
    table = Table(POLAR)
    task_id = ask(table, deadline_ms=5_000)
    assert table.call("polar").timeout_ms == 5_000
    assert table.task(task_id).wish.deadline_ms == 5_000


def test_choices_are_shown_and_decide_which_answers_are_the_same() -> None:
    table = Table(POLAR, SOLAR)
    task_id = ask(
        table, "Which is a moon?", kind=SharedText("choice"), choices=("Io", SharedText("Mars"))
    )
    call = table.reply("polar", "A")
    assert json.loads(call.request.user)["choices"] == ["Io", "Mars"]
    table.reply("solar", "(a) Io")
    assert (outcome(table, task_id).stop_reason, outcome(table, task_id).weak) == ("decided", False)


def test_what_is_none_of_the_choices_is_no_answer() -> None:
    table = Table(POLAR)
    task_id = ask(table, "Which is a moon?", choices=("Io", "Mars"))
    table.reply("polar", "42")
    assert table.task(task_id).positions == []
    table.reply("polar", "Io")
    assert outcome(table, task_id).answer == "Io"


# Tools and checks


def test_what_a_tool_can_compute_costs_no_call() -> None:
    table = Table(POLAR, TOOLS)
    task_id = ask(table)
    assert [call.target for call in table.calls] == [EXACT]
    table.reply(EXACT, "391", family="tool:arithmetic", model="exact-arithmetic")
    found = outcome(table, task_id)
    assert (found.answer, found.checked, found.calls, found.stop_reason) == (
        "391",
        True,
        0,
        "decided",
    )
    assert table.calls == []


def test_when_the_tools_abstain_the_models_are_asked() -> None:
    table = Table(POLAR, TOOLS)
    ask(table, "Why do tides change?")
    table.fail(EXACT, "refused")
    assert [call.target for call in table.calls] == ["polar"]


def test_a_check_outweighs_a_majority() -> None:
    table = Table(POLAR, SOLAR, LUNAR)
    task_id = ask(table)
    table.reply("polar", "401")
    table.reply("solar", "401")
    table.reply("lunar", "391")
    found = outcome(table, task_id)
    assert (found.answer, found.checked) == ("391", True)
    verdicts = table.task(task_id).verdicts
    assert sorted(one.passed for one in verdicts) == [False, True]


def test_what_a_checker_found_grades_those_who_said_it() -> None:
    table = Table(POLAR, SOLAR)
    ask(table)
    table.reply("polar", "401")
    table.reply("solar", "391")
    grades = [one.content() for one in persisted(table.effects) if one.kind == GRADE]
    assert {(one["family"], one["right"], one["source"]) for one in grades} == {
        ("polar", 0, "checker"),
        ("solar", 1, "checker"),
    }


def test_an_answer_that_failed_every_check_is_no_answer() -> None:
    table = Table(POLAR)
    task_id = ask(table)
    for _ in range(2):
        table.reply("polar", "401")
    found = outcome(table, task_id)
    assert (found.answer, found.stop_reason) == (None, "refuted")


def test_a_revision_is_told_what_the_checker_found() -> None:
    table = Table(POLAR)
    task_id = ask(table)
    table.reply("polar", "401")
    call = table.reply("polar", "391")
    [other] = json.loads(call.request.user)["other_answers"]
    assert other["check"].startswith("fail")
    assert outcome(table, task_id).answer == "391"


def test_a_checked_answer_becomes_a_memory_and_others_do_not() -> None:
    table = Table(POLAR)
    ask(table, "Why do tides change?")
    table.reply("polar", "The moon.")
    assert MEMORY not in kinds(table)
    ask(table)
    table.reply("polar", "391")
    [finding] = [one for one in persisted(table.effects) if one.kind == MEMORY]
    assert finding.content()["text"] == f"{SUM}\n391"
    assert finding.content()["kind"] == "finding"
    assert finding.content()["family"] == "polar"


# The challenge


def hard_formula() -> tuple[str, str]:
    """A formula that nobody refutes quickly, and what satisfies it."""
    rng = Random(1)
    values = [rng.random() < 0.5 for _ in range(60)]
    clauses = []
    while len(clauses) < 250:
        literals = [(rng.randrange(60), rng.random() < 0.5) for _ in range(3)]
        if any(values[number] == wanted for number, wanted in literals):
            said = (f"{'' if wanted else 'not '}x{number + 1}" for number, wanted in literals)
            clauses.append(f"({' or '.join(said)})")
    task = f"Find a satisfying assignment of: {' and '.join(clauses)}"
    return task, " ".join(f"x{number + 1}={int(value)}" for number, value in enumerate(values))


def test_a_majority_that_no_checker_can_confirm_is_challenged_once() -> None:
    table = Table(POLAR, SOLAR)
    text, solution = hard_formula()
    task_id = ask(table, text)
    table.reply("polar", "unsatisfiable")
    table.reply("solar", "unsatisfiable")
    [challenge] = table.calls
    assert (challenge.purpose, challenge.request.temperature) == ("challenge", 1.0)
    assert json.loads(challenge.request.user)["leading_answer"] == "unsatisfiable"
    table.reply(challenge.target, solution)
    found = outcome(table, task_id)
    assert (found.answer, found.checked, found.calls) == (solution, True, 3)


def test_a_challenger_that_convinces_no_checker_does_not_win() -> None:
    table = Table(POLAR, SOLAR)
    text, _ = hard_formula()
    task_id = ask(table, text)
    table.reply("polar", "unsatisfiable")
    table.reply("solar", "unsatisfiable")
    table.reply(table.calls[0].target, "satisfiable, but I cannot say how")
    while table.calls:
        table.reply(table.calls[0].target, "unsatisfiable")
    assert outcome(table, task_id).answer == "unsatisfiable"
    assert sum(call.purpose == "challenge" for call in _calls(table)) == 1


def _calls(table: Table) -> list[CallModel]:
    return [one for one in table.effects if isinstance(one, CallModel)]


# Synthesis


def decided_in_prose(table: Table) -> bytes:
    task_id = ask(table, "Why do tides change?")
    table.reply("polar", "The moon pulls the water.")
    table.reply("solar", "The moon pulls the water.")
    return task_id


def test_prose_that_says_the_same_is_kept() -> None:
    table = Table(POLAR, SOLAR, synthesis=True)
    task_id = decided_in_prose(table)
    assert table.task(task_id).outcome is None
    [call] = table.calls
    assert call.purpose == "synthesis"
    table.reply(call.target, "The moon pulls the water.", prose="It does so twice a day.")
    assert outcome(table, task_id).prose == "It does so twice a day."


def test_prose_that_says_something_else_is_refused() -> None:
    table = Table(POLAR, SOLAR, synthesis=True)
    task_id = decided_in_prose(table)
    table.reply(table.calls[0].target, "Wind drives every wave there is", prose="Wind does.")
    found = outcome(table, task_id)
    assert (found.answer, found.prose) == ("The moon pulls the water.", None)


def test_a_synthesis_that_fails_costs_the_prose_and_nothing_else() -> None:
    table = Table(POLAR, SOLAR, synthesis=True)
    task_id = decided_in_prose(table)
    table.fail(table.calls[0].target, "overloaded")
    assert outcome(table, task_id).answer == "The moon pulls the water."


# Commitments


def with_helper(table: Table) -> None:
    """A live peer with a family that this spore lacks, for which nobody vouches."""
    says = {"name": "two", "url": None, "protocol": 1, "software": "x", "families": ["solar"]}
    table.hear_records(record(says, kind="node", writer=identity(2)))
    table.hear_records(record({"text": "hello"}, kind=TASK, seq=2, writer=identity(2)))
    table.calls.clear()


def committed(task_id: bytes, answer: str, *, seq: int = 3) -> Record:
    digest = commitment(answer, family="solar", nonce=b"n" * 16)
    return record({"digest": digest}, kind=COMMITMENT, seq=seq, writer=identity(2), refs=(task_id,))


def shown(task_id: bytes, answer: str, *, seq: int = 4) -> Record:
    said = {"answer": answer, "family": "solar", "cycle": 0, "nonce": b"n" * 16}
    return record(said, kind=POSITION, seq=seq, writer=identity(2), refs=(task_id,))


def test_nothing_is_shown_while_a_peer_still_thinks() -> None:
    table = Table(POLAR)
    with_helper(table)
    task_id = ask(table, "Why do tides change?")
    table.reply("polar", "The moon.")
    assert table.task(task_id).positions == []

    table.hear_records(committed(task_id, "The moon."))
    assert [one.answer for one in table.task(task_id).positions] == ["The moon."]
    assert table.task(task_id).outcome is None  # what was committed is worth waiting for
    table.hear_records(shown(task_id, "The moon."))
    assert len(outcome(table, task_id).supporters) == 2


def test_one_that_committed_and_never_shows_is_not_waited_for_long() -> None:
    table = Table(POLAR)
    with_helper(table)
    task_id = ask(table, "Why do tides change?")
    table.reply("polar", "The moon.")
    table.hear_records(committed(task_id, "The moon."))
    table.wait(REVEAL_MS + 1)
    assert outcome(table, task_id).stop_reason == "one_family"


def test_an_answer_that_could_have_been_copied_counts_for_less() -> None:
    posteriors = []
    for blind in (True, False):
        table = Table(POLAR)
        with_helper(table)
        task_id = ask(table, "Why do tides change?")
        table.reply("polar", "The moon.")
        digest_of = "The moon." if blind else "Something else."
        table.hear_records(committed(task_id, digest_of))
        table.now_ms += 10
        late = shown(task_id, "The moon.", seq=4)
        table.hear_records(late)
        posteriors.append(outcome(table, task_id).posterior)
    assert posteriors[0] > posteriors[1]


def test_a_helper_shows_its_answer_when_the_driver_has_shown_its_own() -> None:
    table = Table(POLAR)
    asked = record({"text": "Why?"}, kind=TASK, writer=identity(2))
    table.hear_records(asked)
    table.reply("polar", "The moon.")
    assert table.task(asked.id).positions == []
    table.hear_records(shown(asked.id, "The wind.", seq=2))
    assert {one.family for one in table.task(asked.id).positions} == {"polar", "solar"}


def test_a_helper_that_cannot_say_anything_says_so() -> None:
    table = Table(POLAR)
    asked = record({"text": "Why?"}, kind=TASK, writer=identity(2))
    table.hear_records(asked)
    table.fail("polar", "quota_day")
    [abstention] = table.task(asked.id).abstentions
    assert abstention.reason == "quota_day"
    assert ABSTENTION in kinds(table)


def test_a_spore_without_models_checks_what_others_say() -> None:
    table = Table(EXTRACTOR)
    asked = record({"text": SUM}, kind=TASK, writer=identity(2))
    table.hear_records(asked, shown(asked.id, "391", seq=2))
    table.wait(5_000)
    [verdict] = table.task(asked.id).verdicts
    assert (verdict.passed, verdict.author) == (True, identity(1).key)
    assert VERDICT in kinds(table)


# Leases


LONG_SILENCE_MS = 60_000 + GRACE_MS + SPREAD_MS + 1


def test_a_task_whose_asker_is_gone_is_driven_by_another() -> None:
    table = Table(POLAR)
    asked = record({"text": "Why?"}, kind=TASK, writer=identity(2))
    table.hear_records(asked)
    table.fail("polar", "overloaded")
    table.wait(LONG_SILENCE_MS)
    assert LEASE in kinds(table)
    table.reply("polar", "The moon.")
    found = outcome(table, asked.id)
    assert (found.answer, found.term, found.author) == ("The moon.", 1, identity(1).key)


def test_a_higher_term_fences_a_driver_off() -> None:
    table = Table(POLAR)
    asked = record({"text": "Why?"}, kind=TASK, writer=identity(2))
    table.hear_records(asked)
    table.fail("polar", "overloaded")
    table.wait(LONG_SILENCE_MS)
    fence = {"term": 2, "for_ms": LEASE_MS}
    table.hear_records(record(fence, kind=LEASE, writer=identity(3), refs=(asked.id,)), peer=3)
    late = table.call("polar")
    table.say(late, '{"answer": "The moon."}', model="polar", family="polar")
    assert table.task(asked.id).outcome is None


def test_the_askers_own_outcome_counts_above_any_term() -> None:
    table = Table(EXTRACTOR)
    asked = record({"text": "Why?"}, kind=TASK, writer=identity(2))
    said = {"answer": "The wind.", "stop_reason": "decided", "posterior": 0.9, "term": 5}
    forged = record(said, kind=OUTCOME, writer=identity(3), refs=(asked.id,))
    own = {"answer": "The moon.", "stop_reason": "decided", "posterior": 0.8, "term": 0}
    its = record(own, kind=OUTCOME, seq=2, writer=identity(2), refs=(asked.id,))
    for order in ((asked, forged, its), (its, forged, asked)):
        table = Table(EXTRACTOR)
        for one in order:
            table.hear_records(one)
        assert outcome(table, asked.id).answer == "The moon."


# Private tasks


@pytest.mark.promise("private")
def test_a_private_task_leaves_no_record_and_goes_to_nobody() -> None:
    table = Table(POLAR, SOLAR)
    with_helper(table)
    before = len(persisted(table.effects))
    secret = "What is wrong with my knee?"
    effects = table.tell(events.AskPrivately(1, secret))
    [task_id] = [one.id for one in effects if isinstance(one, Acknowledge)]
    assert task_id is not None
    table.reply("polar", "Nothing.")
    table.reply("solar", "nothing")
    assert outcome(table, task_id).answer == "Nothing."
    assert len(persisted(table.effects)) == before
    assert not [one for one in table.effects if isinstance(one, Send) and secret in repr(one)]


@pytest.mark.promise("private")
def test_a_model_that_trains_on_what_it_reads_is_not_asked_privately() -> None:
    table = Table(Target("nosy", "nosy", account="nosy", trains=True), POLAR)
    table.tell(events.AskPrivately(1, "What is wrong with my knee?"))
    assert [call.target for call in table.calls] == ["polar"]


@pytest.mark.promise("private")
def test_what_a_tool_finds_of_a_private_task_is_told_to_its_asker_and_to_nobody_else() -> None:
    table = Table(POLAR)
    before = len(persisted(table.effects))
    [task_id] = [
        one.id for one in table.tell(events.AskPrivately(1, SUM)) if isinstance(one, Acknowledge)
    ]
    assert task_id is not None
    table.reply("polar", "391")
    [verdict] = table.task(task_id).verdicts
    assert (verdict.passed, verdict.author) == (True, table.node.key)
    assert verdict.position in {one.id for one in table.task(task_id).positions}
    assert len(persisted(table.effects)) == before


@pytest.mark.promise("private")
def test_calls_for_a_private_task_do_not_say_which_task_they_are_for() -> None:
    table = Table(POLAR)
    table.tell(events.AskPrivately(1, "What is wrong with my knee?"))
    asked = table.ask("What do the tides follow?")
    assert [call.task for call in table.calls] == [b"", asked]


# Grades


def totals(table: Table, family: str) -> tuple[int, int]:
    """How often its answers were graded right and wrong."""
    return table.node.ledger.beliefs.totals(f"family:{family}")


def test_the_right_answer_grades_every_position() -> None:
    table = Table(POLAR, SOLAR)
    task_id = ask(table, "Guess")
    for _ in range(2):
        table.reply("polar", "7")
        table.reply("solar", "8")
    [done] = grade(table, task_id, right_answer="7.0")
    assert done.refused is None
    assert totals(table, "polar") == (1, 0)
    assert totals(table, "solar") == (0, 1)


def test_one_position_may_be_graded_by_itself() -> None:
    table = Table(POLAR, SOLAR)
    task_id = ask(table, "Guess")
    for _ in range(2):
        table.reply("polar", "7")
        table.reply("solar", "8")
    wrong = next(one for one in table.task(task_id).positions if one.answer == "8")
    grade(table, task_id, position=wrong.id, right=False)
    assert totals(table, "polar") == (0, 0)
    assert totals(table, "solar") == (0, 1)


def test_a_later_task_teaches_about_earlier_ones() -> None:
    table = Table(POLAR)
    first = ask(table, "How many moons has Mars?")
    table.reply("polar", "2")
    again = ask(table, "how many moons has mars")
    table.reply("polar", "3")
    grade(table, again, right_answer="2")
    sources = {one.content()["source"] for one in persisted(table.effects) if one.kind == GRADE}
    assert sources == {"user", "later task"}
    assert totals(table, "polar") == (1, 1)
    assert table.task(first).outcome is not None


def test_grading_twice_the_same_way_changes_nothing() -> None:
    table = Table(POLAR)
    task_id = ask(table, "Guess")
    table.reply("polar", "7")
    grade(table, task_id, right_answer="7")
    grade(table, task_id, right_answer="7")
    assert totals(table, "polar") == (1, 0)


@pytest.mark.parametrize(
    ("said", "reason"),
    [({"right_answer": "7"}, "not_found"), ({"position": b"x" * 32}, "not_found")],
)
def test_what_is_not_known_cannot_be_graded(said: dict[str, Any], reason: str) -> None:
    table = Table(POLAR)
    [refusal] = grade(table, b"y" * 32, **said)
    assert refusal.refused == reason


@pytest.mark.promise("honest")
def test_good_and_bad_members_separate_within_ten_grades() -> None:
    table = Table(POLAR, SOLAR)
    teach(table, "polar", right=9, wrong=1)
    teach(table, "solar", right=3, wrong=7)
    judged = table.node.ledger.beliefs.judgement("number", now_ms=START_MS)
    assert judged.weight("polar") - judged.weight("solar") > 1.5
