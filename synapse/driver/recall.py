"""Finding memories as users and prompts need them: relevance, weighed by age and by trust.

Old memories lose rank and never disappear; so do those of operators whose answers our own grades
found wrong, until they are found wrong so often that they are left out unless asked for. Whoever
nobody graded stands in the middle.

What a search needs to know of the node is read on the event loop and does not change afterwards;
searching, reading and choosing may go on in a thread, over an index and a log that any thread may
read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final

from synapse.core import events
from synapse.core.ledger import Ledger
from synapse.core.memory.memory import Memory
from synapse.core.memory.record import TASK, Record
from synapse.core.messages import Push
from synapse.core.node import Node
from synapse.core.reasoning.prompts import QUOTE_CHARACTERS_MAX, QUOTES_MAX, excerpt
from synapse.driver.embedder import Embedder
from synapse.driver.gathering import Answer, Gathering, Question
from synapse.driver.searches import Searches
from synapse.ports import Filter, Index, Ranking, RecordLog
from synapse.retrieval.corroboration import Corroboration
from synapse.retrieval.window import pack

KNOWN_MIN: Final = 0.5  # the chance that an operator's next answer is right, by our own grades
CANDIDATES: Final = 4  # for each place in a prompt: near-duplicates and crowds are left out
CHARACTERS_A_TOKEN: Final = 4  # of English
TOKENS_A_QUOTE: Final = QUOTE_CHARACTERS_MAX // CHARACTERS_A_TOKEN
HERE_MAX: Final = 16_384  # memories; among so few, going to a thread takes as long as the search
READY_MAX: Final = 16  # texts of one batch that are looked up beforehand: as long as a commit

Key = tuple[str, int, bool]
"""A text, how many memories to offer, and whether only known operators' will do."""


