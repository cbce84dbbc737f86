"""How often an endpoint may be asked: the day's calls, rests, and what a restart remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse.core.errors import ProviderError
from synapse.core.reasoning.cooling import DAY_MS, HOUR_MS, MINUTE_MS
from synapse.driver.allowance import Allowance

NOON_MS = 20_000 * DAY_MS + DAY_MS // 2


def allowance(folder: Path, calls: int = 8) -> Allowance:
    return Allowance(folder / "calls.json", calls_per_day=calls)


def spend(one: Allowance, calls: int) -> None:
    for _ in range(calls):
        one.called(NOON_MS)


def waits(one: Allowance, now_ms: int = NOON_MS) -> tuple[int, int]:
    return one.wait_ms(now_ms, question=False), one.wait_ms(now_ms, question=True)


def test_filling_leaves_a_quarter_of_the_day_to_questions(tmp_path):
    one = allowance(tmp_path)
    spend(one, 5)
    assert waits(one) == (0, 0)
    spend(one, 1)
    assert waits(one) == (DAY_MS // 2, 0)
    spend(one, 2)
    assert waits(one) == (DAY_MS // 2, DAY_MS // 2)
    assert waits(one, NOON_MS + DAY_MS // 2) == (0, 0)


def test_a_single_call_a_day_is_one(tmp_path):
    one = allowance(tmp_path, 1)
    assert waits(one) == (0, 0)
    spend(one, 1)
    assert waits(one) == (DAY_MS // 2, DAY_MS // 2)


def test_a_restart_does_not_give_the_day_back(tmp_path):
    one = allowance(tmp_path)
    spend(one, 8)
    one.save()
    assert waits(allowance(tmp_path)) == (DAY_MS // 2, DAY_MS // 2)


@pytest.mark.parametrize(
    "nonsense",
    [b"", b"{", b"[]", b'{"day": 1}', b'{"day": 1, "calls": "x"}', b"[" * 2_000, b"\xff"],
)
def test_nonsense_in_the_file_begins_the_day_anew(tmp_path, nonsense):
    (tmp_path / "calls.json").write_bytes(nonsense)
    assert waits(allowance(tmp_path)) == (0, 0)


def test_a_disk_that_cannot_be_written_stops_nothing(tmp_path):
    one = allowance(tmp_path / "nowhere")
    spend(one, 1)
    one.save()
    assert one.calls == 1


def test_rests_double_from_a_minute_to_an_hour_and_end_with_success(tmp_path):
    one = allowance(tmp_path)
    rests = []
    for _ in range(9):
        one.failed(ProviderError("overloaded", "busy"), NOON_MS)
        rests.append(one.rest_ms(NOON_MS))
    assert rests[:4] == [MINUTE_MS, 2 * MINUTE_MS, 4 * MINUTE_MS, 8 * MINUTE_MS]
    assert rests[-1] == HOUR_MS
    one.succeeded()
    one.failed(ProviderError("overloaded", "busy"), NOON_MS + DAY_MS)
    assert one.rest_ms(NOON_MS + DAY_MS) == MINUTE_MS


@pytest.mark.parametrize("failure", ["gone", "auth", "no_credit", "bad_reply", "unreachable"])
def test_what_its_operator_may_mend_is_tried_again_within_the_hour(tmp_path, failure):
    one = allowance(tmp_path)
    one.failed(ProviderError(failure, "not now"), NOON_MS)
    assert one.rest_ms(NOON_MS) == MINUTE_MS


def test_a_spent_quota_rests_for_the_day(tmp_path):
    one = allowance(tmp_path)
    one.failed(ProviderError("quota_day", "enough"), NOON_MS)
    assert waits(one) == (DAY_MS // 2, DAY_MS // 2)


def test_what_the_endpoint_asks_for_is_respected(tmp_path):
    one = allowance(tmp_path)
    one.failed(ProviderError("rate_limited", "slower", retry_after_ms=5 * MINUTE_MS), NOON_MS)
    assert one.rest_ms(NOON_MS) == 5 * MINUTE_MS


@pytest.mark.parametrize("failure", ["request", "refused"])
def test_one_refused_text_says_nothing_about_the_next(tmp_path, failure):
    one = allowance(tmp_path)
    one.failed(ProviderError(failure, "too long"), NOON_MS)
    assert waits(one) == (0, 0)
