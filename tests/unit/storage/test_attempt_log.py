"""The ledger of attempts: what every one promises, and what a file survives."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from synapse.core.errors import StorageError, StorageFull
from synapse.ports import Attempt, AttemptTotals
from synapse.storage import attempt_log
from synapse.storage.attempt_log import RECENT_MAX, FileAttemptLog, MemoryAttemptLog

REPLIED = Attempt(
    at_ms=1_000,
    target="groq",
    outcome="ok",
    took_ms=300,
    left_ms=29_700,
    purpose="position",
    task="ab" * 32,
    cycle=1,
    model="llama-3.3-70b",
    family="llama",
    tokens_in=900,
    tokens_out=80,
    tokens_reasoning=20,
    cost_usd=0.25,
)
FAILED = Attempt(
    at_ms=2_000,
    target="groq",
    outcome="rate_limited",
    took_ms=40,
    left_ms=0,
    purpose="synthesis",
    retry_after_ms=1_500,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "attempts.jsonl"


@pytest.fixture(params=["memory", "file"])
def ledger(request, path):
    made = MemoryAttemptLog() if request.param == "memory" else FileAttemptLog(path)
    yield made
    made.close()
    made.close()


def filled(path, *attempts, **limits):
    """A ledger that was written and closed."""
    ledger = FileAttemptLog(path, **limits)
    for attempt in attempts:
        ledger.append(attempt)
    ledger.close()


def numbered(count, target="groq"):
    return [replace(REPLIED, at_ms=number, target=target) for number in range(count)]


# What every ledger promises.


def test_the_latest_attempts_come_first(ledger):
    ledger.append(REPLIED)
    ledger.append(FAILED)
    assert ledger.recent(10) == [FAILED, REPLIED]
    assert ledger.recent(1) == [FAILED]
    assert ledger.recent(0) == []


def test_attempts_on_each_target_are_added_up(ledger):
    for attempt in (REPLIED, FAILED, FAILED, replace(REPLIED, cost_usd=None)):
        ledger.append(attempt)
    ledger.append(replace(REPLIED, target="zai"))
    assert ledger.totals()["groq"] == AttemptTotals(
        calls=4,
        replies=2,
        failures={"rate_limited": 2},
        took_ms=680,
        tokens_in=1_800,
        tokens_out=160,
        tokens_reasoning=40,
        cost_usd=0.25,
        cost_unknown=1,
    )
    assert ledger.totals()["zai"].calls == 1


def test_an_empty_ledger_has_no_totals(ledger):
    assert (ledger.recent(5), dict(ledger.totals())) == ([], {})


def test_threads_may_append_at_once(ledger):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ledger.append, numbered(400)))
    assert ledger.totals()["groq"].calls == 400
    assert {one.at_ms for one in ledger.recent(400)} == set(range(400))


def test_what_is_remembered_is_bounded(ledger, monkeypatch):
    monkeypatch.setattr(attempt_log, "TARGETS_MAX", 2)
    for target in ("a", "b", "c"):
        for attempt in numbered(RECENT_MAX // 2, target):
            ledger.append(attempt)
    assert len(ledger.recent(10 * RECENT_MAX)) == RECENT_MAX
    assert sorted(ledger.totals()) == ["a", "b"]


# What a file survives.


def test_a_ledger_is_read_back_as_it_was_written(path):
    filled(path, REPLIED, FAILED)
    again = FileAttemptLog(path)
    assert again.recent(10) == [FAILED, REPLIED]
    assert again.totals()["groq"].calls == 2
    again.close()
    assert path.stat().st_mode & 0o077 == 0
    assert path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_torn_last_line_is_dropped_and_the_next_row_stands_on_its_own(path, cut):
    filled(path, REPLIED, FAILED)
    os.truncate(path, path.stat().st_size - cut)
    filled(path, replace(FAILED, at_ms=3_000))
    again = FileAttemptLog(path)
    assert [one.at_ms for one in again.recent(10)] == [3_000, 1_000]
    again.close()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"what is this",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"at_ms": 1}',
        b'{"totals": 7}',
        b'{"totals": {"groq": {"calls": "many"}}}',
        json.dumps({"extra": 1}).encode(),
        b"\xff\xfe",
        b"[" * 20_000,
    ],
)
def test_damaged_lines_are_skipped(path, damage):
    filled(path, REPLIED)
    with path.open("ab") as file:
        file.write(damage + b"\n")
    filled(path, FAILED)
    again = FileAttemptLog(path)
    assert again.recent(10) == [FAILED, REPLIED]
    again.close()


def test_a_full_file_is_put_aside_and_nothing_is_uncounted(path):
    bytes_max = 4_000
    filled(path, *numbered(100), bytes_max=bytes_max)
    again = FileAttemptLog(path, bytes_max=bytes_max)
    assert again.totals()["groq"].calls == 100
    latest = [one.at_ms for one in again.recent(100)]
    assert latest == list(range(99, 99 - len(latest), -1))
    assert len(latest) >= 10
    again.close()
    sizes = {file.name: file.stat().st_size for file in path.parent.iterdir()}
    assert set(sizes) == {path.name, f"{path.name}.1"}
    assert max(sizes.values()) < bytes_max + 1_000


def test_a_crash_while_a_file_is_put_aside_loses_nothing(path):
    filled(path, *numbered(10))
    path.rename(path.with_name(f"{path.name}.1"))
    filled(path, replace(REPLIED, at_ms=10))
    again = FileAttemptLog(path)
    assert again.totals()["groq"].calls == 11
    assert again.recent(1)[0].at_ms == 10
    again.close()


def test_a_full_disk_keeps_no_half_a_row(path, monkeypatch):
    ledger = FileAttemptLog(path)
    ledger.append(REPLIED)
    whole_write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda handle, data: whole_write(handle, data[: len(data) // 2]))
        with pytest.raises(StorageFull):
            ledger.append(FAILED)
    ledger.append(replace(FAILED, at_ms=3_000))
    assert [one.at_ms for one in ledger.recent(10)] == [3_000, 1_000]
    ledger.close()
    again = FileAttemptLog(path)
    assert [one.at_ms for one in again.recent(10)] == [3_000, 1_000]
    again.close()


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError):
        FileAttemptLog(tmp_path / "nowhere" / "attempts.jsonl")


def test_a_closed_ledger_takes_nothing_more(path):
    ledger = FileAttemptLog(path)
    ledger.close()
    with pytest.raises(StorageError, match="closed"):
        ledger.append(REPLIED)
