"""How much memory is left, as a made-up /proc and /sys tell it."""

from __future__ import annotations

import pytest

from synapse.providers.free_memory import free_memory_bytes

GIB = 1024**3


@pytest.fixture
def machine(tmp_path):
    """Writes files below a root, and returns it."""

    def write(**files: str):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


MEMORY = f"MemTotal: {8 * GIB // 1024} kB\nMemAvailable:   {4 * GIB // 1024} kB\nSwapFree: 0 kB\n"


def group(**files: str) -> dict[str, str]:
    return {
        "proc__meminfo": MEMORY,
        "proc__self__cgroup": "0::/a.slice/b\n",
        **{f"sys__fs__cgroup__a.slice__b__memory.{name}": text for name, text in files.items()},
    }


def test_linux_tells_what_is_available(machine):
    assert free_memory_bytes(machine(proc__meminfo=MEMORY)) == 4 * GIB


def test_a_group_without_a_limit_changes_nothing(machine):
    assert free_memory_bytes(machine(**group(max="max\n", current="5\n", stat=""))) == 4 * GIB


def test_the_limit_of_the_group_counts_and_pages_of_files_give_way(machine):
    stat = f"anon 7\nactive_file {GIB // 4}\ninactive_file {GIB // 4}\n"
    root = machine(**group(max=f"{2 * GIB}\n", current=f"{GIB}\n", stat=stat))
    assert free_memory_bytes(root) == 2 * GIB - GIB + GIB // 2


def test_a_group_over_its_limit_has_nothing_left(machine):
    assert free_memory_bytes(machine(**group(max="1000", current="2000", stat=""))) == 0


def test_where_nothing_is_told_the_whole_memory_is_the_bound(tmp_path):
    assert (free_memory_bytes(tmp_path) or 0) > 64 * 1024 * 1024


def test_this_machine_has_some():
    assert (free_memory_bytes() or 0) > 0
