"""One spore as it sees itself. Pure: reads the driver and its node, changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from synapse import __version__
from synapse.core.memory.record import MEMORY
from synapse.driver.driver import Driver
from synapse.operations import quantum, rendering
from synapse.replies import (
    AttemptView,
    BandView,
    CognitionView,
    Health,
    IndexHealth,
    Providers,
    VectorClockView,
)

ATTEMPTS_SHOWN: Final = 50


def health(driver: Driver, *, started_ms: int) -> Health:
    """How this spore is."""
    ledger, now_ms = driver.node.ledger, driver.clock()
    records = ledger.records
    shared, private = memory_counts(driver)
    tasks = list(ledger.tasks)
    outcomes = [task.outcome for task in tasks if task.outcome is not None]
    supports = [one.support for one in outcomes if one.support is not None]
    own = len(records.index(driver.node.key))
    families = driver.node.thinking.routing.families()
    stalled = driver.stalled
    last = _last_position(driver)
    return Health(
        status="stalled" if stalled else "ok" if driver.indexer.filled else "starting",
        problem=str(stalled) if stalled is not None else None,
        spore=driver.node.settings.name,
        id=driver.node.key.hex(),
        version=__version__,
        role="spore",
        model=families[0] if families else "extractive",
        records=len(records),
        records_by_kind=rendering.rounded(records.counts_by_kind),
        fingerprint=records.fingerprint().hex(),
        memories=shared + private,
        memories_private=private,
        memories_collective=shared,
        peers=[peer.key.hex() for peer in driver.node.peers],
        peers_alive=len(driver.node.peers.alive(now_ms=now_ms)),
        refused=rendering.rounded(ledger.refused),
        parked=records.parked,
        equivocations=sum(records.equivocations.values()),
        clock=clock_view(driver),
        index=IndexHealth(memories=len(driver.index), complete=driver.indexer.filled),
        active_tasks=len(tasks) - len(outcomes),
        converged_tasks=len(outcomes),
        cycles=sum(outcome.cycles for outcome in outcomes),
        deltas_produced=own,
        deltas_received=len(records) - own,
        confidence=sum(supports) / len(supports) if supports else 0.0,
        uptime=rendering.uptime(now_ms - started_ms),
        uptime_ms=now_ms - started_ms,
        last_provider=last[0],
        last_model=last[1],
        last_tier="",
        sce=cognition(driver),
        quantum=quantum.settings(driver),
    )


def providers(driver: Driver, notes: Mapping[str, str]) -> Providers:
    """Every model this spore may ask; `notes` are what its start found, by target."""
    routing = driver.node.thinking.routing
    note = (
        "the best that is ready is asked; one that fails rests, and the next is asked"
        if routing.families()
        else "no model is configured: exact tools compute what they understand, and memory is "
        "quoted. Set LLM_ENDPOINT, or a provider's key, to reason with models"
    )
    recent = driver.attempts.recent(ATTEMPTS_SHOWN) if driver.attempts is not None else []
    return Providers(
        targets=[
            rendering.target_view(state, notes.get(state.name))
            for state in routing.view(driver.clock())
        ],
        attempts=[
            AttemptView(
                at_ms=one.at_ms,
                target=one.target,
                outcome=one.outcome,
                took_ms=one.took_ms,
                purpose=one.purpose,
                task=one.task,
                cycle=one.cycle,
                model=one.model,
                family=one.family,
                tokens_in=one.tokens_in,
                tokens_out=one.tokens_out,
                cost_usd=one.cost_usd,
            )
            for one in recent
        ],
        note=note,
    )


def cognition(driver: Driver) -> CognitionView:
    """What idle work did, and what it cost."""
    told = driver.node.thinking.idle.snapshot(driver.clock())
    return CognitionView(
        enabled=told.state != "off",
        state=told.state,
        reason=told.reason,
        calls_per_day=told.calls_per_day,
        calls_last_day=told.calls_last_day,
        memories_known=told.memories_known,
        thoughts=told.thoughts,
        bands=[
            BandView(
                band=one.band,
                work=one.work,
                interval_ms=one.interval_ms,
                runs=one.runs,
                calls=one.calls,
                failed=one.failed,
                tokens_in=one.tokens_in,
                tokens_out=one.tokens_out,
                looked=one.looked,
                found=one.found,
                skipped=dict(one.skipped),
                last_reason=one.last_reason,
                last_run_ms=one.last_run_ms,
                next_run_ms=one.next_run_ms,
            )
            for one in told.bands
        ],
    )


def memory_counts(driver: Driver) -> tuple[int, int]:
    """Shared and private memories."""
    shared = driver.node.ledger.records.counts_by_kind.get(MEMORY, 0)
    return shared, driver.log.counts()[1]


def clock_view(driver: Driver) -> VectorClockView:
    """How far each writer's log is known without a gap."""
    return VectorClockView(clocks=driver.node.ledger.records.frontier.clock().value)


def _last_position(driver: Driver) -> tuple[str, str]:
    """Family and model of the newest position of ours."""
    own = [
        position
        for task in driver.node.ledger.tasks
        for position in task.positions
        if position.author == driver.node.key
    ]
    newest = max(own, key=lambda one: (one.created_ms, one.id), default=None)
    return (newest.family, newest.model) if newest is not None else ("", "")
