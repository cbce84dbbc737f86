"""The class of a failure, as each provider we know puts it."""

from __future__ import annotations

import pytest

from synapse.core.reasoning.model_routing import FAILURES
from synapse.providers.failures import MESSAGE_CHARACTERS_MAX, provider_error
from tests.unit.providers.asking import KEY, NOW_MS


def failed(status, document, headers=None):
    return provider_error(status, headers or {}, document, secret=KEY, now_ms=NOW_MS)


def told(message, **more):
    return {"error": {"message": message, **more}}


STATUSES = [
    (302, "unreachable"),
    (400, "request"),
    (401, "auth"),
    (402, "no_credit"),
    (403, "auth"),
    (404, "gone"),
    (408, "slow"),
    (413, "request"),
    (422, "request"),
    (429, "rate_limited"),
    (434, "auth"),
    (498, "overloaded"),
    (500, "overloaded"),
    (502, "overloaded"),
    (503, "overloaded"),
    (504, "overloaded"),
    (529, "overloaded"),
    (200, "bad_reply"),
    (204, "bad_reply"),
]

GROQ_DAY = (
    "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_1` service tier "
    "`on_demand` on tokens per day (TPD): Limit 100000, Used 97050, Requested 3619. Please try "
    "again in 9m38.016s. Upgrade at https://console.groq.com/settings/billing"
)
GROQ_MINUTE = GROQ_DAY.replace("tokens per day (TPD)", "tokens per minute (TPM)")
GEMINI_QUOTA = "You exceeded your current quota, please check your plan and billing details."


def gemini(quota_id):
    violations = [{"quotaMetric": "generate_content_requests", "quotaId": quota_id}]
    details = [{"violations": violations}, {"retryDelay": "5.2s"}]
    error = {"code": 429, "message": GEMINI_QUOTA, "status": "RESOURCE_EXHAUSTED"}
    return [{"error": {**error, "details": details}}]


BODIES = [
    # One 429, many meanings.
    (429, told(GROQ_MINUTE, type="tokens", code="rate_limit_exceeded"), "rate_limited"),
    (429, told(GROQ_DAY, type="tokens", code="rate_limit_exceeded"), "quota_day"),
    (429, gemini("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"), "rate_limited"),
    (429, gemini("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), "quota_day"),
    (
        429,
        told("Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000", code=429),
        "quota_day",
    ),
    (429, told("Rate limit exceeded: free-models-per-min.", code=429), "rate_limited"),
    (429, told("slow", metadata={"limit_source": "openrouter_free_tier_daily"}), "quota_day"),
    (429, told(GEMINI_QUOTA, type="insufficient_quota", code="insufficient_quota"), "no_credit"),
    (429, told("Insufficient balance or no resource package.", code="1113"), "no_credit"),
    (429, told("余额不足或无可用资源包,请充值。", code="1113"), "no_credit"),
    (429, {"code": "x", "error": "Your team has used all available credits"}, "no_credit"),
    (429, told("Account has violation, please contact customer service"), "auth"),
    # A status that is too coarse.
    (400, {"code": "x", "error": "Incorrect API key provided: sk***YA."}, "auth"),
    (400, told("API key not valid. Please pass a valid API key.", code=400), "auth"),
    (400, told("The response was filtered", code="content_filter"), "refused"),
    (400, told("no such thing", code="model_not_found"), "gone"),
    (400, told("Your credit balance is too low"), "no_credit"),
    (400, told("For this model, temperature is deprecated"), "request"),
    (400, told("Failed to generate JSON.", code="json_validate_failed"), "bad_reply"),
    (403, told("Your newly created team doesn't have any credits yet"), "no_credit"),
    (403, told("Your input was flagged", metadata={"reasons": ["violence"]}), "refused"),
    (403, told("Project does not have access", code="model_not_found"), "gone"),
    (413, told("Request too large on tokens per minute", code="rate_limit_exceeded"), "request"),
    (422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required"}]}, "request"),
    (502, told("slow down", code=429), "rate_limited"),
    # An error inside a 200.
    (200, told("slow down", code=429), "rate_limited"),
    (200, told("slow down", code="429"), "rate_limited"),
    (200, told("Provider returned error", code=502), "overloaded"),
    (200, told("Too many requests"), "rate_limited"),
    (200, told("free-models-per-day"), "quota_day"),
    (200, told("Insufficient credits"), "no_credit"),
    (200, told("Invalid API key"), "auth"),
    (200, told("flagged by moderation"), "refused"),
    (200, told("The model `m` has been deprecated"), "gone"),
    (200, told("The engine is currently overloaded"), "overloaded"),
    (200, told("something else"), "bad_reply"),
    (200, {"error": "model 'm' not found"}, "gone"),
    (200, {"object": "error", "message": "rate limit", "code": None}, "rate_limited"),
]


@pytest.mark.parametrize(("status", "failure"), STATUSES)
def test_a_status_alone_has_a_class(status, failure):
    assert failed(status, None).failure == failure


@pytest.mark.parametrize(("status", "document", "failure"), BODIES)
def test_the_body_says_what_the_status_does_not(status, document, failure):
    assert failed(status, document).failure == failure


def test_every_class_is_one_that_the_chain_knows():
    classes = {failed(status, document).failure for status, document, _ in BODIES}
    assert classes | {failure for _, failure in STATUSES} == set(FAILURES)


@pytest.mark.parametrize(
    ("headers", "failure"),
    [
        ({"retry-after": "600"}, "rate_limited"),
        ({"retry-after": "3600"}, "quota_day"),
        ({"x-ratelimit-remaining": "0"}, "quota_day"),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}, "rate_limited"),
    ],
)
def test_a_long_or_unknown_wait_for_a_used_up_limit_is_a_spent_day(headers, failure):
    assert failed(429, told("no"), headers).failure == failure


def test_the_wait_is_read_from_wherever_it_is_said():
    broker = {"metadata": {"headers": {"X-RateLimit-Reset": str(NOW_MS + 3_000)}}}
    assert failed(429, told(GROQ_DAY)).retry_after_ms == 578_016
    assert failed(429, gemini("GenerateRequestsPerMinute"), {}).retry_after_ms == 5_200
    assert failed(429, told("no", **broker)).retry_after_ms == 3_000
    assert failed(503, told("busy"), {"retry-after": "4"}).retry_after_ms == 4_000
    assert failed(503, told("busy")).retry_after_ms is None


@pytest.mark.parametrize(
    "document",
    [
        told(f"Incorrect API key provided: {KEY}"),
        told(f"{KEY[:10]}\x00{KEY[10:]} is wrong"),
        {"error": KEY},
        {"detail": f"Bearer {KEY}"},
        {"detail": [{"input": {"authorization": KEY}}]},
        told("x" * (MESSAGE_CHARACTERS_MAX - 10) + KEY),
    ],
)
def test_the_key_is_cut_out_of_what_a_provider_says_about_it(document):
    error = failed(401, document)
    shown = f"{error} {error!r}"
    assert KEY not in shown
    assert KEY[:12] not in shown


def test_a_message_is_one_line_of_bounded_length_that_utf8_can_hold():
    message = str(failed(500, told("so\nlong \ud800" * 1_000)))
    assert len(message) <= MESSAGE_CHARACTERS_MAX
    assert "\n" not in message
    assert message.encode()


def test_strange_error_bodies_still_have_a_class():
    deep: dict[str, object] = {}
    for _ in range(500):
        deep = {"error": deep, "code": [[], None, True]}
    for document in (deep, [], [[]], "text", 7, {"error": {"code": {}, "metadata": []}}):
        assert failed(500, document).failure == "overloaded"
