"""Deliberation through a whole node: scripted models, time moved by hand."""

from __future__ import annotations

import json

import pytest

from synapse.core.effects import CallModel, SetTimer
from synapse.core.memory.record import OUTCOME, POSITION, TASK, Record
from synapse.core.reasoning.deliberation import MEND
from synapse.core.reasoning.helping import (
    CONTRIBUTE_WITHIN_MS,
    CONTRIBUTIONS_MAX,
    SHOW_WITHIN_MS,
)
from synapse.core.reasoning.session import ATTEMPTS_MAX, CYCLES_MAX, HELP_MS
from synapse.core.reasoning.task import Outcome
from tests.making import START_MS, identity, record
from tests.unit.core.nodes import EXTRACTOR, Table, model, notices, persisted

POLAR, SOLAR = model("polar"), model("solar")


def outcome(table: Table, task_id: bytes) -> Outcome:
    found = table.task(task_id).outcome
    assert found is not None
    return found


# Without a model


def test_without_a_model_the_answer_is_an_extract_that_cites() -> None:
    table = Table(EXTRACTOR)
    memory = table.remember("The tides follow the moon.")
    task_id = table.ask()
    call = table.reply(
        "extractive", "The tides follow the moon.", cites=["m1"], family="extractive"
    )

    assert call.request.question == "What do the tides follow?"
    assert [quote.id for quote in call.request.quotes] == [memory]
    found = outcome(table, task_id)
    assert (found.answer, found.stop_reason) == ("The tides follow the moon.", "extract")
    assert found.cites == (memory,)
    assert found.supporters == (table.task(task_id).positions[0].id,)


def test_when_nothing_recalled_bears_on_it_the_task_is_unanswered() -> None:
    table = Table(EXTRACTOR)
    task_id = table.ask()
    table.fail("extractive", "refused")
    found = outcome(table, task_id)
    assert (found.answer, found.stop_reason, found.cites) == (None, "nothing_recalled", ())


def test_that_nothing_was_recalled_does_not_end_what_a_model_may_yet_answer() -> None:
    table = Table(POLAR, EXTRACTOR)
    task_id = table.ask()
    table.fail("polar", "overloaded")
    table.fail("extractive", "refused")
    assert table.task(task_id).outcome is None
    assert table.node.thinking.deliberations.waiting(task_id) is not None


# With models


def test_one_family_is_heard_and_decides_nothing_more() -> None:
    table = Table(POLAR)
    task_id = table.ask()
    table.reply("polar", "The moon.", model="polar-7b-instruct")
    found = outcome(table, task_id)
    assert (found.answer, found.stop_reason, found.cycles) == ("The moon.", "one_family", 1)
    assert table.task(task_id).positions[0].model == "polar-7b-instruct"


def test_families_that_agree_are_not_asked_again() -> None:
    table = Table(POLAR, SOLAR)
    task_id = table.ask()
    table.reply("polar", "The moon.")
    assert table.task(task_id).outcome is None
    table.reply("solar", "the moon")
    found = outcome(table, task_id)
    assert (found.answer, found.stop_reason, found.cycles) == ("The moon.", "decided", 1)
    assert len(found.supporters) == 2
    assert table.calls == []


def test_families_that_differ_are_asked_again_cooler_and_shown_the_answers_only() -> None:
    table = Table(POLAR, SOLAR)
    task_id = table.ask()
    first = table.reply("polar", "The moon.")
    table.reply("solar", "The wind.")

    assert table.task(task_id).outcome is None
    second = table.call("polar")
    assert second.request.temperature < first.request.temperature
    assert "other_answers" not in json.loads(first.request.user)
    shown = json.loads(second.request.user)
    assert shown["other_answers"] == [{"answer": "The moon."}, {"answer": "The wind."}]
    assert not {"polar", "solar"} & set(json.dumps(shown).replace('"', " ").split())


def test_disagreement_ends_in_a_collapse_with_its_dissent() -> None:
    table = Table(POLAR, SOLAR)
    task_id = table.ask()
    for _ in range(2):
        table.reply("polar", "The moon.")
        table.reply("solar", "The wind.")
    found = outcome(table, task_id)
    assert (found.stop_reason, found.cycles) == ("stable", 2)
    assert found.answer == "The moon."
    [dissent] = found.dissent
    assert (dissent.answer, dissent.families) == ("The wind.", ("solar",))
    assert dissent.posterior == pytest.approx(found.posterior)
    assert len(table.task(task_id).positions) == 4


def test_members_who_keep_changing_their_minds_are_not_asked_for_ever() -> None:
    table = Table(POLAR, SOLAR)
    task_id = table.ask()
    for number in range(CYCLES_MAX):
        table.reply("polar", f"Wind {number}")
        table.reply("solar", f"Rain {number}")
    found = outcome(table, task_id)
    assert (found.stop_reason, found.cycles) == ("cycles_spent", CYCLES_MAX)


