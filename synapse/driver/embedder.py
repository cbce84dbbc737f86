"""Gives memories vectors in the background, and questions one in passing.

The newest memories come first. Nothing here is ever waited for but a question's vector, and that
not for long: when it is late, dear or wrong, the order of the index stands. Tasks go before
filling, and so does what is to be forgotten. Private memories are never sent, wherever the model
is: the walk is over records, and private memories are none.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import structlog

from synapse.core.errors import ProviderError, StorageError
from synapse.core.memory.memory import Memory, from_record
from synapse.core.memory.record import MEMORY, Record
from synapse.driver.allowance import Allowance
from synapse.ports import RecordLog
from synapse.providers.embeddings import TEXTS_MAX, Embeddings
from synapse.retrieval.semantic.column import Column
from synapse.retrieval.semantic.reranking import Meaning

CHARACTERS_MAX: Final = 2_000  # of a text: some 500 tokens of English, which small models take
PAGE: Final = 256  # records looked at in one step of the walk
CALL_TIMEOUT_MS: Final = 30_000  # of filling: a batch takes seconds on a CPU
QUESTION_TIMEOUT_MS: Final = 5_000  # a question that nobody waits for any more is kept for the next
QUESTIONS_AT_ONCE: Final = 4  # more would only stand in line at a model on this machine
QUESTIONS_KEPT: Final = 256  # vectors of questions asked before: 400 KB of 384 numbers each
REFUSED_MAX: Final = 10_000  # ids of memories that the model would not take, until the restart
BREATH_S: Final = 0.05  # between steps that asked nothing, so that a walk over a million is no load
LOOK_AGAIN_S: Final = 1.0  # whether the tasks are done
PAUSE_S_MAX: Final = 60.0  # clocks are set; and what was spent is written down meanwhile

_log = structlog.get_logger(__name__)

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EmbedderStatus:
    """How far the column is. `calls` are those of this day; `rests_ms` is how long it will ask for
    no memory's vector, because the day's calls are spent or something failed."""

    model: str
    dimensions: int | None
    vectors: int
    calls: int
    rests_ms: int
    failure: str | None  # the last one, until a call succeeds
    damaged: int


@dataclass(frozen=True, slots=True)
class _Step:
    """Memories that lack a vector, newest first; those that are no more; and what is left to look
    at afterwards."""

    lacking: list[Memory]
    gone: list[bytes]
    spans: list[tuple[int, int]]


class Embedder:
    """Fills one column from one log, and says what questions mean."""

    def __init__(
        self,
        source: Embeddings,
        column: Column,
        log: RecordLog,
        allowance: Allowance,
        *,
        clock: Callable[[], int],
        busy: Callable[[], bool],
        deadline_ms: int,
        withheld: Callable[[str], bool],
    ) -> None:
        """`busy`: whether a task is being answered; `deadline_ms`: what a question may cost in
        time; `withheld`: whether a question must not be sent."""
        self._source, self._column, self._log = source, column, log
        self._allowance = allowance
        self._clock, self._busy, self._withheld = clock, busy, withheld
        self._deadline_s = deadline_ms / 1_000
        self._failure: str | None = None
        self._opened = False
        self._wanted = asyncio.Event()
        self._erased: list[bytes] = []
        self._spans: list[tuple[int, int]] = []  # (before, down to) to look at, the newest last
        self._upto = 0  # what is newer is in no span yet
        self._called_ms = 0  # when memories were last sent
        self._alone = 0  # memories to send one by one, to find the one that is refused
        self._refused: set[bytes] = set()
        self._asked: OrderedDict[str, Vector] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Vector | None]] = {}

    # For recall.

    async def meaning(self, query: str, *, private: bool = False) -> Meaning | None:
        """What a question means, to reorder hits by; None where that is not to be had in time, and
        the order of words has to do.

        `private`: the question must not leave this machine.
        """
        if not len(self._column) or (private and not self._source.loopback):
            return None
        if self._withheld(query):
            return None
        question = await self._question(query[:CHARACTERS_MAX])
        return None if question is None else Meaning(question, self._column)

    async def _question(self, query: str) -> Vector | None:
        """A question's vector, if it is known or comes in time.

        What comes late is kept: a model that was asleep is awake for the next question.
        """
        if query in self._asked:
            self._asked.move_to_end(query)
            return self._asked[query]
        asking = self._asking.get(query)
        if asking is None:
            if len(self._asking) >= QUESTIONS_AT_ONCE or self._question_waits_ms():
                return None
            asking = self._asking[query] = asyncio.create_task(self._ask(query))
        done, _ = await asyncio.wait((asking,), timeout=self._deadline_s)
        return asking.result() if done else None

    def _question_waits_ms(self) -> int:
        """On this machine questions cost nothing, so that only failures are in their way."""
        now_ms = self._clock()
        if self._source.loopback:
            return self._allowance.rest_ms(now_ms)
        return self._allowance.wait_ms(now_ms, question=True)

    async def _ask(self, query: str) -> Vector | None:
        try:
            vectors = await self._call(
                [query], QUESTION_TIMEOUT_MS, counts=not self._source.loopback
            )
        except ProviderError:
            return None
        finally:
            self._asking.pop(query, None)
        self._asked[query] = vectors[0]
        while len(self._asked) > QUESTIONS_KEPT:
            self._asked.popitem(last=False)
        return self._asked[query]

    def status(self) -> EmbedderStatus:
        """How it is now."""
        return EmbedderStatus(
            self._source.model,
            self._column.dimensions,
            len(self._column),
            self._allowance.calls,
            self._allowance.wait_ms(self._clock(), question=False),
            self._failure,
            self._column.damaged,
        )

    async def close(self) -> None:
        """Let go of connections and of the file, once `run` was cancelled."""
        await self._source.close()
        await asyncio.to_thread(self._column.close)

    # Filling.

    def want(self, *, erased: Sequence[bytes] = ()) -> None:
        """More became durable; vectors of these ids must go."""
        self._erased += erased
        self._wanted.set()

    async def run(self) -> None:
        """Give memories vectors until cancelled."""
        try:
            while True:
                self._wanted.clear()
                pause_s = await self._work()
                if self._allowance.unsaved:
                    await asyncio.to_thread(self._allowance.save)
                if pause_s is None:
                    pause_s = PAUSE_S_MAX
                try:
                    async with asyncio.timeout(min(pause_s, PAUSE_S_MAX)):
                        await self._wanted.wait()
                except TimeoutError:
                    pass
        finally:
            for asking in self._asking.values():
                asking.cancel()
            self._allowance.save()

    async def _work(self) -> float | None:
        """One step; the seconds until the next, None when there is nothing left to do."""
        try:
            if not self._opened:
                await asyncio.to_thread(self._column.open)
                self._opened = True
            await self._forget(())
            if self._busy():
                return LOOK_AGAIN_S
            wait_ms = self._allowance.wait_ms(self._clock(), question=False)
            return wait_ms / 1_000 if wait_ms else await self._fill()
        except StorageError as error:
            _log.warning("vectors_stalled", problem=str(error))
            return PAUSE_S_MAX

    async def _fill(self) -> float | None:
        news = self._log.last_position - self._upto
        if not self._spans and news < TEXTS_MAX and (wait_ms := self._gathering_ms()):
            return wait_ms / 1_000 if news else None
        if news:
            self._spans.append((self._upto + news + 1, self._upto))
            self._upto += news
        if not self._spans:
            return None
        step = await asyncio.to_thread(self._look, 1 if self._alone else TEXTS_MAX)
        await self._forget(step.gone)
        few = 0 < len(step.lacking) < TEXTS_MAX and not step.spans and not self._alone
        if few and (wait_ms := self._gathering_ms()):
            return wait_ms / 1_000
        if step.lacking:
            try:
                await self._give(step.lacking)
            except ProviderError as error:
                return self._problem(error, step.lacking)
        self._spans = step.spans
        return 0.0 if step.lacking else BREATH_S

    def _gathering_ms(self) -> int:
        """How long a call for a few memories has to wait: each call for less than a batch is worth
        its share of the day, or else a trickle of news would spend it."""
        return max(0, self._called_ms + self._allowance.share_ms - self._clock())

    def _look(self, count: int) -> _Step:
        """Walk down from the newest record not looked at, to the next memories without vectors."""
        before, floor = self._spans[-1]
        wanted = min(PAGE, before - floor - 1)
        page = self._log.latest(MEMORY, limit=wanted, before=before)
        below = [(position, record) for position, record in page if position > floor]
        lacking = set(self._column.missing([record.id for _, record in below])) - self._refused
        chosen: list[Memory] = []
        gone: list[bytes] = []
        for position, record in below:
            memory = _shared(record)
            if memory is None:
                gone.append(record.id)
            elif memory.id in lacking:
                chosen.append(memory)
                if len(chosen) == count:
                    return _Step(chosen, gone, [*self._spans[:-1], (position, floor)])
        rest = [(below[-1][0], floor)] if len(below) == PAGE else []
        return _Step(chosen, gone, [*self._spans[:-1], *rest])

    async def _give(self, memories: Sequence[Memory]) -> None:
        """Ask for the vectors of these and keep them. Raises ProviderError, StorageError."""
        texts = [memory.text[:CHARACTERS_MAX] for memory in memories]
        self._called_ms = self._clock()
        vectors = await self._call(texts, CALL_TIMEOUT_MS, counts=True)
        await asyncio.to_thread(self._column.append, [memory.id for memory in memories], vectors)
        self._alone = max(0, self._alone - len(memories))
        await self._forget(())  # what was taken back on its way

    def _problem(self, error: ProviderError, sent: Sequence[Memory]) -> float:
        """What to do after a call that failed: the same again, later; or one memory at a time."""
        if error.failure not in ("request", "refused"):
            return 0.0  # the allowance says when
        if len(sent) > 1:
            self._alone = len(sent)
        else:
            self._alone = max(0, self._alone - 1)
            if len(self._refused) >= REFUSED_MAX:
                self._refused.clear()
            self._refused.add(sent[0].id)
        return BREATH_S

    async def _call(self, texts: Sequence[str], timeout_ms: int, *, counts: bool) -> Vector:
        """The vectors of these texts. Raises ProviderError, once it is counted and logged."""
        if counts:
            self._allowance.called(self._clock())
        try:
            vectors = await self._source.embed(texts, timeout_ms=timeout_ms)
            kept = self._column.dimensions
            if kept not in (None, vectors.shape[1]):
                raise ProviderError(
                    "bad_reply",
                    f"vectors of {vectors.shape[1]} numbers, where the {len(self._column)} kept "
                    f"have {kept}: call another model by another name",
                )
        except ProviderError as error:
            self._allowance.failed(error, self._clock())
            if self._failure != error.failure:
                _log.warning("embedding_failed", failure=error.failure, detail=str(error))
            self._failure = error.failure
            raise
        self._allowance.succeeded()
        self._failure = None
        return vectors

    async def _forget(self, gone: Sequence[bytes]) -> None:
        erased, self._erased = [*self._erased, *gone], []
        if erased:
            try:
                await asyncio.to_thread(self._column.forget, erased)
            except StorageError:
                self._erased += erased
                raise


def _shared(record: Record) -> Memory | None:
    """The memory of a record; None when its text is gone. A private one is no record."""
    memory = from_record(record)
    assert memory is None or memory.shared
    return memory
