"""What a provider says of its limits in the headers of a reply. Pure.

Two families of names are in use: `x-ratelimit-remaining-tokens`, whose window each provider chooses
(Groq's requests are a day's, OpenAI's a minute's), and `x-ratelimit-remaining-tokens-minute`, which
names it. The first needs the endpoint's word for what a window is; without one it is taken for a
minute, because a limit that opens too early costs one refused call and one that opens too late
costs a day. Headers are a stranger's: what is no number is not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from synapse.core.events import Limit
from synapse.core.reasoning.cooling import DAY_MS, HOUR_MS, MINUTE_MS
from synapse.providers.waits import until_reset_ms

MONTH_MS: Final = 31 * DAY_MS
LIMITS_MAX: Final = 8  # two units over four windows; more is noise

_NAME: Final = re.compile(
    r"x-ratelimit-(limit|remaining|reset)(?:-(requests?|req|tokens))?"
    r"(?:-(?:per-)?(minute|hour|1h|day|month))?"
)
_NUMBER: Final = re.compile(r"(\d{1,15})(?:\.\d{1,15})?")
_WINDOWS_MS: Final[Mapping[str, int]] = {
    "minute": MINUTE_MS,
    "hour": HOUR_MS,
    "1h": HOUR_MS,
    "day": DAY_MS,
    "month": MONTH_MS,
}


def limits_in(
    headers: Mapping[str, str], windows_ms: Mapping[str, int], *, now_ms: int
) -> tuple[Limit, ...]:
    """Every limit of which a size or a rest is told, in a fixed order.

    `headers` has lower-case names. `windows_ms` gives the window of the "requests" and the "tokens"
    whose headers name none; `now_ms` is the wall clock, because some resets are dates.
    """
    told: dict[tuple[str, int], dict[str, int]] = {}
    for name, text in headers.items():
        found = _NAME.fullmatch(name)
        if found is None:
            continue
        part, unit, window = found.groups()
        unit = "tokens" if unit == "tokens" else "requests"
        window_ms = _WINDOWS_MS[window] if window else windows_ms.get(unit, MINUTE_MS)
        value = _reset_ms(text, now_ms) if part == "reset" else _count(text)
        if value is not None:
            told.setdefault((unit, window_ms), {})[part] = value
    return tuple(
        Limit(unit, window_ms, parts.get("limit"), parts.get("remaining"), parts.get("reset"))
        for (unit, window_ms), parts in sorted(told.items())[:LIMITS_MAX]
        if "limit" in parts or "remaining" in parts
    )


def free_day_in(document: Mapping[str, Any]) -> tuple[Limit, ...]:
    """What OpenRouter says of an account's day of free requests, for all its free models together
    (`GET /key`: `data.free_model_daily_requests` has `limit`, `used` and `remaining` of the UTC
    day). Nothing else of that document is read; nothing is told when it is not as expected."""
    data = document.get("data")
    told = data.get("free_model_daily_requests") if isinstance(data, dict) else None
    if not isinstance(told, dict):
        return ()
    limit, remaining = told.get("limit"), told.get("remaining")
    if type(limit) is not int or type(remaining) is not int or limit <= 0:
        return ()
    return (Limit("requests", DAY_MS, limit, max(0, remaining)),)


def _count(text: str) -> int | None:
    found = _NUMBER.fullmatch(text.strip())
    return int(found[1]) if found else None


def _reset_ms(text: str, now_ms: int) -> int | None:
    left_ms = until_reset_ms(text, now_ms)
    return None if left_ms is None else int(min(max(0.0, left_ms), MONTH_MS))
