"""Recall over REST, MCP and the first page: the same filters, limits and explanations."""

from __future__ import annotations

from typing import Any

import pytest

from synapse.core.errors import Busy
from synapse.core.messages import Push
from tests.driving import until
from tests.making import identity, memory_record
from tests.spores import Spore
from tests.web.agents import official, running_face
from tests.web.test_pages import page
from tests.web.test_problems import assert_problem

pytestmark = pytest.mark.anyio

TIDES = "The tides follow the moon around the whole turning earth."
BOB = identity(2)


async def recalled(spore: Spore, **query: Any) -> dict[str, Any]:
    reply = await spore.client.get("/api/recall", params={"q": "tides", **query})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def both_said(spore: Spore) -> tuple[str, str]:
    """We and Bob say the same; the ids of what we said and of what he did."""
    theirs = memory_record(TIDES, writer=BOB)
    await spore.driver.exchange(BOB.key, [Push((theirs,))])
    [own] = await spore.remember(TIDES)
    await until(lambda: spore.driver.indexer.said.position >= spore.log.last_position)
    return own, theirs.id.hex()


# REST


async def test_every_filter_is_taken_from_the_query_string(spore: Spore) -> None:
    own, theirs = await both_said(spore)
    for query, found in (
        ({"operator": BOB.key.hex()}, [theirs]),
        ({"author": BOB.key.hex()}, [theirs]),
        ({"operator": spore.operations.health().id}, [own]),
        ({"since": "2025-01-01"}, [own]),
        ({"until": "2025-01-01T00:00:00+02:00"}, [theirs]),
        ({"until": "1700000000000"}, []),
        ({"family": "qwen"}, []),
        ({"task": own}, []),
        ({"min_score": 1_000}, []),
    ):
        assert [one["id"] for one in (await recalled(spore, **query))["results"]] == found, query


async def test_one_result_stands_for_all_that_say_the_same(spore: Spore) -> None:
    own, theirs = await both_said(spore)
    found = await recalled(spore)
    [result] = found["results"]
    [other] = {own, theirs} - {result["id"]}
    assert (result["duplicates"], result["corroborated_by"]) == ([other], 1)
    assert [one["id"] for one in result["corroborations"]] == [other]
    assert (found["exact"], found["tokens"], found["crowded_out"]) == (True, None, 0)


async def test_why_and_tokens_and_exact_are_asked_for_by_name(spore: Spore) -> None:
    await spore.remember(TIDES, "the tides " * 100)
    found = await recalled(spore, why="true", tokens=30, exact="1")
    [result] = found["results"]
    assert [term["term"] for term in result["why"]["terms"]] == ["tide"]
    assert 0 < found["tokens"] <= 30 and found["crowded_out"] == 1
    assert (await recalled(spore))["results"][0]["why"] is None


@pytest.mark.parametrize(
    ("query", "reason", "said"),
    [
        ("operatr=x", "invalid", "operatr: no such field"),
        ("operator=x", "filter", "operator is 64 hexadecimal digits"),
        ("kind=", "filter", "kind is 1 to 64 characters"),
        ("since=soon", "moment", "since is not a moment"),
        ("until=2026-01-01T10:00", "moment", "time zone"),
        ("since=2026-01-02&until=2026-01-01", "moment", "nothing lies between"),
        ("min_score=-1", "invalid", "min_score"),
        ("min_score=NaN", "invalid", "min_score"),
        ("tokens=0", "invalid", "tokens"),
        ("tokens=1000000", "invalid", "tokens"),
        ("exact=maybe", "invalid", "exact"),
        ("why=2", "invalid", "why"),
    ],
)
async def test_what_cannot_be_asked_is_a_problem_that_says_so(
    spore: Spore, query: str, reason: str, said: str
) -> None:
    reply = await spore.client.get(f"/api/recall?q=a&{query}")
    assert_problem(reply, 422, reason)
    assert said in reply.json()["detail"]


