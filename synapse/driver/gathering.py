"""What one search does, in any thread: find, fold what says the same, read, choose, explain.

It holds nothing of its own and asks nothing of the node: index, log and groups may be read from
anywhere, and whatever was taken back between two steps is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from synapse.core.errors import StorageError
from synapse.core.memory.memory import Memory
from synapse.ports import ANY, Filter, Hit, Hits, Index, Ranking, RecordLog, Why
from synapse.retrieval.budget import budget_for
from synapse.retrieval.corroboration import Corroboration, Kin
from synapse.retrieval.semantic.reranking import RERANKED, Meaning
from synapse.retrieval.window import CONSIDERED_MAX, Sense, pack, sense

BYTES_A_TOKEN: Final = 4  # the usual estimate for English; of bytes, so that no script costs more
DUPLICATES_MAX: Final = 16  # ids that are named of one result
HITS_MAX: Final = 1_024  # that are looked through when most of them say the same
WIDER: Final = 8  # times as many hits are asked for when too many of them said the same

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for. `tokens_max` packs what is found into so many tokens; `exact` takes the
    time it takes; `quarantined` lets in operators that are left out otherwise; `meaning` reorders
    what was found by words."""

    text: str
    limit: int
    wanted: Filter = ANY
    min_score: float = 0.0
    tokens_max: int | None = None
    exact: bool = False
    why: bool = False
    quarantined: bool = False
    meaning: Meaning | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One memory that answers a question, and who else says so."""

    memory: Memory
    score: float
    why: Why | None = None
    duplicates: tuple[bytes, ...] = ()  # other matches that say the same
    corroborated_by: int = 0  # other operators
    corroborations: tuple[Memory, ...] = ()  # of some of them


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found, best first."""

    found: tuple[Found, ...]
    exact: bool  # False: the budget was spent before all that matters was read
    tokens: int | None = None  # of the texts, when they were packed
    crowded_out: int = 0  # for which there was no room
    reranked: bool = False  # True: meaning is in the order and the scores


@dataclass(slots=True)
class _Row:
    """A hit, and the hits that are folded into it."""

    hit: Hit
    kin: Kin | None
    memory: Memory | None = None
    duplicates: list[Hit] = field(default_factory=list)
    sense: Sense | None = None

    def says(self, other: _Row) -> bool:
        """Whether both say the same; they are of one group."""
        if self.memory is None or other.memory is None:
            return False
        own, its = self.sense or sense(self.memory.text), other.sense or sense(other.memory.text)
        self.sense, other.sense = own, its
        return own.same(its, own.likeness(its))


