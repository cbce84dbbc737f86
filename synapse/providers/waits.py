"""How long a provider asks us to wait: every form of Retry-After that we have met. Pure.

The longest of all that is asked for counts, since coming back early only earns another refusal.
All times are milliseconds; `now_ms` is the wall clock since 1970, because some waits are dates.
The forms, and who uses them: `docs/evidence.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from email.utils import mktime_tz, parsedate_tz
from typing import Any, Final

from synapse.core.reasoning.cooling import RETRY_AFTER_MS_MAX

TEXT_CHARACTERS_MAX: Final = 100  # of one wait; the longest honest one is an HTTP date

_HEADERS: Final = {"retry-after-ms": 1, "x-ms-retry-after-ms": 1, "retry-after": 1_000}
_FIELDS: Final = {  # of an error body, in lower case without underscores
    "retryafterms": 1,
    "retryafter": 1_000,
    "retryafterseconds": 1_000,
    "retrydelay": 1_000,  # Google's RetryInfo, "5.2s"
}
_RESET: Final = re.compile(r"(x-)?ratelimit-reset(-.+)?")

_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_NUMBER: Final = r"\d{1,15}(?:\.\d{1,15})?"
_UNIT: Final = r"ms|s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:ours?)?|d(?:ays?)?"
_PART: Final = re.compile(rf"({_NUMBER})\s?({_UNIT})", re.IGNORECASE)
_DURATION: Final = rf"(?:{_NUMBER}\s?(?:{_UNIT})\s?)+(?![a-z])"
_SENTENCE: Final = re.compile(
    rf"(?:again|retry|reset|wait) (?:in|after|for) ({_DURATION})", re.IGNORECASE
)
_DATE_MS: Final = 10**12  # as a wait this is 31 years, so it is a time since 1970


def retry_after_ms(
    headers: Mapping[str, str],
    fields: Iterable[tuple[str, Any]],
    words: str,
    *,
    limited: bool,
    now_ms: int,
) -> int | None:
    """The wait asked for, from 0 up to a day; None when nothing was said.

    `headers` has lower-case names; `fields` are the names and values of an error body, `words` its
    text. Resets of limits are read only when it was a rate limit that was hit (`limited`).
    """
    asked = [
        *(_header_ms(headers.get(name, ""), unit_ms, now_ms) for name, unit_ms in _HEADERS.items()),
        *(_field_ms(name, value) for name, value in fields),
        *(_duration_ms(found[1]) for found in _SENTENCE.finditer(words)),
        *(_reset_ms(name, headers, now_ms) for name in headers if limited),
    ]
    waits_ms = [wait_ms for wait_ms in asked if wait_ms is not None]
    return int(min(max(0.0, *waits_ms), RETRY_AFTER_MS_MAX)) if waits_ms else None


def until_reset_ms(text: str, now_ms: int) -> float | None:
    """What is left until a limit opens again: "90" seconds, "6m0s", or a time since 1970."""
    wait_ms = _plain_ms(text, 1_000)
    if wait_ms is None or wait_ms < _DATE_MS:
        return wait_ms
    since_1970_ms = wait_ms if wait_ms < 1_000 * _DATE_MS else wait_ms / 1_000
    return since_1970_ms - now_ms


def _header_ms(text: str, unit_ms: int, now_ms: int) -> float | None:
    """A number, a duration, or what is left until an HTTP date."""
    wait_ms = _plain_ms(text, unit_ms)
    if wait_ms is not None:
        return wait_ms
    try:
        date = parsedate_tz(text[:TEXT_CHARACTERS_MAX])
        return None if date is None else mktime_tz(date) * 1_000 - now_ms
    except (ValueError, OverflowError):  # the 99th of May
        return None


def _field_ms(name: str, value: Any) -> float | None:
    unit_ms = _FIELDS.get(name.lower().replace("_", ""))
    return None if unit_ms is None else _plain_ms(str(value), unit_ms)


def _reset_ms(name: str, headers: Mapping[str, str], now_ms: int) -> float | None:
    """When the limit of this name opens again, unless it has room left: then it was not hit."""
    if not _RESET.fullmatch(name) or headers.get(name.replace("reset", "remaining"), "0") != "0":
        return None
    return until_reset_ms(headers[name], now_ms)


def _plain_ms(text: str, unit_ms: int) -> float | None:
    """How long "2" (of `unit_ms`), "6m0s", "5.289s" or "644ms" is."""
    text = text[:TEXT_CHARACTERS_MAX].strip()
    if re.fullmatch(_NUMBER, text):
        return float(text) * unit_ms
    return _duration_ms(text) if re.fullmatch(_DURATION, text, re.IGNORECASE) else None


def _duration_ms(text: str) -> float:
    return sum(
        float(number) * _UNIT_MS[unit if unit == "ms" else unit[0]]
        for number, unit in _PART.findall(text.lower())
    )
