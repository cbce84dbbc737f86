"""How much memory a spore takes: one setting, shared out among the parts that would take more.

The interpreter, its libraries and the tables of a spore without many peers take a fixed amount. The
rest goes to caches, to mail for peers, and to the pages of mapped files (the index, the keys that
peers compare), which are given back above their share: the system still has them, and reading them
again costs microseconds. While searches go on, pages may take what others of
the rest leave. Unless the setting is made, pages and copied lists may outgrow their
shares with the index, past a million memories, as far as the machine has plenty.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from synapse.retrieval.directory import HEADS_BYTES_MAX

MB: Final = 1_000_000
FIXED_MB: Final = 200  # anonymous memory at a million, measured by `synapse bench spore`
LEAST_MB: Final = 288  # of what can be set: some pages and caches must be left
DEFAULT_MAX_MB: Final = 384  # a million memories are held, and searched as fast as with more
DEFAULT_PART: Final = 5  # of the machine: a spore is not alone on it
LISTS_PART: Final = 64  # of the machine, for lists of the index that are copied
CACHE_BYTES_MAX: Final = 64 * MB  # beyond, the system's own cache of the file does as well

SWITCH_S: Final = 0.001  # Python's own is 5 ms: what the event loop waits for a busy thread
ARENAS_MAX: Final = 2  # heaps of glibc, which otherwise makes eight a core and empties none
MAPPED_BYTES_MIN: Final = 1 << 20  # blocks so large go back to the system when they are freed
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of mallopt(3)


@dataclass(frozen=True, slots=True)
class Shares:
    """Who may have how much. Together with what is fixed they come to the setting."""

    cache_kib: int  # of the log, by the connection that writes; all that read have as much again
    mailboxes_bytes: int  # messages that wait for peers which nobody can dial
    mapped_bytes: int  # pages of files
    mapped_at_once: int  # of them, between two bouts of upkeep: it may take others' shares
    mapped_most: int  # of them, when the index is several times larger
    lists_bytes: int  # what the index copies of the lists that most questions read


def shares(memory_mb: int | None) -> Shares:
    """What becomes of the setting; None: of the default."""
    memory = MB * (default_mb() if memory_mb is None else memory_mb)
    plenty = machine_bytes() if memory_mb is None else 0
    rest = memory - FIXED_MB * MB
    return Shares(
        cache_kib=min(rest // 16, CACHE_BYTES_MAX) // 1_024,
        mailboxes_bytes=rest // 8,
        mapped_bytes=rest // 2,
        mapped_at_once=rest,
        mapped_most=max(rest // 2, plenty // DEFAULT_PART),
        lists_bytes=max(rest // 8, min(plenty // LISTS_PART, HEADS_BYTES_MAX)),
    )


def default_mb(machine: int | None = None) -> int:
    """A fifth of so many bytes, by default of what `machine_bytes` says, within reason."""
    has = machine_bytes() if machine is None else machine
    return max(LEAST_MB, min(DEFAULT_MAX_MB, has // DEFAULT_PART // MB))


def machine_bytes(root: Path = Path("/sys/fs/cgroup")) -> int:
    """What this machine has, or the container we are in, if that has less."""
    try:
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (ValueError, OSError):
        found = [DEFAULT_MAX_MB * DEFAULT_PART * MB]  # the system does not tell
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # control groups, version 2 and 1
        try:
            said = (root / name).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        found += [int(said)] if said.isdecimal() else []  # "max": there is no limit
    return min(found)


def tune() -> None:
    """Settings of the whole process, before it has threads: large blocks that are freed go back to
    the system, and a thread that computes lets the event loop have its turn sooner."""
    sys.setswitchinterval(SWITCH_S)
    if (library := _glibc()) is not None:
        library.mallopt(_M_ARENA_MAX, ARENAS_MAX)
        library.mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)


def settle() -> None:
    """All that is loaded by now stays: the garbage collector need not look through it again, which
    takes a tenth of a second each time, and everything waits meanwhile."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Hand small blocks that were freed to the system. Takes milliseconds; any thread may."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library, when it is one that knows these calls."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") else None
