"""What is wrong is said as an RFC 9457 problem, and never repeats what was sent."""

from __future__ import annotations

import json

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from synapse.core.errors import (
    Busy,
    NotFound,
    Refused,
    StorageError,
    StorageFull,
    SynapseError,
    TextError,
)
from synapse.core.memory.memory import TAGS_MAX
from synapse.web.problems import KINDS, MEDIA_TYPE
from tests.making import made_up_id, memory_record
from tests.spores import Spore, running_spore
from tests.web.conftest import KEY

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}


def assert_problem(reply: httpx.Response, status: int, reason: str) -> dict[str, object]:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == MEDIA_TYPE
    assert len(reply.content) <= 4_096
    problem: dict[str, object] = reply.json()
    assert (problem["status"], problem["reason"]) == (status, reason)
    assert problem["type"] == f"/docs#{reason}"
    assert problem["title"]
    return problem


MALFORMED = {
    "nothing": b"",
    "half an object": b'{"text": "a',
    "no object": b'["text"]',
    "a number": b"7",
    "NaN": b'{"text": NaN}',
    "infinity": b'{"text": "a", "tags": [-Infinity]}',
    "a name twice": b'{"text": "a", "text": "b"}',
    "a name twice, deeper": b'{"text": "a", "dna": {"b": 1, "b": 2}}',
    "deep nesting": b'{"text": ' + b"[" * 100 + b"]" * 100 + b"}",
    "nesting without an end": b"[" * 200_000,
    "shallow brackets without an end": b"[" + b"[]," * 60_000,
    "a string without an end": b'{"text": "' + b'\\"' * 100_000,
    "a number of 5000 digits": b'{"text": ' + b"9" * 5_000 + b"}",
    "UTF-16": '{"text": "a"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + b'{"text": "a"}',
    "bytes that are no text": b'{"text": "\xff"}',
    "an object of many fields": json.dumps({f"k{i}": i for i in range(10_000)}).encode(),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_a_body_that_cannot_be_read_is_malformed(spore: Spore, body: bytes) -> None:
    reply = await spore.client.post("/api/remember", content=body, headers=JSON)
    assert_problem(reply, 400, "malformed")


INVALID = {
    "a field missing": ({}, "text: is missing"),
    "an empty text": ({"text": ""}, "text: "),
    "a number for a text": ({"text": 7}, "text: "),
    "null": ({"text": None}, "text: "),
    "a scope there is not": ({"text": "a", "scope": "public"}, "scope: "),
    "tags that are no list": ({"text": "a", "tags": "b"}, "tags: "),
    "a number as a tag": ({"text": "a", "tags": [1]}, "tags.0: "),
    "a field nearly right": ({"text": "a", "tgas": []}, "did you mean tags?"),
    "a field far off": ({"text": "a", "zzz": 1}, "known are text, kind, tags, scope"),
}


@pytest.mark.parametrize(("body", "hint"), INVALID.values(), ids=INVALID)
async def test_a_body_that_says_the_wrong_thing_is_invalid(
    spore: Spore, body: dict[str, object], hint: str
) -> None:
    reply = await spore.client.post("/api/remember", json=body)
    assert hint in str(assert_problem(reply, 422, "invalid")["detail"])


UNUSUAL = {
    "a lone surrogate": rb'{"text": "\ud800"}',
    "a lone surrogate in a name": rb'{"text": "a", "\ud800": 1}',
    "a number beyond all floats": rb'{"text": 1e999}',
}


@pytest.mark.parametrize("body", UNUSUAL.values(), ids=UNUSUAL)
async def test_values_that_json_allows_and_we_do_not_are_invalid(spore: Spore, body: bytes) -> None:
    reply = await spore.client.post("/api/remember", content=body, headers=JSON)
    assert_problem(reply, 422, "invalid")


async def test_many_faults_make_a_small_problem(spore: Spore) -> None:
    body = {"text": "a", **{f"{number}" * 900: number for number in range(50)}}
    reply = await spore.client.post("/api/remember", json=body)
    assert "and more" in str(assert_problem(reply, 422, "invalid")["detail"])


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""]
)
async def test_a_body_of_another_type_is_refused(spore: Spore, media_type: str) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    reply = await spore.client.post("/api/task", content=b'{"task": "a"}', headers=headers)
    assert_problem(reply, 415, "media_type")


