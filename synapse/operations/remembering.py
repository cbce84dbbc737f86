"""The verbs of memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from synapse.core.errors import NotFound, Refused, TextError
from synapse.core.events import Remember, RememberPrivately, Retract
from synapse.core.memory.memory import (
    LABEL_CHARACTERS_MAX,
    TAGS_MAX,
    TEXT_BYTES_MAX,
    from_record,
)
from synapse.core.memory.record import MEMORY
from synapse.core.memory.record_set import dot_text
from synapse.core.text import clean
from synapse.operations import rendering, spore
from synapse.operations.latency import timed
from synapse.operations.recalling import Sought, question
from synapse.operations.verbs import PAGE_MAX, Verbs, id_of
from synapse.replies import (
    CollectiveKnowledge,
    Forgotten,
    MemoryOverview,
    Recall,
    RecallResult,
    RecordView,
    Remembered,
    Scope,
)

ANYTHING: Final = Sought()


class MemoryVerbs(Verbs):
    """What a user can do with memories."""

    @timed
    async def remember(
        self,
        text: str,
        *,
        kind: str = "note",
        tags: Sequence[str] = (),
        scope: Scope = "shared",
    ) -> Remembered:
        """Store a memory. Returns once it is durable.

        Raises TextError, Refused (`credential`, `label`), Busy, StorageError.
        """
        if len(tags) > TAGS_MAX:
            raise TextError(f"a memory has at most {TAGS_MAX} tags")
        if scope == "private":
            private = clean(text, bytes_max=TEXT_BYTES_MAX)
            labels = [_private_label(one) for one in (kind, *tags)]
            memory_id = await self.driver.submit(
                lambda token: RememberPrivately(token, private, labels[0], tuple(labels[1:]))
            )
        else:
            shared = self._gate.released(text, bytes_max=TEXT_BYTES_MAX)
            word = self._gate.wall.label(kind, name="kind")
            words = tuple(self._gate.wall.label(tag, name="a tag") for tag in tags)
            memory_id = await self.driver.submit(lambda token: Remember(token, shared, word, words))
        assert memory_id is not None, "a memory that was acknowledged has an id"
        return Remembered(id=memory_id.hex(), scope=scope)

    async def forget(self, memory_id: str) -> Forgotten:
        """Drop the text of one of our own memories, here and wherever it went.

        Raises NotFound, Refused (`not_yours`), Busy, StorageError.
        """
        wanted = id_of(memory_id)
        memory = self.driver.log.memory(wanted)
        private = memory is not None and not memory.shared
        await self.driver.submit(lambda token: Retract(token, wanted, private))
        return Forgotten(id=memory_id, scope="private" if private else "shared")

    def memory(self, memory_id: str) -> RecordView:
        """One record, or private memory. Raises NotFound."""
        wanted = id_of(memory_id)
        found = self.driver.log.read((wanted,))
        if found:
            record, header = found[0], found[0].header
            retracted = self._node.ledger.records.retractions.covers(
                header.operator, dot_text(header.dot)
            )
            return rendering.record_view(
                record, from_record(record), retracted=retracted, name_of=self.name_of
            )
        memory = self.driver.log.memory(wanted)
        if memory is None:
            raise NotFound(f"this spore holds no record {memory_id}")
        return rendering.private_view(memory)

    @timed
    async def recall(self, query: str, sought: Sought = ANYTHING) -> Recall:
        """Search memories, best first.

        Raises TextError, Refused (`filter`, `moment`), Busy, StorageError.
        """
        asked = question(query, sought)
        answer = await self.driver.recaller.recall(asked)
        now_ms = self.driver.clock()
        return Recall(
            query=asked.text,
            results=[
                rendering.recall_result(found, now_ms=now_ms, name_of=self.name_of)
                for found in answer.found
            ],
            searched=len(self.driver.index),
            complete=self.driver.indexer.filled,
            exact=answer.exact,
            tokens=answer.tokens,
            crowded_out=answer.crowded_out,
            reranked=answer.reranked,
        )

    def memory_overview(self, *, limit: int = 20, cursor: str | None = None) -> MemoryOverview:
        """The newest shared memories, and how much there is. Raises Refused for a bad cursor."""
        now_ms = self.driver.clock()
        size = max(1, min(limit, PAGE_MAX))
        page = self.driver.log.latest(MEMORY, limit=size, before=_position(cursor))
        memories = [memory for _, record in page if (memory := from_record(record)) is not None]
        shared, private = spore.memory_counts(self.driver)
        return MemoryOverview(
            total_memories=shared,
            private_memories=private,
            clock=spore.clock_view(self.driver),
            recent=[
                rendering.memory_view(memory, now_ms=now_ms, name_of=self.name_of)
                for memory in memories
            ],
            cursor=str(page[-1][0]) if len(page) == size else None,
        )

    async def collective_knowledge(
        self, query: str = "", *, limit: int = 10
    ) -> CollectiveKnowledge:
        """Shared memories only: what matches, or without a query the newest."""
        if query.strip():
            results = (await self.recall(query, Sought(limit=limit, scope="shared"))).results
        else:
            recent = self.memory_overview(limit=limit).recent
            results = [RecallResult(**memory.model_dump(), score=0.0) for memory in recent]
        return CollectiveKnowledge(
            results=results,
            total_collective=spore.memory_counts(self.driver)[0],
            wall_stats=self._gate.counts(),
        )


def _private_label(text: str) -> str:
    label = clean(text, bytes_max=4 * LABEL_CHARACTERS_MAX, name="a kind or tag")
    if len(label) > LABEL_CHARACTERS_MAX:
        raise TextError(f"a kind or tag is at most {LABEL_CHARACTERS_MAX} characters")
    return label


def _position(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise Refused("cursor", "that cursor is not one this spore gave out")
    return int(cursor)