@pytest.mark.promise("private")
async def test_no_filter_leads_a_stranger_to_private_memories(keyed: Spore) -> None:
    await keyed.remember("my tides", scope="private")
    for query in ({}, {"quarantined": "1"}, {"exact": "1"}, {"tokens": 100}, {"why": "1"}):
        assert (await recalled(keyed, **query))["results"] == []


async def test_a_spore_that_is_searched_too_much_says_when_to_come_back(
    spore: Spore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: object) -> None:
        raise Busy("more is being searched for than this spore can find", retry_after_ms=1_000)

    monkeypatch.setattr(spore.driver.recaller, "recall", full)
    reply = await spore.client.get("/api/recall", params={"q": "tides"})
    assert_problem(reply, 503, "busy")
    assert reply.headers["retry-after"] == "1"


async def test_the_description_names_every_parameter_and_its_limits(spore: Spore) -> None:
    described = (await spore.client.get("/openapi.json")).json()
    asked = {one["name"]: one for one in described["paths"]["/api/recall"]["get"]["parameters"]}
    assert {"q", "k", "operator", "family", "task", "since", "until", "tokens", "exact", "why"} <= {
        *asked
    }
    assert all(one["description"] for one in asked.values())
    assert asked["q"]["required"] and not asked["since"]["required"]


# MCP


async def test_an_agent_narrows_down_what_it_asks() -> None:
    async with running_face() as spore, official(spore) as agent:
        _, theirs = await both_said(spore)
        call = {"query": "tides moon", "operator": BOB.key.hex(), "why": True}
        found = await agent.call_tool("query_memory", call)
        [memory] = found.structured_content["memories"]
        plain = await agent.call_tool("query_memory", {"query": "tides moon"})
        wrong = await agent.call_tool("query_memory", {"query": "tides", "since": "soon"})
        typed = await agent.call_tool("query_memory", {"query": "tides", "tag": "x" * 65})
    assert (memory["id"], memory["corroborated_by"]) == (theirs, 1)
    assert '"tide"' in memory["why"] and "decay" in memory["why"]
    [folded] = plain.structured_content["memories"]
    assert (folded["duplicates"], folded["why"]) == (1, "")
    assert "Other operators that said the same: 1." in plain.content[0].text
    assert wrong.is_error and "since is not a moment" in wrong.content[0].text
    assert typed.is_error and "tag: " in typed.content[0].text


# The page


async def test_the_page_shows_who_else_says_so_and_why(spore: Spore) -> None:
    await both_said(spore)
    found = await page(spore, "/?q=tides&why=yes&tokens=500")
    for words in ("1 other operator said so too", "1 more that says the same", "× decay"):
        assert words in found.words
    assert "tokens of text" in found.words
    fields = {one["name"]: one for one in found.named("input") if "name" in one}
    assert (fields["tokens"]["value"], "checked" in fields["why"]) == ("500", True)
    assert "checked" not in fields["exact"]


async def test_filters_of_the_page_narrow_down_and_come_back_in_its_form(spore: Spore) -> None:
    await both_said(spore)
    found = await page(spore, "/?q=tides&kind=rumour&since=&tag=")
    assert "or fewer filters" in found.words
    assert [one["value"] for one in found.named("input") if one.get("name") == "kind"] == ["rumour"]


@pytest.mark.parametrize("query", ["since=soon", "tokens=many", "min_score=-1", "operator=bob"])
async def test_a_filter_that_makes_no_sense_is_told_on_the_page(spore: Spore, query: str) -> None:
    found = await page(spore, f"/?q=tides&{query}", status=422)
    assert "Not done" in found.words
    assert "Found for" not in found.words


async def test_what_is_typed_into_the_page_stays_text(spore: Spore) -> None:
    found = await page(spore, '/?q="><script>x</script>&kind="><img src=x>')
    assert [one["alt"] for one in found.named("img")] == [""]  # our own mark
