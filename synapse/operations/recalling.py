"""What a user asks of a recall, read strictly: a filter that was mistyped must not find everything,
nor nothing, without a word."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from synapse.core.clock import MS_MAX
from synapse.core.errors import Refused
from synapse.core.memory.memory import LABEL_CHARACTERS_MAX
from synapse.core.text import clean
from synapse.driver.gathering import Question
from synapse.ports import Filter
from synapse.replies import Scope

QUERY_BYTES_MAX: Final = 8_192  # a long paragraph; more words than that do not sharpen a search
RESULTS: Final = 10
RESULTS_MAX: Final = 100
TOKENS_MAX: Final = 100_000  # as much as the contexts of models that are in common use
MOMENT_CHARACTERS_MAX: Final = 40  # a time to the nanosecond with its offset has 35

_HEXADECIMAL: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Sought:
    """Which memories are wanted, as it was typed.

    Keys and ids are 64 hexadecimal digits. `since` and `until` are a date, an RFC 3339 time or
    milliseconds since 1970. `limit` None: ten, or with `tokens` as many as fit.
    """

    limit: int | None = None
    kind: str | None = None
    author: str | None = None
    operator: str | None = None
    family: str | None = None
    task: str | None = None
    tag: str | None = None
    scope: Scope | None = None
    since: str | int | None = None
    until: str | int | None = None
    min_score: float = 0.0
    tokens: int | None = None
    exact: bool = False
    why: bool = False
    quarantined: bool = False


def question(query: str, sought: Sought) -> Question:
    """What to ask the index. Raises TextError, and Refused (`filter`, `moment`)."""
    limit = sought.limit if sought.limit is not None else _limit(sought.tokens)
    return Question(
        clean(query, bytes_max=QUERY_BYTES_MAX, name="the query"),
        limit=max(1, min(limit, RESULTS_MAX)),
        wanted=_filter(sought),
        min_score=_amount("min_score", sought.min_score, math.inf),
        tokens_max=None if sought.tokens is None else _tokens(sought.tokens),
        exact=sought.exact,
        why=sought.why,
        quarantined=sought.quarantined,
    )


def moment_ms(name: str, given: str | int | None) -> int | None:
    """Milliseconds since 1970 of a moment as people and programs write it. Raises Refused."""
    if given is None:
        return None
    text = str(given).strip()[: MOMENT_CHARACTERS_MAX + 1]
    if text.isascii() and text.isdigit() and len(text) != len("20261120"):
        at_ms = int(text)
    else:
        at_ms = _written_ms(name, text)
    if not 0 <= at_ms <= MS_MAX:
        raise Refused("moment", f"{name} is before 1970, or too far ahead")
    return at_ms


def _written_ms(name: str, text: str) -> int:
    try:
        at = datetime.fromisoformat(text) if len(text) <= MOMENT_CHARACTERS_MAX else None
    except ValueError:
        at = None
    if at is None:
        raise Refused(
            "moment",
            f"{name} is not a moment: write 2026-11-20, 2026-11-20T09:30:00Z or milliseconds "
            "since 1970",
        )
    if at.tzinfo is None:
        if len(text) > len("2026-11-20"):
            raise Refused("moment", f"{name} does not say in which time zone: end it with Z")
        at = at.replace(tzinfo=UTC)
    return math.floor(at.timestamp() * 1_000)


def _filter(sought: Sought) -> Filter:
    since_ms, until_ms = moment_ms("since", sought.since), moment_ms("until", sought.until)
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise Refused("moment", "since is not before until: nothing lies between them")
    return Filter(
        kind=_label("kind", sought.kind),
        author=_id("author", sought.author),
        tag=_label("tag", sought.tag),
        shared=None if sought.scope is None else sought.scope == "shared",
        operator=_id("operator", sought.operator),
        family=_label("family", sought.family),
        task=_id("task", sought.task),
        since_ms=since_ms,
        until_ms=until_ms,
    )


def _limit(tokens: int | None) -> int:
    return RESULTS if tokens is None else RESULTS_MAX


def _tokens(tokens: int) -> int:
    return int(_amount("tokens", tokens, TOKENS_MAX, least=1))


def _amount(name: str, given: float, most: float, *, least: float = 0.0) -> float:
    if not least <= given <= most or math.isinf(given):
        upper = f" to {most:,.0f}" if math.isfinite(most) else " or more"
        raise Refused("filter", f"{name} is a number, {least:g}{upper}")
    return given


def _id(name: str, given: str | None) -> str | None:
    if given is None:
        return None
    digits = given.strip().lower()
    if len(digits) != 64 or not _HEXADECIMAL.issuperset(digits):
        raise Refused("filter", f"{name} is 64 hexadecimal digits, as results show it")
    return digits


def _label(name: str, given: str | None) -> str | None:
    if given is None:
        return None
    if not given or len(given) > LABEL_CHARACTERS_MAX:
        raise Refused("filter", f"{name} is 1 to {LABEL_CHARACTERS_MAX} characters, or left out")
    return given
