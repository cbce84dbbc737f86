"""Priority broadcast: once a day, the most novel of our verified findings is shown to everybody."""

from __future__ import annotations

from typing import Final

from synapse.core.memory.memory import FINDING
from synapse.core.memory.record import Draft
from synapse.core.reasoning.cooling import DAY_MS, MINUTE_MS
from synapse.core.reasoning.idle.desk import Desk, Done
from synapse.core.reasoning.idle.measures import marks, novelty
from synapse.core.reasoning.idle.notebook import SPOTLIGHT, Spotlight

PERIOD_MS: Final = DAY_MS - 10 * MINUTE_MS  # a day, less what a clock may be ahead
NEW_MS: Final = 2 * DAY_MS  # the longest time between two runs, and a night switched off
VERIFIED: Final = ("checked", "graded")  # tags of our findings, which say how we know


def announcement(desk: Desk, *, now_ms: int) -> Done:
    """Name the most novel finding since the last time, unless that was less than a day ago."""
    last = desk.notebook.spotlight_of(desk.key)
    since_ms = max(now_ms - NEW_MS, last.at_ms if last is not None else 0)
    if last is not None and last.at_ms > now_ms - PERIOD_MS:
        return Done(reason="said_today")
    pool = desk.recent()
    told = [marks(memory.text) for _, memory in pool]
    scored = [
        (-novelty(told[place], [*told[:place], *told[place + 1 :]]), memory.id)
        for place, (record, memory) in enumerate(pool)
        if record.header.writer == desk.key
        and memory.kind == FINDING
        and any(tag in VERIFIED for tag in memory.tags)
        and memory.created_ms > since_ms
    ]
    if not scored:
        return Done(reason="nothing_new", looked=len(pool))
    score, finding = min(scored)
    draft = Draft(SPOTLIGHT, {"novelty": round(-score, 4)}, refs=(finding,))
    return Done((draft,), looked=len(pool), found=1)


def worth_showing(told: Spotlight, before: Spotlight | None) -> bool:
    """Whether people should hear of it: one a day of each operator, however many it writes."""
    return before is None or told.at_ms >= before.at_ms + PERIOD_MS
