"""The verbs. Each checks its input, asks the driver or reads the node, and returns a reply.

Nothing here knows whether it was called over HTTP, MCP or a terminal. Errors are those of
`core.errors`; every face turns them into its own form.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from synapse import __version__
from synapse.core.errors import NotFound, Refused, TextError
from synapse.core.events import AddPeer, Remember, RememberPrivately, Retract, SubmitTask
from synapse.core.membership.failure_detector import State
from synapse.core.memory.memory import (
    LABEL_CHARACTERS_MAX,
    TAGS_MAX,
    TEXT_BYTES_MAX,
    from_record,
)
from synapse.core.memory.record import MEMORY, VERSION
from synapse.core.memory.record_set import dot_text
from synapse.core.messages import PROTOCOL
from synapse.core.reasoning.task import TASK_BYTES_MAX
from synapse.core.text import SharedText, clean
from synapse.core.trust import weights
from synapse.core.wall.release import Wall
from synapse.driver.driver import Driver
from synapse.driver.news import Notice, Stopped
from synapse.operations import rendering
from synapse.ports import Filter
from synapse.replies import (
    AuditEntry,
    CollectiveKnowledge,
    Convergence,
    CortexStatus,
    FederationNode,
    FederationNodes,
    FederationStatus,
    Forgotten,
    Health,
    IndexHealth,
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
    VectorClockView,
    WallCounts,
    WallStatus,
)

QUERY_BYTES_MAX: Final = 8_192  # a long paragraph; more words than that do not sharpen a search
RESULTS_MAX: Final = 100
PAGE_MAX: Final = 200
AUDIT_KEPT: Final = 10
SWARM_DNA: Final = {
    "protocol_version": f"{PROTOCOL}.0.0",
    "record_version": str(VERSION),
    "memory_backend": "or-set-log",
    "signature": "ed25519",
}


Tell = Callable[[Notice], Awaitable[None]]


class Operations:
    """What a user of one spore can do."""

    def __init__(self, driver: Driver, *, wall: Wall) -> None:
        self.driver = driver
        self.news = driver.news
        self._node = driver.node
        self._wall = wall
        self._started_ms = driver.clock()
        self._crossings = 0
        self._blocks = 0
        self._audit: deque[AuditEntry] = deque(maxlen=AUDIT_KEPT)

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
            labels = [clean(one, bytes_max=4 * LABEL_CHARACTERS_MAX) for one in (kind, *tags)]
            memory_id = await self.driver.submit(
                lambda token: RememberPrivately(token, private, labels[0], tuple(labels[1:]))
            )
        else:
            shared = self._released(text, bytes_max=TEXT_BYTES_MAX)
            word = self._wall.label(kind, name="kind")
            words = tuple(self._wall.label(tag, name="a tag") for tag in tags)
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
        hits = self.driver.index.search(text, limit=min(limit, RESULTS_MAX), wanted=wanted)
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
        page = self.driver.log.latest(MEMORY, limit=min(limit, PAGE_MAX), before=_position(cursor))
        memories = [memory for _, record in page if (memory := from_record(record)) is not None]
        shared, private = self._memory_counts()
        return MemoryOverview(
            total_memories=shared,
            private_memories=private,
            clock=self._clock_view(),
            recent=[
                rendering.memory_view(memory, now_ms=now_ms, name_of=self.name_of)
                for memory in memories
            ],
            cursor=str(page[-1][0]) if len(page) == min(limit, PAGE_MAX) else None,
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
            total_collective=self._memory_counts()[0],
            wall_stats=self._wall_counts(),
        )

    # Tasks.

    async def submit_task(self, text: str) -> TaskSubmitted:
        """Ask the swarm. Returns once the task is durable; the answer comes later.

        Raises TextError, Refused (`credential`), Busy, StorageError.
        """
        shared = self._released(text, bytes_max=TASK_BYTES_MAX, name="the task")
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
            self._node.deliberations.waiting(task.id),
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
        start = _position(cursor) or 0
        size = max(1, min(limit, PAGE_MAX))
        page = everything[start : start + size]
        return TaskList(
            tasks=[
                rendering.task_summary(
                    task, self._node.deliberations.waiting(task.id), own_key=self._node.key
                )
                for task in page
            ],
            total=len(self._node.ledger.tasks),
            cursor=str(start + size) if start + size < len(everything) else None,
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
            swarm_dna=dict(SWARM_DNA),
            swarm_stats={"nodes": len(self._node.peers) + 1},
        )

    def federation_status(self) -> FederationStatus:
        """The swarm as this spore sees it."""
        now_ms = self.driver.clock()
        peers = [rendering.peer_view(peer, now_ms=now_ms) for peer in self._node.peers]
        trust = [view.overall for view in self.trust().values()]
        return FederationStatus(
            total_nodes=len(peers) + 1,
            active_nodes=sum(peer.state == "alive" for peer in peers) + 1,
            blocked_nodes=0,
            trust_distribution={},
            mean_trust=sum(trust) / len(trust) if trust else weights.probability(0, 0),
            dna_hash=_dna_hash(),
            peers=peers,
            seeds=[rendering.seed_view(seed) for _, seed in sorted(self._node.peers.seeds.items())],
        )

    def federation_nodes(self) -> FederationNodes:
        """Every node known, this one first."""
        settings = self._node.settings
        nodes = [
            FederationNode(
                node_id=self._node.key.hex(),
                name=settings.name,
                role="spore",
                tier="self",
                specialization=self._node.routing.families(),
                active=True,
            )
        ]
        now_ms = self.driver.clock()
        nodes += [
            FederationNode(
                node_id=peer.key.hex(),
                name=peer.said.name,
                role="spore",
                tier="seed" if peer.seed else "peer",
                specialization=list(peer.said.families),
                active=peer.state(now_ms=now_ms) is State.ALIVE,
            )
            for peer in self._node.peers
        ]
        return FederationNodes(nodes=nodes, total=len(nodes), blocked=0)

    def trust(self) -> dict[str, TrustView]:
        """What grades say of each model family; families that nobody graded stand at the prior."""
        counts = self._node.ledger.evidence.counts
        families = {family for family, _ in counts.graded()} | set(self._node.routing.families())
        for peer in self._node.peers:
            families.update(peer.said.families)
        views = {}
        for family in sorted(families):
            right, wrong = counts.totals((family, "text"))
            views[family] = TrustView(
                overall=weights.probability(right, wrong),
                right=right,
                wrong=wrong,
                weight=weights.weight(right, wrong),
                why=f"{right + wrong} grades; without any a family stands at "
                f"{weights.probability(0, 0):.2f}",
            )
        return views

    def wall(self) -> WallStatus:
        """What crossed the Knowledge Wall, and what it stopped."""
        return WallStatus(
            wall=self._wall_counts(),
            collective_size=self._memory_counts()[0],
            recent_audit=list(self._audit),
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
        ledger, now_ms = self._node.ledger, self.driver.clock()
        records = ledger.records
        shared, private = self._memory_counts()
        tasks = list(ledger.tasks)
        outcomes = [task.outcome for task in tasks if task.outcome is not None]
        own = len(records.index(self._node.key))
        families = self._node.routing.families()
        stalled = self.driver.stalled
        last = self._last_position()
        return Health(
            status="stalled" if stalled else "ok" if self.driver.indexer.filled else "starting",
            problem=str(stalled) if stalled is not None else None,
            spore=self._node.settings.name,
            id=self._node.key.hex(),
            version=__version__,
            role="spore",
            model=families[0] if families else "extractive",
            records=len(records),
            records_by_kind=rendering.rounded(records.counts_by_kind),
            fingerprint=records.fingerprint().hex(),
            memories=shared + private,
            memories_private=private,
            memories_collective=shared,
            peers=[peer.key.hex() for peer in self._node.peers],
            peers_alive=len(self._node.peers.alive(now_ms=now_ms)),
            refused=rendering.rounded(ledger.refused),
            parked=records.parked,
            equivocations=sum(records.equivocations.values()),
            clock=self._clock_view(),
            index=IndexHealth(memories=len(self.driver.index), complete=self.driver.indexer.filled),
            active_tasks=len(tasks) - len(outcomes),
            converged_tasks=len(outcomes),
            cycles=sum(outcome.cycles for outcome in outcomes),
            deltas_produced=own,
            deltas_received=len(records) - own,
            confidence=sum(outcome.posterior for outcome in outcomes) / len(outcomes)
            if outcomes
            else 0.0,
            uptime=rendering.uptime(now_ms - self._started_ms),
            uptime_ms=now_ms - self._started_ms,
            last_provider=last[0],
            last_model=last[1],
            last_tier="",
            sce=Off(reason="idle cognition is not built yet"),
            quantum=self.quantum(),
        )

    def count_refused(self, reason: str) -> None:
        """Note a request that an edge refused before it came here."""
        self._node.ledger.refused[reason] += 1

    def cortex(self) -> CortexStatus:
        """The local model runner: nothing is loaded."""
        return CortexStatus()

    def providers(self) -> Providers:
        """Every model this spore may ask."""
        now_ms = self.driver.clock()
        routing = self._node.routing
        note = (
            "asked in this order; one that fails rests, and the next is asked"
            if routing.families()
            else "no model is configured: answers are extracts from memory. Set LLM_ENDPOINT, or "
            "a provider's key, to reason with models"
        )
        return Providers(
            targets=[
                rendering.target_view(target, routing.state(target), now_ms=now_ms)
                for target in routing.targets
            ],
            note=note,
        )

    def quantum(self) -> dict[str, object]:
        """The annealing schedule in use; what is not built says so."""
        annealing = self._node.deliberations.annealing
        off = {"enabled": False}
        return {
            "annealing": {
                "enabled": True,
                "T_HOT": annealing.hottest,
                "T_COLD": annealing.coldest,
                "schedule": [
                    annealing.temperature(cycle, cycles=self._node.deliberations.cycles_max)
                    for cycle in range(self._node.deliberations.cycles_max)
                ],
                "unit": "sampling temperature",
            },
            "superposition": off,
            "interference": off,
            "tunneling": off,
            "entanglement": off,
            "decoherence": off,
        }

    def cognition(self) -> Off:
        """Idle cognition: not built yet."""
        return Off(reason="idle cognition is not built yet")

    def name_of(self, key: str) -> str:
        """What the spore with this key calls itself; empty when it has not said."""
        if key == self._node.key.hex():
            return self._node.settings.name
        peer = self._node.peers.get(bytes.fromhex(key)) if key else None
        return peer.said.name if peer is not None else ""

    # Shared parts.

    def _released(self, text: str, *, bytes_max: int, name: str = "text") -> SharedText:
        try:
            released = self._wall.release(text, bytes_max=bytes_max, name=name)
        except Refused as refusal:
            self._blocks += 1
            self._audit.append(
                AuditEntry(
                    timestamp=self.driver.clock() / 1_000,
                    action="BLOCKED",
                    provenance=self._node.key.hex(),
                    reason=refusal.reason,
                )
            )
            raise
        self._crossings += 1
        return released

    def _wall_counts(self) -> WallCounts:
        judged = self._crossings + self._blocks
        return WallCounts(
            commander_id=self._node.key.hex(),
            crossings=self._crossings,
            blocks=self._blocks,
            audit_entries=len(self._audit),
            conflict_classes=0,
            block_rate=self._blocks / judged if judged else 0.0,
        )

    def _memory_counts(self) -> tuple[int, int]:
        """Shared and private memories."""
        shared = self._node.ledger.records.counts_by_kind.get(MEMORY, 0)
        return shared, self.driver.log.counts()[1]

    def _clock_view(self) -> VectorClockView:
        return VectorClockView(clocks=self._node.ledger.records.frontier.clock().value)

    def _last_position(self) -> tuple[str, str]:
        """Family and model of the newest position of ours."""
        own = [
            position
            for task in self._node.ledger.tasks
            for position in task.positions
            if position.author == self._node.key
        ]
        newest = max(own, key=lambda one: (one.created_ms, one.id), default=None)
        return (newest.family, newest.model) if newest is not None else ("", "")


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


def _position(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise Refused("cursor", "that cursor is not one this spore gave out")
    return int(cursor)


def _dna_hash() -> str:
    facts = "\n".join(f"{name}={value}" for name, value in sorted(SWARM_DNA.items()))
    return hashlib.sha256(facts.encode()).hexdigest()[:16]
