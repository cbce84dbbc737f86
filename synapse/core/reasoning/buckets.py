"""How much may still be asked before a provider would refuse: counted before the wire.

A pool is what a provider counts together: one model of an account, or all that share its quota.
It holds a bucket for each limit (requests or tokens, in a window) and the calls in flight. A
bucket never lets more through in any window than its limit; windows slide, in sixtieths, except
the day, which is the provider's. Limits come from the catalogue and from what providers say in
their replies. What a provider says is left counts too, because others may use the same account.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from synapse.core.events import Limit
from synapse.core.reasoning.breaker import Flight
from synapse.core.reasoning.cooling import DAY_MS, HOUR_MS, MINUTE_MS

DayEnds = Literal["utc", "pacific"]

# Midnight in California is 8:00 UTC in winter, 7:00 in summer: we wake an hour late in summer, and
# carry no table of time zones.
_MIDNIGHT_MS: Final[Mapping[DayEnds, int]] = {"utc": 0, "pacific": 8 * HOUR_MS}
CLOCK_MS: Final = 5 * MINUTE_MS  # how far our clock and the provider's may be apart; a guess
SLOTS: Final = 60  # to a window: a bucket stays small, and opens at most a sixtieth late
RESERVE: Final = 5  # one part in so many of a day is kept for synthesis and checks
LEARNT_MS: Final = DAY_MS  # how long a limit a provider told us holds; it may have been a mistake
TOO_LARGE_MS: Final = HOUR_MS  # when to look again at a call that fits no empty bucket; a guess
WAIT_MS_MIN: Final = 1_000  # for a call in flight that should have ended by now
WINDOW_MS_MIN: Final = 1_000
WINDOW_MS_MAX: Final = 31 * DAY_MS  # a month, the longest quota we know of
LIMIT_MAX: Final = 10**12  # a thousand times the largest quota we know of
BUCKETS_MAX: Final = 8  # a pool's; providers count requests and tokens by minute, hour, day, month
UNITS: Final = ("requests", "tokens")

_WINDOWS: Final[Mapping[int, str]] = {
    1_000: "second",
    MINUTE_MS: "minute",
    HOUR_MS: "hour",
    DAY_MS: "day",
}


def day_over_ms(now_ms: int, day_ends: DayEnds, *, late_ms: int = 0) -> int:
    """When the provider's day is over for us: `CLOCK_MS` and `late_ms` past its next midnight.

    In that while after a midnight it is the midnight just past, so that a clock which runs ahead
    does not take the last minutes of one day for the whole of the next.
    """
    midnight_ms = _MIDNIGHT_MS[day_ends] + CLOCK_MS + late_ms
    return ((now_ms - midnight_ms) // DAY_MS + 1) * DAY_MS + midnight_ms


@dataclass(frozen=True, slots=True)
class BucketState:
    """One limit, for people and programs. None: not known."""

    unit: str
    window_ms: int
    limit: int | None
    left: int | None


@dataclass(slots=True)
class Bucket:
    """One limit of a pool. `late_ms` is how much later than others we begin a day."""

    unit: str
    window_ms: int
    day_ends: DayEnds = "utc"
    late_ms: int = 0
    stated: int | None = None  # by the catalogue
    learnt: int | None = None  # from the provider
    learnt_until_ms: int = 0
    left: int | None = None  # by the provider's own count, less what we took since
    left_until_ms: int = 0
    _taken: deque[list[int]] = field(default_factory=deque)  # [counts until, how much], in order

    @property
    def name(self) -> str:
        """Such as "requests/day"."""
        return f"{self.unit}/{_WINDOWS.get(self.window_ms, f'{self.window_ms} ms')}"

    def limit(self, now_ms: int) -> int | None:
        """What may be taken in a window."""
        return self.learnt if self.learnt_until_ms > now_ms else self.stated

    def used(self, now_ms: int) -> int:
        """What was taken in the window that ends now."""
        while self._taken and self._taken[0][0] <= now_ms:
            self._taken.popleft()
        return sum(amount for _, amount in self._taken)

    def opens_ms(self, amount: int, *, now_ms: int, urgent: bool) -> int:
        """From when on `amount` may be taken; not later than `now_ms` when it may be now.

        What is not `urgent` leaves the reserve of a day alone.
        """
        opens_ms, used = now_ms, self.used(now_ms)
        limit = self.limit(now_ms)
        kept = 0 if urgent or limit is None or self.window_ms < DAY_MS else limit // RESERVE
        if limit is not None and amount > limit - kept:
            opens_ms = now_ms + TOO_LARGE_MS
        elif limit is not None:
            for until_ms, freed in self._taken:
                if used + amount <= limit - kept:
                    break
                opens_ms, used = until_ms, used - freed
        if self.left is not None and self.left_until_ms > now_ms and self.left - kept < amount:
            opens_ms = max(opens_ms, self.left_until_ms)
        return opens_ms

    def take(self, amount: int, *, now_ms: int) -> None:
        """Count what is being asked now."""
        until_ms = self._counts_until_ms(now_ms)
        if self._taken and self._taken[-1][0] >= until_ms:
            self._taken[-1][1] += amount
        else:
            self._taken.append([until_ms, amount])
        if self.left is not None:
            self.left = max(0, self.left - amount)

    def give_back(self, amount: int, *, taken_ms: int) -> None:
        """What was taken at `taken_ms` was so much too much."""
        until_ms = self._counts_until_ms(taken_ms)
        for entry in self._taken:
            if entry[0] == until_ms:
                entry[1] = max(0, entry[1] - amount)
        if self.left is not None:
            self.left += amount

    def learn(self, said: Limit, *, in_flight: int, now_ms: int) -> None:
        """What the provider said. It may not have counted yet what is in flight."""
        if said.limit is not None and 0 < said.limit <= LIMIT_MAX:
            self.learnt, self.learnt_until_ms = said.limit, now_ms + LEARNT_MS
        if said.remaining is not None and 0 <= said.remaining <= LIMIT_MAX:
            over_ms = self._counts_until_ms(now_ms) - now_ms
            asked_ms = over_ms if said.reset_ms is None else max(0, said.reset_ms)
            self.left = max(0, said.remaining - in_flight)
            self.left_until_ms = now_ms + min(asked_ms, max(over_ms, self.window_ms))

    def state(self, now_ms: int) -> BucketState:
        """For people and programs."""
        limit, used = self.limit(now_ms), self.used(now_ms)
        counts = [] if limit is None else [limit - used]
        if self.left is not None and self.left_until_ms > now_ms:
            counts.append(self.left)
        return BucketState(
            self.unit, self.window_ms, limit, max(0, min(counts)) if counts else None
        )

    def saved(self, now_ms: int) -> dict[str, Any]:
        """All that a restart must not forget, as plain values."""
        self.used(now_ms)
        return {
            "taken": [list(entry) for entry in self._taken],
            "learnt": [self.learnt or 0, self.learnt_until_ms],
            "left": [self.left or 0, self.left_until_ms],
        }

    def restore(self, saved: Mapping[str, Any], *, now_ms: int) -> None:
        """Take up what `saved` gave. What is past, or cannot be, is left out."""
        longest_ms = now_ms + self.window_ms + DAY_MS
        taken = saved.get("taken")
        entries = taken if isinstance(taken, list | tuple) else ()
        pairs = [pair for pair in map(_pair, entries[: 2 * SLOTS]) if pair is not None]
        live = sorted(pair for pair in pairs if now_ms < pair[0] <= longest_ms and pair[1] > 0)
        self._taken = deque(list(pair) for pair in live)
        match _pair(saved.get("learnt")):
            case (limit, until_ms) if 0 < limit <= LIMIT_MAX:
                self.learnt, self.learnt_until_ms = limit, min(until_ms, now_ms + LEARNT_MS)
        match _pair(saved.get("left")):
            case (left, until_ms) if now_ms < until_ms <= longest_ms and 0 <= left <= LIMIT_MAX:
                self.left, self.left_until_ms = left, until_ms

    def _counts_until_ms(self, now_ms: int) -> int:
        """When what is taken now no longer counts: never sooner than the provider forgets it."""
        if self.window_ms == DAY_MS:  # the last minutes of a day count in the next as well
            return day_over_ms(
                now_ms + 2 * CLOCK_MS + self.late_ms, self.day_ends, late_ms=self.late_ms
            )
        slot_ms = max(1, self.window_ms // SLOTS)
        return (now_ms + self.window_ms) // slot_ms * slot_ms + slot_ms


class Pool:
    """The buckets and the calls in flight of what a provider counts together."""

    def __init__(self, *, day_ends: DayEnds, late_ms: int) -> None:
        self.concurrency: int | None = None  # calls at once
        self._day_ends = day_ends
        self._late_ms = late_ms
        self._buckets: dict[tuple[str, int], Bucket] = {}
        self._flights: list[Flight] = []

    def state_limits(self, limits: Sequence[Limit], concurrency: int | None) -> None:
        """What the catalogue says of one more target in this pool; the smallest counts."""
        for said in limits:
            bucket = self._bucket(said)
            if bucket is not None and said.limit is not None:
                bucket.stated = min(said.limit, bucket.stated or said.limit)
        if concurrency is not None:
            self.concurrency = min(concurrency, self.concurrency or concurrency)

    def in_flight(self, now_ms: int) -> int:
        """How many calls have not ended."""
        self._flights = [one for one in self._flights if one.lost_ms > now_ms]
        return len(self._flights)

    def full(self, tokens: int, *, now_ms: int, urgent: bool) -> tuple[int, str] | None:
        """Until when, and by which limit, a call of so many tokens cannot be made."""
        waits: list[tuple[int, str]] = []
        for bucket in self._buckets.values():
            amount = 1 if bucket.unit == "requests" else max(1, tokens)
            opens_ms = bucket.opens_ms(amount, now_ms=now_ms, urgent=urgent)
            if opens_ms > now_ms:
                waits.append((opens_ms, bucket.name))
        if self.concurrency is not None and self.in_flight(now_ms) >= self.concurrency:
            lands_ms = min((one.expected_ms for one in self._flights), default=0)
            waits.append((max(lands_ms, now_ms + WAIT_MS_MIN), "concurrency"))
        return max(waits, default=None)

    def departed(self, flight: Flight) -> None:
        """Count a call that is being made."""
        self._flights.append(flight)
        for bucket in self._buckets.values():
            amount = 1 if bucket.unit == "requests" else flight.tokens
            bucket.take(amount, now_ms=flight.started_ms)

    def land(self, target: str, call: int | None, *, now_ms: int) -> Flight | None:
        """End the flight of this call; of calls without a number, the target's first."""
        self.in_flight(now_ms)
        for number, flight in enumerate(self._flights):
            if flight.target == target and flight.call == call:
                return self._flights.pop(number)
        return None

    def spent(self, flight: Flight, tokens: int, *, now_ms: int) -> None:
        """Correct the estimate of a call by what it used."""
        self._correct("tokens", flight, tokens - flight.tokens, now_ms=now_ms)

    def unasked(self, flight: Flight, *, now_ms: int) -> None:
        """The call never reached the provider, who has not counted it."""
        self._correct("requests", flight, -1, now_ms=now_ms)
        self._correct("tokens", flight, -flight.tokens, now_ms=now_ms)

    def learn(self, said: Limit, *, now_ms: int) -> None:
        """What the provider said of one of its limits. What makes no sense is passed over."""
        self.in_flight(now_ms)
        bucket = self._bucket(said)
        if bucket is not None:
            requests = said.unit == "requests"
            flying = sum(1 if requests else one.tokens for one in self._flights)
            bucket.learn(said, in_flight=flying, now_ms=now_ms)

    def states(self, now_ms: int) -> tuple[BucketState, ...]:
        """Every limit that is known."""
        return tuple(bucket.state(now_ms) for bucket in self._buckets.values())

    def saved(self, now_ms: int) -> list[dict[str, Any]]:
        """All that a restart must not forget, as plain values."""
        return [
            {"unit": unit, "window_ms": window_ms, **bucket.saved(now_ms)}
            for (unit, window_ms), bucket in self._buckets.items()
        ]

    def restore(self, saved: Sequence[Any], *, now_ms: int) -> None:
        """Take up what `saved` gave; what is not understood is left out."""
        for one in saved:
            if isinstance(one, Mapping) and isinstance(one.get("window_ms"), int):
                bucket = self._bucket(Limit(str(one.get("unit")), one["window_ms"]))
                if bucket is not None:
                    bucket.restore(one, now_ms=now_ms)

    def _bucket(self, said: Limit) -> Bucket | None:
        """The bucket of a limit, made when it is new; None when there is no such limit."""
        key = (said.unit, said.window_ms)
        if key not in self._buckets:
            possible = said.unit in UNITS and WINDOW_MS_MIN <= said.window_ms <= WINDOW_MS_MAX
            if not possible or len(self._buckets) >= BUCKETS_MAX:
                return None
            self._buckets[key] = Bucket(*key, self._day_ends, self._late_ms)
        return self._buckets[key]

    def _correct(self, unit: str, flight: Flight, more: int, *, now_ms: int) -> None:
        for bucket in self._buckets.values():
            if bucket.unit == unit and more > 0:
                bucket.take(more, now_ms=now_ms)
            elif bucket.unit == unit and more < 0:
                bucket.give_back(-more, taken_ms=flight.started_ms)


def _pair(value: Any) -> tuple[int, int] | None:
    match value:
        case [int(first), int(second)]:
            return first, second
    return None