async def test_a_charset_after_the_type_is_fine(spore: Spore) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    reply = await spore.client.post("/api/task", content=b'{"task": "a"}', headers=headers)
    assert reply.status_code == 200


NOT_STORABLE = {
    "NUL": ({"text": "a\x00b"}, "text"),
    "white space": ({"text": " \n "}, "text"),
    "too long": ({"text": "a" * 60_001}, "text"),
    "too many tags": ({"text": "a", "tags": ["b"] * (TAGS_MAX + 1)}, "text"),
    "a credential": ({"text": "ghp_" + "a" * 36}, "credential"),
    "a strange kind": ({"text": "a", "kind": "<b>"}, "label"),
}


@pytest.mark.parametrize(("body", "reason"), NOT_STORABLE.values(), ids=NOT_STORABLE)
async def test_a_text_that_the_core_refuses_is_not_stored(
    spore: Spore, body: dict[str, object], reason: str
) -> None:
    reply = await spore.client.post("/api/remember", json=body)
    assert_problem(reply, 422, reason)
    assert (await spore.client.get("/api/health")).json()["memories"] == 0


@pytest.mark.parametrize(
    "query", ["k=0", "k=101", "k=a", "k=1e400", "scope=public", "k=NaN", "k=" + "9" * 5_000]
)
async def test_a_query_with_an_impossible_value_is_invalid(spore: Spore, query: str) -> None:
    reply = await spore.client.get(f"/api/recall?q=a&{query}")
    assert_problem(reply, 422, "invalid")


@pytest.mark.parametrize("query", ["q=%00", "q=+", "q=" + "a" * 9_000])
async def test_a_query_that_is_no_text_is_refused(spore: Spore, query: str) -> None:
    assert_problem(await spore.client.get(f"/api/recall?{query}"), 422, "text")


@pytest.mark.parametrize("path", ["/api/memory", "/api/tasks"])
@pytest.mark.parametrize("cursor", ["x", "-1", "٣", "9" * 30])
async def test_a_cursor_that_was_never_given_out_is_refused(
    spore: Spore, path: str, cursor: str
) -> None:
    reply = await spore.client.get(path, params={"cursor": cursor})
    assert_problem(reply, 422, "cursor")


@pytest.mark.parametrize("path", ["/api/memory/", "/api/task/"])
@pytest.mark.parametrize("wanted", [made_up_id(1).hex(), "short", "zz" * 32, "%00", "é"])
async def test_what_is_not_there_is_not_found(spore: Spore, path: str, wanted: str) -> None:
    assert_problem(await spore.client.get(path + wanted), 404, "not_found")


async def test_forgetting_what_is_not_there_or_not_ours_is_refused(spore: Spore) -> None:
    missing = await spore.client.delete(f"/api/memory/{made_up_id(1).hex()}")
    async with running_spore(number=2, neighbourhood=spore.neighbourhood) as attic:
        await spore.operations.join(str(attic.client.base_url))
        theirs = await attic.operations.remember("theirs")
        await spore.finds(1)
        foreign = await spore.client.delete(f"/api/memory/{theirs.id}")

    assert_problem(missing, 404, "not_found")
    assert_problem(foreign, 403, "not_yours")


@pytest.mark.parametrize("url", ["ftp://a", "https://user:pass@a", "https://a/?b", "nonsense", ""])
async def test_a_bad_address_is_not_joined(spore: Spore, url: str) -> None:
    reply = await spore.client.post("/federation/join", json={"endpoint": url})
    assert reply.json()["reason"] in ("address", "invalid")
    assert_problem(reply, 422, reply.json()["reason"])


async def test_an_address_or_method_that_there_is_not_says_so(spore: Spore) -> None:
    assert_problem(await spore.client.get("/api/nothing"), 404, "no_route")
    assert_problem(await spore.client.get("/api/health/"), 404, "no_route")
    assert_problem(await spore.client.get("/static/../app.py"), 404, "no_route")
    wrong = await spore.client.put("/api/health")
    assert_problem(wrong, 405, "method")
    assert wrong.headers["allow"] == "GET"


