"""Cortex: a model in a file of the operator's choice, run inside this process by llama.cpp.

One thread of its own loads the model when it is first asked, and says one reply at a time; a few
calls may wait. A call that is given up stops what it started. Every figure of `status` is counted
here as it happens.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from synapse.core.effects import ModelRequest
from synapse.core.errors import ProviderError
from synapse.ports import ModelReply
from synapse.providers import gguf
from synapse.providers.failures import redacted, sanitised
from synapse.providers.free_memory import free_memory_bytes
from synapse.providers.gguf import ModelFacts, ModelFileError
from synapse.providers.llama_engine import LIBRARY, NOT_INSTALLED, LlamaEngine, Said, installed
from synapse.providers.model_files import known_sha256
from synapse.providers.replies import answer_in
from synapse.providers.schema import breach

CALLS_MAX: Final = 3  # at once, those that wait included: a reply takes tens of seconds on a CPU,
# so whoever waited behind more would be answered after its deadline
LOAD_RETRY_MS: Final = 5_000  # no source; reading 2.5 GB from a solid-state disk takes about that
MEMORY_RETRY_MS: Final = 60_000  # no source; memory is freed by people, so in minutes
CALL_GUESS_MS: Final = 20_000  # of a call, before one was measured; no source


@dataclass(frozen=True, slots=True)
class LocalLlamaStatus:
    """How the local model is. All of it is measured; None where nothing was measured yet.

    `seconds` are those in which it worked on calls, `load_seconds` those that loading took. A call
    that was given up counts in `calls`, and with the tokens it cost, but not in `replies`.
    """

    file: Path
    name: str | None
    family: str | None
    size_bytes: int | None
    sha256: str | None
    loaded: bool
    load_error: str | None
    load_seconds: float | None
    waiting: int
    calls: int
    replies: int
    tokens_in: int
    tokens_out: int
    seconds: float

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens said in each second of work, the reading of prompts included."""
        return self.tokens_out / self.seconds if self.seconds > 0 and self.tokens_out else None


@dataclass(frozen=True, slots=True)
class _Totals:
    calls: int = 0
    replies: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Call:
    done: Future[ModelReply]
    stop: threading.Event


