"""What every `Provider` promises, asked of each implementation."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from synapse.core.effects import ModelRequest
from synapse.core.errors import ProviderError
from synapse.core.reasoning.model_routing import FAILURES
from synapse.ports import ModelReply, Provider
from synapse.providers.cassettes import Cassette, Identity
from synapse.providers.extractive import Extractive
from synapse.providers.hedging import Hedged
from synapse.providers.scripted import Scripted
from tests.unit.providers.asking import provider, request, response, saying

GOOD = request("Who cast the bell?", ["Ana cast the bell."])
BAD = request("Who baked the bread?", ["Ana cast the bell."])


def over_http() -> Provider:
    def serve(sent: httpx.Request) -> httpx.Response:
        if b"bread" in sent.content:
            return response({"error": {"message": "slow down"}}, status=429)
        return response(saying("Ana did."))

    return provider(serve)


def from_a_script() -> Provider:
    def line(asked: ModelRequest) -> str | ProviderError:
        return ProviderError("slow", "too late") if asked is BAD else "Ana did."

    return Scripted({"there": line})


def streamed() -> Provider:
    def serve(sent: httpx.Request) -> httpx.Response:
        if b"bread" in sent.content:
            piece = {"error": {"code": 429, "message": "slow down"}}
        else:
            piece = {"choices": [{"delta": {"content": "Ana did."}, "finish_reason": "stop"}]}
        body = f"data: {json.dumps(piece)}\n\n".encode()
        return response(body, headers={"content-type": "text/event-stream"})

    return provider(serve)


def hedged() -> Provider:
    return Hedged(over_http(), targets=["there"], now_ms=lambda: 0)


def recorded() -> Provider:
    with tempfile.TemporaryDirectory() as folder:
        tape, who = Path(folder) / "tape.jsonl", {"there": Identity("m", "https://models.example")}

        async def record() -> None:
            recorder = Cassette(over_http(), tape, mode="record", identities=who)
            await recorder.complete("there", GOOD, timeout_ms=5_000)
            with pytest.raises(ProviderError):
                await recorder.complete("there", BAD, timeout_ms=5_000)

        with asyncio.Runner() as runner:
            runner.run(record())
        return Cassette(over_http(), tape, mode="replay-or-fail", identities=who)


Outcome = ModelReply | ProviderError


@dataclass(frozen=True)
class Asked:
    """One kind of provider. Each use makes one, asks it everything at once, and closes it twice."""

    make: Callable[[], Provider]

    def complete(self, *requests: ModelRequest) -> list[Outcome]:
        async def outcome(made: Provider, one: ModelRequest) -> Outcome:
            try:
                return await made.complete("there", one, timeout_ms=5_000)
            except ProviderError as error:
                return error

        made = self.make()

        async def run() -> list[Outcome]:
            outcomes = await asyncio.gather(*(outcome(made, one) for one in requests))
            await made.close()
            await made.close()
            return outcomes

        return asyncio.run(run())


@pytest.fixture(params=[over_http, streamed, from_a_script, hedged, recorded, Extractive])
def asked(request: pytest.FixtureRequest) -> Asked:
    return Asked(request.param)


def test_a_good_request_is_answered_by_a_named_model(asked):
    (reply,) = asked.complete(GOOD)
    assert isinstance(reply, ModelReply)
    assert "Ana" in reply.text
    assert reply.model
    assert reply.family
    assert min(reply.tokens_in, reply.tokens_out) >= 0


def test_a_failure_is_an_error_of_a_known_class_and_never_a_text(asked):
    (error,) = asked.complete(BAD)
    assert isinstance(error, ProviderError)
    assert error.failure in FAILURES
    assert str(error)
    assert error.retry_after_ms is None or error.retry_after_ms >= 0


def test_calls_at_the_same_time_do_not_mix(asked):
    outcomes = asked.complete(GOOD, BAD, GOOD, BAD)
    kinds = [isinstance(one, ModelReply) for one in outcomes]
    assert kinds == [True, False, True, False]


def test_a_provider_that_was_never_asked_can_be_closed(asked):
    assert asked.complete() == []
