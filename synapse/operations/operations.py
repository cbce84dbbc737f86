"""The verbs. Each checks its input, asks the driver or reads the node, and returns a reply.

Nothing here knows whether it was called over HTTP, MCP or a terminal. Errors are those of
`core.errors`; every face turns them into its own form.
"""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from synapse.core.errors import NotFound, Refused, TextError
from synapse.core.events import AddPeer, Remember, RememberPrivately, Retract, SubmitTask
from synapse.core.memory.memory import (
    LABEL_CHARACTERS_MAX,
    TAGS_MAX,
    TEXT_BYTES_MAX,
    from_record,
)
from synapse.core.memory.record import MEMORY
from synapse.core.memory.record_set import dot_text
from synapse.core.reasoning.task import TASK_BYTES_MAX, Task
from synapse.core.text import clean
from synapse.core.trust import weights
from synapse.core.wall.release import Wall
from synapse.driver.driver import Driver
from synapse.driver.news import Notice, Stopped
from synapse.operations import rendering, spore, swarm
from synapse.operations.gate import Gate
from synapse.ports import Filter
from synapse.replies import (
    CollectiveKnowledge,
    Convergence,
    CortexStatus,
    FederationNodes,
    FederationStatus,
    Forgotten,
    Health,
    Joined,
    MemoryOverview,
    Off,
    Providers,
    Recall,
    RecallResult,
    RecordView,
    Remembered,
    Scope,
    TaskConvergence,
    TaskList,
    TaskSubmitted,
    TaskView,
    TrustView,
    WallStatus,
)

QUERY_BYTES_MAX: Final = 8_192  # a long paragraph; more words than that do not sharpen a search
RESULTS_MAX: Final = 100
PAGE_MAX: Final = 200

_TASK_CURSOR: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,5})")

Tell = Callable[[Notice], Awaitable[None]]


