"""Who may do what: every route with every kind of key, and whom a browser works for."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute

from synapse.web import pages, rest
from synapse.web.access import Access, WebSettings
from tests.making import made_up_id
from tests.spores import URL, Spore, running_spore
from tests.web.conftest import KEY
from tests.web.test_problems import assert_problem

pytestmark = pytest.mark.anyio

ID = made_up_id(1).hex()
# What a good request to each writing route holds; a new route without a row fails the matrix.
BODIES = {
    "/api/remember": {"text": "a"},
    "/api/task": {"task": "a"},
    "/api/task/{task_id}/grade": {"right_answer": "a"},
    "/federation/join": {"endpoint": "http://127.0.0.1:1"},
    "/api/memory/{memory_id}": None,
    "/ask": {"task": "a"},
    "/remember": {"text": "a"},
    "/task/{task_id}": {},
    "/task/{task_id}/grade": {"right_answer": "a"},
}
FORMS = {route.path for route in pages.router.routes if "POST" in route.methods}
KEYS = {
    "no key": {},
    "a wrong key": {"Authorization": f"Bearer {KEY[:-1]}"},
    "another scheme": {"Authorization": f"Basic {KEY}"},
    "the bare key": {"Authorization": KEY},
    "the key": {"Authorization": f"Bearer {KEY}"},
}


def routes() -> Iterator[tuple[str, str]]:
    for router in (rest.reads, rest.writes, pages.router):
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in sorted(route.methods):
                yield method, route.path_format


async def ask(spore: Spore, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    place = path.format(memory_id=ID, task_id=ID, subject="qwen")
    if method != "POST":
        params = {"q": "a"} if path == "/api/recall" else {}
        return await spore.client.request(method, place, params=params, headers=headers)
    if path in FORMS:
        key = headers.get("Authorization", "").removeprefix("Bearer ")
        return await spore.client.post(place, data={**BODIES[path], "key": key})
    return await spore.client.post(place, json=BODIES[path], headers=headers)


READS = [path for method, path in routes() if method == "GET" and path != "/api/events"]
WRITES = [(method, path) for method, path in routes() if method != "GET"]


def test_every_route_is_a_read_or_a_write_of_the_table() -> None:
    assert {path for _, path in WRITES} == set(BODIES)
    assert {method for method, _ in routes()} == {"GET", "POST", "DELETE"}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("path", READS)
async def test_anybody_may_read(keyed: Spore, path: str, key: str) -> None:
    reply = await ask(keyed, "GET", path, KEYS[key])
    assert reply.status_code == (404 if "{" in path else 200)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_whoever_has_the_key_may_write(
    keyed: Spore, method: str, path: str, key: str
) -> None:
    reply = await ask(keyed, method, path, KEYS[key])

    allowed = key == "the key" or (key == "the bare key" and path in FORMS)
    if allowed:
        assert reply.status_code in (200, 201, 303, 404)
    else:
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"].startswith("Bearer")
    assert KEY not in reply.text + str(reply.headers)
    assert (await keyed.client.get("/api/health")).json()["refused"].get("key", 0) == (not allowed)


@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_a_spore_on_loopback_without_a_key_lets_its_machine_write(
    spore: Spore, method: str, path: str
) -> None:
    reply = await ask(spore, method, path, {})
    assert reply.status_code in (200, 201, 303, 404)


async def test_the_key_is_asked_for_before_the_body_is_judged(keyed: Spore) -> None:
    reply = await keyed.client.post("/api/remember", content=b"{")
    assert_problem(reply, 401, "key")


async def test_no_reply_holds_the_key(keyed: Spore) -> None:
    right = {"Authorization": f"Bearer {KEY}"}
    for path in READS:
        for headers in ({}, right):
            reply = await ask(keyed, "GET", path, headers)
            assert KEY not in reply.text + str(reply.headers)
    told = await keyed.client.post("/api/remember", json={"text": f"it is {KEY}"}, headers=right)
    assert_problem(told, 422, "credential")
    assert KEY not in told.text


# Which names the spore answers to.

OURS = [
    "localhost", "localhost:7860", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.0.0.1:7860",
    "[::1]", "[::1]:7860", "192.168.1.20:7860", "[fe80::1]:80", "spore.example.org",
    "spore.example.org:443", "Spore.Example.Org",
]  # fmt: skip
NOT_OURS = [
    "", "evil.example", "evil.example:7860", "localhost.evil.example", "notlocalhost",
    "localhost@evil.example", "evil.example#localhost", "127.0.0.1.evil.example", "127.1",
    "0x7f000001", "2130706433", "[::1", "[]", "::1", "localhost:", "localhost:port",
    "sub.spore.example.org", "spore.example.org.evil.example", "a" * 5_000, "127。0。0。1",
]  # fmt: skip


@pytest.mark.parametrize("host", OURS)
async def test_the_spore_answers_to_its_names_and_to_any_address(keyed: Spore, host: str) -> None:
    reply = await keyed.client.get("/live", headers={"Host": host})
    assert reply.status_code == 200


@pytest.mark.parametrize("host", NOT_OURS)
@pytest.mark.parametrize("path", ["/live", "/", "/api/health", "/nothing", "/extra"])
async def test_no_route_answers_to_another_name(host: str, path: str) -> None:
    async with running_spore(hosts=["spore.example.org"]) as spore:
        reply = await spore.client.get(path, headers={"Host": host.encode()})
    assert_problem(reply, 421, "host")


# Whom a browser works for.

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1:3000"},
    {"Origin": "http://localhost:7860"},
    {"Origin": "ftp://127.0.0.1:7860"},
    {"Origin": "http://127.0.0.1:7860.evil.example"},
    {"Origin": "https://spore.example.org:3000"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]
FAMILIAR = [
    {},
    {"Origin": URL},
    {"Origin": URL, "Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://spore.example.org", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("method", "path"), [*WRITES, ("POST", "/extra")])
async def test_a_page_of_another_site_writes_nothing(
    keyed: Spore, method: str, path: str, headers: dict[str, str]
) -> None:
    place = path.format(memory_id=ID, task_id=ID)
    right = {"Authorization": f"Bearer {KEY}"}
    reply = await keyed.client.request(method, place, json={}, headers=headers | right)
    assert_problem(reply, 403, "origin")


@pytest.mark.parametrize("headers", FAMILIAR, ids=str)
async def test_programs_and_the_spores_own_pages_write(
    keyed: Spore, headers: dict[str, str]
) -> None:
    form = {"task": "a", "key": KEY}
    reply = await keyed.client.post("/ask", data=form, headers=headers)
    assert reply.status_code == 303


def test_keys_of_any_content_are_compared_without_failing() -> None:
    access = Access(WebSettings(api_key=KEY))
    assert access.key_valid(KEY)
    assert not any(access.key_valid(key) for key in ("", KEY + " ", KEY * 1_000, "é", "\x00"))
