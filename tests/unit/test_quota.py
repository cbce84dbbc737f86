"""What a service says is left of an account's free requests, asked over loopback."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from synapse import config
from synapse.app import models
from synapse.app.models import Models
from synapse.app.quota import ASK_AGAIN_MS, Meter
from synapse.core.events import Limit
from synapse.core.reasoning.cooling import DAY_MS
from synapse.core.reasoning.model_routing import Routing, Target
from synapse.providers.endpoint import Endpoint
from synapse.providers.limits import free_day_in
from synapse.providers.openai_compatible import OpenAiCompatible
from tests.unit.providers.asking import KEY, NOW_MS

DAY = {"limit": 50, "used": 12, "remaining": 38}


class Service:
    """Answers `GET /v1/key`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.document: Any = {"data": {"label": KEY[:9], "free_model_daily_requests": DAY}}
        self.asked: list[tuple[str, str | None]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked.append((self.path, self.headers.get("authorization")))
                body = json.dumps(service.document).encode()
                self.send_response(service.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def service() -> Iterator[Service]:
    """One on loopback."""
    made = Service()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


class Chain:
    """Two free models of one account, and a meter that reads what is left of it."""

    def __init__(self, service: Service) -> None:
        targets = [
            Target(
                name,
                name,
                account="one",
                shared_quota=True,
                limits=(Limit("requests", DAY_MS, 50),),
            )
            for name in ("polar", "solar")
        ]
        self.routing = Routing(targets, Random(1))
        endpoint = Endpoint(service.url, "m:free", api_key=SecretStr(KEY), quota_path="key")
        self.client = OpenAiCompatible({"polar": endpoint}, now_ms=lambda: NOW_MS)
        found = Models(tuple(targets), {}, {}, (), self.client, metered=("polar",))
        self.meter = Meter(found, self.routing)

    def read(self, *times_ms: int) -> None:
        async def every() -> None:
            for now_ms in times_ms:
                await self.meter.read(now_ms)

        asyncio.run(every())

    def left(self, name: str) -> int | None:
        [bucket] = self.routing.state(self.routing.target(name), now_ms=NOW_MS).buckets
        return bucket.left

    def refuse(self, failure: str) -> None:
        self.routing.called("solar", now_ms=NOW_MS, tokens=1, call=1)
        self.routing.failed("solar", failure, now_ms=NOW_MS, call=1)


def test_what_is_left_is_learnt_at_the_start_for_all_models_of_the_account(
    service: Service,
) -> None:
    chain = Chain(service)
    chain.read(NOW_MS)
    assert service.asked == [("/v1/key", f"Bearer {KEY}")]
    assert chain.left("polar") == chain.left("solar") == 38


def test_a_larger_account_is_not_held_to_the_limit_of_a_small_one(service: Service) -> None:
    day = {"limit": 1_000, "used": 10, "remaining": 990}
    service.document = {"data": {"free_model_daily_requests": day}}
    chain = Chain(service)
    chain.read(NOW_MS)
    assert chain.left("solar") == 990


@pytest.mark.parametrize("failure", ["rate_limited", "no_credit", "quota_day"])
def test_it_is_asked_again_after_a_refusal_and_not_more_often_than_every_five_minutes(
    service: Service, failure: str
) -> None:
    chain = Chain(service)
    chain.read(NOW_MS, NOW_MS + ASK_AGAIN_MS)
    assert len(service.asked) == 1, "nothing was refused"
    chain.refuse(failure)
    chain.read(NOW_MS + 1, NOW_MS + ASK_AGAIN_MS - 1)
    assert len(service.asked) == 1, "too soon"
    chain.read(NOW_MS + ASK_AGAIN_MS, NOW_MS + ASK_AGAIN_MS + 1)
    assert len(service.asked) == 2
    chain.refuse(failure)
    chain.refuse(failure)
    chain.read(*(NOW_MS + ASK_AGAIN_MS + 1_000 * each for each in range(9)))
    assert len(service.asked) == 2


def test_failures_that_are_no_refusals_ask_nothing(service: Service) -> None:
    chain = Chain(service)
    chain.read(NOW_MS)
    chain.refuse("slow")
    chain.read(NOW_MS + 2 * ASK_AGAIN_MS)
    assert len(service.asked) == 1


@pytest.mark.promise("honest")
@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_a_service_that_does_not_tell_does_no_harm_and_the_key_stays_hidden(
    service: Service, status: int
) -> None:
    service.status, service.document = status, {"error": {"message": f"bad key {KEY}"}}
    chain = Chain(service)
    with capture_logs() as logs:
        chain.read(NOW_MS)
    assert chain.left("polar") == 50, "what the catalogue says still holds"
    assert len(logs) == 1
    assert KEY not in json.dumps(logs)


def test_nobody_there_does_no_harm_either(service: Service) -> None:
    chain = Chain(service)
    service.server.socket.close()
    chain.client._endpoints["polar"] = Endpoint("http://127.0.0.1:9/v1", "m", quota_path="key")
    chain.read(NOW_MS)
    assert chain.left("polar") == 50


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"data": None},
        {"data": {"limit": 5, "limit_remaining": 4}},
        {"data": {"free_model_daily_requests": 50}},
        {"data": {"free_model_daily_requests": {"limit": "50", "remaining": 3}}},
        {"data": {"free_model_daily_requests": {"limit": True, "remaining": 3}}},
        {"data": {"free_model_daily_requests": {"limit": 0, "remaining": 0}}},
        {"data": {"free_model_daily_requests": {"limit": 5.5, "remaining": 3}}},
    ],
)
def test_what_is_not_as_documented_teaches_nothing(document: dict[str, Any]) -> None:
    assert free_day_in(document) == ()


def test_a_day_that_is_overdrawn_is_spent() -> None:
    document = {"data": {"free_model_daily_requests": {"limit": 50, "used": 53, "remaining": -3}}}
    assert free_day_in(document) == (Limit("requests", DAY_MS, 50, 0),)


def test_free_models_of_an_account_are_asked_about_once_and_paid_ones_never(tmp_path: Any) -> None:
    entry = '{"provider": "openrouter", "model": "%s", "api_key_env": "%s"}'
    listed = ", ".join(
        entry % one for one in [("a:free", "K1"), ("b:free", "K1"), ("c", "K1"), ("d:free", "K2")]
    )
    settings = config.load(
        {"data_dir": tmp_path},
        {"SYNAPSE_MODELS": f"[{listed}]", "K1": "one", "K2": "two"},
        tmp_path,
    )
    found = models.build(settings, lambda: NOW_MS)
    assert found.metered == ("openrouter-1", "openrouter-4")
