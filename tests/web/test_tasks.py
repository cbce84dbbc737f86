"""Tasks with wishes, private tasks, grades and trust, as programs use them over REST."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from synapse.core.errors import ProviderError
from synapse.providers.scripted import Script
from tests.making import made_up_id
from tests.spores import Spore, running_spore
from tests.web.conftest import KEY
from tests.web.test_problems import assert_problem

pytestmark = pytest.mark.anyio

SUM = "What is six times seven, and why do people ask?"
RIGHT = {"Authorization": f"Bearer {KEY}"}
UNKNOWN = made_up_id(1).hex()


def says(answer: str) -> Script:
    return lambda _: json.dumps({"answer": answer, "confidence": 0.9})


MODELS = {"amber": says("42"), "jade": says("54"), "cobalt": says("42")}


@pytest.fixture
async def wise() -> AsyncIterator[Spore]:
    """With three models and a key."""
    async with running_spore(scripts=MODELS, api_key=KEY) as running:
        running.client.headers.update(RIGHT)
        yield running


async def answered(spore: Spore, **wish: object) -> dict[str, Any]:
    asked = await spore.client.post("/api/task", json={"task": SUM, **wish})
    assert asked.status_code == 200, asked.text
    task: dict[str, Any] = (
        await spore.client.get(asked.json()["url"], params={"wait_ms": 10_000})
    ).json()
    assert task["converged"]
    return task


async def as_stranger(spore: Spore, path: str) -> httpx.Response:
    return await spore.client.get(path, headers={"Authorization": ""})


@pytest.mark.parametrize(
    ("wish", "reason", "said"),
    [
        ({"choices": ["one"]}, "wish", "choices are 2 to 26 texts"),
        ({"choices": [str(n) for n in range(27)]}, "wish", "choices are 2 to 26 texts"),
        ({"kind": "number", "choices": ["1", "2"]}, "wish", "a number has no choices"),
        ({"kind": "choice"}, "wish", "a choice needs its choices"),
        ({"budget": 0}, "wish", "budget is 1 to 100"),
        ({"budget": 101}, "wish", "budget is 1 to 100"),
        ({"deadline_ms": 0}, "wish", "deadline_ms is 1 to 3600000"),
        ({"deadline_ms": 9, "deadline_s": 9}, "wish", "deadline_s or deadline_ms"),
        ({"deadline_s": 0}, "invalid", "deadline_s: "),
        ({"deadline_s": 3_601}, "invalid", "deadline_s: "),
        ({"kind": "essay"}, "invalid", "kind: "),
        ({"privacy": "secret"}, "invalid", "privacy: "),
        ({"budget": "7"}, "invalid", "budget: "),
        ({"budget": 1.5}, "invalid", "budget: "),
        ({"choices": "ab"}, "invalid", "choices: "),
        ({"choice": ["a", "b"]}, "invalid", "did you mean choices?"),
    ],
)
async def test_a_wish_that_cannot_be_is_a_problem_that_says_which(
    wise: Spore, wish: dict[str, object], reason: str, said: str
) -> None:
    reply = await wise.client.post("/api/task", json={"task": SUM, **wish})
    assert said in str(assert_problem(reply, 422, reason)["detail"])
    assert (await wise.client.get("/api/tasks")).json() == {}


async def test_a_task_is_answered_as_it_was_wished(wise: Spore) -> None:
    task = await answered(wise, kind="number", budget=2, deadline_ms=60_000, privacy="shared")
    assert (task["kind"], task["privacy"], task["status"]) == ("number", "shared", "answered")
    assert 1 <= task["calls"] <= 2


async def test_a_deadline_may_be_said_in_seconds(wise: Spore) -> None:
    await answered(wise, deadline_s=2.5)
    [task] = wise.driver.node.ledger.tasks
    assert task.wish.deadline_ms == 2_500


async def test_a_number_no_clock_can_hold_is_no_deadline(wise: Spore) -> None:
    body = '{"task": "a", "deadline_s": 1e999}'
    headers = {"Content-Type": "application/json"}
    reply = await wise.client.post("/api/task", content=body, headers=headers)
    assert_problem(reply, 422, "invalid")


# Private tasks.


@pytest.mark.promise("private")
async def test_a_private_task_is_answered_and_hidden_from_strangers(wise: Spore) -> None:
    before = (await wise.client.get("/api/health")).json()
    task = await answered(wise, privacy="private")
    place = f"/api/task/{task['task_id']}"
    after = (await wise.client.get("/api/health")).json()

    assert (task["status"], task["final_answer"], task["privacy"]) == ("answered", "42", "private")
    assert list((await wise.client.get("/api/tasks")).json()) == [task["task_id"]]
    for count in ("records", "records_by_kind", "fingerprint"):
        assert after[count] == before[count]

    hidden, missing = (
        await as_stranger(wise, place),
        await as_stranger(wise, f"/api/task/{UNKNOWN}"),
    )
    assert_problem(hidden, 404, "not_found")
    assert hidden.text.replace(task["task_id"], UNKNOWN) == missing.text
    for path in ("/api/tasks", "/api/convergence", "/", "/api/providers", "/api/trust"):
        assert "six times seven" not in (await as_stranger(wise, path)).text
    assert (await as_stranger(wise, "/api/tasks")).json() == {}
    assert (await as_stranger(wise, "/api/convergence")).json()["tasks"] == []


async def test_a_private_task_says_what_it_is_when_it_is_taken_in(wise: Spore) -> None:
    asked = await wise.client.post("/api/task", json={"task": SUM, "privacy": "private"})
    shared = await wise.client.post("/api/task", json={"task": SUM})
    assert "gone when the spore stops" in asked.json()["note"]
    assert (asked.json()["privacy"], shared.json()["note"]) == ("private", "")


@pytest.mark.promise("private")
async def test_calls_for_a_private_task_do_not_name_it(wise: Spore) -> None:
    private, shared = await answered(wise, privacy="private"), await answered(wise)
    attempts = (await wise.client.get("/api/providers")).json()["attempts"]
    named = {one["task"] for one in attempts}
    assert private["task_id"] not in named and shared["task_id"] in named


async def test_a_private_task_takes_no_grade(wise: Spore) -> None:
    task = await answered(wise, privacy="private")
    place = f"/api/task/{task['task_id']}/grade"
    assert_problem(await wise.client.post(place, json={"right_answer": "42"}), 422, "private")


# Grades.


async def grade(spore: Spore, task_id: str, **said: object) -> httpx.Response:
    return await spore.client.post(f"/api/task/{task_id}/grade", json=said)


async def test_both_forms_of_a_grade_move_trust(wise: Spore) -> None:
    task = await answered(wise)
    prior = (await wise.client.get("/api/trust")).json()["jade"]["overall"]
    wrong = next(one["id"] for one in task["deltas"] if one["family"] == "jade")

    by_position = (await grade(wise, task["task_id"], position=wrong, right=False)).json()
    by_answer = (await grade(wise, task["task_id"], right_answer="42")).json()
    again = (await grade(wise, task["task_id"], right_answer="42")).json()

    assert by_position["trust"]["jade"]["before"] == prior > by_position["trust"]["jade"]["after"]
    assert (by_position["grades"], by_answer["grades"], again["grades"]) == (1, 2, 0)
    assert by_answer["trust"]["amber"]["after"] > prior
    assert all(one["before"] == one["after"] for one in again["trust"].values())


@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        ({}, 422, "grade"),
        ({"right_answer": "42", "position": UNKNOWN, "right": True}, 422, "grade"),
        ({"right_answer": "42", "right": True}, 422, "grade"),
        ({"position": UNKNOWN}, 422, "grade"),
        ({"position": UNKNOWN, "right": True}, 404, "not_found"),
        ({"position": "x", "right": True}, 404, "not_found"),
        ({"right_answer": ""}, 422, "invalid"),
        ({"right_answer": " "}, 422, "text"),
        ({"right_answer": 42}, 422, "invalid"),
        ({"right_answer": "sk-" + "a" * 40}, 422, "credential"),
        ({"position": UNKNOWN, "right": "yes"}, 422, "invalid"),
    ],
)
async def test_a_grade_that_says_nothing_clear_is_a_problem(
    wise: Spore, said: dict[str, object], status: int, reason: str
) -> None:
    task = await answered(wise)
    assert_problem(await grade(wise, task["task_id"], **said), status, reason)
    assert_problem(await grade(wise, UNKNOWN, right_answer="42"), 404, "not_found")


# Trust, and the models.


async def test_every_number_of_trust_leads_to_its_grades(wise: Spore) -> None:
    task = await answered(wise)
    await grade(wise, task["task_id"], right_answer="42")

    told = (await wise.client.get("/api/trust")).json()
    detail = (await wise.client.get("/api/trust/jade")).json()
    operator = f"operator:{wise.operations.health().id}"
    spoken = (await wise.client.get(f"/api/trust/{operator}")).json()
    [kind] = told["jade"]["kinds"]

    assert (told["jade"]["right"], told["jade"]["wrong"]) == (0, 1)
    assert kind["low"] < kind["probability"] < kind["high"]
    assert kind["portions"] == [{"origin": "own", "right": 0.0, "wrong": 1.0, "factor": 1.0}]
    assert detail["subject"] == "family:jade" and detail["kinds"] == [kind]
    [found] = detail["grades"]
    assert [found["id"]] == kind["grades"]
    assert (found["task"], found["right"], found["source"]) == (task["task_id"], False, "user")
    record = (await wise.client.get(f"/api/memory/{found['id']}")).json()
    assert record["record"] == "grade" and found["position"] in record["refs"]
    assert (len(spoken["grades"]), operator in told) == (3, True)


async def test_a_family_of_any_name_is_found_by_it() -> None:
    name = "meta/llama 3?#%2F"
    async with running_spore(scripts={name: says("42"), "jade": says("54")}) as spore:
        task = await answered(spore)
        await grade(spore, task["task_id"], right_answer="42")
        told = await spore.client.get(f"/api/trust/{quote(name, safe='')}")
    assert told.json()["subject"] == f"family:{name}"


async def test_trust_of_one_kind_or_of_nobody(wise: Spore) -> None:
    task = await answered(wise)
    await grade(wise, task["task_id"], right_answer="42")
    shown = await wise.client.get("/api/trust/jade", params={"kind": task["kind"]})
    assert [one["kind"] for one in shown.json()["kinds"]] == [task["kind"]]
    other = await wise.client.get("/api/trust/jade", params={"kind": "plan"})
    assert_problem(other, 404, "not_found")
    assert_problem(await wise.client.get("/api/trust/nobody"), 404, "not_found")


async def test_providers_show_their_state_and_the_newest_calls() -> None:
    failure = ProviderError("rate_limited", "slow down", retry_after_ms=30_000)
    async with running_spore(scripts={"amber": says("42"), "jade": [failure]}) as spore:
        task = await answered(spore)
        providers = (await spore.client.get("/api/providers")).json()

    states = {one["name"]: one for one in providers["targets"]}
    assert (states["amber"]["state"], states["jade"]["state"]) == ("ready", "resting")
    assert states["jade"]["reason"] == "rate_limited" and states["jade"]["until_ms"] > 0
    assert states["jade"]["failures"] == {"rate_limited": 1} and states["amber"]["replies"] >= 1
    outcomes = {one["target"]: one["outcome"] for one in providers["attempts"]}
    assert outcomes == {"amber": "ok", "jade": "rate_limited"}
    assert {one["task"] for one in providers["attempts"]} == {task["task_id"]}
    times = [one["at_ms"] for one in providers["attempts"]]
    assert times == sorted(times, reverse=True)