def test_a_change_of_mind_ends_it() -> None:
    table = Table(POLAR, SOLAR)
    task_id = table.ask()
    table.reply("polar", "The moon.")
    table.reply("solar", "The wind.")
    table.reply("polar", "The moon.")
    table.reply("solar", "The moon.")
    found = outcome(table, task_id)
    assert (found.stop_reason, found.cycles, len(found.supporters)) == ("decided", 2, 2)
    assert found.dissent == ()


def test_when_one_model_fails_another_of_its_family_is_asked() -> None:
    table = Table(POLAR, model("polar", name="spare"))
    task_id = table.ask()
    table.fail("polar", "overloaded")
    table.reply("spare", "The moon.", family="polar")
    assert outcome(table, task_id).answer == "The moon."


def test_a_reply_that_says_nothing_counts_as_a_failure() -> None:
    table = Table(POLAR)
    task_id = table.ask()
    for problem in (None, MEND):  # asked once more, and told why
        call = table.call("polar")
        assert json.loads(call.request.user).get("your_last_reply") == problem
        table.say(call, '{"answer": "\\u0000"}', model="polar", family="polar")
    assert table.task(task_id).positions == []
    waiting = table.node.thinking.deliberations.waiting(task_id)
    assert waiting is not None
    assert waiting.reasons == {"polar": "bad_reply"}


# Failure is never an answer


@pytest.mark.promise("no_failure_is_an_answer")
def test_when_every_model_fails_the_task_waits_says_why_and_is_tried_again() -> None:
    table = Table(POLAR, SOLAR)
    task_id = table.ask()
    table.fail("polar", "rate_limited", retry_after_ms=40_000)
    effects = table.fail("solar", "auth")

    waiting = table.node.thinking.deliberations.waiting(task_id)
    assert waiting is not None
    assert waiting.reasons == {"polar": "rate_limited", "solar": "auth"}
    assert table.now_ms + 40_000 <= waiting.retry_at_ms <= table.now_ms + 44_000
    [notice] = notices(effects, "task")
    assert (notice["status"], notice["retry_at_ms"]) == ("waiting", waiting.retry_at_ms)
    assert table.task(task_id).positions == []

    table.wait(39_000)
    assert table.calls == []
    table.wait(5_001)
    table.reply("polar", "The moon.")
    assert outcome(table, task_id).answer == "The moon."
    assert table.node.thinking.deliberations.waiting(task_id) is None


@pytest.mark.promise("no_failure_is_an_answer")
def test_a_task_that_no_model_ever_answers_ends_without_an_answer() -> None:
    table = Table(POLAR)
    task_id = table.ask()
    for _ in range(ATTEMPTS_MAX - 1):
        table.fail("polar", "overloaded")
        waiting = table.node.thinking.deliberations.waiting(task_id)
        assert waiting is not None
        table.wait(waiting.retry_at_ms - table.now_ms)
    table.fail("polar", "overloaded")
    found = outcome(table, task_id)
    assert (found.answer, found.stop_reason) == (None, "no_model_answered")
    assert len(table.node.thinking.deliberations) == 0


@pytest.mark.promise("bounded")
def test_models_that_never_answer_do_not_hold_a_task_for_ever() -> None:
    table = Table(POLAR, SOLAR, task_deadline_ms=30_000)
    task_id = table.ask()
    table.reply("polar", "The moon.")
    table.wait(30_001)
    assert outcome(table, task_id).stop_reason == "deadline"


def test_late_replies_are_ignored() -> None:
    table = Table(POLAR, SOLAR, task_deadline_ms=30_000)
    task_id = table.ask()
    table.reply("polar", "The moon.")
    table.wait(30_001)
    before = outcome(table, task_id)
    late = table.call("solar")
    assert table.say(late, '{"answer": "The wind."}', model="solar", family="solar") == []
    assert outcome(table, task_id) == before
    assert len(table.task(task_id).positions) == 1


def test_a_call_is_answered_once() -> None:
    table = Table(POLAR)
    table.ask()
    call = table.call("polar")
    table.say(call, '{"answer": "The moon."}', model="polar", family="polar")
    assert table.say(call, '{"answer": "The wind."}', model="polar", family="polar") == []


def test_no_call_outlives_its_task() -> None:
    table = Table(POLAR, task_deadline_ms=20_000)
    table.ask()
    assert table.call("polar").timeout_ms == 20_000


# Hostile words


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("character", ["x", "\U0001d160", "\ufb2c"])
def test_the_longest_reply_fits_a_record_whatever_normalising_makes_of_it(character: str) -> None:
    table = Table(POLAR)
    task_id = table.ask()
    claims = [{"text": character * 9_000}] * 20
    table.reply("polar", character * 9_000, claims=claims, model=character * 9_000)
    assert outcome(table, task_id).answer is not None


