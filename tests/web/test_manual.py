"""The manual: every route is described, and every example is a reply that could be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from synapse import __version__
from synapse.web import manual, rest
from synapse.web.problems import KINDS
from tests.spores import Spore
from tests.web.test_pages import page

pytestmark = pytest.mark.anyio


@pytest.fixture
async def described(spore: Spore) -> dict[str, Any]:
    found: dict[str, Any] = (await spore.client.get("/openapi.json")).json()
    return found


async def test_every_json_route_is_described(described: dict[str, Any]) -> None:
    routes = {
        (route.path_format, method.lower())
        for router in (rest.reads, rest.writes)
        for route in router.routes
        for method in route.methods
    }
    operations = {
        (path, method): operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == routes
    assert described["info"]["title"] == "Synapse"
    assert described["info"]["version"] == __version__
    for place, operation in operations.items():
        assert operation["summary"].endswith("."), place
        assert "default" in operation["responses"], place
        assert ("security" in operation) == (place[1] != "get"), place
        for parameter in operation.get("parameters", []):
            assert parameter["in"] == "path" or parameter["description"], (place, parameter)
        if place[1] == "post":
            body = operation["requestBody"]["content"]["application/json"]["schema"]
            for field in body["properties"].values():
                assert field["description"], place


async def test_every_reply_has_an_example_that_its_schema_allows(described: dict[str, Any]) -> None:
    seen = 0
    for methods in described["paths"].values():
        for operation in methods.values():
            for status, reply in operation["responses"].items():
                for media_type, content in reply.get("content", {}).items():
                    if media_type == "application/json":
                        schema = content["schema"] | {"components": described["components"]}
                        jsonschema.validate(content["example"], schema)
                        seen += status != "default"
    assert seen == sum(len(methods) for methods in described["paths"].values()) - 1  # the stream


async def test_every_body_has_an_example_that_is_accepted(
    spore: Spore, described: dict[str, Any]
) -> None:
    task = await spore.operations.submit_task("What do the tides follow?")
    for path, methods in described["paths"].items():
        for operation in methods.values():
            if "requestBody" in operation:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                place = path.format(task_id=task.task_id)
                reply = await spore.client.post(place, json=manual.example(schema, {}))
                assert reply.status_code in (200, 201), (path, reply.text)


async def test_the_manual_lists_every_route_and_every_reason(
    spore: Spore, described: dict[str, Any]
) -> None:
    docs = await page(spore, "/docs")
    anchors = {attributes.get("id") for _, attributes in docs.elements}

    assert [path for path in described["paths"] if path not in docs.words] == []
    assert set(KINDS) <= anchors
    assert "`" not in docs.words


async def test_the_interactive_pages_that_load_from_elsewhere_are_off(spore: Spore) -> None:
    for path in ("/redoc", "/docs/oauth2-redirect"):
        assert (await spore.client.get(path)).status_code == 404


def test_every_reason_that_is_raised_is_in_the_table() -> None:
    source = "".join(path.read_text() for path in Path(rest.__file__).parent.glob("*.py"))
    raised = set(re.findall(r'Problem\(\s*"(\w+)"', source))
    assert raised <= set(KINDS)
