"""Spans around calls to models, where `opentelemetry-api` is importable and somebody listens.

Names and attributes are those of OpenTelemetry's conventions for generative AI. What was asked and
answered is never among them, nor for which task: that may be private.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from synapse.core.effects import CallModel
from synapse.core.errors import ProviderError
from synapse.ports import ModelReply

TRACER: Final = "synapse"


class Span:
    """What is to be said of one call; nothing is when nobody traces."""

    def __init__(self, span: Any | None, errors: Any | None) -> None:
        self._span = span
        self._errors = errors

    def ended(self, outcome: ModelReply | ProviderError) -> None:
        """What came of the call."""
        if self._span is None or self._errors is None:
            return
        if isinstance(outcome, ProviderError):
            self._span.set_attribute("error.type", outcome.failure)
            self._span.set_status(self._errors.ERROR)
            return
        self._span.set_attribute("gen_ai.response.model", outcome.model)
        self._span.set_attribute("gen_ai.usage.input_tokens", outcome.tokens_in)
        self._span.set_attribute("gen_ai.usage.output_tokens", outcome.tokens_out)
        self._span.set_attribute("gen_ai.usage.reasoning.output_tokens", outcome.tokens_reasoning)


class Tracing:
    """Makes spans, or nothing."""

    def __init__(self) -> None:
        try:
            self._trace: Any | None = importlib.import_module("opentelemetry.trace")
        except ImportError:  # an extra that is not installed
            self._trace = None

    @contextmanager
    def chat(self, call: CallModel) -> Iterator[Span]:
        """A span around one call. A target is what the operator calls a model."""
        if self._trace is None:
            yield Span(None, None)
            return
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": call.target,
            "gen_ai.request.model": call.target,
            "gen_ai.request.temperature": call.request.temperature,
            "gen_ai.request.max_tokens": call.request.tokens_max,
        }
        tracer = self._trace.get_tracer(TRACER)
        with tracer.start_as_current_span(
            f"chat {call.target}", kind=self._trace.SpanKind.CLIENT, attributes=attributes
        ) as span:
            yield Span(span, self._trace.StatusCode)