class Operations:
    """What a user of one spore can do."""

    def __init__(self, driver: Driver, *, wall: Wall) -> None:
        self.driver = driver
        self.news = driver.news
        self._node = driver.node
        self._gate = Gate(wall, owner=driver.node.key.hex(), clock=driver.clock)
        self._started_ms = driver.clock()

    # Memory.

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
        wanted = _id(memory_id)
        memory = self.driver.log.memory(wanted)
        private = memory is not None and not memory.shared
        await self.driver.submit(lambda token: Retract(token, wanted, private))
        return Forgotten(id=memory_id, scope="private" if private else "shared")

    def memory(self, memory_id: str) -> RecordView:
        """One record, or private memory. Raises NotFound."""
        wanted = _id(memory_id)
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

    def recall(
        self,
        query: str,
        *,
        limit: int = 10,
        kind: str | None = None,
        author: str | None = None,
        tag: str | None = None,
        scope: Scope | None = None,
    ) -> Recall:
        """Search memories, best first. Raises TextError."""
        text = clean(query, bytes_max=QUERY_BYTES_MAX, name="the query")
        wanted = Filter(kind=kind, author=author, tag=tag, shared=_wanted(scope))
        now_ms = self.driver.clock()
        hits = self.driver.index.search(text, limit=max(1, min(limit, RESULTS_MAX)), wanted=wanted)
        results = []
        for hit in hits:
            memory = self.driver.log.memory(hit.id)
            if memory is not None:  # it may have been taken back a moment ago
                results.append(
                    rendering.recall_result(memory, hit.score, now_ms=now_ms, name_of=self.name_of)
                )
        return Recall(
            query=text,
            results=results,
            searched=len(self.driver.index),
            complete=self.driver.indexer.filled,
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

    def collective_knowledge(self, query: str = "", *, limit: int = 10) -> CollectiveKnowledge:
        """Shared memories only: what matches, or without a query the newest."""
        if query.strip():
            results = self.recall(query, limit=limit, scope="shared").results
        else:
            recent = self.memory_overview(limit=limit).recent
            results = [RecallResult(**memory.model_dump(), score=0.0) for memory in recent]
        return CollectiveKnowledge(
            results=results,
            total_collective=spore.memory_counts(self.driver)[0],
            wall_stats=self._gate.counts(),
        )

    # Tasks.

    async def submit_task(self, text: str) -> TaskSubmitted:
        """Ask the swarm. Returns once the task is durable; the answer comes later.

        Raises TextError, Refused (`credential`), Busy, StorageError.
        """
        shared = self._gate.released(text, bytes_max=TASK_BYTES_MAX, name="the task")
        task_id = await self.driver.submit(lambda token: SubmitTask(token, shared))
        assert task_id is not None, "a task that was acknowledged has an id"
        return TaskSubmitted(task_id=task_id.hex(), url=f"/api/task/{task_id.hex()}")

    def task(self, task_id: str) -> TaskView:
        """A task with its positions and outcome. Raises NotFound."""
        task = self._node.ledger.tasks.get(_id(task_id))
        if task is None:
            raise NotFound(f"this spore knows no task {task_id}")
        cites = task.outcome.cites if task.outcome is not None else ()
        cited = [self.driver.log.memory(cite) for cite in cites]
        return rendering.task_view(
            task,
            self._node.thinking.deliberations.waiting(task.id),
            [memory for memory in cited if memory is not None and memory.shared],
            own_key=self._node.key,
            name_of=self.name_of,
        )

    async def finished_task(
        self, task_id: str, *, wait_ms: int, tell: Tell | None = None, since: int | None = None
    ) -> TaskView:
        """The task once it has an outcome or waits for a model, or as it is after `wait_ms`.

        `tell` hears every notice about the task after number `since` (by default from now on).
        """
        seen = self.news.latest_number() if since is None else since
        view = self.task(task_id)
        try:
            async with asyncio.timeout(wait_ms / 1_000):
                while view.status == "open":
                    for notice in await self.news.after(seen):
                        seen = notice.number
                        if tell is not None and notice.data.get("id") == task_id:
                            await tell(notice)
                    view = self.task(task_id)
        except (TimeoutError, Stopped):
            pass  # the caller asked for what there is by now
        return view

    def tasks(self, *, limit: int = 20, cursor: str | None = None) -> TaskList:
        """Tasks, newest first. Raises Refused for a bad cursor."""
        everything = list(self._node.ledger.tasks)
        start = _start(everything, cursor) if cursor is not None else 0
        size = max(1, min(limit, PAGE_MAX))
        page = everything[start : start + size]
        return TaskList(
            tasks=[
                rendering.task_summary(
                    task, self._node.thinking.deliberations.waiting(task.id), own_key=self._node.key
                )
                for task in page
            ],
            total=len(self._node.ledger.tasks),
            cursor=_cursor(everything, start + size) if start + size < len(everything) else None,
        )

    def convergence(self) -> Convergence:
        """How far the positions on each of the newest tasks agree."""
        rows = []
        for task in list(self._node.ledger.tasks)[:PAGE_MAX]:
            history = rendering.agreement_history(task.positions)
            rows.append(
                TaskConvergence(
                    task_id=task.id.hex(),
                    description=task.text,
                    cycle=len(history),
                    agreement=history[-1] if history else 0.0,
                    converged=task.outcome is not None,
                    delta_count=len(task.positions),
                    history=history[-10:],
                )
            )
        with_positions = [row for row in rows if row.delta_count]
        return Convergence(
            tasks=rows,
            global_agreement=sum(row.agreement for row in with_positions) / len(with_positions)
            if with_positions
            else 0.0,
            active_tasks=sum(not row.converged for row in rows),
            converged_tasks=sum(row.converged for row in rows),
        )

    # The swarm.

    async def join(self, url: str) -> Joined:
        """Talk to the spore at this address from now on. Raises Refused for a bad address."""
        await self.driver.submit(lambda token: AddPeer(token, url.rstrip("/")))
        return Joined(
            accepted=True,
            reason="the address is dialled now; /api/federation/status says what answered",
            your_trust=weights.probability(0, 0),
            swarm_dna=dict(swarm.SWARM_DNA),
            swarm_stats={"nodes": len(self._node.peers) + 1},
        )

    def federation_status(self) -> FederationStatus:
        """The swarm as this spore sees it."""
        return swarm.status(self.driver)

    def federation_nodes(self) -> FederationNodes:
        """Every node known, this one first."""
        return swarm.nodes(self.driver)

    def trust(self) -> dict[str, TrustView]:
        """What grades say of each model family; families that nobody graded stand at the prior."""
        return swarm.trust(self.driver)

    def wall(self) -> WallStatus:
        """What crossed the Knowledge Wall, and what it stopped."""
        return WallStatus(
            wall=self._gate.counts(),
            collective_size=spore.memory_counts(self.driver)[0],
            recent_audit=list(self._gate.audit),
        )

    # The spore itself.

    def ready(self) -> str | None:
        """None when this spore can serve, else what is missing. Cheap: probes ask every second."""
        if self.driver.stalled is not None:
            return str(self.driver.stalled)
        if not self.driver.indexer.filled:
            return f"memories are being indexed: {self.driver.indexer.indexed} so far"
        return None

    def health(self) -> Health:
        """How this spore is."""
        return spore.health(self.driver, started_ms=self._started_ms)

    def count_refused(self, reason: str) -> None:
        """Note a request that an edge refused before it came here."""
        self._node.ledger.refused[reason] += 1

    def cortex(self) -> CortexStatus:
        """The local model runner: nothing is loaded."""
        return CortexStatus()

    def providers(self) -> Providers:
        """Every model this spore may ask."""
        return spore.providers(self.driver)

    def quantum(self) -> dict[str, object]:
        """The annealing schedule in use; what is not built says so."""
        return spore.quantum(self.driver)

    def cognition(self) -> Off:
        """Idle cognition: not built yet."""
        return Off(reason="idle cognition is not built yet")

    def name_of(self, key: str) -> str:
        """What the spore with this key calls itself; empty when it has not said."""
        if key == self._node.key.hex():
            return self._node.settings.name
        peer = self._node.peers.get(bytes.fromhex(key)) if key else None
        return peer.said.name if peer is not None else ""


def _wanted(scope: Scope | None) -> bool | None:
    return None if scope is None else scope == "shared"


def _id(text: str) -> bytes:
    """An id from its 64 hexadecimal digits. Anything else is the id of nothing."""
    try:
        wanted = bytes.fromhex(text)
    except ValueError:
        wanted = b""
    if len(wanted) != 32:
        raise NotFound("an id is 64 hexadecimal digits")
    return wanted


def _private_label(text: str) -> str:
    label = clean(text, bytes_max=4 * LABEL_CHARACTERS_MAX, name="a kind or tag")
    if len(label) > LABEL_CHARACTERS_MAX:
        raise TextError(f"a kind or tag is at most {LABEL_CHARACTERS_MAX} characters")
    return label


# A page of tasks ends at a time, and after so many of the tasks of that time, so that tasks which
# come meanwhile move nothing.


def _cursor(newest_first: Sequence[Task], shown: int) -> str:
    last_ms = newest_first[shown - 1].created_ms
    return f"{last_ms}-{shown - bisect_left(newest_first, -last_ms, key=_age)}"


def _start(newest_first: Sequence[Task], cursor: str) -> int:
    found = _TASK_CURSOR.fullmatch(cursor)
    if found is None:
        raise Refused("cursor", "that cursor is not one this spore gave out")
    return bisect_left(newest_first, -int(found[1]), key=_age) + int(found[2])


def _age(task: Task) -> int:
    return -task.created_ms


def _position(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise Refused("cursor", "that cursor is not one this spore gave out")
    return int(cursor)