CORE_ERRORS = {
    "busy": (Busy("later", retry_after_ms=1_001), 503, "busy"),
    "not found": (NotFound("no such thing"), 404, "not_found"),
    "text": (TextError("too long"), 422, "text"),
    "storage": (StorageError("the disk failed"), 503, "storage"),
    "storage full": (StorageFull("no room"), 507, "storage_full"),
    "internal": (SynapseError("a secret detail"), 500, "internal"),
    "unforeseen": (RuntimeError("a secret detail"), 500, "internal"),
}


def raising(error: Exception) -> Route:
    async def endpoint(request: Request) -> None:
        raise error

    return Route("/extra", endpoint)


@pytest.mark.parametrize(("error", "status", "reason"), CORE_ERRORS.values(), ids=CORE_ERRORS)
async def test_errors_of_the_core_become_problems_on_every_route(
    error: Exception, status: int, reason: str
) -> None:
    async with running_spore(routes=lambda *_: [raising(error)]) as spore:
        reply = await spore.client.get("/extra")

    assert_problem(reply, status, reason)
    assert "secret" not in reply.text
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers.get("retry-after") == ("2" if reason == "busy" else None)


async def test_a_refusal_that_is_new_to_us_keeps_its_reason() -> None:
    refusal = Refused("body_size", "70,000 bytes are too many")
    async with running_spore(routes=lambda *_: [raising(refusal)]) as spore:
        problem = (await spore.client.get("/extra")).json()
    assert (problem["reason"], problem["type"]) == ("body_size", "/docs#refused")


async def test_a_route_may_answer_with_a_status_of_its_own() -> None:
    error = HTTPException(410, "it was moved")
    async with running_spore(routes=lambda *_: [raising(error)]) as spore:
        reply = await spore.client.get("/extra")
    assert (assert_problem(reply, 410, "refused")["detail"]) == "it was moved"


async def test_a_full_disk_is_told_apart_and_nothing_is_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_spore() as spore:
        commit = spore.log.commit

        def full() -> None:
            raise StorageFull("no room on the disk")

        monkeypatch.setattr(spore.log, "commit", full)
        refused = await spore.client.post("/api/remember", json={"text": "lost"})
        stalled = await spore.client.get("/ready")
        again = await spore.client.post("/api/remember", json={"text": "lost"})
        monkeypatch.setattr(spore.log, "commit", commit)

    assert_problem(refused, 507, "storage_full")
    assert_problem(stalled, 503, "not_ready")
    assert_problem(again, 507, "storage_full")


async def test_people_get_a_page_and_programs_a_problem(spore: Spore) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml"}
    page = await spore.client.get("/nothing", headers=browser)
    api = await spore.client.get("/api/nothing", headers=browser)

    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert KINDS["no_route"].title in page.text
    assert_problem(api, 404, "no_route")


async def test_an_error_never_repeats_a_secret(keyed: Spore) -> None:
    canary = "canary-7e11a9"
    body = {"text": canary, "scope": canary, "kind": 1, "tags": [canary, 1]}
    headers = {"Authorization": f"Bearer {KEY}"}
    replies = [
        await keyed.client.post("/api/remember", json=body, headers=headers),
        await keyed.client.post("/api/remember", content=f"{{{canary}", headers=JSON | headers),
        await keyed.client.get(f"/api/recall?q=a&k={canary}"),
        await keyed.client.get("/live", headers={"Host": f"{canary}.example"}),
        await keyed.client.post("/api/task", json={}, headers={"Authorization": canary}),
    ]
    assert [reply.status_code for reply in replies] == [422, 400, 422, 421, 401]
    assert not any(canary in reply.text for reply in replies)


def test_a_memory_of_the_greatest_length_fits_a_body() -> None:
    longest = "é" * 30_000  # each of its 60,000 bytes thrice as long when escaped
    assert memory_record(longest).body is not None
    assert len(json.dumps({"text": longest})) < 256 << 10
