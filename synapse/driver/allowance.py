"""How often an endpoint may still be asked: so many calls a day, and rests after failures.

The day is that of UTC. What is used of it outlives a restart, in a small file that is a convenience
and not a truth: when it is missing or nonsense, the day begins anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import structlog

from synapse.core.errors import ProviderError
from synapse.core.reasoning.cooling import DAY_MS, FAILURES, HOUR_MS, MINUTE_MS

QUESTIONS_PART: Final = 4  # filling leaves one in so many calls to questions; no source
BYTES_MAX: Final = 1_024
_DOUBLINGS_MAX: Final = 6  # from a minute past an hour

_log = structlog.get_logger(__name__)


class Allowance:
    """Counts calls and failures. Times are wall-clock milliseconds."""

    def __init__(self, file: Path, *, calls_per_day: int) -> None:
        """At least one call a day."""
        self._file = file
        self._calls_per_day = calls_per_day
        self._filling = calls_per_day - calls_per_day // QUESTIONS_PART
        self._day, self.calls = self._read()
        self._saved = (self._day, self.calls)
        self._failures_in_a_row = 0
        self._rests_until_ms = 0

    def wait_ms(self, now_ms: int, *, question: bool) -> int:
        """How long until one more call may be made, 0 for now."""
        self._turn(now_ms)
        used_up = self._calls_per_day if question else self._filling
        spent_ms = DAY_MS - now_ms % DAY_MS if self.calls >= used_up else 0
        return max(spent_ms, self.rest_ms(now_ms))

    def rest_ms(self, now_ms: int) -> int:
        """How long it rests after failures, whatever the day has left."""
        return max(0, self._rests_until_ms - now_ms)

    @property
    def share_ms(self) -> int:
        """The part of a day that one call of filling stands for."""
        return DAY_MS // self._filling

    def called(self, now_ms: int) -> None:
        """A call was made: whether it succeeds or not, it counts."""
        self._turn(now_ms)
        self.calls += 1

    def succeeded(self) -> None:
        """A call gave what it should."""
        self._failures_in_a_row = 0

    def failed(self, error: ProviderError, now_ms: int) -> None:
        """Rest for a minute, doubling to an hour: nobody waits, and asking in vain is free. A spent
        quota rests for the day, and longer waits that are asked for are believed as models' are.
        One text that is refused says nothing about the next."""
        if error.failure in ("request", "refused"):
            return
        doublings = min(self._failures_in_a_row, _DOUBLINGS_MAX)
        self._failures_in_a_row += 1
        rest_ms = min(MINUTE_MS << doublings, HOUR_MS)
        if error.failure == "quota_day" or error.retry_after_ms is not None:
            asked_ms = FAILURES[error.failure].rest_ms(
                self._failures_in_a_row,
                asked_ms=error.retry_after_ms,
                day_left_ms=DAY_MS - now_ms % DAY_MS,
            )
            rest_ms = max(rest_ms, asked_ms)
        self._rests_until_ms = now_ms + rest_ms

    @property
    def unsaved(self) -> bool:
        """Whether there is something to write down."""
        return (self._day, self.calls) != self._saved

    def save(self) -> None:
        """Write down what changed; a full disk is only logged. Blocks."""
        if self.unsaved:
            now = (self._day, self.calls)
            try:
                fresh = self._file.with_suffix(".new")
                fresh.write_text(json.dumps({"day": now[0], "calls": now[1]}), encoding="utf-8")
                fresh.replace(self._file)
                self._saved = now
            except OSError as error:
                _log.warning("allowance_not_saved", problem=error.strerror)

    def _turn(self, now_ms: int) -> None:
        if now_ms // DAY_MS != self._day:
            self._day, self.calls = now_ms // DAY_MS, 0

    def _read(self) -> tuple[int, int]:
        try:
            saved = json.loads(self._file.read_bytes()[:BYTES_MAX])
            day, calls = saved["day"], saved["calls"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return 0, 0
        proper = isinstance(day, int) and isinstance(calls, int) and calls >= 0
        return (day, calls) if proper else (0, 0)
