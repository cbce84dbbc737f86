"""A whole node that has time to itself."""

from __future__ import annotations

import json
from typing import Any

from synapse.core.effects import CallModel
from synapse.core.memory.record import Record
from synapse.core.reasoning.idle.reports import BandReport
from synapse.core.reasoning.idle.schedule import IdleSettings, Work
from synapse.core.reasoning.model_routing import Target
from synapse.storage.memory_log import MemoryLog
from tests.unit.core.nodes import Table, model, persisted

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
POLAR = model("polar")
BELL = (
    "The bell of Brill was cast in 1740 by Anna Moss.",
    "The bell of Brill cracked in 1851 during a storm.",
    "The bell of Brill was recast in 1853 by the Moss foundry.",
)


def idler(
    *targets: Target, calls_per_day: int = 96, log: MemoryLog | None = None, **idle: Any
) -> Table:
    """One with models, by default the polar one, and as many calls as the bands can use."""
    return Table(
        *(targets or (POLAR,)),
        log=log,
        sync_interval_ms=HOUR_MS,  # nobody is there to compare with
        idle=IdleSettings(calls_per_day, **idle),
    )


def told(table: Table, *texts: str) -> list[bytes]:
    """Memories of different moments."""
    ids = []
    for text in texts:
        table.now_ms += 1_000
        ids.append(table.remember(text))
    return ids


def call_of(table: Table, work: Work, *, within_ms: int = DAY_MS) -> CallModel:
    """Let time pass until this work asks a model; other idle calls stay without an answer."""
    word = {Work.EXPLORING: "worth checking", Work.CONSOLIDATING: "Summarise"}[work]
    for _ in range(within_ms // 60_000):
        for call in table.calls:
            if call.purpose == "idle":
                table.calls.remove(call)
                if word in call.request.question:
                    return call
                answer(table, call)
        table.wait(60_000)
    raise AssertionError(f"{work} asked nobody")


def answer(table: Table, call: CallModel, *claims: Any, said: str = "unknown") -> list[Record]:
    """The model answers an idle call; the records written because of it. A claim is (text, numbers
    of the quotes it cites)."""
    table.now_ms += 1
    body = {
        "answer": said,
        "claims": [{"text": text, "cites": [f"m{n}" for n in cites]} for text, cites in claims],
    }
    effects = table.say(call, json.dumps(body), model="polar-1", family="polar")
    return persisted(effects)


def band(table: Table, work: Work) -> BandReport:
    """What the node says of one work."""
    snapshot = table.node.thinking.idle.snapshot(table.now_ms)
    return next(one for one in snapshot.bands if one.work == work)
