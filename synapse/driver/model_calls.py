"""Calls to models: each effect becomes one request, one event for the node and one row of a ledger.

A provider's error is an event like any other; it is never an answer. The node is told first: the
ledger's disk may be slow or full, and no answer waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import structlog

from synapse.core import events
from synapse.core.effects import CallModel
from synapse.core.errors import ProviderError, StorageError
from synapse.driver.tracing import Tracing
from synapse.ports import Attempt, AttemptLog, ModelReply, Provider

_log = structlog.get_logger(__name__)

Tell = Callable[[events.Event], Awaitable[None]]
"""Hands an event to the node; returns when there is room for it."""


class ModelCalls:
    """Makes the calls a node asks for. `providers` maps each target to what can ask it; `clock`
    gives milliseconds and never runs backwards."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        attempts: AttemptLog,
        *,
        clock: Callable[[], int],
        tell: Tell,
    ) -> None:
        self._attempts = attempts
        self._providers = providers
        self._clock = clock
        self._tell = tell
        self._tracing = Tracing()

    async def make(self, call: CallModel) -> None:
        """Make one call, tell the node what came of it, and write it down."""
        began_ms = self._clock()
        with self._tracing.chat(call) as span:
            outcome = await self._outcome(call)
            span.ended(outcome)
        took_ms = self._clock() - began_ms
        if isinstance(outcome, ModelReply):
            await self._tell(_replied(call, outcome, took_ms))
        else:
            await self._tell(_failed(call, outcome, took_ms))
        attempt = _attempt(call, outcome, at_ms=began_ms, took_ms=took_ms)
        try:
            await asyncio.to_thread(self._attempts.append, attempt)
        except StorageError as error:
            _log.warning("attempt_not_kept", target=call.target, problem=str(error))

    async def _outcome(self, call: CallModel) -> ModelReply | ProviderError:
        provider = self._providers[call.target]
        try:
            return await provider.complete(call.target, call.request, timeout_ms=call.timeout_ms)
        except ProviderError as error:
            _log.info("model_failed", target=call.target, failure=error.failure, detail=str(error))
            return error


def _replied(call: CallModel, reply: ModelReply, took_ms: int) -> events.ModelReplied:
    return events.ModelReplied(
        call.call_id,
        reply.text,
        reply.model,
        reply.family,
        reply.tokens_in,
        reply.tokens_out,
        took_ms,
        reply.limits,
    )


def _failed(call: CallModel, error: ProviderError, took_ms: int) -> events.ModelFailed:
    return events.ModelFailed(
        call.call_id, error.failure, str(error), error.retry_after_ms, took_ms
    )


def _attempt(
    call: CallModel, outcome: ModelReply | ProviderError, *, at_ms: int, took_ms: int
) -> Attempt:
    attempt = Attempt(
        at_ms=at_ms,
        target=call.target,
        outcome="ok",
        took_ms=took_ms,
        left_ms=max(0, call.timeout_ms - took_ms),
        purpose=call.purpose,
        task=call.task.hex(),
        cycle=call.cycle,
    )
    if isinstance(outcome, ProviderError):
        return replace(attempt, outcome=outcome.failure, retry_after_ms=outcome.retry_after_ms)
    return replace(
        attempt,
        model=outcome.model,
        family=outcome.family,
        tokens_in=outcome.tokens_in,
        tokens_out=outcome.tokens_out,
        tokens_reasoning=outcome.tokens_reasoning,
        cost_usd=outcome.cost_usd,
        hedged=outcome.hedged,
    )
