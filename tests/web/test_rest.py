"""The JSON routes, as programs use them: shapes, and what they mean."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from synapse import __version__
from synapse.core.errors import ProviderError
from tests.making import made_up_id
from tests.spores import Spore, running_spore
from tests.web.conftest import KEY
from tests.web.test_problems import assert_problem

pytestmark = pytest.mark.anyio

NOTE = "The tides follow the moon."
QUESTION = "What do the tides follow?"

# What clients of earlier swarms read, and of which type.
REFERENCE = {
    "/api/health": {
        "spore": str, "role": str, "model": str, "version": str, "clock": dict, "memories": int,
        "memories_private": int, "memories_collective": int, "wal_backend": str, "cycles": int,
        "deltas_produced": int, "deltas_received": int, "confidence": float, "peers": list,
        "active_tasks": int, "converged_tasks": int, "uptime": str, "last_provider": str,
        "last_model": str, "last_tier": str, "sce": dict, "quantum": dict,
    },
    "/api/memory": {"total_memories": int, "clock": dict, "recent": list},
    "/api/wall": {"wall": dict, "collective_size": int, "recent_audit": list},
    "/api/federation/status": {
        "total_nodes": int, "active_nodes": int, "blocked_nodes": int, "trust_distribution": dict,
        "mean_trust": float, "dna_hash": str,
    },
    "/api/cortex": {
        "loaded": bool, "total_calls": int, "total_tokens": int, "total_tool_calls": int,
        "escalations": int, "trust_score": float, "accuracy": float, "uptime_seconds": float,
        "tokens_per_call": float,
    },
    "/federation/nodes": {"nodes": list, "total": int, "blocked": int},
    "/api/convergence": {
        "tasks": list, "global_agreement": float, "active_tasks": int, "converged_tasks": int,
    },
    "/api/quantum": {"annealing": dict, "tunneling": dict, "entanglement": dict},
}  # fmt: skip
TASK = {
    "description": str, "my_cycles": int, "converged": bool, "final_answer": str,
    "contributors": list, "agreement_history": list,
}  # fmt: skip


def assert_holds(reply: dict[str, Any], fields: dict[str, type]) -> None:
    assert {name: type(reply[name]) for name in fields} == fields


async def answered(spore: Spore, question: str = QUESTION) -> dict[str, Any]:
    submitted = (await spore.client.post("/api/task", json={"task": question})).json()
    task = await spore.client.get(submitted["url"], params={"wait_ms": 10_000})
    assert task.status_code == 200
    found: dict[str, Any] = task.json()
    return found


@pytest.mark.parametrize("path", REFERENCE)
async def test_replies_keep_the_names_and_types_that_clients_know(spore: Spore, path: str) -> None:
    await spore.remember(NOTE)
    await answered(spore)

    reply = await spore.client.get(path)

    assert reply.status_code == 200
    assert_holds(reply.json(), REFERENCE[path])


async def test_a_memory_is_remembered_read_found_and_forgotten(spore: Spore) -> None:
    note = {"text": NOTE, "kind": "fact", "tags": ["sea", "moon"]}
    reply = await spore.client.post("/api/remember", json=note)
    memory_id = reply.json()["id"]
    await spore.finds(1)
    assert (reply.status_code, reply.json()["scope"]) == (201, "shared")
    assert reply.headers["location"] == f"/api/memory/{memory_id}"

    record = (await spore.client.get(f"/api/memory/{memory_id}")).json()
    assert (record["text"], record["kind"], record["tags"]) == (NOTE, "fact", ["sea", "moon"])
    assert (record["record"], record["seq"] > 0, record["retracted"]) == ("memory", True, False)

    found = (await spore.client.get("/api/recall", params={"q": "tides"})).json()
    [result] = found["results"]
    assert (result["id"], result["text"], result["kind"]) == (memory_id, NOTE, "fact")
    assert_holds(result, {"score": float, "author": str, "created_ms": int})

    assert (await spore.client.delete(f"/api/memory/{memory_id}")).json()["id"] == memory_id
    record = (await spore.client.get(f"/api/memory/{memory_id}")).json()
    assert (record["text"], record["retracted"]) == (None, True)
    found = (await spore.client.get("/api/recall", params={"q": "tides"})).json()
    assert found["results"] == []


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        ({}, 2), ({"kind": "fact"}, 1), ({"kind": "rumour"}, 0), ({"tag": "sea"}, 1), ({"k": 1}, 1),
        ({"author": "00" * 32}, 0), ({"scope": "shared"}, 1), ({"scope": "private"}, 1),
    ],
)  # fmt: skip
async def test_recall_filters_what_it_finds(
    spore: Spore, filters: dict[str, str], matches: int
) -> None:
    client = spore.client
    await client.post("/api/remember", json={"text": NOTE, "kind": "fact", "tags": ["sea"]})
    await client.post("/api/remember", json={"text": "tides at home", "scope": "private"})
    await spore.finds(2)

    found = await client.get("/api/recall", params={"q": "tides", **filters})

    assert len(found.json()["results"]) == matches


async def test_memories_come_newest_first_and_page_by_page(spore: Spore) -> None:
    ids = [(await spore.remember(f"note number {number}"))[0] for number in range(5)]

    first = (await spore.client.get("/api/memory", params={"limit": 3})).json()
    rest = {"limit": 3, "cursor": first["cursor"]}
    second = (await spore.client.get("/api/memory", params=rest)).json()

    assert [one["id"] for one in first["recent"] + second["recent"]] == ids[::-1]
    assert (first["total_memories"], second["cursor"]) == (5, None)


async def test_a_task_is_answered_with_citations(spore: Spore) -> None:
    [memory_id] = await spore.remember(NOTE)

    task = await answered(spore)

    assert_holds(task, TASK | {"task_id": str, "deltas": list})
    assert (task["status"], task["stop_reason"], task["models"]) == ("answered", "extract", [])
    assert [one["id"] for one in task["citations"]] == [memory_id]
    assert_holds(task["citations"][0], {"id": str, "text": str, "author": str})


async def test_tasks_are_an_object_by_id_and_the_cursor_is_a_header(spore: Spore) -> None:
    await spore.remember(NOTE)
    asked = [(await answered(spore, f"{QUESTION} {number}"))["task_id"] for number in range(3)]

    first = await spore.client.get("/api/tasks", params={"limit": 2})
    rest = {"limit": 2, "cursor": first.headers["x-next-cursor"]}
    second = await spore.client.get("/api/tasks", params=rest)

    assert list(first.json()) + list(second.json()) == asked[::-1]
    assert "x-next-cursor" not in second.headers
    assert_holds(first.json()[asked[2]], TASK | {"delta_count": int})


async def test_a_task_that_waits_for_a_model_says_until_when_and_why() -> None:
    failure = ProviderError("rate_limited", "slow down", retry_after_ms=30_000)
    async with running_spore(scripts={"qwen": [failure]}) as spore:
        task = await answered(spore)

    assert (task["status"], task["final_answer"]) == ("waiting", None)
    assert task["retry_at_ms"] > task["created_ms"]
    assert task["reasons"] == {"qwen": "rate_limited"}


async def test_models_that_took_part_are_named() -> None:
    said = json.dumps({"answer": "The moon.", "cites": ["m1"], "confidence": 0.9})
    models = {family: lambda request: said for family in ("qwen", "llama")}
    async with running_spore(scripts=models) as spore:
        await spore.remember(NOTE)
        task = await answered(spore)
        providers = (await spore.client.get("/api/providers")).json()
        trust = (await spore.client.get("/api/trust")).json()

    assert (task["final_answer"], sorted(task["models"])) == ("The moon.", ["llama", "qwen"])
    assert [(one["name"], one["replies"] > 0) for one in providers["targets"]] == [
        ("qwen", True),
        ("llama", True),
    ]
    assert {family: type(view["overall"]) for family, view in trust.items()} == {
        "llama": float,
        "qwen": float,
    }


async def test_what_is_off_says_so_and_why(spore: Spore) -> None:
    cognition = (await spore.client.get("/api/cognition")).json()
    cortex = (await spore.client.get("/api/cortex")).json()

    assert cognition["enabled"] is cortex["enabled"] is cortex["loaded"] is False
    assert cognition["state"] == "off" and cognition["reason"]


async def test_every_mechanism_says_whether_it_is_on_and_in_what_unit(spore: Spore) -> None:
    quantum = (await spore.client.get("/api/quantum")).json()

    assert set(quantum) == {
        "annealing", "superposition", "interference", "tunneling", "entanglement", "decoherence",
    }  # fmt: skip
    for mechanism in quantum.values():
        assert_holds(mechanism, {"enabled": bool, "unit": str, "formula": str, "counts": dict})
    assert_holds(quantum["tunneling"], {"threshold": float, "total": int})
    assert_holds(quantum["entanglement"], {"pairs": list, "prior": float})
    assert_holds(
        quantum["decoherence"], {"decay_rate": float, "min_factor": float, "tracked_keys": int}
    )
    health = (await spore.client.get("/api/health")).json()
    assert health["quantum"]["annealing"]["T_HOT"] == quantum["annealing"]["T_HOT"]


@pytest.mark.parametrize("field", ["endpoint", "url"])
async def test_a_spore_joins_the_one_at_an_address(spore: Spore, field: str) -> None:
    async with running_spore(number=2, neighbourhood=spore.neighbourhood) as attic:
        joined = await spore.client.post(
            "/federation/join", json={field: str(attic.client.base_url), "node_id": "x"}
        )
        await attic.operations.remember(NOTE)
        await spore.finds(1)
        status = (await spore.client.get("/api/federation/status")).json()
        nodes = (await spore.client.get("/federation/nodes")).json()

    assert_holds(
        joined.json(),
        {"accepted": bool, "reason": str, "your_trust": float, "swarm_dna": dict,
         "swarm_stats": dict},
    )  # fmt: skip
    assert [(peer["name"], peer["state"]) for peer in status["peers"]] == [("attic", "alive")]
    assert [node["name"] for node in nodes["nodes"]] == ["kitchen", "attic"]
    assert_holds(
        nodes["nodes"][1],
        {"node_id": str, "role": str, "tier": str, "specialization": list, "active": bool},
    )


async def test_health_counts_what_was_refused(keyed: Spore) -> None:
    await keyed.client.post("/api/task", json={"task": QUESTION})
    await keyed.client.get("/live", headers={"Host": "evil.example"})

    health = (await keyed.client.get("/api/health")).json()

    assert health["refused"] == {"host": 1, "key": 1}
    assert (health["version"], health["status"]) == (__version__, "ok")
    assert_holds(health, {"records": int, "fingerprint": str, "peers_alive": int, "id": str})


async def test_a_spore_lives_before_it_is_ready() -> None:
    async with running_spore(start=False) as spore:
        live, ready = await spore.client.get("/live"), await spore.client.get("/ready")

    assert live.status_code == 200
    assert (ready.status_code, ready.json()["reason"]) == (503, "not_ready")
    assert "index" in ready.json()["detail"]


async def test_a_spore_is_ready_when_its_index_is_filled(spore: Spore) -> None:
    ready = await spore.client.get("/ready")
    assert (ready.status_code, ready.json()) == (200, {"ready": True})


# Private memories.


async def test_private_memories_are_for_whoever_may_write(keyed: Spore) -> None:
    [memory_id] = await keyed.remember("the tides of my heart", scope="private")

    async def visible(headers: dict[str, str]) -> tuple[int, int]:
        record = await keyed.client.get(f"/api/memory/{memory_id}", headers=headers)
        found = await keyed.client.get("/api/recall", params={"q": "tides"}, headers=headers)
        return record.status_code, len(found.json()["results"])

    assert await visible({}) == (404, 0)
    assert await visible({"Authorization": "Bearer wrong"}) == (404, 0)
    assert await visible({"Authorization": f"Bearer {KEY}"}) == (200, 1)


async def test_only_whoever_may_write_may_ask_for_private_memories_alone(keyed: Spore) -> None:
    await keyed.remember("the tides follow the moon")
    await keyed.remember("the tides of my heart", scope="private")

    async def ask(headers: dict[str, str]) -> httpx.Response:
        query = {"q": "tides", "scope": "private"}
        return await keyed.client.get("/api/recall", params=query, headers=headers)

    found = (await ask({"Authorization": f"Bearer {KEY}"})).json()["results"]

    assert [(one["text"], one["scope"]) for one in found] == [("the tides of my heart", "private")]
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert_problem(await ask(headers), 401, "key")


async def test_a_private_memory_is_hidden_in_the_same_words_as_one_that_is_not_there(
    keyed: Spore,
) -> None:
    [memory_id] = await keyed.remember("the tides of my heart", scope="private")
    unknown = made_up_id(1).hex()

    hidden = await keyed.client.get(f"/api/memory/{memory_id}")
    missing = await keyed.client.get(f"/api/memory/{unknown}")

    assert hidden.text.replace(memory_id, unknown) == missing.text


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_foreign_page_cannot_read_private_memories_of_a_spore_without_a_key(
    spore: Spore, headers: dict[str, str]
) -> None:
    [memory_id] = await spore.remember("the tides of my heart", scope="private")

    record = await spore.client.get(f"/api/memory/{memory_id}", headers=headers)
    found = await spore.client.get("/api/recall", params={"q": "tides"}, headers=headers)
    page = await spore.client.get("/", params={"q": "tides"}, headers=headers)
    private = {"q": "tides", "scope": "private"}
    refused = await spore.client.get("/api/recall", params=private, headers=headers)

    assert_problem(refused, 403, "origin")
    assert (record.status_code, found.json()["results"]) == (404, [])
    assert "my heart" not in page.text
    assert "my heart" in (await spore.client.get("/", params={"q": "tides"})).text


# Writes that are repeated.


async def test_a_write_repeated_with_its_idempotency_key_happens_once(spore: Spore) -> None:
    async def write(path: str, body: dict[str, str], key: str) -> httpx.Response:
        return await spore.client.post(path, json=body, headers={"Idempotency-Key": key})

    first = await write("/api/remember", {"text": NOTE}, "a")
    again = await write("/api/remember", {"text": NOTE}, "a")
    other = await write("/api/remember", {"text": NOTE}, "b")
    task, same_task = [await write("/api/task", {"task": QUESTION}, "c") for _ in range(2)]
    changed = await write("/api/remember", {"text": "something else"}, "a")
    elsewhere = await write("/api/task", {"task": QUESTION}, "a")

    assert again.json() == first.json() != other.json()
    assert (again.status_code, again.headers["location"]) == (201, first.headers["location"])
    assert task.json() == same_task.json()
    assert changed.status_code == elsewhere.status_code == 409
    assert changed.json()["reason"] == "conflict"


async def test_a_refused_write_may_be_tried_again_under_its_key(spore: Spore) -> None:
    credential = "token ghp_" + "a" * 36
    headers = {"Idempotency-Key": "a"}
    refused = await spore.client.post("/api/remember", json={"text": credential}, headers=headers)
    mended = await spore.client.post("/api/remember", json={"text": NOTE}, headers=headers)
    assert (refused.status_code, mended.status_code) == (422, 201)
