"""What a hosted model does to its callers, each once: how the failure is called, how long it asks
us to wait, and that one call is one request."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from synapse.core.errors import ProviderError
from synapse.core.reasoning.cooling import FAILURES, Scope
from tests.unit.providers.asking import NOW_MS, provider, request, response, saying

GOOGLE_QUOTA = [
    {
        "error": {
            "code": 429,
            "message": "Resource has been exhausted (e.g. check quota).",
            "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}],
        }
    }
]
GROQ_MINUTE = (
    "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_1` on tokens per "
    "minute (TPM): Limit 6000, Used 5800, Requested 900. Please try again in 5.289s."
)


def error(message="no", **more):
    return {"error": {"message": message, **more}}


SCENARIOS = {
    "a limit with a short wait": (
        429,
        error(),
        {"retry-after": "1"},
        ("rate_limited", 1_000),
    ),
    "a limit with a wait of an hour": (
        429,
        error(),
        {"retry-after": "3600"},
        ("quota_day", 3_600_000),
    ),
    "a wait that is a date": (
        429,
        error(),
        {"retry-after": "Sat, 21 Nov 2026 00:00:20 GMT"},
        ("rate_limited", 20_000),
    ),
    "a wait in milliseconds": (
        429,
        error(),
        {"retry-after-ms": "1500"},
        ("rate_limited", 1_500),
    ),
    "a wait as Azure gives it": (
        429,
        error(),
        {"x-ms-retry-after-ms": "800"},
        ("rate_limited", 800),
    ),
    "a wait as Groq gives it": (
        429,
        error(GROQ_MINUTE, type="tokens", code="rate_limit_exceeded"),
        {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "5.2s"},
        ("rate_limited", 5_289),
    ),
    "a reset in minutes": (
        429,
        error(),
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"},
        ("rate_limited", 360_000),
    ),
    "a wait as Google gives it, in an array": (
        429,
        GOOGLE_QUOTA,
        {},
        ("rate_limited", 37_000),
    ),
    "a wait as OpenRouter gives it, in a 200": (
        200,
        error("Provider returned error", code=503, availability={"retry_after": 12}),
        {},
        ("overloaded", 12_000),
    ),
    "a day that is spent": (
        429,
        error("Rate limit exceeded: free-models-per-day", code=429),
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW_MS + 7_200_000)},
        ("quota_day", 7_200_000),
    ),
    "a day that is spent, and no word of when": (
        429,
        error(),
        {"x-ratelimit-remaining": "0"},
        ("quota_day", None),
    ),
    "no credit": (402, error("Insufficient credits"), {}, ("no_credit", None)),
    "no credit, told as a limit": (
        429,
        error("Insufficient balance or no resource package.", code="1113"),
        {},
        ("no_credit", None),
    ),
    "a quota of OpenAI's": (
        429,
        error("You exceeded your current quota", code="insufficient_quota"),
        {"retry-after": "20"},
        ("no_credit", 20_000),
    ),
    "a wrong key": (401, error("Invalid API key"), {}, ("auth", None)),
    "a forbidden key": (403, error("Forbidden"), {}, ("auth", None)),
    "a model that is gone": (404, error("no such model"), {}, ("gone", None)),
    "a free variant that ended": (400, error(code="free_variant_ended"), {}, ("gone", None)),
    "a request that is wrong": (400, error("messages must not be empty"), {}, ("request", None)),
    "a request that is too large": (413, error("too large"), {}, ("request", None)),
    "a request that cannot be understood": (422, error("bad"), {}, ("request", None)),
    "a filter": (400, error("blocked", code="content_filter"), {}, ("refused", None)),
    "an error of the server's": (500, error(), {}, ("overloaded", None)),
    "a busy server": (503, error(), {"retry-after": "4"}, ("overloaded", 4_000)),
    "an overloaded server": (529, error(), {}, ("overloaded", None)),
    "an error page of a proxy": (502, b"<html>Bad gateway</html>", {}, ("overloaded", None)),
    "an error inside a 200": (200, error("slow down", code=429), {}, ("rate_limited", None)),
    "an array of errors inside a 200": (
        200,
        [error("overloaded", code=503)],
        {},
        ("overloaded", None),
    ),
    "a choice that is an error": (
        200,
        {"choices": [{"error": {"code": 502, "message": "upstream"}}]},
        {},
        ("overloaded", None),
    ),
    "a finish that is an error": (
        200,
        {"choices": [{"message": {"content": "half"}, "finish_reason": "error"}]},
        {},
        ("bad_reply", None),
    ),
    "a finish by a filter": (
        200,
        {"choices": [{"message": {"content": "half"}, "finish_reason": "sensitive"}]},
        {},
        ("refused", None),
    ),
    "an empty text": (200, saying(""), {}, ("bad_reply", None)),
    "thoughts and no answer": (
        200,
        {"choices": [{"message": {"content": None, "reasoning_content": "It is Ana."}}]},
        {},
        ("bad_reply", None),
    ),
    "thoughts that never end": (200, saying("<think>It is Ana."), {}, ("bad_reply", None)),
    "a page of a hotel": (200, b"<html>Welcome</html>", {}, ("bad_reply", None)),
    "half a document": (200, b'{"choices": [{"message": {"con', {}, ("bad_reply", None)),
    "a form that the model missed": (
        400,
        error("Failed to generate JSON.", code="json_validate_failed"),
        {},
        ("bad_reply", None),
    ),
}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_a_failure_is_typed_at_once_and_asked_for_once(scenario):
    status, body, headers, expected = scenario
    requests: list[httpx.Request] = []

    def serve(sent: httpx.Request) -> httpx.Response:
        requests.append(sent)
        return response(body, status=status, headers=headers)

    with pytest.raises(ProviderError) as caught:
        asyncio.run(provider(serve).complete("there", request(), timeout_ms=5_000))
    assert (caught.value.failure, caught.value.retry_after_ms) == expected
    assert caught.value.failure in FAILURES
    assert len(requests) == 1


def test_what_a_key_or_an_account_lacks_rests_more_than_one_model():
    """The classes above mean something: what each makes rest is decided in one table."""
    assert FAILURES["auth"].scope is Scope.KEY
    assert FAILURES["no_credit"].scope is Scope.ACCOUNT
    assert FAILURES["quota_day"].day
    assert FAILURES["request"].scope is FAILURES["refused"].scope is Scope.NOTHING


def test_a_server_that_hangs_costs_the_time_of_one_attempt_and_one_request():
    requests = []

    class Hanging(httpx.AsyncBaseTransport):
        async def handle_async_request(self, sent: httpx.Request) -> httpx.Response:
            requests.append(json.loads(sent.content))
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

    with pytest.raises(ProviderError) as caught:
        asyncio.run(provider(Hanging()).complete("there", request(), timeout_ms=20))
    assert caught.value.failure == "slow"
    assert len(requests) == 1
