"""What is written on a cassette, what is played, and what is never in the file."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from synapse.core.errors import ConfigError, ProviderError
from synapse.ports import ModelReply
from synapse.providers.cassettes import Cassette, Identity
from synapse.providers.scripted import Scripted
from tests.unit.providers.asking import KEY, URL, request

ANSWER = ModelReply("Ana.", "qwen3-8b", "qwen", 12, 9, 6, cost_usd=0.1)
BUSY = ProviderError("rate_limited", f"slow down, {KEY}", retry_after_ms=1_500)


@pytest.fixture
def tape(tmp_path):
    return tmp_path / "cassette.jsonl"


def cassette(tape, mode, *lines, identity=None):
    """A cassette before a model that says these lines, and nothing after them."""
    asked = Scripted({"there": list(lines)})
    known = identity or Identity("qwen3-8b", URL)
    return Cassette(asked, tape, mode=mode, identities={"there": known}, secrets=[KEY, "short"])


def ask(player, *questions):
    """What each question is answered with: a text, or the class of a failure."""

    async def run():
        outcomes = []
        for question in questions:
            asked = request(question) if isinstance(question, str) else question
            try:
                outcomes.append((await player.complete("there", asked, timeout_ms=5_000)).text)
            except ProviderError as error:
                outcomes.append(error.failure)
        await player.close()
        return outcomes

    return asyncio.run(run())


def test_what_was_recorded_is_said_again_without_asking(tape):
    assert ask(cassette(tape, "record", ANSWER), "Who?") == ["Ana."]
    player = cassette(tape, "replay-or-fail")
    reply = asyncio.run(player.complete("there", request("Who?"), timeout_ms=1))
    assert reply == replace(ANSWER, cost_usd=None), "nobody is billed for a recording"


def test_a_failure_is_recorded_and_played_with_its_class_and_its_wait(tape):
    ask(cassette(tape, "record", BUSY), "Who?")
    player = cassette(tape, "replay-or-fail")
    with pytest.raises(ProviderError) as caught:
        asyncio.run(player.complete("there", request("Who?"), timeout_ms=1))
    assert (caught.value.failure, caught.value.retry_after_ms) == ("rate_limited", 1_500)


def test_recordings_of_one_request_are_played_in_order_and_the_last_for_ever(tape):
    ask(cassette(tape, "record", BUSY, "first", "second"), "Who?", "Who?", "Who?")
    played = ask(cassette(tape, "replay-or-fail"), *["Who?"] * 4)
    assert played == ["rate_limited", "first", "second", "second"]


def test_what_was_not_recorded_fails_or_is_asked_and_recorded(tape):
    ask(cassette(tape, "record", ANSWER), "Who?")
    assert ask(cassette(tape, "replay-or-fail"), "When?") == ["unreachable"]
    assert ask(cassette(tape, "replay", "In 1887."), "Who?", "When?", "When?") == [
        "Ana.",
        "In 1887.",
        "In 1887.",
    ]
    assert ask(cassette(tape, "replay-or-fail"), "When?") == ["In 1887."]


def test_recording_asks_whatever_is_on_the_cassette_already(tape):
    ask(cassette(tape, "record", "old"), "Who?")
    assert ask(cassette(tape, "record", "new"), "Who?") == ["new"]
    assert ask(cassette(tape, "replay-or-fail"), "Who?", "Who?") == ["old", "new"]


@pytest.mark.parametrize(
    "other",
    [
        request("When?"),
        replace(request("Who?"), system="Be long."),
        replace(request("Who?"), temperature=0.6),
        replace(request("Who?"), tokens_max=65),
        replace(request("Who?"), schema={"type": "object"}),
    ],
)
def test_another_request_is_another_recording(tape, other):
    ask(cassette(tape, "record", ANSWER), "Who?")
    assert ask(cassette(tape, "replay-or-fail"), other) == ["unreachable"]


@pytest.mark.parametrize(
    ("identity", "same"),
    [
        (Identity("qwen3-8b", f"{URL}/"), True),
        (Identity("qwen3-8b", URL.replace("https://", "https://ana:pw@") + "?key=k#x"), True),
        (Identity("qwen3-8b", "https://elsewhere.example/v1"), False),
        (Identity("llama-3.3-70b", URL), False),
        (Identity(None, URL), False),
    ],
)
def test_who_is_asked_is_a_model_and_an_address_without_credentials(tape, identity, same):
    ask(cassette(tape, "record", ANSWER), "Who?")
    played = ask(cassette(tape, "replay-or-fail", identity=identity), "Who?")
    assert played == (["Ana."] if same else ["unreachable"])


def test_memories_shown_to_a_model_may_have_other_ids_in_another_run(tape):
    ask(cassette(tape, "record", ANSWER), request("Who?", ["Ana cast the bell."]))
    assert ask(cassette(tape, "replay-or-fail"), request("Who?")) == ["Ana."]


def test_no_secret_and_no_prompt_is_in_the_file(tape):
    identity = Identity("m", f"https://ana:{KEY}@models.example/v1?key={KEY}")
    said = replace(ANSWER, text=f"Your key is {KEY}.", model=f"m-{KEY}")
    ask(cassette(tape, "record", said, BUSY, identity=identity), f"Is it {KEY}?", "Canary prompt?")
    written = tape.read_text("utf-8")
    assert KEY not in written
    assert "Canary prompt" not in written
    assert "Your key is [key]." in written
    assert tape.stat().st_mode & 0o077 == 0


def test_the_key_of_a_request_does_not_depend_on_the_secret_in_it(tape):
    ask(cassette(tape, "record", ANSWER), f"Is it {KEY}?")
    assert ask(cassette(tape, "replay-or-fail"), "Is it [key]?") == ["Ana."]


def test_a_recording_that_was_cut_off_is_dropped_and_the_rest_is_played(tape):
    ask(cassette(tape, "record", ANSWER, "never mind"), "Who?", "When?")
    whole = tape.read_bytes()
    tape.write_bytes(whole[:-20])
    assert ask(cassette(tape, "replay", "In 1887."), "Who?", "When?") == ["Ana.", "In 1887."]
    assert all(json.loads(line) for line in tape.read_text("utf-8").splitlines())


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[]",
        "what is this",
        '{"key": "k", "reply": {"text": "x"}}',
        '{"key": 7, "reply": {"text": "x", "model": "m", "family": "f"}}',
        '{"key": "k", "reply": {"text": "", "model": "m", "family": "f"}}',
        '{"key": "k", "failure": {"class": "odd", "message": "", "retry_after_ms": null}}',
        '{"key": "k", "failure": {"class": "slow", "message": "", "retry_after_ms": "2"}}',
    ],
)
def test_a_file_that_is_no_cassette_is_refused_by_its_line(tape, line):
    ask(cassette(tape, "record", ANSWER), "Who?")
    tape.write_text(tape.read_text("utf-8") + line + "\n", "utf-8")
    with pytest.raises(ConfigError, match=r"line 2 of .* is no recording"):
        cassette(tape, "replay")


def test_a_cassette_that_is_not_there_can_be_recorded_but_not_played(tape):
    with pytest.raises(ConfigError, match="record one first"):
        cassette(tape, "replay-or-fail")
    assert ask(cassette(tape, "replay", "now"), "Who?") == ["now"]


def test_an_answer_that_cannot_be_recorded_is_an_answer_all_the_same(tmp_path):
    nowhere = tmp_path / "nowhere" / "cassette.jsonl"
    assert ask(cassette(nowhere, "record", ANSWER), "Who?") == ["Ana."]
    assert not nowhere.exists()