class Gathering:
    """Reads one spore's index, log and groups."""

    def __init__(self, index: Index, log: RecordLog, said: Corroboration) -> None:
        self._index = index
        self._log = log
        self._said = said

    def answer(self, asked: Question, ranking: Ranking) -> Answer:
        """What there is to find. Raises StorageError."""
        packed = asked.tokens_max is not None
        rows, hits = self._rows(asked, CONSIDERED_MAX if packed else asked.limit, ranking)
        tokens, crowded_out = None, 0
        if asked.tokens_max is not None:
            rows, crowded_out = _packed(rows, asked.tokens_max)
        rows = rows[: asked.limit]
        if packed:
            tokens = sum(tokens_of(row.memory.text) for row in rows if row.memory is not None)
        others = self._corroborations(rows)
        found = tuple(
            Found(
                row.memory,
                row.hit.score,
                self._why(asked, row.hit, ranking) if asked.why else None,
                tuple(hit.id for hit in row.duplicates[:DUPLICATES_MAX]),
                row.kin.operators - 1 if row.kin is not None else 0,
                others.get(row.hit.id, ()),
            )
            for row in rows
            if row.memory is not None
        )
        return Answer(found, hits.exact, tokens, crowded_out, hits.reranked)

    def search(
        self, query: str, limit: int, wanted: Filter, ranking: Ranking, *, exact: bool = False
    ) -> Hits:
        """The best hits; past a million memories the work is bounded, unless it is to be exact."""
        budget = None if exact else budget_for(len(self._index))
        return self._index.search(query, limit=limit, wanted=wanted, ranking=ranking, budget=budget)

    def _why(self, asked: Question, hit: Hit, ranking: Ranking) -> Why | None:
        why = self._index.why(asked.text, hit.id, ranking=ranking)
        if why is None or asked.meaning is None:
            return why
        return replace(why, cosine=asked.meaning.cosines([hit.id])[0])

    def memories(self, hits: Sequence[Hit]) -> list[tuple[Hit, Memory]]:
        """Each with its memory, without those that were taken back a moment ago."""
        found = self._log.memories_with({hit.id: hit.position for hit in hits})
        return [(hit, found[hit.id]) for hit in hits if hit.id in found]

    def _rows(self, asked: Question, limit: int, ranking: Ranking) -> tuple[list[_Row], Hits]:
        """At most so many rows that say different things, and the hits they were chosen from."""
        size = limit if asked.meaning is None else max(limit, RERANKED)
        while True:
            hits = self.search(asked.text, size, asked.wanted, ranking, exact=asked.exact)
            if asked.meaning is not None:
                hits = asked.meaning.rerank(hits)
            kin = self._kin(hits)
            rows = _folded_by_text(hits, kin)
            if len(rows) >= limit or len(hits) < size or size >= HITS_MAX:
                break
            size = min(HITS_MAX, size * WIDER)
        rows = rows[:limit]
        read = {hit.id: memory for hit, memory in self.memories([row.hit for row in rows])}
        for row in rows:
            row.memory = read.get(row.hit.id)
            if row.memory is None and row.duplicates:
                self._stand_in(row, kin)
        return _folded_by_sense([row for row in rows if row.memory is not None]), hits

    def _stand_in(self, row: _Row, kin: Mapping[bytes, Kin]) -> None:
        """What a row shows was taken back a moment ago: another that says the same is shown."""
        for nth, (hit, memory) in enumerate(self.memories(row.duplicates[:DUPLICATES_MAX])):
            if nth == 0:
                row.hit, row.kin, row.memory, row.duplicates = hit, kin[hit.id], memory, []
            else:
                row.duplicates.append(hit)

    def _kin(self, hits: Hits) -> Mapping[bytes, Kin]:
        try:
            return self._said.kin([hit.id for hit in hits])
        except StorageError as error:  # what is found is worth having without it
            _log.warning("corroboration_unreadable", problem=str(error))
            return {}

    def _corroborations(self, rows: Sequence[_Row]) -> dict[bytes, tuple[Memory, ...]]:
        """By hit, what some other operators said."""
        named: dict[bytes, list[bytes]] = {}
        for row in rows:
            if row.kin is not None and row.kin.operators > 1:
                try:
                    named[row.hit.id] = self._said.others(row.kin)
                except StorageError as error:
                    _log.warning("corroboration_unreadable", problem=str(error))
        every = dict.fromkeys((one for ids in named.values() for one in ids), 0)
        read = self._log.memories_with(every) if every else {}
        return {hit: tuple(read[one] for one in ids if one in read) for hit, ids in named.items()}


def _folded_by_text(hits: Hits, kin: Mapping[bytes, Kin]) -> list[_Row]:
    """Hits with equal texts become one row: the best of them."""
    rows: list[_Row] = []
    first: dict[tuple[int, int], _Row] = {}
    for hit in hits:
        its = kin.get(hit.id)
        row = _Row(hit, its)
        if its is not None:
            best = first.setdefault((its.group, its.text), row)
            if best is not row:
                best.duplicates.append(hit)
                continue
        rows.append(row)
    return rows


def _folded_by_sense(rows: list[_Row]) -> list[_Row]:
    """Rows of one group that say the same become one: the better one."""
    kept: list[_Row] = []
    by_group: dict[int, list[_Row]] = {}
    for row in rows:
        if row.kin is not None:
            better = by_group.setdefault(row.kin.group, [])
            same = next((one for one in better if one.says(row)), None)
            if same is not None:
                same.duplicates += [row.hit, *row.duplicates]
                continue
            better.append(row)
        kept.append(row)
    return kept


def _packed(rows: Sequence[_Row], tokens_max: int) -> tuple[list[_Row], int]:
    """Those that go into the budget, as they were chosen, and for how many there was no room."""
    by_id = {row.hit.id: row for row in rows}
    found = [(row.hit, row.memory) for row in rows if row.memory is not None]
    window = pack(found, tokens_max=tokens_max, tokens_of=tokens_of)
    for repeating, repeated in window.alike:
        row = by_id[repeating]
        by_id[repeated].duplicates += [row.hit, *row.duplicates]
    return [by_id[hit.id] for hit in window.chosen], len(window.crowded_out)


def tokens_of(text: str) -> int:
    """About how many tokens a text is."""
    return -(-len(text.encode()) // BYTES_A_TOKEN)
