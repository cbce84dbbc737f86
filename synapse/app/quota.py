"""What a restart must not forget of the models: who rests, and what is used of a day's quota.

It is a convenience, not a truth: a file that is missing, torn or nonsense costs a few calls.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import structlog

from synapse.core.reasoning.model_routing import Routing

FILE: Final = "models.json"
BYTES_MAX: Final = 1 << 20  # a thousand targets; more is not ours

_log = structlog.get_logger(__name__)


def save(folder: Path, routing: Routing) -> None:
    """Write down the state of the chain; a full disk is only logged."""
    fresh = folder / f"{FILE}.new"
    try:
        fresh.write_text(json.dumps(routing.snapshot()), encoding="utf-8")
        fresh.replace(folder / FILE)
    except OSError as error:
        _log.warning("quota_not_saved", problem=error.strerror)


def restore(folder: Path, routing: Routing, *, now_ms: int) -> None:
    """Take up what was written down, as far as it can be read."""
    file = folder / FILE
    try:
        saved = json.loads(file.read_bytes()) if file.stat().st_size <= BYTES_MAX else {}
    except (OSError, ValueError):
        return
    if isinstance(saved, dict):
        routing.restore(saved, now_ms)
