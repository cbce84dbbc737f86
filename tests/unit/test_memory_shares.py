"""How the memory of a spore is shared out."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse.app import memory
from synapse.app.memory import MB, default_mb, shares

GB = 1_000 * MB


@pytest.mark.parametrize(
    ("machine", "expected"),
    [(GB // 2, 288), (1_500 * MB, 300), (2 * GB, 384), (64 * GB, 384)],
)
def test_the_default_is_a_fifth_of_the_machine_within_reason(machine: int, expected: int) -> None:
    assert default_mb(machine) == expected


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("setting", [288, 384, 1_000, 100_000])
def test_the_shares_come_to_no_more_than_the_setting(setting: int) -> None:
    its = shares(setting)
    parts = (
        2 * its.cache_kib * 1_024,
        its.mailboxes_bytes,
        its.mapped_bytes,
        its.lists_bytes,
    )
    assert its.mapped_most == its.mapped_bytes, "what is set is not outgrown"
    assert min(parts) > 0
    assert sum(parts) + memory.FIXED_MB * MB <= setting * MB
    assert its.mapped_at_once + memory.FIXED_MB * MB <= setting * MB


def test_a_container_has_what_its_control_group_allows(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    whole = memory.machine_bytes(tmp_path)
    (tmp_path / "memory.max").write_text("536870912\n")
    assert memory.machine_bytes(tmp_path) == min(whole, 512 << 20)
    (tmp_path / "memory.max").unlink()
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("268435456\n")
    assert memory.machine_bytes(tmp_path) == min(whole, 256 << 20)
