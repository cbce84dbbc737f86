"""Every form in which a provider says when to come back."""

from __future__ import annotations

import pytest

from synapse.core.reasoning.model_routing import RETRY_AFTER_MS_MAX
from synapse.providers.waits import retry_after_ms
from tests.unit.providers.asking import NOW_MS


def wait(headers=None, fields=(), words="", *, limited=True):
    return retry_after_ms(headers or {}, fields, words, limited=limited, now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("headers", "expected_ms"),
    [
        ({"retry-after": "20"}, 20_000),
        ({"retry-after": "1.5"}, 1_500),
        ({"retry-after": "Sat, 21 Nov 2026 00:01:00 GMT"}, 60_000),
        ({"retry-after": "Sat, 21 Nov 2026 01:01:00 +0100"}, 60_000),
        ({"retry-after": "Fri, 20 Nov 2026 23:00:00 GMT"}, 0),
        ({"retry-after-ms": "250"}, 250),
        ({"x-ms-retry-after-ms": "750"}, 750),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360_000),
        ({"x-ratelimit-reset-tokens": "7.66s"}, 7_660),
        ({"x-ratelimit-reset-tokens": "12ms"}, 12),
        ({"x-ratelimit-reset": "90"}, 90_000),
        ({"x-ratelimit-reset": str(NOW_MS + 5_000)}, 5_000),
        ({"x-ratelimit-reset": str(NOW_MS // 1_000 + 5)}, 5_000),
        ({"ratelimit-reset": "3"}, 3_000),
    ],
)
def test_a_header_says_how_long_to_wait(headers, expected_ms):
    assert wait(headers) == expected_ms


@pytest.mark.parametrize(
    ("field", "expected_ms"),
    [
        (("retry_after", 7), 7_000),
        (("retry_after", "7"), 7_000),
        (("retry_after_seconds", 2.5), 2_500),
        (("retry_after_ms", 40), 40),
        (("retryDelay", "5.2s"), 5_200),
    ],
)
def test_a_field_of_the_body_says_how_long_to_wait(field, expected_ms):
    assert wait(fields=[("code", 429), field]) == expected_ms


@pytest.mark.parametrize(
    ("words", "expected_ms"),
    [
        ("Limit 6000, Used 0. Please try again in 5.289s. Visit https://…", 5_289),
        ("Please try again in 9m38.016s. Need more tokens?", 578_016),
        ("Used 29937, Requested 385. Please try again in 644ms.", 644),
        ("Please retry after 20 seconds.", 20_000),
        ("Please retry in 1 minute", 60_000),
        ("Your limit will reset in 1h2m3s", 3_723_000),
    ],
)
def test_a_sentence_says_how_long_to_wait(words, expected_ms):
    assert wait(words=words) == expected_ms


def test_the_longest_wait_that_was_asked_for_counts():
    assert wait({"retry-after": "2"}, [("retry_after", 9)], "try again in 5s") == 9_000


def test_a_limit_with_room_left_is_not_the_one_that_was_hit():
    headers = {
        "x-ratelimit-remaining-requests": "14370",
        "x-ratelimit-reset-requests": "2m59s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "7s",
    }
    assert wait(headers) == 7_000


def test_resets_of_limits_mean_nothing_when_no_limit_was_hit():
    assert wait({"x-ratelimit-reset": "90"}, limited=False) is None


def test_no_wait_is_longer_than_a_day():
    assert wait({"retry-after": "999999999"}) == RETRY_AFTER_MS_MAX
    assert wait({"retry-after": "Sat, 21 Nov 2099 00:00:00 GMT"}) == RETRY_AFTER_MS_MAX


@pytest.mark.parametrize(
    "nonsense", ["", "soon", "-5", "inf", "nan", "1e9", "9" * 5_000, "5 months", "Sat, 99 Foo"]
)
def test_nonsense_asks_for_nothing(nonsense):
    headers = {"retry-after": nonsense, "retry-after-ms": nonsense, "x-ratelimit-reset": nonsense}
    assert wait(headers, [("retry_after", nonsense)], f"try again in {nonsense}") is None
