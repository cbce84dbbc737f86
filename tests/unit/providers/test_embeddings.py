"""Vectors from an endpoint: what is sent, what is taken, and what no lie gets past."""

from __future__ import annotations

import asyncio
import json
import math

import httpx
import numpy as np
import pytest
from pydantic import SecretStr

from synapse.core.errors import ProviderError
from synapse.providers.embeddings import DIMENSIONS_MAX, EmbeddingEndpoint, vectors_in
from synapse.providers.endpoint import Endpoint
from tests.latent import reply
from tests.unit.providers.asking import KEY, NOW_MS, URL, response


class Server:
    """Answers every call with one response, and keeps what it was sent."""

    def __init__(self, answer: httpx.Response | Exception) -> None:
        self._answer = answer
        self.requests: list[httpx.Request] = []

    def __call__(self, sent: httpx.Request) -> httpx.Response:
        self.requests.append(sent)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def source(server, *, url: str = URL, key: str = KEY, dimensions: int | None = None):
    return EmbeddingEndpoint(
        Endpoint(url, "small-model", api_key=SecretStr(key)),
        httpx.AsyncClient(transport=httpx.MockTransport(server)),
        dimensions=dimensions,
        now_ms=lambda: NOW_MS,
    )


def ask(server, texts=("one", "two"), **about):
    return asyncio.run(source(server, **about).embed(texts, timeout_ms=5_000))


def failure(server, **about) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        ask(server, **about)
    return caught.value


# What is sent and taken


def test_a_batch_is_one_post_with_the_key_and_all_texts():
    server = Server(response(reply([[3, 4], [0, 2]])))
    vectors = ask(server)
    (sent,) = server.requests
    assert (sent.method, str(sent.url)) == ("POST", f"{URL}/embeddings")
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert json.loads(sent.content) == {"model": "small-model", "input": ["one", "two"]}
    assert vectors.tolist() == pytest.approx(np.array([[0.6, 0.8], [0.0, 1.0]]))
    assert vectors.dtype == np.float32


def test_fewer_dimensions_are_asked_for_where_that_is_wanted():
    server = Server(response(reply([[3, 4], [0, 2]])))
    ask(server, dimensions=2)
    assert json.loads(server.requests[0].content)["dimensions"] == 2
    assert failure(server, dimensions=3).failure == "bad_reply"


def test_vectors_are_placed_by_their_numbers():
    document = reply([[1, 0], [0, 1]])
    document["data"].reverse()
    assert vectors_in(document, 2).tolist() == [[1, 0], [0, 1]]


def test_vectors_without_numbers_are_taken_as_they_come():
    document = {"data": [{"embedding": [0, 5]}, {"embedding": [5, 0]}]}
    assert vectors_in(document, 2).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:11434/v1", True),
        ("http://[::1]:8080/v1", True),
        ("http://localhost:8080/v1", True),
        ("http://192.168.1.5:8080/v1", False),
        ("https://127.0.0.1.example.org/v1", False),
        ("https://vectors.example/v1", False),
    ],
)
def test_only_loopback_is_this_machine(url, loopback):
    assert source(Server(response({})), url=url).loopback is loopback


# What is refused

LIES = {
    "no list": {"data": None},
    "nothing": {},
    "too few": reply([[1, 2]]),
    "too many": reply([[1, 2]] * 3),
    "other lengths": reply([[1, 2], [1, 2, 3]]),
    "no entry": {"data": [1, 2]},
    "one number twice": {"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]},
    "numbers beyond": {"data": [{"index": 5, "embedding": [1]}, {"index": 6, "embedding": [1]}]},
    "a true number": {"data": [{"index": True, "embedding": [1]}, {"embedding": [1]}]},
    "texts": {"data": [{"embedding": ["1", "2"]}] * 2},
    "truths": {"data": [{"embedding": [True, False]}] * 2},
    "base64": {"data": [{"embedding": "AAAA"}] * 2},
    "nested": {"data": [{"embedding": [[1, 2], [3, 4]]}] * 2},
    "empty": reply([[], []]),
    "zero": reply([[0, 0], [1, 2]]),
    "not a number": reply([[math.nan, 1], [1, 2]]),
    "infinite": reply([[math.inf, 1], [1, 2]]),
    "past 64 bits": {"data": [{"index": nth, "embedding": [10**400]} for nth in range(2)]},
    "too long": reply([[1.0] * (DIMENSIONS_MAX + 1)] * 2),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_reply_that_is_not_proper_vectors_is_refused(lie):
    assert failure(Server(response(lie))).failure == "bad_reply"


@pytest.mark.parametrize("scale", [1e308, 1e-308, 5e-324])
def test_the_greatest_and_the_smallest_numbers_come_to_length_one(scale):
    vectors = vectors_in(reply([[scale, -scale], [scale, 0]]), 2)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1])


def test_a_reply_longer_than_any_proper_one_is_not_read_to_its_end():
    error = failure(Server(response(b'{"data": [' + b"1," * 3_000_000)))
    assert (error.failure, "longer than" in str(error)) == ("bad_reply", True)


# Failures, as those of models


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, {"error": {"message": f"bad key {KEY}"}}, "auth"),
        (402, {}, "no_credit"),
        (404, {"error": {"message": "model not found"}}, "gone"),
        (429, {"error": {"message": "Rate limit: requests per day"}}, "quota_day"),
        (429, {}, "rate_limited"),
        (400, {"error": {"message": "input is too long"}}, "request"),
        (503, {}, "overloaded"),
        (200, b"<html>", "bad_reply"),
        (302, {}, "unreachable"),
    ],
)
def test_failures_have_the_classes_of_models_and_never_quote_the_key(status, body, expected):
    error = failure(Server(response(body, status=status)))
    assert error.failure == expected
    assert KEY not in str(error)


def test_nobody_there_is_unreachable():
    assert failure(Server(httpx.ConnectError(f"refused {KEY}"))).failure == "unreachable"


def test_a_server_that_does_not_answer_in_time_is_slow():
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def run() -> None:
        await source(never).embed(["one"], timeout_ms=20)

    with pytest.raises(ProviderError) as caught:
        asyncio.run(run())
    assert caught.value.failure == "slow"
