"""Drives a node in the real world: events in from one inbox, effects out in order.

One task handles events, so nothing needs a lock. Events that wait together are handled together
and share one commit: group commit costs nothing and every acknowledgement, reply and message
still comes after what it rests on is durable. Slow work (HTTP, models, the disk, the index) runs
beside the loop and comes back as an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, count, islice
from typing import Any, Final

import structlog

from synapse.core import events
from synapse.core.codec import sendable
from synapse.core.effects import (
    Acknowledge,
    CallModel,
    Effect,
    Introduce,
    Persist,
    Publish,
    Send,
    SetTimer,
)
from synapse.core.errors import (
    Busy,
    NotFound,
    PeerError,
    Refused,
    StorageError,
    SynapseError,
)
from synapse.core.messages import Message, Poll
from synapse.core.node import Node
from synapse.driver.embedder import Embedder
from synapse.driver.indexer import Indexer
from synapse.driver.model_calls import ModelCalls
from synapse.driver.news import News
from synapse.driver.queues import MAILBOXES_BYTES_MAX, Mailboxes, MessageQueue
from synapse.driver.recall import Recaller, asked_about
from synapse.driver.turn import Turn
from synapse.driver.usage import used
from synapse.ports import AttemptLog, Index, Provider, RecordLog, Transport
from synapse.retrieval.corroboration import Corroboration
from synapse.storage.attempt_log import MemoryAttemptLog
from synapse.storage.views import Views

INBOX_MAX: Final = 4_096  # events; at a tenth of a millisecond each, half a second of work
BATCH_MAX: Final = 256  # events of one commit; keeps a commit's share of the latency bounded
STORAGE_RETRY_S: Final = 1.0
RESTORE_CHUNK: Final = 2_000
COMMAND_TIMEOUT_S: Final = 30.0  # a disk that takes longer is broken

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Work:
    """Events that belong together, and whoever waits for what they lead to."""

    events: Sequence[events.Event]
    peer: bytes | None = None  # whose request this is; messages to it are the reply
    replies: list[Message] = field(default_factory=list)
    done: asyncio.Future[None] | None = None


class Driver:
    """Runs one node until cancelled."""

    def __init__(
        self,
        node: Node,
        *,
        log: RecordLog,
        index: Index,
        transport: Transport,
        providers: Mapping[str, Provider],
        clock: Callable[[], int],
        attempts: AttemptLog | None = None,
        said: Corroboration | None = None,
        half_life_days: float | None = None,
        mailboxes_bytes_max: int = MAILBOXES_BYTES_MAX,
        embedder: Embedder | None = None,
    ) -> None:
        """`providers` maps each target's name to what can ask it; `clock` gives milliseconds;
        `attempts` keeps what became of each call and `said` who said the same, by default in
        memory."""
        self.node = node
        self.log = log
        self.index = index
        self.news = News()
        self.clock = clock
        self.indexer = Indexer(log, index, self.news, said=said, embedder=embedder)
        self.recaller = Recaller(
            index,
            log,
            node.ledger,
            clock,
            said=self.indexer.said,
            half_life_days=half_life_days,
            embedder=embedder,
        )
        self._transport = transport
        self.attempts = attempts if attempts is not None else MemoryAttemptLog()
        self._models = ModelCalls(
            providers,
            self.attempts,
            clock=clock,
            tell=lambda event: self._tell(_Work((event,))),
        )
        self._inbox: asyncio.Queue[_Work] = asyncio.Queue(INBOX_MAX)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._commands: dict[int, asyncio.Future[bytes | None]] = {}
        self._tokens = count(1)
        self._outboxes: dict[bytes, MessageQueue] = {}
        self._mailboxes = Mailboxes(bytes_max=mailboxes_bytes_max)
        self._polls: dict[bytes, list[asyncio.Event]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # Its own thread: a hundred peers whose messages are decoded do not delay a commit.
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._stalled: StorageError | None = None
        self._restored = False
        self._stopped = False

    # For users, through operations, and for peers, through the gossip routes.

    @property
    def stalled(self) -> StorageError | None:
        """Why nothing can be written now; None when all is well."""
        return self._stalled

    @property
    def queues(self) -> Mapping[str, int]:
        """How much waits, and where: events, commands, and messages to peers."""
        return {
            "inbox": self._inbox.qsize(),
            "commands": len(self._commands),
            "outboxes": sum(map(len, self._outboxes.values())),
            "mailboxes": len(self._mailboxes),
        }

    async def submit(self, make: Callable[[int], events.Command]) -> bytes | None:
        """Run a command; the id of what it made, once that is durable.

        Raises Refused, Busy when the inbox is full, StorageError when the disk fails.
        """
        self._refuse_when_stalled()
        token = next(self._tokens)
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._commands[token] = future
        try:
            self._enqueue(_Work((make(token),)))
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                return await future
        except TimeoutError:
            raise StorageError(
                "the disk did not answer in time; the write may yet happen"
            ) from None
        finally:
            self._commands.pop(token, None)

    async def exchange(self, peer: bytes, messages: Sequence[Message]) -> list[Message]:
        """Answer a peer's request. Raises Busy, StorageError."""
        self._refuse_when_stalled()
        done = asyncio.get_running_loop().create_future()
        work = _Work(
            [events.MessageReceived(peer, message) for message in messages], peer=peer, done=done
        )
        self._enqueue(work)
        await done
        wait_ms = max((one.wait_ms for one in messages if isinstance(one, Poll)), default=0)
        if wait_ms and not work.replies and not self._mailboxes.waiting(peer):
            await self._mail(peer, wait_ms=wait_ms)
        return sendable([*work.replies, *self._mailboxes.take(peer)])[0]

    async def _mail(self, peer: bytes, *, wait_ms: int) -> None:
        """Wait until there is something for this peer, or for so long."""
        arrived = asyncio.Event()
        polls = self._polls.setdefault(peer, [])
        polls.append(arrived)
        try:
            async with asyncio.timeout(wait_ms / 1_000):
                await arrived.wait()
        except TimeoutError:
            pass  # no news is an answer too
        finally:
            polls.remove(arrived)
            if not polls:
                self._polls.pop(peer, None)

    # Life.

    async def restore(self) -> None:
        """Rebuild every view, from the log and what is kept beside it; then open for business."""
        views = Views(self.log, self.node.ledger.records)
        found = await asyncio.to_thread(views.load)
        for part in views.restored(found, VIEW_KINDS, own=self.node.key):
            while chunk := await asyncio.to_thread(tuple, islice(part, RESTORE_CHUNK)):
                self.node.handle(events.Restored(chunk), now_ms=self.clock())
        self._restored = True
        self._spawn(views.keep())
        if (embedder := self.recaller.embedder) is not None:
            self._spawn(embedder.run())
        await self._handle([_Work((events.Started(),))])

    def stop_waiting(self) -> None:
        """The spore is about to stop: send home whoever waits for news."""
        self.news.stop()
        for arrived in chain.from_iterable(self._polls.values()):
            arrived.set()

    async def run(self) -> None:
        """Restore unless that was done, then handle events until cancelled."""
        if not self._restored:
            await self.restore()
        indexer = asyncio.create_task(self._keep_indexed())
        batch: list[_Work] = []
        try:
            while True:
                batch = [await self._inbox.get()]
                while len(batch) < BATCH_MAX and not self._inbox.empty():
                    batch.append(self._inbox.get_nowait())
                await self._handle(batch)
                if indexer.done():
                    indexer.result()  # an index that fails stops the node: it would lie
        finally:
            self._stopped = True
            self.recaller.searches.close()
            self._fail_waiting(batch, _stopping())
            indexer.cancel()
            self._disk.shutdown(wait=False)
            for task in self._tasks:
                task.cancel()
            for timer in self._timers.values():
                timer.cancel()

    async def _keep_indexed(self) -> None:
        await self.indexer.fill()
        self.news.publish("ready", {"memories": self.indexer.indexed})
        await self.indexer.follow()

    async def _handle(self, batch: Sequence[_Work]) -> None:
        happened = [event for work in batch for event in work.events]
        await self.recaller.make_ready(
            asked_about(self.node, happened), known=bool(self.node.thinking.routing.families())
        )
        now_ms, turn = self.clock(), Turn()
        effects: list[tuple[_Work, Effect]] = []
        staged = False
        for work in batch:
            for event in work.events:
                await turn.shared()
                for effect in self.node.handle(event, now_ms=now_ms):
                    if isinstance(effect, Persist):
                        self.log.stage(effect.records, private=effect.private, erased=effect.erased)
                        staged = True
                    effects.append((work, effect))
        if staged:
            await self._commit(batch)
        for work, effect in effects:
            await turn.shared()
            self._perform(work, effect)
        for work in batch:
            if work.done is not None and not work.done.done():
                work.done.set_result(None)

    async def _commit(self, batch: Sequence[_Work]) -> None:
        """Make what was staged durable. While the disk refuses, nothing else happens: intake
        stops, whoever waits is told, and nothing staged is lost."""
        while True:
            try:
                await asyncio.get_running_loop().run_in_executor(self._disk, self.log.commit)
            except StorageError as error:
                if self._stalled is None:
                    _log.error("storage_stalled", problem=str(error))
                    self.news.publish("storage", {"problem": str(error)})
                self._stalled = error
                self._fail_waiting(batch, error)
                await asyncio.sleep(STORAGE_RETRY_S)
                continue
            if self._stalled is not None:
                _log.info("storage_recovered")
                self._stalled = None
            return

    def _fail_waiting(self, batch: Sequence[_Work], error: SynapseError) -> None:
        for future in self._commands.values():
            if not future.done():
                future.set_exception(error)
        for work in [*batch, *self._drained()]:
            if work.done is not None and not work.done.done():
                work.done.set_exception(error)

    def _drained(self) -> list[_Work]:
        """Take out of the inbox what somebody waits for; timers and replies keep their place."""
        waiting = [self._inbox.get_nowait() for _ in range(self._inbox.qsize())]
        for work in waiting:
            if work.done is None and not isinstance(work.events[0], events.Command):
                self._inbox.put_nowait(work)
        return [work for work in waiting if work.done is not None]

    # Effects.

    def _perform(self, work: _Work, effect: Effect) -> None:
        match effect:
            case Persist(records=records, erased=erased):
                self.indexer.want(erased=erased, used=used(self.node.ledger, records))
            case Send(peer, url, message):
                self._send(work, peer, url, message)
            case Introduce():
                self._spawn(self._introduce(effect))
            case SetTimer(name, after_ms):
                self._set_timer(name, after_ms)
            case CallModel():
                self._spawn(self._models.make(effect))
            case Acknowledge():
                self._acknowledge(effect)
            case Publish(topic, data):
                self.news.publish(topic, data)

    def _acknowledge(self, effect: Acknowledge) -> None:
        future = self._commands.get(effect.token)
        if future is None or future.done():
            return  # whoever asked has gone
        if effect.refused is None:
            future.set_result(effect.id)
        elif effect.refused == "not_found":
            future.set_exception(NotFound(effect.message))
        else:
            future.set_exception(Refused(effect.refused, effect.message))

    def _set_timer(self, name: str, after_ms: int) -> None:
        previous = self._timers.get(name)
        if previous is not None:
            previous.cancel()
        loop = asyncio.get_running_loop()
        self._timers[name] = loop.call_later(after_ms / 1_000, self._timer_due, name)

    def _timer_due(self, name: str) -> None:
        del self._timers[name]
        self._spawn(self._tell(_Work((events.TimerFired(name),))))

    def _send(self, work: _Work, peer: bytes, url: str | None, message: Message) -> None:
        if work.peer == peer:
            work.replies.append(message)
        elif url is None:
            self._mailboxes.put(peer, message)
            for arrived in self._polls.get(peer, ()):
                arrived.set()
        elif isinstance(message, Poll):
            self._spawn(self._post(peer, url, [message]))
        elif peer in self._outboxes:
            self._outboxes[peer].put(message)
        else:
            outbox = self._outboxes[peer] = MessageQueue()
            outbox.put(message)
            self._spawn(self._empty(outbox, peer, url))

    async def _empty(self, outbox: MessageQueue, peer: bytes, url: str) -> None:
        """One exchange after another with one peer: what comes meanwhile travels together."""
        try:
            while outbox and await self._post(peer, url, outbox.take()):
                pass
        finally:
            del self._outboxes[peer]

    async def _post(self, peer: bytes, url: str, messages: Sequence[Message]) -> bool:
        polled = any(isinstance(message, Poll) for message in messages)
        try:
            replies = await self._transport.exchange(peer, url, messages)
        except PeerError as error:
            _log.debug("peer_failed", peer=peer.hex()[:16], url=url, problem=str(error))
            await self._tell(_Work((events.SendFailed(peer, error.reason, polled),)))
            return False
        received = [events.MessageReceived(peer, message, reply=True) for message in replies]
        await self._tell(_Work([*received, events.Exchanged(peer, polled)]))
        return True

    async def _introduce(self, effect: Introduce) -> None:
        try:
            record = await self._transport.introduce(effect.url, trusted=effect.trusted)
        except PeerError as error:
            await self._tell(_Work((events.IntroductionFailed(effect.url, error.reason),)))
        else:
            await self._tell(_Work((events.Introduced(effect.url, record),)))

    # Plumbing.

    def _enqueue(self, work: _Work) -> None:
        try:
            self._inbox.put_nowait(work)
        except asyncio.QueueFull:
            raise Busy(
                "this spore has more to do than it can; try again", retry_after_ms=1_000
            ) from None

    async def _tell(self, work: _Work) -> None:
        """Hand in an event of our own making; it waits for its place."""
        await self._inbox.put(work)

    def _refuse_when_stalled(self) -> None:
        if self._stopped:
            raise _stopping()
        if self._stalled is not None:
            raise self._stalled.with_traceback(None)  # one error, raised often, would gather them

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # it never began if it was cancelled first


# Restoring reads the bodies of what the views are folded from; those of memories stay on the disk.
VIEW_KINDS: Final = (
    "task",
    "position",
    "commitment",
    "abstention",
    "verdict",
    "lease",
    "outcome",
    "grade",
    "retraction",
    "node",
    "certificate",
)


def _stopping() -> Busy:
    return Busy("this spore is stopping", retry_after_ms=5_000)


async def _logged(work: Coroutine[Any, Any, Any]) -> None:
    """The top of a task: what nobody expected is logged here and ends the task."""
    try:
        await work
    except Exception:  # noqa: BLE001  # the top of a task
        _log.exception("task_failed")