class LocalLlama:
    """A provider with one model, whatever target it is asked by."""

    def __init__(
        self,
        file: Path,
        *,
        context_tokens: int = 4_096,
        threads: int | None = None,
        library: str = LIBRARY,
        free_bytes: Callable[[], int | None] = free_memory_bytes,
    ) -> None:
        """Nothing is loaded, and nothing is raised: what is wrong stands in `status`.

        `threads` None: half of the processors, as two of them often share one core. `library` is
        the name of the module to import.
        """
        self._file = file
        self._context_tokens = context_tokens
        self._threads = threads or max(1, processors() // 2)
        self._library = library
        self._free_bytes = free_bytes
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cortex")
        self._calls: list[_Call] = []  # the event loop's; the rest is written by the thread alone
        self._facts: ModelFacts | None = None
        self._engine: LlamaEngine | None = None
        self._loading = False
        self._load_error: str | None = None
        self._load_seconds: float | None = None
        self._totals = _Totals()
        try:
            self._facts = gguf.read(file)
        except ModelFileError as error:
            self._load_error = str(error)
        if self._load_error is None and not installed(library):
            self._load_error = NOT_INSTALLED

    @property
    def family(self) -> str:
        """What votes: the family the file says it is of, "unknown" when it says none."""
        return self._facts.family if self._facts else "unknown"

    @property
    def memory_needed_bytes(self) -> int | None:
        """What loading it takes at least; None while the file cannot be read."""
        facts = self._facts
        return facts.memory_bytes(self._context(facts)) if facts else None

    def status(self) -> LocalLlamaStatus:
        """How it is now."""
        facts, totals = self._facts, self._totals
        return LocalLlamaStatus(
            file=self._file,
            name=facts.name if facts else None,
            family=facts.family if facts else None,
            size_bytes=facts.size_bytes if facts else None,
            sha256=known_sha256(self._file),
            loaded=self._engine is not None,
            load_error=self._load_error,
            load_seconds=self._load_seconds,
            waiting=sum(not call.done.done() for call in self._calls),
            calls=totals.calls,
            replies=totals.replies,
            tokens_in=totals.tokens_in,
            tokens_out=totals.tokens_out,
            seconds=totals.seconds,
        )

    async def complete(self, target: str, request: ModelRequest, *, timeout_ms: int) -> ModelReply:
        """Ask the model once; waiting and loading count. Raises ProviderError.

        A reply to a request with a schema is JSON that fits it.
        """
        self._calls = [call for call in self._calls if not call.done.done()]
        if len(self._calls) >= CALLS_MAX:
            raise ProviderError(
                "overloaded",
                f"the local model has {len(self._calls)} calls to answer already",
                retry_after_ms=self._mean_call_ms(),
            )
        stop = threading.Event()
        call = _Call(self._thread.submit(self._answer, request, stop), stop)
        self._calls.append(call)
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                return await asyncio.wrap_future(call.done)
        except TimeoutError:
            if self._loading:
                raise ProviderError(
                    "overloaded", "the model is being loaded", retry_after_ms=LOAD_RETRY_MS
                ) from None
            raise ProviderError("slow", f"no answer within {timeout_ms} ms") from None
        finally:
            stop.set()

    async def close(self) -> None:
        """Stop what runs, wait for the thread to end, and free the memory."""
        for call in self._calls:
            call.stop.set()
        await asyncio.to_thread(self._thread.shutdown)
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _mean_call_ms(self) -> int:
        totals = self._totals
        return int(1_000 * totals.seconds / totals.calls) if totals.calls else CALL_GUESS_MS

    # What follows runs in the thread.

    def _answer(self, request: ModelRequest, stop: threading.Event) -> ModelReply:
        if stop.is_set():
            raise ProviderError("slow", "given up before its turn came")
        engine = self._engine or self._load()
        started = time.perf_counter()
        said: Said | None = None
        reply: ModelReply | None = None
        try:
            said = engine.say(request, stop.is_set)
            reply = self._reply(said, request)
            return reply
        finally:
            self._count(said, replied=reply is not None, seconds=time.perf_counter() - started)

    def _load(self) -> LlamaEngine:
        """Load the model. Raises ProviderError, and remembers what it said."""
        self._loading = True
        started = time.perf_counter()
        try:
            self._facts = facts = gguf.read(self._file)
            self._check_memory(facts)
            self._engine = LlamaEngine(
                self._file,
                context_tokens=self._context(facts),
                threads=self._threads,
                library=self._library,
            )
        except ModelFileError as error:
            self._load_error = str(error)
            raise ProviderError("gone", str(error)) from None
        except ProviderError as error:
            self._load_error = redacted(str(error), None)
            raise
        finally:
            self._loading = False
        self._load_error = None
        self._load_seconds = time.perf_counter() - started
        return self._engine

    def _context(self, facts: ModelFacts) -> int:
        """As many tokens as were asked for, but no more than the model was trained for."""
        return min(self._context_tokens, facts.context_tokens or self._context_tokens)

    def _check_memory(self, facts: ModelFacts) -> None:
        free, needed = self._free_bytes(), facts.memory_bytes(self._context(facts))
        if free is not None and needed > free:
            raise ProviderError(
                "overloaded",
                f"{self._file.name} needs {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB "
                "are free: use a smaller file or a smaller cortex_context_tokens",
                retry_after_ms=MEMORY_RETRY_MS,
            )

    def _reply(self, said: Said, request: ModelRequest) -> ModelReply:
        """What was said, as a reply. Raises ProviderError when that is nothing."""
        if said.stopped:
            raise ProviderError("slow", "stopped before the end")
        text = sanitised(answer_in(said.text), None)
        if not text:
            raise ProviderError("bad_reply", "no answer in the reply")
        if request.schema is not None and (problem := _problem(text, request.schema)):
            raise ProviderError("bad_reply", redacted(problem, None))
        return ModelReply(
            text=text,
            model=self._file.stem,
            family=self.family,
            tokens_in=said.tokens_in,
            tokens_out=said.tokens_out,
        )

    def _count(self, said: Said | None, *, replied: bool, seconds: float) -> None:
        totals = self._totals
        self._totals = replace(
            totals,
            calls=totals.calls + 1,
            replies=totals.replies + replied,
            tokens_in=totals.tokens_in + (said.tokens_in if said else 0),
            tokens_out=totals.tokens_out + (said.tokens_out if said else 0),
            seconds=totals.seconds + seconds,
        )


def _problem(text: str, schema: Mapping[str, Any]) -> str | None:
    """Why a text is not the JSON that was asked for: grammars know no bounds of numbers."""
    try:
        return breach(json.loads(text), schema)
    except (ValueError, RecursionError):
        return "the reply is no JSON, or was cut off"


def processors() -> int:
    """Those this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
