"""What keeps us from asking again what has just failed: closed, open until a time, half-open.

A breaker stands for one thing that can fail: an account, a key, a model, a quota. Open, nobody
behind it is asked. Once its time is up it is half-open: one call, the probe, finds out for all,
and while that is in flight the others treat it as open. The state pattern is Nygard's ("Release
It!", 2007). Pure: times are arguments, in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

BAD_REPLY: Final = "bad_reply"  # the one failure that is seen only after a reply has come


@dataclass(frozen=True, slots=True, eq=False)
class Flight:
    """A call that was made and has not ended. Past `lost_ms` nobody will tell us of its end."""

    target: str
    call: int | None
    started_ms: int
    expected_ms: int  # when it should end, going by the calls before it
    lost_ms: int
    tokens: int  # the estimate it was let through with


@dataclass(slots=True)
class Breaker:
    """The rest of one scope. `until_ms` is 0 when closed."""

    until_ms: int = 0
    reason: str = ""
    _in_a_row: dict[str, int] = field(default_factory=dict)  # by class of failure
    _probe: Flight | None = None

    def is_open(self, now_ms: int) -> bool:
        """Whether nobody may be asked."""
        return self.until_ms > now_ms

    def is_half_open(self, now_ms: int) -> bool:
        """Whether the rest is over and nothing has been heard since."""
        return 0 < self.until_ms <= now_ms

    def probe(self, now_ms: int) -> Flight | None:
        """The call that others wait for."""
        return self._probe if self._probe is not None and self._probe.lost_ms > now_ms else None

    def in_a_row(self, failure: str) -> int:
        """How often it has failed so since the last reply."""
        return self._in_a_row.get(failure, 0)

    def departed(self, flight: Flight, *, now_ms: int) -> None:
        """A call goes through: the probe, if one is due."""
        if self.is_half_open(now_ms) and self.probe(now_ms) is None:
            self._probe = flight

    def landed(self, flight: Flight | None) -> bool:
        """A call has ended, however: whether it was the probe."""
        if flight is None or self._probe is not flight:
            return False
        self._probe = None
        return True

    def replied(self, *, probe: bool, now_ms: int) -> None:
        """A call was answered. While resting that says nothing: it was made before."""
        if self.until_ms and not (probe and self.is_half_open(now_ms)):
            return
        self.until_ms, self.reason = 0, ""
        self._in_a_row = {BAD_REPLY: count} if (count := self.in_a_row(BAD_REPLY)) else {}

    def understood(self) -> None:
        """A reply made sense: only that ends a row of bad ones."""
        self._in_a_row.pop(BAD_REPLY, None)

    def failed(self, failure: str, *, now_ms: int) -> int:
        """Count a failure; how many in a row it makes.

        Calls that were in flight together fail together, for one reason: they count once.
        """
        known = self.is_open(now_ms) and self.reason == failure
        count = self.in_a_row(failure) + (0 if known else 1)
        self._in_a_row[failure] = count
        return count

    def rest(self, failure: str, *, until_ms: int, in_a_row: int) -> None:
        """Open until then, unless it rests for longer anyway."""
        self._in_a_row[failure] = in_a_row
        if until_ms > self.until_ms:
            self.until_ms, self.reason = until_ms, failure
