"""What rests after a failure, and for how long: one row for each class of failure.

The reasons for each row: `docs/decisions/0007-failure-classes.md`. Telling the classes apart, from
the status and the body of a reply, is a provider's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

RETRY_AFTER_MS_MIN: Final = 250
RETRY_AFTER_MS_MAX: Final = DAY_MS  # longer is a mistake of the provider's, or an attack
LIMIT_WAIT_MS_MAX: Final = 10 * MINUTE_MS  # no limit by the minute asks for more; a quota does
DOUBLINGS_MAX: Final = 16  # past every cap below; keeps the shift small


class Scope(StrEnum):
    """What a failure says something about."""

    ACCOUNT = "account"
    KEY = "key"
    MODEL = "model"  # at one provider, through whichever account
    QUOTA = "quota"  # what the provider counts calls by: the account, or the model in it
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Cooling:
    """How long a scope rests: `base_ms`, doubling with each failure in a row, up to `cap_ms`.

    It begins to rest with failure number `after` in a row. `day`: until the provider's day is over.
    """

    scope: Scope
    base_ms: int = 0
    cap_ms: int = 0
    after: int = 1
    day: bool = False

    def rest_ms(self, in_a_row: int, *, asked_ms: int | None, day_left_ms: int) -> int:
        """How long to rest after so many failures; `asked_ms` is the provider's Retry-After."""
        if in_a_row < self.after:
            return 0
        doublings = min(in_a_row - self.after, DOUBLINGS_MAX)
        own_ms = day_left_ms if self.day else min(self.base_ms << doublings, self.cap_ms)
        if asked_ms is None:
            return own_ms
        if self.day and in_a_row > 1:  # seconds, for a day that is spent, are believed once
            return max(own_ms, min(asked_ms, RETRY_AFTER_MS_MAX))
        floor_ms = min(RETRY_AFTER_MS_MIN << doublings, self.cap_ms)  # as is "at once"
        return min(max(asked_ms, floor_ms), RETRY_AFTER_MS_MAX)


# The lengths come from practice: no study that we know of measured them.
FAILURES: Final[Mapping[str, Cooling]] = {
    "rate_limited": Cooling(Scope.QUOTA, 30_000, 10 * MINUTE_MS),
    "quota_day": Cooling(Scope.QUOTA, cap_ms=DAY_MS, day=True),
    "no_credit": Cooling(Scope.ACCOUNT, 30 * MINUTE_MS, 6 * HOUR_MS),
    "auth": Cooling(Scope.KEY, 6 * HOUR_MS, DAY_MS),  # until the key changes, or a probe gets in
    "gone": Cooling(Scope.MODEL, DAY_MS, DAY_MS),
    "request": Cooling(Scope.NOTHING),
    "refused": Cooling(Scope.NOTHING),
    "overloaded": Cooling(Scope.MODEL, 2_000, 5 * MINUTE_MS),
    "slow": Cooling(Scope.MODEL, 10_000, 10 * MINUTE_MS),
    "unreachable": Cooling(Scope.ACCOUNT, 5_000, 5 * MINUTE_MS),  # an account has one address
    "bad_reply": Cooling(Scope.MODEL, MINUTE_MS, MINUTE_MS, after=3),
}
