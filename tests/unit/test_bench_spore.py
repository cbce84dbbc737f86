"""What the benchmark of a whole spore is made of: genuine memories, and honest figures."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.filling import filled, identities, seed_of_own, signed
from benchmarks.spore.asking import percentile
from benchmarks.spore.growing import compared, lags
from synapse.core.memory.record import Identity, Record
from synapse.core.memory.record_set import RecordSet
from synapse.storage.sqlite_log import SqliteLog

TEXTS = [f"memory number {number}" for number in range(200)]


def test_what_it_is_filled_with_any_peer_would_take() -> None:
    records = list(signed(TEXTS, identities()))
    for each in records:
        Record.verified(each.header_data, each.signature, each.body)
    taken = RecordSet()
    for each in records:
        assert taken.admit(each, now_ms=each.header.hlc.ms).records == (each,)
    assert not taken.frontier.gaps()
    assert not taken.equivocations
    own = len(taken.index(Identity(seed_of_own()).key))
    assert 70 < own < 130, "about half are the spore's own"
    assert len(taken.operators()) == len(identities())


def test_a_folder_is_filled_once(tmp_path: Path) -> None:
    assert filled(tmp_path, 50)
    assert not filled(tmp_path, 50)
    with closing(SqliteLog(tmp_path / "log.db")) as log:
        assert log.counts() == (50, 0)
    with pytest.raises(SystemExit, match="interrupted"):
        filled(tmp_path, 60)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(100)]
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile([3.0], 99) == 3


def test_a_burst_is_held_against_the_rest_around_it() -> None:
    figures = dict(compared("recall", [1.0] * 99 + [10.0], [2.0] * 99 + [30.0]))
    assert figures["recall_burst_p50_ratio"] == 2
    assert figures["recall_burst_p99_ratio"] == 3
    assert figures["recall_burst_max_ms"] == 30


def test_only_the_lag_within_the_burst_counts_and_half_a_line_does_not(tmp_path: Path) -> None:
    file = tmp_path / "spore.lag"
    file.write_text(
        "[1.0, 900.0, 900.0]\n[2.0, 4.0, 1.0]\n[2.5, 8.0, 3.0]\n[3.5, 900.0, 900.0]\n[2."
    )
    figures = dict(lags(file, began_s=1.5, ended_s=3.0))
    assert figures["lag_wall_max_ms"] == 8
    assert figures["lag_own_max_ms"] == 3
