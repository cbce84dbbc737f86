"""New files, whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synapse.core.errors import StorageError
from synapse.storage.sqlite_file import translated


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A file to fill, for one pair of eyes. It becomes `target` when all went well, and is removed
    when not. Raises StorageError, StorageFull, also for what goes wrong while it is filled."""
    if target.exists():
        raise StorageError(f"{target} exists; it was left as it is: name a new file")
    partial = target.with_name(f"{target.name}.partial")
    with translated(target):
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    try:
        with translated(target):
            yield partial
            _flush(partial)
            os.replace(partial, target)
            _flush(target.parent)
    finally:
        for left in (partial, partial.with_name(f"{partial.name}-journal")):
            left.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
