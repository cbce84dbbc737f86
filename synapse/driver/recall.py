"""Finding memories as users and prompts need them: relevance, weighed by age and by trust.

Old memories lose rank and never disappear; so do those of operators whose answers our own grades
found wrong. Whoever nobody graded stands in the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from synapse.core.ledger import Ledger
from synapse.core.memory.memory import Memory
from synapse.core.reasoning.prompts import QUOTE_CHARACTERS_MAX
from synapse.core.trust.evidence import OPERATOR
from synapse.ports import ANY, Filter, Hit, Hits, Index, Ranking, RecordLog
from synapse.retrieval.snapshot import budget_for
from synapse.retrieval.window import pack

KNOWN_MIN: Final = 0.5  # the chance that an operator's next answer is right, by our own grades
CANDIDATES: Final = 4  # for each place in a prompt: near-duplicates and crowds are left out
CHARACTERS_A_TOKEN: Final = 4  # of English
TOKENS_A_QUOTE: Final = QUOTE_CHARACTERS_MAX // CHARACTERS_A_TOKEN


class Recaller:
    """Searches one index for one spore."""

    def __init__(
        self,
        index: Index,
        log: RecordLog,
        ledger: Ledger,
        clock: Callable[[], int],
        *,
        half_life_days: float | None,
    ) -> None:
        """`half_life_days` None: nothing fades."""
        self._index = index
        self._log = log
        self._ledger = ledger
        self._clock = clock
        self._half_life_days = half_life_days
        self._trust: Mapping[str, float] = MappingProxyType({})
        self._as_of: tuple[object, ...] = ()
        self._operators = 0
        self._left_out: frozenset[str] = frozenset()
        self._left_out_as_of: Mapping[str, float] | None = None

    def search(self, query: str, *, limit: int, wanted: Filter = ANY) -> Hits:
        """The best matches now. Above a million memories the work is bounded, and `exact` says
        whether that cut anything."""
        return self._index.search(
            query,
            limit=limit,
            wanted=wanted,
            ranking=self.ranking(),
            budget=budget_for(len(self._index)),
        )

    def ranking(self) -> Ranking:
        """What weighs in beside relevance now."""
        now_ms = self._clock()
        return Ranking(now_ms, self._half_life_days, self._trusted(now_ms))

    def for_prompts(self, query: str, limit: int, *, known: bool) -> list[Memory]:
        """Shared memories to offer to a model, cut: relevant, and unlike each other.

        `known`: only of our own, of operators ours vouched for, and of those our grades found
        right more often than not. A model may obey what it reads; quoting it to people, with the
        author's name, is another matter.
        """
        wanted = Filter(shared=True, operators_left_out=self._strangers() if known else frozenset())
        hits = self.search(query, limit=limit * CANDIDATES, wanted=wanted)
        found: list[tuple[Hit, Memory]] = []
        for hit in hits:
            memory = self._log.memory(hit.id)
            if memory is not None:  # it may have been taken back a moment ago
                found.append((hit, replace(memory, text=memory.text[:QUOTE_CHARACTERS_MAX])))
        window = pack(found, tokens_max=limit * TOKENS_A_QUOTE, tokens_of=_tokens)
        by_id = {memory.id: memory for _, memory in found}
        return [by_id[hit.id] for hit in window.chosen[:limit]]

    def _strangers(self) -> frozenset[str]:
        """Operators whose memories no model is shown."""
        trust = self._trusted(self._clock())
        operators = self._ledger.records.operators()
        if len(operators) != self._operators:
            self._operators, self._left_out_as_of = len(operators), None
        if self._left_out_as_of is not trust:
            self._left_out_as_of = trust
            self._left_out = frozenset(
                key.hex() for key in operators if trust.get(key.hex(), 0.0) < KNOWN_MIN
            )
        return self._left_out

    def _trusted(self, now_ms: int) -> Mapping[str, float]:
        """Trust by operator: the same mapping until something changes, because it is compared."""
        ledger = self._ledger
        vouched = tuple(peer.key for peer in ledger.peers if peer.vouched)
        as_of = (ledger.evidence.version, vouched)
        if as_of != self._as_of:
            graded = dict.fromkeys(
                subject.removeprefix(OPERATOR)
                for subject, _ in ledger.evidence.graded()
                if subject.startswith(OPERATOR)
            )
            trust = {
                key: ledger.beliefs.credibility(bytes.fromhex(key), now_ms=now_ms) for key in graded
            }
            trust |= dict.fromkeys([ledger.key.hex(), *(key.hex() for key in vouched)], 1.0)
            self._trust, self._as_of = MappingProxyType(trust), as_of
        return self._trust


def _tokens(text: str) -> int:
    return len(text) // CHARACTERS_A_TOKEN
