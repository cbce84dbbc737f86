"""What headers say of limits, as each provider we know puts it."""

from __future__ import annotations

import pytest

from synapse.core.events import Limit
from synapse.core.reasoning.cooling import DAY_MS, HOUR_MS, MINUTE_MS
from synapse.providers.catalogue import row
from synapse.providers.limits import LIMITS_MAX, MONTH_MS, limits_in
from tests.unit.providers.asking import NOW_MS


def limits(headers, windows_ms=None):
    return limits_in(headers, windows_ms or {}, now_ms=NOW_MS)


def test_requests_of_groq_are_a_days_and_tokens_a_minutes():
    headers = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-limit-tokens": "18000",
        "x-ratelimit-remaining-requests": "14370",
        "x-ratelimit-remaining-tokens": "17997",
        "x-ratelimit-reset-requests": "2m59.56s",
        "x-ratelimit-reset-tokens": "7.66s",
    }
    assert limits(headers, row("groq").windows_ms) == (
        Limit("requests", DAY_MS, 14_400, 14_370, 179_560),
        Limit("tokens", MINUTE_MS, 18_000, 17_997, 7_660),
    )


def test_a_header_that_names_its_window_is_believed_over_the_endpoints_habit():
    cerebras = {
        "x-ratelimit-limit-requests-day": "14400",
        "x-ratelimit-remaining-requests-day": "14399",
        "x-ratelimit-reset-requests-day": "33011.5",
        "x-ratelimit-limit-tokens-minute": "60000",
    }
    assert limits(cerebras, {"requests": MINUTE_MS}) == (
        Limit("requests", DAY_MS, 14_400, 14_399, 33_011_500),
        Limit("tokens", MINUTE_MS, 60_000),
    )


@pytest.mark.parametrize(
    ("name", "unit", "window_ms"),
    [
        ("x-ratelimit-remaining", "requests", MINUTE_MS),
        ("x-ratelimit-remaining-requests", "requests", MINUTE_MS),
        ("x-ratelimit-remaining-req-minute", "requests", MINUTE_MS),  # Mistral
        ("x-ratelimit-remaining-tokens-month", "tokens", MONTH_MS),
        ("x-ratelimit-remaining-tokens-per-day", "tokens", DAY_MS),
        ("x-ratelimit-remaining-requests-1h", "requests", HOUR_MS),
    ],
)
def test_every_name_in_use_has_a_unit_and_a_window(name, unit, window_ms):
    assert limits({name: "7"}) == (Limit(unit, window_ms, None, 7),)


def test_a_reset_may_be_a_time_since_1970_and_is_never_before_now():
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW_MS + 5_000)}  # OpenRouter
    assert limits(headers) == (Limit("requests", MINUTE_MS, None, 0, 5_000),)
    past = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW_MS // 1_000 - 60)}
    assert limits(past)[0].reset_ms == 0


def test_a_reset_without_a_size_says_nothing():
    assert limits({"x-ratelimit-reset-tokens": "7s"}) == ()


@pytest.mark.parametrize("nonsense", ["", "many", "-1", "1e9", "9" * 40, "inf", "1,000"])
def test_what_is_no_number_is_not_read(nonsense):
    assert limits({"x-ratelimit-limit-tokens": nonsense}) == ()
    told = {"x-ratelimit-limit": "5", "x-ratelimit-reset": nonsense}
    assert limits(told) == (Limit("requests", MINUTE_MS, 5),)


def test_other_headers_are_not_read():
    assert limits({"content-length": "5", "x-ratelimit-tokens-query-cost": "52"}) == ()


def test_a_flood_of_windows_is_bounded():
    windows = ["", "-minute", "-hour", "-day", "-month", "-per-day", "-1h"]
    headers = {f"x-ratelimit-limit-{unit}{w}": "5" for unit in ("req", "tokens") for w in windows}
    assert len(limits(headers)) <= LIMITS_MAX
