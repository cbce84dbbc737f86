"""From an effect to an event and a row of the ledger."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import pytest

from synapse.core import events
from synapse.core.effects import CallModel
from synapse.core.errors import ProviderError, StorageFull
from synapse.core.events import Limit
from synapse.driver.model_calls import ModelCalls
from synapse.ports import Attempt, ModelReply
from synapse.providers.scripted import Scripted
from synapse.storage.attempt_log import MemoryAttemptLog
from tests.driving import running, spore, until
from tests.unit.providers.asking import request

CALL = CallModel(7, "groq", request(), 30_000, purpose="synthesis", task=b"\xab" * 32, cycle=2)
REPLY = ModelReply(
    "Ana.",
    "llama-3.3-70b",
    "llama",
    tokens_in=900,
    tokens_out=80,
    tokens_reasoning=20,
    cost_usd=0.25,
    limits=(Limit("tokens", 60_000, 6_000, 5_100),),
    hedged=True,
)


class FullLog(MemoryAttemptLog):
    """A ledger whose disk is full."""

    def append(self, attempt: Attempt) -> None:
        raise StorageFull("the disk is full")


def make(line, ledger=None, *, times_ms=(1_000, 1_300)):
    """The event and the rows that one call leads to, its clock showing these times."""
    kept = ledger if ledger is not None else MemoryAttemptLog()
    told: list[events.Event] = []
    times = iter(times_ms)

    async def tell(event: events.Event) -> None:
        assert kept.recent(1) == [], "the node is told before the ledger is written"
        told.append(event)

    calls = ModelCalls(
        {"groq": Scripted({"groq": [line]})}, kept, clock=lambda: next(times), tell=tell
    )
    asyncio.run(calls.make(CALL))
    (event,) = told
    return event, kept.recent(10)


def test_a_reply_is_an_event_with_its_time_and_its_limits_and_a_row():
    event, (row,) = make(REPLY)
    assert event == events.ModelReplied(
        7, "Ana.", "llama-3.3-70b", "llama", 900, 80, took_ms=300, limits=REPLY.limits
    )
    assert row == Attempt(
        at_ms=1_000,
        target="groq",
        outcome="ok",
        took_ms=300,
        left_ms=29_700,
        purpose="synthesis",
        task="ab" * 32,
        cycle=2,
        model="llama-3.3-70b",
        family="llama",
        tokens_in=900,
        tokens_out=80,
        tokens_reasoning=20,
        cost_usd=0.25,
        hedged=True,
    )


def test_a_failure_is_an_event_and_a_row_of_its_class():
    error = ProviderError("rate_limited", "slow down", retry_after_ms=1_500)
    event, (row,) = make(error, times_ms=(1_000, 31_500))
    assert event == events.ModelFailed(7, "rate_limited", "slow down", 1_500, took_ms=30_500)
    assert (row.outcome, row.retry_after_ms, row.left_ms) == ("rate_limited", 1_500, 0)
    assert (row.model, row.cost_usd) == ("", None)


def test_no_text_of_anybodys_is_in_a_row():
    _, (row,) = make(ProviderError("request", "you said: who cast the bell?"))
    assert "bell" not in str(row)


def test_an_answer_does_not_depend_on_the_ledger():
    event, rows = make(REPLY, FullLog())
    assert isinstance(event, events.ModelReplied)
    assert rows == []


def test_a_spore_writes_down_what_its_models_did():
    async def run():
        one = spore(scripts={"llama": lambda _: ProviderError("auth", "wrong key")})
        async with running(one):
            await one.operations.remember("Ana cast the bell.")
            await one.indexed(1)
            await one.operations.submit_task("Who cast the bell?")
            await until(lambda: one.driver.attempts.recent(1) != [])
            return one.driver.attempts.recent(1)[0]

    row = asyncio.run(run())
    assert (row.target, row.outcome) == ("llama", "auth")
    assert len(row.task) == 64 or row.task == ""


# Spans, with a stand-in for opentelemetry-api.


class Recorded:
    """One span, as the stand-in keeps it."""

    def __init__(self, name: str, kind: str, attributes: dict[str, object]) -> None:
        self.name, self.kind, self.attributes, self.status = name, kind, attributes, "unset"

    def set_attribute(self, name: str, value: object) -> None:
        self.attributes[name] = value

    def set_status(self, status: str) -> None:
        self.status = status


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """Every span that was made."""
    made: list[Recorded] = []

    @contextmanager
    def start(name, *, kind, attributes):
        made.append(Recorded(name, kind, dict(attributes)))
        yield made[-1]

    trace = ModuleType("opentelemetry.trace")
    trace.get_tracer = lambda name: SimpleNamespace(start_as_current_span=start)
    trace.SpanKind = SimpleNamespace(CLIENT="client")
    trace.StatusCode = SimpleNamespace(ERROR="error")
    monkeypatch.setitem(sys.modules, "opentelemetry", ModuleType("opentelemetry"))
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", trace)
    return made


def test_a_call_is_a_span_with_counts_and_without_any_text(spans):
    make(REPLY)
    (span,) = spans
    assert (span.name, span.kind, span.status) == ("chat groq", "client", "unset")
    assert span.attributes["gen_ai.operation.name"] == "chat"
    assert span.attributes["gen_ai.response.model"] == "llama-3.3-70b"
    assert span.attributes["gen_ai.usage.input_tokens"] == 900
    assert span.attributes["gen_ai.usage.output_tokens"] == 80
    said = repr(span.attributes)
    for private in (CALL.request.user, CALL.request.system, CALL.request.question, REPLY.text):
        assert private not in said
    assert CALL.task.hex() not in said


def test_a_failed_call_is_a_span_with_the_class_of_its_failure(spans):
    make(ProviderError("rate_limited", "slow down"))
    (span,) = spans
    assert (span.status, span.attributes["error.type"]) == ("error", "rate_limited")


def test_without_opentelemetry_a_call_is_made_all_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    event, _ = make(REPLY)
    assert isinstance(event, events.ModelReplied)
