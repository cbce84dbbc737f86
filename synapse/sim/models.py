"""Language models as the core meets them: right or wrong, slow, broken, or out of quota."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from random import Random
from typing import Final

from synapse.core.effects import CallModel, ModelRequest
from synapse.core.events import Limit, ModelFailed, ModelReplied
from synapse.core.reasoning.model_routing import EXTRACTIVE, Target

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
_SUM: Final = re.compile(r"(\d+) \+ (\d+)")

Answer = tuple[int, ModelReplied | ModelFailed]
"""After how many milliseconds, and what."""


@dataclass(slots=True)
class Account:
    """What a vendor lets one account do, over all hosts that use it. None: as much as they like.

    Its days begin at `midnight_ms` of virtual time and every 24 hours from there. `stated`: spores
    know its limits before they first ask.
    """

    calls_a_minute: int | None = None
    calls_a_day: int | None = None
    midnight_ms: int = 0
    stated: bool = False
    asked: int = 0
    refused: int = 0
    _windows: dict[int, tuple[int, int]] = field(default_factory=dict)  # [length]: number, calls

    def refusal(self, now_ms: int) -> tuple[str, int] | None:
        """Count one call; the failure and the wait in milliseconds when it is one too many."""
        self.asked += 1
        spent: tuple[str, int] | None = None
        for failure, limit, window_ms in self._limits():
            number, calls = self._window(window_ms, now_ms)
            self._windows[window_ms] = number, calls + 1
            if calls >= limit:
                spent = failure, window_ms - (now_ms - self.midnight_ms) % window_ms
        self.refused += spent is not None
        return spent

    def limits(self, now_ms: int) -> tuple[Limit, ...]:
        """What it says of its limits with a reply."""
        return tuple(
            Limit(
                "requests",
                window_ms,
                limit,
                max(0, limit - self._window(window_ms, now_ms)[1]),
                window_ms - (now_ms - self.midnight_ms) % window_ms,
            )
            for _, limit, window_ms in self._limits()
        )

    def _limits(self) -> list[tuple[str, int, int]]:
        both = (
            ("rate_limited", self.calls_a_minute, MINUTE_MS),
            ("quota_day", self.calls_a_day, DAY_MS),
        )
        return [(failure, limit, ms) for failure, limit, ms in both if limit is not None]

    def _window(self, window_ms: int, now_ms: int) -> tuple[int, int]:
        """The number of the window it is in, and the calls counted there."""
        number = (now_ms - self.midnight_ms) // window_ms
        counted = self._windows.get(window_ms, (number, 0))
        return counted if counted[0] == number else (number, 0)


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
        known = self.account.limits(0) if self.account is not None and self.account.stated else ()
        limits = tuple(Limit(one.unit, one.window_ms, one.limit) for one in known)
        return Target(self.name, self.family, account=f"account of {self.name}", limits=limits)

    def answer(self, call: CallModel, rng: Random, *, now_ms: int) -> Answer:
        """What becomes of a call made now."""
        delay_ms = rng.randint(*self.latency_ms)
        if delay_ms > call.timeout_ms:
            return call.timeout_ms, ModelFailed(call.call_id, "slow", "no answer in time")
        spent = self.account.refusal(now_ms) if self.account is not None else None
        if spent is not None:
            return delay_ms // 10, ModelFailed(call.call_id, spent[0], "quota spent", spent[1])
        for failure, share in self.failures:
            if rng.random() < share:
                return delay_ms, ModelFailed(call.call_id, failure, "scripted")
        text = self._text(call.request, rng)
        if text is None:
            return 1, ModelFailed(call.call_id, "refused", "nothing recalled bears on this")
        limits = self.account.limits(now_ms) if self.account is not None else ()
        return delay_ms, ModelReplied(
            call.call_id, text, self.name, self.family, took_ms=delay_ms, limits=limits
        )

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
