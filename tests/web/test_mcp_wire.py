"""MCP as bytes on a wire: a second client, written from the specification, and hostile ones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from tests.spores import Spore
from tests.web.agents import NEWEST, TOOLS, ByHand, by_hand, message, running_face
from tests.web.conftest import KEY

pytestmark = pytest.mark.anyio

TIDES = "The tides follow the moon."
LISTED = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.fixture
async def spore() -> AsyncIterator[Spore]:
    async with running_face() as running:
        yield running


@pytest.fixture
def agent(spore: Spore) -> ByHand:
    return ByHand(spore)


async def test_a_client_written_by_hand_calls_all_seven_tools(spore: Spore, agent: ByHand) -> None:
    (memory_id,) = await spore.remember(TIDES)
    asked = await agent.call("submit_task", task="What do the tides follow?")
    answered = asked["structuredContent"]
    assert answered["citations"][0]["id"] == memory_id

    results = {
        "submit_task": asked,
        "query_memory": await agent.call("query_memory", query="tides", top_k=3),
        "get_trust": await agent.call("get_trust"),
        "swarm_health": await agent.call("swarm_health"),
        "get_task": await agent.call("get_task", task_id=answered["task_id"]),
        "list_tasks": await agent.call("list_tasks", limit=5),
        "collective_knowledge": await agent.call("collective_knowledge"),
    }
    assert list(results) == TOOLS
    for result in results.values():
        assert not result["isError"] and result["resultType"] == "complete"
        assert result["content"][0]["text"]
    assert results["get_task"]["structuredContent"] == answered
    assert results["swarm_health"]["structuredContent"]["memories"] == 1


async def test_discovery_says_what_this_is(agent: ByHand) -> None:
    found = message(await agent.post("server/discover"))["result"]
    assert found["supportedVersions"] == [NEWEST]
    assert sorted(found["capabilities"]) == ["prompts", "resources", "tools"]
    assert "query_memory" in found["instructions"]
    assert (found["ttlMs"], found["cacheScope"]) == (300_000, "public")


async def test_a_client_of_the_era_before_shakes_hands(agent: ByHand) -> None:
    client = {"protocolVersion": "2025-11-25", "capabilities": {}}
    client["clientInfo"] = {"name": "by hand", "version": "1"}
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}
    reply = await agent.send(hello)
    assert message(reply)["result"]["protocolVersion"] == "2025-11-25"
    assert "mcp-session-id" not in reply.headers

    listed = message(await agent.send(LISTED, headers={"MCP-Protocol-Version": "2025-11-25"}))
    assert [tool["name"] for tool in listed["result"]["tools"]] == TOOLS


@pytest.mark.parametrize("version", ["2025-11-25", NEWEST])
async def test_a_notification_is_accepted_without_a_word(agent: ByHand, version: str) -> None:
    notice = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    reply = await agent.send(notice, headers={"MCP-Protocol-Version": version})
    assert (reply.status_code, reply.content) == (202, b"")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_only_posts_are_taken(spore: Spore, method: str) -> None:
    reply = await spore.client.request(
        method, "/mcp", headers={"Accept": "text/event-stream"}, follow_redirects=False
    )
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert reply.json()["reason"] == "method"


@pytest.mark.parametrize("path", ["/mcp/", "/mcp/tools", "/mcpx", "/nowhere"])
async def test_other_addresses_are_the_applications_own_404(spore: Spore, path: str) -> None:
    reply = await spore.client.post(path, json=LISTED, follow_redirects=False)
    assert (reply.status_code, reply.json()["reason"]) == (404, "no_route")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:7860"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_pages_of_other_sites_are_turned_away(
    agent: ByHand, headers: Mapping[str, str], status: int
) -> None:
    assert (await agent.post("tools/list", headers=headers)).status_code == status
    assert (await agent.send(LISTED, headers=headers)).status_code == status
    assert (await agent.post("tools/list")).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Mcp-Method": "tools/call"}, {"MCP-Protocol-Version": "2999-01-01"}]
)
async def test_headers_that_contradict_the_body_are_refused(
    agent: ByHand, headers: Mapping[str, str]
) -> None:
    reply = await agent.post("tools/list", headers=headers)
    assert (reply.status_code, message(reply)["error"]["code"]) == (400, -32020)


@pytest.mark.parametrize("headers", [{}, {"MCP-Protocol-Version": NEWEST}])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{", 400),
        ("[" * 100_000, 400),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","params":{"n":' + "9" * 5_000 + "}}", 400),
        (
            '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"n":' + "1" * 300_000 + "}}",
            413,
        ),
        (f"[{'{},' * 10}{{}}]", 400),
        ("null", 400),
    ],
    ids=["nothing", "half", "deep", "digits", "large", "batch", "null"],
)
async def test_what_is_no_request_is_refused(
    agent: ByHand, headers: Mapping[str, str], body: str, status: int
) -> None:
    reply = await agent.send(body, headers=headers)
    assert reply.status_code == status
    assert len(reply.content) < 4_000


@pytest.mark.parametrize("version", ["2025-11-25", NEWEST])
@pytest.mark.parametrize(
    "argument", ["NaN", "1e999", '"\\ud800"', '"\\u0000"', "[" * 100 + "]" * 100]
)
async def test_odd_arguments_are_the_callers_mistake(
    agent: ByHand, argument: str, version: str
) -> None:
    call = json.dumps(by_hand("tools/call", {"name": "query_memory", "arguments": {"query": 0}}))
    headers = {
        "MCP-Protocol-Version": version,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "query_memory",
    }
    reply = await agent.send(call.replace('"query": 0', f'"query": {argument}'), headers=headers)
    said = message(reply)
    assert reply.status_code < 500 and len(reply.content) < 4_000
    assert "error" in said or said["result"]["isError"]


async def test_a_tool_that_is_not_there_is_an_error_of_the_call(agent: ByHand) -> None:
    assert (await agent.call("forget_everything"))["isError"]


@pytest.mark.parametrize(
    "sent", ["Bearer wrong", "Basic " + KEY, KEY, "Bearer", b"Bearer \xff\xfe"]
)
async def test_only_the_key_itself_opens(sent: Any) -> None:
    async with running_face(api_key=KEY) as spore:
        call = {"name": "submit_task", "arguments": {"task": "The tides?", "wait_s": 0}}
        agent = ByHand(spore)
        refused = await agent.post("tools/call", call, headers={"Authorization": sent})
        assert message(refused)["result"]["isError"]
        taken = await agent.post("tools/call", call, headers={"Authorization": f"bearer {KEY}"})
        assert not message(taken)["result"]["isError"]


async def test_the_info_page_counts_the_tools(spore: Spore) -> None:
    info = (await spore.client.get("/mcp/info")).json()
    assert info == {
        "spore": "kitchen",
        "role": "spore",
        "model": "extractive",
        "protocol_version": NEWEST,
        "tools": TOOLS,
        "tool_count": 7,
    }
    described = (await spore.client.get("/openapi.json")).json()
    assert "/mcp/info" in described["paths"]
