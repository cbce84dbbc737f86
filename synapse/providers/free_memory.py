"""How much memory a process may still take on this machine, as far as the system tells."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

FILE_BYTES_MAX: Final = 65_536  # of what is read; these files have a few kilobytes


def free_memory_bytes(root: Path = Path("/")) -> int | None:
    """What could be taken without swapping, None where nothing is told.

    On Linux that is `MemAvailable`, or what the control group (version 2) leaves, if that is
    less. Elsewhere only the whole memory is told, so only what can never fit is seen.
    """
    found = [one for one in (_available(root), _left_to_the_group(root)) if one is not None]
    return min(found) if found else _whole()


def _available(root: Path) -> int | None:
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1_024 if match else None


def _left_to_the_group(root: Path) -> int | None:
    """The limit of our own group less what it uses; pages of files give way, so do not count."""
    match = re.search(r"^0::/(.*)$", _text(root / "proc/self/cgroup"), re.MULTILINE)
    if not match:
        return None
    group = root / "sys/fs/cgroup" / match[1]
    limit, used = _text(group / "memory.max").strip(), _text(group / "memory.current").strip()
    if not (limit.isdecimal() and used.isdecimal()):  # "max": there is no limit
        return None
    files = re.findall(r"^(?:in)?active_file (\d+)$", _text(group / "memory.stat"), re.MULTILINE)
    return max(0, int(limit) - int(used) + sum(map(int, files)))


def _whole() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX).decode("ascii", "replace")
    except OSError:
        return ""