class Recaller:
    """Searches one index for one spore."""

    def __init__(
        self,
        index: Index,
        log: RecordLog,
        ledger: Ledger,
        clock: Callable[[], int],
        *,
        said: Corroboration,
        half_life_days: float | None,
        here_max: int = HERE_MAX,
        embedder: Embedder | None = None,
    ) -> None:
        """`said` knows who said the same. `half_life_days` None: nothing fades. `here_max`: among
        how many memories it is searched without going to a thread. `embedder` says what questions
        of users mean; None: words have to do."""
        self.searches = Searches()
        self.embedder = embedder
        self._index = index
        self._log = log
        self._ledger = ledger
        self._clock = clock
        self._gathering = Gathering(index, log, said)
        self._half_life_days = half_life_days
        self.here_max = here_max
        self._trust: Mapping[str, float] = MappingProxyType({})
        self._quarantined: frozenset[str] = frozenset()
        self._believed: Mapping[str, float] | None = None
        self._vouched: tuple[bytes, ...] = ()
        self._operators = 0
        self._left_out: frozenset[str] = frozenset()
        self._left_out_as_of: Mapping[str, float] | None = None
        self._ready: dict[Key, list[Memory]] = {}

    # For users.

    async def recall(self, asked: Question) -> Answer:
        """The best matches now. Above a million memories the work is bounded unless `exact` is
        asked for, and the answer says whether that cut anything. Raises Busy, StorageError."""
        ranking = replace(self.ranking(), min_score=asked.min_score)
        wanted = asked.wanted
        if not asked.quarantined:
            wanted = replace(wanted, operators_left_out=self._quarantined)
        meaning = None
        if self.embedder is not None:
            meaning = await self.embedder.meaning(asked.text, private=wanted.shared is False)
        asked = replace(asked, wanted=wanted, meaning=meaning)
        work = partial(self._gathering.answer, asked, ranking)
        brief = not (asked.exact or asked.why or asked.tokens_max is not None)
        if brief and len(self._index) <= self.here_max:
            return work()
        return await self.searches.run(work, brief=brief)

    def ranking(self) -> Ranking:
        """What weighs in beside relevance now."""
        now_ms = self._clock()
        return Ranking(now_ms, self._half_life_days, self._trusted(now_ms))

    # For prompts.

    async def make_ready(self, texts: Sequence[str], *, known: bool) -> None:
        """Look these up beside the event loop: until this is called again, `for_prompts` has them
        at hand. More than READY_MAX of them are found when they are asked for."""
        self._ready = {}
        if not texts or len(self._index) <= self.here_max:
            return
        ranking, wanted = self.ranking(), self._offered(known=known)
        keys = [(text, QUOTES_MAX, known) for text in dict.fromkeys(texts)][:READY_MAX]

        def look_up() -> dict[Key, list[Memory]]:
            return {key: self._offer(key[0], key[1], wanted, ranking) for key in keys}

        self._ready = await asyncio.to_thread(look_up)

    def for_prompts(self, query: str, limit: int, *, known: bool) -> list[Memory]:
        """Shared memories to offer to a model, cut: relevant, and unlike each other.

        `known`: only of our own, of operators ours vouched for, and of those our grades found
        right more often than not. A model may obey what it reads; quoting it to people, with the
        author's name, is another matter.
        """
        ready = self._ready.get((query, limit, known))
        if ready is not None:
            return ready
        return self._offer(query, limit, self._offered(known=known), self.ranking())

    def _offered(self, *, known: bool) -> Filter:
        left_out = self._strangers() if known else self._in_quarantine()
        return Filter(shared=True, operators_left_out=left_out)

    def _offer(self, query: str, limit: int, wanted: Filter, ranking: Ranking) -> list[Memory]:
        hits = self._gathering.search(query, limit * CANDIDATES, wanted, ranking)
        found = [
            (hit, replace(memory, text=excerpt(memory.text)))
            for hit, memory in self._gathering.memories(hits)
        ]
        window = pack(
            found,
            tokens_max=limit * TOKENS_A_QUOTE,
            tokens_of=lambda text: len(text) // CHARACTERS_A_TOKEN,
        )
        by_id = {memory.id: memory for _, memory in found}
        return [by_id[hit.id] for hit in window.chosen[:limit]]

    # On the event loop.

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

    def _in_quarantine(self) -> frozenset[str]:
        """Operators whose memories nobody is shown who does not ask for them."""
        self._trusted(self._clock())
        return self._quarantined

    def _trusted(self, now_ms: int) -> Mapping[str, float]:
        """Trust by operator: the same mapping until something changes, because it is compared."""
        ledger = self._ledger
        vouched = tuple(peer.key for peer in ledger.peers if peer.vouched)
        believed = ledger.beliefs.believed(now_ms=now_ms)
        if believed is not self._believed or vouched != self._vouched:
            self._believed, self._vouched = believed, vouched
            # The empty key is that of private memories, which are our own user's.
            always = dict.fromkeys(["", ledger.key.hex(), *(key.hex() for key in vouched)], 1.0)
            self._trust = MappingProxyType({**believed, **always})
            doubted = [key for key, chance in believed.items() if chance < KNOWN_MIN]
            self._quarantined = frozenset(
                key
                for key in doubted
                if key not in always
                and ledger.beliefs.quarantined(bytes.fromhex(key), now_ms=now_ms)
            )
        return self._trust


def asked_about(node: Node, happened: Iterable[events.Event]) -> list[str]:
    """The texts that handling these events will most likely search for: those of tasks that begin,
    or begin anew."""
    texts: list[str] = []
    helps = bool(node.thinking.routing.families())
    for event in happened:
        match event:
            case events.SubmitTask() | events.AskPrivately():
                texts.append(event.text)
            case events.MessageReceived(message=Push(records=records)) if helps:
                texts += [_text(record) for record in records if record.kind == TASK]
            case events.TimerFired(name=name):
                texts += _due(node, name)
    return texts


def _text(record: Record) -> str:
    text = record.content().get("text")
    return text if isinstance(text, str) else ""


def _due(node: Node, timer: str) -> list[str]:
    """The text of the task whose session this timer begins."""
    kind, _, digits = timer.partition("/")
    if kind not in ("task", "lease"):
        return []
    task = node.ledger.tasks.get(bytes.fromhex(digits))
    begins = kind == "lease" or node.thinking.deliberations.waiting(bytes.fromhex(digits))
    return [task.text] if task is not None and task.outcome is None and begins else []
