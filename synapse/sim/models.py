"""Language models as the core meets them: right or wrong, slow, broken, or out of quota."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from random import Random
from typing import Final

from synapse.core.effects import CallModel, ModelRequest
from synapse.core.events import ModelFailed, ModelReplied
from synapse.core.reasoning.model_routing import EXTRACTIVE, Target

MINUTE_MS: Final = 60_000
_SUM: Final = re.compile(r"(\d+) \+ (\d+)")

Answer = tuple[int, ModelReplied | ModelFailed]
"""After how many milliseconds, and what."""


@dataclass(slots=True)
class Account:
    """What a vendor lets one account do, over all hosts that use it."""

    calls_a_minute: int
    _minute: int = -1
    _calls: int = 0

    def admits(self, now_ms: int) -> bool:
        """Count one call; whether it is within the quota."""
        minute = now_ms // MINUTE_MS
        if minute != self._minute:
            self._minute, self._calls = minute, 0
        self._calls += 1
        return self._calls <= self.calls_a_minute


@dataclass(frozen=True, slots=True)
class ScriptedModel:
    """A model that adds two numbers, rightly with probability `skill`."""

    name: str
    family: str
    skill: float = 1.0
    latency_ms: tuple[int, int] = (400, 4_000)
    failures: tuple[tuple[str, float], ...] = ()  # (class of failure, share of calls)
    account: Account | None = field(default=None, compare=False)

    @property
    def target(self) -> Target:
        """How the core's routing sees it."""
        return Target(self.name, self.family, account=f"account of {self.name}")

    def answer(self, call: CallModel, rng: Random, *, now_ms: int) -> Answer:
        """What becomes of a call made now."""
        delay_ms = rng.randint(*self.latency_ms)
        if delay_ms > call.timeout_ms:
            return call.timeout_ms, ModelFailed(call.call_id, "slow", "no answer in time")
        if self.account is not None and not self.account.admits(now_ms):
            wait_ms = MINUTE_MS - now_ms % MINUTE_MS
            failed = ModelFailed(call.call_id, "rate_limited", "quota spent", wait_ms)
            return delay_ms // 10, failed
        for failure, share in self.failures:
            if rng.random() < share:
                return delay_ms, ModelFailed(call.call_id, failure, "scripted")
        text = self._text(call.request, rng)
        if text is None:
            return 1, ModelFailed(call.call_id, "refused", "nothing recalled bears on this")
        return delay_ms, ModelReplied(call.call_id, text, self.name, self.family)

    def _text(self, request: ModelRequest, rng: Random) -> str | None:
        if self.family == EXTRACTIVE:
            return _extract(request)
        numbers = _SUM.search(request.question)
        if numbers is None:
            return json.dumps({"answer": "I do not know.", "confidence": 0})
        right = int(numbers[1]) + int(numbers[2])
        said = right if rng.random() < self.skill else right + rng.choice((-10, -1, 1, 10))
        cites = ["m1"] if request.quotes else []
        return json.dumps({"answer": str(said), "cites": cites, "confidence": 0.8})


EXTRACTOR: Final = ScriptedModel(EXTRACTIVE, EXTRACTIVE, latency_ms=(1, 5))


def _extract(request: ModelRequest) -> str | None:
    if not request.quotes:
        return None
    return json.dumps({"answer": request.quotes[0].text, "cites": ["m1"], "confidence": 0.5})