@pytest.mark.promise("bounded")
def test_the_longest_positions_of_strangers_do_not_overflow_the_outcome() -> None:
    table = Table(POLAR)
    task_id = table.ask()
    for number, character in enumerate("abcdef", start=2):
        said = {"answer": character * 30_000, "family": character * 30_000, "cycle": 0}
        position = record(said, kind=POSITION, writer=identity(number), refs=(task_id,))
        table.hear_records(position, peer=number)
    table.reply("polar", "\U0001d160" * 4_000)
    table.wait(CYCLES_MAX * 61_000)
    assert len(outcome(table, task_id).dissent) == 4


@pytest.mark.promise("private")
def test_a_credential_in_a_models_answer_does_not_leave() -> None:
    table = Table(POLAR)
    task_id = table.ask()
    key = "gsk_" + "a1" * 26
    table.reply("polar", f"The key is {key}.", claims=[key], model=key, family=key)
    assert outcome(table, task_id).answer == "The key is [removed]."
    for one in persisted(table.effects):
        assert key.encode() not in (one.body or b"")


def test_a_model_cannot_vote_as_the_extractor() -> None:
    table = Table(POLAR)
    task_id = table.ask()
    table.reply("polar", "The moon.", family="extractive")
    assert table.task(task_id).positions[0].family == "polar"


# Lending a model to others


def strangers_task(text: str = "What do the tides follow?", *, seq: int = 1) -> Record:
    return record({"text": text}, kind=TASK, seq=seq, writer=identity(2))


def test_another_spores_task_is_given_one_position() -> None:
    table = Table(POLAR)
    asked = strangers_task()
    table.hear_records(asked)
    table.reply("polar", "The moon.")
    [commitment] = table.task(asked.id).commitments
    assert table.task(asked.id).positions == []
    table.wait(SHOW_WITHIN_MS)
    [position] = table.task(asked.id).positions
    assert (position.answer, position.digest) == ("The moon.", commitment.digest)
    assert table.task(asked.id).outcome is None  # that is for whoever asked
    assert len(table.node.thinking.deliberations) == 0


def test_an_old_task_is_not_helped_with() -> None:
    table = Table(POLAR)
    table.now_ms = START_MS + CONTRIBUTE_WITHIN_MS + 10
    table.hear_records(strangers_task())
    assert table.calls == []


def test_a_helper_without_the_lacking_family_awake_says_nothing() -> None:
    table = Table(POLAR, EXTRACTOR)
    table.ask()
    table.fail("polar", "quota_day")
    table.calls.clear()
    table.hear_records(strangers_task())
    assert table.calls == []


@pytest.mark.promise("bounded")
def test_strangers_cannot_make_a_spore_ask_its_models_without_end() -> None:
    table = Table(POLAR)
    for seq in range(1, 3 * CONTRIBUTIONS_MAX):
        table.hear_records(strangers_task(f"question {seq}", seq=seq))
    assert len(table.calls) == CONTRIBUTIONS_MAX


def test_help_that_never_comes_back_is_given_up() -> None:
    table = Table(POLAR, task_deadline_ms=30_000)
    table.hear_records(strangers_task())
    assert len(table.node.thinking.deliberations) == 1
    table.wait(30_001)
    assert len(table.node.thinking.deliberations) == 0


def test_a_family_that_only_a_peer_has_is_waited_for_a_while() -> None:
    table = Table(POLAR)
    says = {"name": "two", "url": None, "protocol": 1, "software": "x", "families": ["solar"]}
    table.hear_records(record(says, kind="node", writer=identity(2)))
    table.hear_records(strangers_task("hello", seq=2))  # now it is heard, and alive
    table.call("polar")

    task_id = table.ask()
    table.reply("polar", "The moon.")
    assert table.task(task_id).outcome is None
    said = {"answer": "The moon.", "family": "solar", "cycle": 0}
    table.hear_records(record(said, kind=POSITION, seq=3, writer=identity(2), refs=(task_id,)))
    assert len(outcome(table, task_id).supporters) == 2

    second = table.ask("And the weather?")
    table.reply("polar", "The wind.")
    table.wait(HELP_MS + 1)
    assert outcome(table, second).stop_reason == "one_family"


# Restarts


def test_after_a_restart_an_open_task_is_taken_up_again() -> None:
    table = Table(POLAR)
    task_id = table.ask()
    again = Table(POLAR, log=table.log)
    assert [call.target for call in again.calls] == ["polar"]
    again.reply("polar", "The moon.")
    assert outcome(again, task_id).answer == "The moon."

    third = Table(POLAR, log=again.log)
    assert third.calls == []
    assert outcome(third, task_id) == outcome(again, task_id)


def test_every_open_task_has_a_timer() -> None:
    table = Table(POLAR, SOLAR)
    effects = [*table.effects]
    task_id = table.ask()
    timers = [one for one in table.effects[len(effects) :] if isinstance(one, SetTimer)]
    assert f"task/{task_id.hex()}" in {timer.name for timer in timers}
    assert sum(isinstance(one, CallModel) for one in table.effects) == 2
    assert not [one for one in persisted(table.effects) if one.kind == OUTCOME]
