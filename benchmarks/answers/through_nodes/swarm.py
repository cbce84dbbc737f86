"""Many nodes in one process, each the shipped `Node`, handing each other messages.

It is the simulator without bytes, signatures checked, losses and long delays, for experiments of
many thousand tasks. Virtual time moves from one task to the next. Comparing is left out: nothing is
ever lost, so pushing reaches everyone.

What is compared meets the same chance: what a node holds or did before moves no draw. No two nodes
hear of a thing at the same moment, so that no random id decides between answers.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Final

from benchmarks.answers.through_nodes.models import SolverModel
from synapse.core.effects import Acknowledge, CallModel, Effect, Introduce, Persist, Send, SetTimer
from synapse.core.events import (
    Event,
    GradeTask,
    Introduced,
    MessageReceived,
    Remember,
    Restored,
    Started,
    SubmitTask,
    TimerFired,
)
from synapse.core.memory.memory import Memory, from_record
from synapse.core.memory.record import MEMORY, Identity
from synapse.core.node import Node, NodeSettings
from synapse.core.reasoning.mechanisms import DEFAULTS, Quantum
from synapse.core.reasoning.task import Task
from synapse.core.text import Shareable
from synapse.core.wall.release import Wall, constant
from synapse.ports import Filter, Labels, Ranking
from synapse.retrieval.inverted import InvertedIndex
from synapse.sim.disk import Disk

EPOCH_MS: Final = 1_700_000_000_000
DAY_MS: Final = 86_400_000
GAP_MS: Final = 5_000  # between two tasks: longer than anyone waits to write down a check
NOT_NEEDED: Final = ("sync", "poll", "lease")  # timers of comparing and of taking over
_WALL: Final = Wall()

Wanted = Callable[[Memory], bool]


@dataclass(frozen=True, slots=True)
class Recall:
    """What nodes recall: memories for which `wanted` holds, while `open`.

    The ranking is the shipped index's. `half_life_days` None: nothing fades. With `quarantine`,
    memories of operators that nobody here vouched for are left out of recall.
    """

    wanted: Wanted = lambda _: True
    half_life_days: float | None = None
    quarantine: bool = False


@dataclass(slots=True)
class Station:
    """One node and what it runs on."""

    node: Node
    url: str
    models: Mapping[str, SolverModel]
    disk: Disk
    index: InvertedIndex
    reached_in_ms: int  # how long a message to it takes
    timers: dict[str, int] = field(default_factory=dict)


class Swarm:
    """Nodes that know each other, on one clock."""

    def __init__(
        self,
        seed: int,
        crews: Sequence[Sequence[SolverModel]],
        *,
        quantum: Quantum = DEFAULTS,
        recall: Recall | None = None,
        strangers: int = 0,
        seeds: Callable[[int], Sequence[int]] | None = None,
    ) -> None:
        """One node a crew. All are one operator's friends but the last `strangers`, whom nobody
        vouches for. `recall` None: nothing is ever recalled. `seeds` names whom a node's operator
        vouched for, when that is not all friends."""
        self.now_ms = EPOCH_MS
        self.recalling = recall
        self._seed = seed
        self._rng = Random(f"swarm {seed}")
        self._queue: deque[tuple[Station, Event]] = deque()
        self._due: list[tuple[int, int, Station, Event, str, int]] = []
        self._numbers = count()
        self._tokens = count(1)
        self._made: dict[int, bytes | None] = {}
        friends = len(crews) - strangers
        urls = [f"https://spore-{number}.example" for number in range(len(crews))]
        known = seeds or (lambda number: range(friends) if number < friends else range(len(crews)))
        self.stations = [
            self._station(number, crew, urls, known(number), quantum)
            for number, crew in enumerate(crews)
        ]
        self._by_key = {one.node.key: one for one in self.stations}
        self._by_url = {one.url: one for one in self.stations}
        for one in self.stations:
            self._queue += [(one, Restored(())), (one, Started())]
        self.wait(GAP_MS)

    def _station(
        self,
        number: int,
        crew: Sequence[SolverModel],
        urls: Sequence[str],
        known: Sequence[int],
        quantum: Quantum,
    ) -> Station:
        disk, index = Disk(), InvertedIndex()
        settings = NodeSettings(
            name=f"spore {number}",
            url=urls[number],
            software="benchmark",
            seeds=tuple(urls[other] for other in known if other != number),
            targets=tuple(model.target for model in crew),
            quantum=quantum,
        )
        node = Node(
            Identity(self._rng.randbytes(32)),
            settings,
            rng=Random(self._rng.getrandbits(64)),
            read=disk.read,
            search=lambda query, limit: self._search(station, query, limit),
            wall=_WALL,
        )
        models = {model.name: model for model in crew}
        station = Station(node, urls[number], models, disk, index, 1 + number)
        return station

    # What users do.

    def ask(self, at: int, text: str, *, form: str, budget: int | None = None) -> Task:
        """Submit a task to a node and let the swarm answer it.

        `budget` is how often the node may ask its own models; what peers lend is theirs.
        """
        station = self.stations[at]
        self._draw_distances(text)
        token = next(self._tokens)
        shared = _WALL.share(text, bytes_max=16_000)
        wish: dict[str, Shareable] = {"kind": constant(form)}
        if budget is not None:
            wish["budget"] = budget
        self._queue.append((station, SubmitTask(token, shared, wish)))
        self.run()
        made = self._made.pop(token)
        assert made is not None, "a task is never refused here"
        task = station.node.ledger.tasks.get(made)
        assert task is not None, "its asker knows it"
        while task.outcome is None and self._due:
            self._next_due()
            self.run()
        self.run(self.now_ms + GAP_MS)
        return task

    def grade(self, at: int, task: Task, right: Callable[[str], bool]) -> None:
        """The user says of every answer whether it was right: the wrong ones first, since saying
        that one answer is right calls the others wrong."""
        station = self.stations[at]
        said = {one.answer: one.id for one in task.positions if not one.challenge}
        for answer in sorted(said, key=lambda one: (right(one), one)):
            grade = GradeTask(next(self._tokens), task.id, position=said[answer])
            if not right(answer):
                grade = GradeTask(grade.token, task.id, position=said[answer], right=False)
            self._queue.append((station, grade))
            self.run()
            self.now_ms += 1

    def remember(self, at: int, text: str, *, kind: str = "note") -> None:
        """Write a shared memory at a node, as its user or an agent would."""
        shared = _WALL.share(text, bytes_max=16_000)
        command = Remember(next(self._tokens), shared, _WALL.label(kind, name="kind"))
        self._queue.append((self.stations[at], command))
        self.wait(len(self.stations))

    def wait(self, ms: int) -> None:
        """Let time pass."""
        self.run(self.now_ms + ms)

    # Time.

    def _draw_distances(self, question: str) -> None:
        """Who is near decides between answers that are held equally likely: the earliest one
        leads. That is drawn from the question, so that it is the same whatever is compared."""
        distances = list(range(1, len(self.stations) + 1))
        Random(f"{self._seed} {question}").shuffle(distances)
        for station, distance in zip(self.stations, distances, strict=True):
            station.reached_in_ms = distance

    def run(self, until_ms: int = 0) -> None:
        """Handle what is waiting, and then whatever is due up to a time."""
        while True:
            while self._queue:
                station, event = self._queue.popleft()
                for effect in station.node.handle(event, now_ms=self.now_ms):
                    self._perform(station, effect, event)
            if not self._due or self._due[0][0] > until_ms:
                break
            self._next_due()
        self.now_ms = max(self.now_ms, until_ms)

    def _next_due(self) -> None:
        due_ms, _, station, event, name, ticket = heapq.heappop(self._due)
        if name and station.timers.get(name) != ticket:
            return  # set anew since
        station.timers.pop(name, None)
        self.now_ms = max(self.now_ms, due_ms)
        self._queue.append((station, event))

    def _later(self, after_ms: int, station: Station, event: Event, name: str = "") -> None:
        ticket = next(self._numbers)
        if name:
            station.timers[name] = ticket
        due_ms = self.now_ms + after_ms
        heapq.heappush(self._due, (due_ms, ticket, station, event, name, ticket))

    # Effects.

    def _perform(self, station: Station, effect: Effect, cause: Event) -> None:
        match effect:
            case Persist():
                station.disk.stage(effect)
                self._feed(station, effect)
            case Send(peer, _, message):
                # What is said back to whoever asks is a reply: it is not asked in turn.
                reply = isinstance(cause, MessageReceived) and not cause.reply
                said = MessageReceived(station.node.key, message, reply and cause.peer == peer)
                receiver = self._by_key[peer]
                self._later(receiver.reached_in_ms, receiver, said)
            case Introduce(url):
                self._introduce(station, url)
            case SetTimer(name, after_ms):
                if not name.startswith(NOT_NEEDED):
                    self._later(after_ms, station, TimerFired(name), name)
            case CallModel():
                model = station.models[effect.target]
                after_ms, event = model.answer(effect, self._rng, now_ms=self.now_ms)
                self._later(after_ms, station, event)
            case Acknowledge(token, made):
                self._made[token] = made

    def _introduce(self, station: Station, url: str) -> None:
        record = self._by_url[url].node.description
        if record is None:  # it has not started yet: ask again after whoever is before us
            self._later(1, station, TimerFired("sync"))
        else:
            self._queue.append((station, Introduced(url, record)))

    # Memory.

    def _feed(self, station: Station, entry: Persist) -> None:
        recall = self.recalling
        made = [one for one in entry.records if one.kind == MEMORY]
        if recall is None or not made:
            return
        memories = [memory for memory in map(from_record, made) if memory is not None]
        kept = [memory for memory in memories if recall.wanted(memory)]
        station.index.add(kept, labels=[Labels(operator=memory.author) for memory in kept])

    def _search(self, station: Station, query: str, limit: int) -> list[Memory]:
        recall = self.recalling
        if recall is None:
            return []
        left_out = frozenset(
            peer.key.hex() for peer in station.node.peers if recall.quarantine and not peer.vouched
        )
        ranking = Ranking(now_ms=self.now_ms, half_life_days=recall.half_life_days)
        hits = station.index.search(
            query,
            limit=limit,
            wanted=Filter(shared=True, operators_left_out=left_out),
            ranking=ranking if recall.half_life_days is not None else None,
        )
        records = station.disk.read([hit.id for hit in hits])
        return [memory for memory in map(from_record, records) if memory is not None]
