"""What is left of the models' quotas: kept over a restart, and asked for where a service tells.

Both are conveniences, not truths: a file that is missing, torn or nonsense, and a service that
does not answer, cost a few calls.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import structlog

from synapse.app.models import Models
from synapse.core.errors import ProviderError
from synapse.core.reasoning.cooling import MINUTE_MS
from synapse.core.reasoning.model_routing import Routing

FILE: Final = "models.json"
BYTES_MAX: Final = 1 << 20  # a thousand targets; more is not ours

ASK_TIMEOUT_MS: Final = 10_000  # nobody waits for it
ASK_AGAIN_MS: Final = 5 * MINUTE_MS  # what is told is a minute old at best
REFUSALS: Final = ("rate_limited", "quota_day", "no_credit")  # a 429 or a 402

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


class Meter:
    """Asks services what is left of an account's day: at the start, and after they refused a call,
    but not more often than every `ASK_AGAIN_MS`."""

    def __init__(self, models: Models, routing: Routing) -> None:
        self._models = models
        self._routing = routing
        self._asked: dict[str, tuple[int, int]] = {}  # by target: when, after how many refusals

    async def read(self, now_ms: int) -> None:
        """Ask where it is time to, and teach the chain what is said. Never raises."""
        for name in self._models.metered:
            refusals = self._refusals(name)
            last_ms, seen = self._asked.get(name, (now_ms - ASK_AGAIN_MS, -1))
            if refusals == seen or now_ms - last_ms < ASK_AGAIN_MS:
                continue
            self._asked[name] = (now_ms, refusals)
            assert self._models.client is not None, "there is no target to ask about without one"
            try:
                limits = await self._models.client.free_day(name, timeout_ms=ASK_TIMEOUT_MS)
            except ProviderError as error:
                _log.info("quota_not_told", target=name, failure=error.failure, why=str(error))
                continue
            self._routing.learn(name, limits, now_ms=now_ms)

    def _refusals(self, name: str) -> int:
        """How often the account of this target was refused."""
        pool = self._routing.target(name).pool
        shared = [one for one in self._routing.targets if one.pool == pool]
        failures = [self._routing.state(one).failures for one in shared]
        return sum(one.get(refusal, 0) for one in failures for refusal in REFUSALS)
