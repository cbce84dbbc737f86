"""One node: routes events to the machines below it, and signs what they draft.

    handle(event, now_ms) -> [effect]

No I/O, no clock, no randomness of its own: the driver and the simulator run this very class.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from synapse.core import events
from synapse.core.effects import Acknowledge, Effect, Introduce, Persist, Publish, Send, SetTimer
from synapse.core.errors import RecordError
from synapse.core.ledger import Entered, Ledger, Read
from synapse.core.membership import handshake
from synapse.core.membership.peer_table import PeerTable
from synapse.core.memory.memory import Memory, PrivateMemory
from synapse.core.memory.record import (
    CERTIFICATE,
    MEMORY,
    NODE,
    OUTCOME,
    POSITION,
    RETRACTION,
    TASK,
    Draft,
    Identity,
    Record,
)
from synapse.core.memory.record_set import dot_text
from synapse.core.messages import (
    WAIT_MS_MAX,
    Have,
    Message,
    Poll,
    Prune,
    Push,
    Ranges,
    Summary,
    Supply,
    Table,
    Want,
)
from synapse.core.reasoning.deliberation import Deliberations
from synapse.core.reasoning.model_routing import Routing, Target
from synapse.core.reasoning.schedule import Annealing
from synapse.core.reasoning.task import LABEL_BYTES_MAX
from synapse.core.replication.anti_entropy import AntiEntropy
from synapse.core.replication.push import ANNOUNCE_AFTER_MS, EagerPush
from synapse.core.text import SharedText
from synapse.core.trust import weights
from synapse.core.wall.release import Wall, constant
from synapse.core.wall.release import dot as shared_dot

CATCH_UP_MS: Final = 20  # between comparisons that make progress
FOLLOW_UPS_MAX: Final = 256  # what one peer's replies may make us say between two regular ones
POLL_AGAIN_MS: Final = 250
_NOT_AT_HOME: Final = ("stranger", "status_401")  # a spore with another key answers there now
POLLED_PEERS_MAX: Final = 2  # long polls held open by a spore nobody can dial

Search = Callable[[str, int], Sequence[Memory]]


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What an operator decides about a node."""

    name: str
    url: str | None  # where others dial it; None when nobody can
    software: str
    seeds: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    private_addresses: bool = False
    sync_interval_ms: int = 5_000
    task_deadline_ms: int = 60_000


class Node:
    """The whole of a spore but its edges. Its parts are public to read, for views."""

    def __init__(
        self,
        identity: Identity,
        settings: NodeSettings,
        *,
        rng: Random,
        read: Read,
        search: Search,
        wall: Wall,
    ) -> None:
        """`read` fetches records by id, `search` finds shared memories; both answer at once."""
        self.key = identity.key
        self.settings = settings
        self._rng = Random(rng.getrandbits(64))
        self._wall = wall
        self._read = read
        peers = PeerTable(
            own_key=identity.key,
            rng=Random(rng.getrandbits(64)),
            private_addresses=settings.private_addresses,
        )
        self.ledger = Ledger(identity, peers=peers, rng=rng, read=read)
        self.routing = Routing(settings.targets, Random(rng.getrandbits(64)))
        self.deliberations = Deliberations(
            routing=self.routing,
            search=search,
            share=wall.share,
            weight=self.weight,
            help_expected=self._help_expected,
            deadline_ms=settings.task_deadline_ms,
            annealing=Annealing(),
        )
        self._anti_entropy = AntiEntropy(self.ledger.records, read)
        self._push = EagerPush(read, Random(rng.getrandbits(64)))
        self._description: Record | None = None
        self._behind: bytes | None = None  # the peer we are catching up with
        self._follow_ups: Counter[bytes] = Counter()
        self._polling: set[bytes] = set()
        for url in settings.seeds:
            peers.add_seed(url)

    @property
    def peers(self) -> PeerTable:
        """Who the peers are."""
        return self.ledger.peers

    def handle(self, event: events.Event, *, now_ms: int) -> list[Effect]:
        """What should happen because of `event`, in order."""
        handler = _HANDLERS[type(event)]
        return handler(self, event, now_ms)

    def weight(self, family: str) -> float:
        """A family's vote in nats, from every grade met."""
        right, wrong = self.ledger.evidence.counts.totals((family, "text"))
        return weights.weight(right, wrong)

    @property
    def description(self) -> Record | None:
        """Our signed self-description; None before `Started`."""
        return self._description

    # Starting.

    def _restored(self, event: events.Restored, now_ms: int) -> list[Effect]:
        self.ledger.restore(event.records)
        for record in event.records:
            if record.kind == NODE and record.header.writer == self.key:
                self._description = record
        return []

    def _started(self, event: events.Started, now_ms: int) -> list[Effect]:
        said = handshake.content(
            name=self._wall.label(self.settings.name, name="name"),
            url=SharedText(self.settings.url) if self.settings.url is not None else None,
            software=constant(self.settings.software),
            families=tuple(
                self._wall.share(one, bytes_max=LABEL_BYTES_MAX) for one in self.routing.families()
            ),
        )
        effects: list[Effect] = []
        if self._description is None or _differs(self._description, said):
            self._description, effects = self._write(Draft(NODE, said), now_ms=now_ms)
        for task in self.ledger.tasks:
            if task.author == self.key and task.outcome is None:
                effects += self._finish(self.deliberations.begin(task, now_ms=now_ms), now_ms)
        effects += self._introductions(now_ms)
        effects.append(SetTimer("sync", self._rng.randrange(1, 500)))
        if self.settings.url is None:
            effects.append(SetTimer("poll", POLL_AGAIN_MS))
        return effects

    # Commands of this spore's users.

    def _remember(self, command: events.Remember, now_ms: int) -> list[Effect]:
        draft = Draft(MEMORY, {"text": command.text, "kind": command.kind, "tags": command.tags})
        return self._write_for(command.token, draft, now_ms=now_ms)[1]

    def _remember_privately(self, command: events.RememberPrivately, now_ms: int) -> list[Effect]:
        salt = self._rng.randbytes(16)
        memory = PrivateMemory(
            id=hashlib.sha256(b"synapse/private/1\x00" + salt + command.text.encode()).digest(),
            text=command.text,
            kind=command.kind,
            tags=command.tags,
            created_ms=now_ms,
        )
        return [Persist(private=(memory,)), Acknowledge(command.token, memory.id)]

    def _retract(self, command: events.Retract, now_ms: int) -> list[Effect]:
        if command.private:
            return [
                Persist(erased=(command.record_id,)),
                Acknowledge(command.token, command.record_id),
            ]
        found = self._read((command.record_id,))
        if not found:
            message = "there is no such record here"
            return [Acknowledge(command.token, refused="not_found", message=message)]
        header = found[0].header
        if header.operator != self.key or header.kind in (RETRACTION, CERTIFICATE):
            message = "only the operator of a memory can take it back"
            return [Acknowledge(command.token, refused="not_yours", message=message)]
        dots = (shared_dot(dot_text(header.dot)),)
        draft = Draft(RETRACTION, {"dots": dots}, refs=(command.record_id,))
        return self._write_for(command.token, draft, now_ms=now_ms)[1]

    def _submit_task(self, command: events.SubmitTask, now_ms: int) -> list[Effect]:
        record, effects = self._write_for(
            command.token, Draft(TASK, {"text": command.text}), now_ms=now_ms
        )
        task = self.ledger.tasks.get(record.id) if record is not None else None
        if task is not None:
            effects += self._finish(self.deliberations.begin(task, now_ms=now_ms), now_ms)
        return effects

    def _add_peer(self, command: events.AddPeer, now_ms: int) -> list[Effect]:
        if not handshake.url_valid(command.url):
            message = "a peer's address is http(s)://host[:port], without user, query or fragment"
            return [Acknowledge(command.token, refused="address", message=message)]
        seed = self.peers.add_seed(command.url)
        seed.retry_ms = now_ms
        return [Acknowledge(command.token), *self._introductions(now_ms)]

    # Writing and taking in records.

    def _write_for(
        self, token: int, draft: Draft, *, now_ms: int
    ) -> tuple[Record | None, list[Effect]]:
        """Write a record and acknowledge it once it is durable."""
        try:
            record, effects = self._write(draft, now_ms=now_ms)
        except RecordError as error:
            return None, [Acknowledge(token, refused=error.reason, message=str(error))]
        assert isinstance(effects[0], Persist), "an acknowledgement follows what it acknowledges"
        return record, [effects[0], Acknowledge(token, record.id), *effects[1:]]

    def _write(self, draft: Draft, *, now_ms: int) -> tuple[Record, list[Effect]]:
        entered = self.ledger.write(draft, now_ms=now_ms)
        return entered.records[0], self._after(entered, source=None, push=True, now_ms=now_ms)

    def _finish(self, items: Iterable[Effect | Draft], now_ms: int) -> list[Effect]:
        """Sign the drafts among `items`; what follows from a record comes after it."""
        effects: list[Effect] = []
        for item in items:
            if isinstance(item, Draft):
                effects += self._write(item, now_ms=now_ms)[1]
            else:
                effects.append(item)
        return effects

    def _after(
        self, entered: Entered, *, source: bytes | None, push: bool, now_ms: int
    ) -> list[Effect]:
        """New records: keep them, pass them on, and act on them."""
        if not entered.records:
            return []
        effects: list[Effect] = [Persist(entered.records, erased=entered.erased)]
        effects += self._pass_on(entered.records, source=source, push=push, now_ms=now_ms)
        for record in entered.records:
            effects.append(Publish("record", _notice(record, source)))
            effects += self._react(record, now_ms=now_ms)
        return effects

    def _pass_on(
        self, records: Sequence[Record], *, source: bytes | None, push: bool, now_ms: int
    ) -> list[Effect]:
        """Push new records, or announce them; the announcement's timer is set once, for the first
        that waits, so that a steady flow of records does not put it off for ever."""
        announcing = self._push.announcing
        reachable = self.peers.reachable(now_ms=now_ms)
        effects: list[Effect] = []
        if push:
            outgoing = self._push.spread(records, reachable=reachable, source=source, now_ms=now_ms)
            effects += [self._send(peer, message) for peer, message in outgoing]
        else:
            self._push.mention(records, reachable=reachable, source=source, now_ms=now_ms)
        if self._push.announcing and not announcing:
            effects.append(SetTimer("announce", ANNOUNCE_AFTER_MS))
        return effects

    def _react(self, record: Record, *, now_ms: int) -> list[Effect]:
        """What a record makes us do, beyond keeping it."""
        task = self.ledger.tasks.get(record.header.refs[0] if record.header.refs else record.id)
        if task is None:
            return []
        if record.kind == TASK and record.header.writer != self.key:
            asker = self.peers.get(task.author)
            families = asker.said.families if asker is not None else ()
            items = self.deliberations.contribute(task, asker_families=families, now_ms=now_ms)
            return self._finish(items, now_ms)
        effects: list[Effect] = []
        if record.kind in (POSITION, OUTCOME):
            effects.append(Publish("task", _task_notice(record, task.id)))
        if record.kind == POSITION:
            items = self.deliberations.on_position(task, now_ms=now_ms)
            effects += self._finish(items, now_ms)
        return effects

    # Messages.

    def _message(self, event: events.MessageReceived, now_ms: int) -> list[Effect]:
        effects = _MESSAGES[type(event.message)](self, event, event.message, now_ms)
        peer = self.peers.get(event.peer)
        if peer is not None:  # perhaps only since this message, which described it
            peer.health.heard(now_ms=now_ms)
        return effects

    def _summary(self, event: events.MessageReceived, theirs: Summary, now_ms: int) -> list[Effect]:
        notice = {
            "peer": event.peer.hex(),
            "records": len(self.ledger.records),
            "peer_records": theirs.records,
            "equal": theirs.fingerprint == self.ledger.records.fingerprint(),
        }
        replies = self._anti_entropy.on_summary(event.peer, theirs, driving=event.reply)
        return [*self._replies(event, replies), Publish("sync", notice)]

    def _table(self, event: events.MessageReceived, table: Table, now_ms: int) -> list[Effect]:
        return self._replies(event, self._anti_entropy.on_table(table, driving=event.reply))

    def _ranges(self, event: events.MessageReceived, ranges: Ranges, now_ms: int) -> list[Effect]:
        replies = self._anti_entropy.on_ranges(ranges)
        return self._replies(event, replies) + self._moved(event, _supplied(replies))

    def _supply(self, event: events.MessageReceived, supply: Supply, now_ms: int) -> list[Effect]:
        entered = self.ledger.take_in(supply, now_ms=now_ms)
        # What others give us unasked is new to this side of the swarm; what we fetch may not be.
        effects = self._after(entered, source=event.peer, push=not event.reply, now_ms=now_ms)
        if entered.records:
            del self._follow_ups[event.peer]  # worth our while
        return effects + self._moved(event, len(entered.records))

    def _pushed(self, event: events.MessageReceived, push: Push, now_ms: int) -> list[Effect]:
        entered = self.ledger.take_in(push, now_ms=now_ms)
        effects = self._after(entered, source=event.peer, push=True, now_ms=now_ms)
        prune = self._push.on_push(event.peer, new=len(entered.records), known=entered.known)
        return effects + self._replies(event, prune)

    def _prune(self, event: events.MessageReceived, prune: Prune, now_ms: int) -> list[Effect]:
        self._push.on_prune(event.peer)
        return []

    def _have(self, event: events.MessageReceived, have: Have, now_ms: int) -> list[Effect]:
        return self._replies(event, self._push.on_have(event.peer, have))

    def _want(self, event: events.MessageReceived, want: Want, now_ms: int) -> list[Effect]:
        replies = self._push.on_want(event.peer, want)
        return self._replies(event, replies) + self._moved(event, _supplied(replies))

    def _polled(self, event: events.MessageReceived, poll: Poll, now_ms: int) -> list[Effect]:
        self._push.link(event.peer, eager=True)  # it polls to hear of news at once
        return []

    def _moved(self, event: events.MessageReceived, records: int) -> list[Effect]:
        """Records moved between us and a peer: see whether there are more."""
        spent = self._follow_ups[event.peer] >= FOLLOW_UPS_MAX
        if spent or not event.reply or not self._anti_entropy.moved(event.peer, records):
            return []
        self._behind = event.peer
        return [SetTimer("catch up", CATCH_UP_MS)]

    def _replies(self, event: events.MessageReceived, messages: Sequence[Message]) -> list[Effect]:
        """Say something back. To a reply that is a new request, whose reply may want another: a
        peer that brings us nothing new cannot keep us at that."""
        if event.reply and messages:
            if self._follow_ups[event.peer] >= FOLLOW_UPS_MAX:
                return []
            self._follow_ups[event.peer] += 1
        return [self._send(event.peer, message) for message in messages]

    def _send(self, key: bytes, message: Message) -> Send:
        peer = self.peers.get(key)
        return Send(key, peer.url if peer is not None else None, message)

    # Peers.

    def _introductions(self, now_ms: int) -> list[Effect]:
        return [Introduce(url, trusted=True) for url in self.peers.unmet_seeds(now_ms=now_ms)]

    def _introduced(self, event: events.Introduced, now_ms: int) -> list[Effect]:
        peer = self.peers.introduced(event.url, event.record)
        if peer is None:
            if event.record.header.writer != self.key:
                self.peers.introduction_failed(event.url, "protocol", now_ms=now_ms)
            return []  # ourselves, or a spore of another protocol
        entered = self.ledger.take_in(Supply((event.record,)), now_ms=now_ms)
        effects = self._after(entered, source=peer.key, push=False, now_ms=now_ms)
        peer.health.heard(now_ms=now_ms)
        if self._description is not None:
            effects.append(self._send(peer.key, Push((self._description,))))
        effects.append(self._send(peer.key, self._anti_entropy.summary()))
        effects.append(Publish("peer", {"peer": peer.key.hex(), "state": "alive", "url": peer.url}))
        return effects

    def _introduction_failed(self, event: events.IntroductionFailed, now_ms: int) -> list[Effect]:
        self.peers.introduction_failed(event.url, event.reason, now_ms=now_ms)
        return []

    def _exchanged(self, event: events.Exchanged, now_ms: int) -> list[Effect]:
        peer = self.peers.get(event.peer)
        if peer is not None:
            peer.health.heard(now_ms=now_ms)
        return self._poll_ended(event.peer) if event.polled else []

    def _send_failed(self, event: events.SendFailed, now_ms: int) -> list[Effect]:
        effects = self._poll_ended(event.peer) if event.polled else []
        peer = self.peers.get(event.peer)
        if peer is None:
            return effects
        if event.reason in _NOT_AT_HOME:
            self.peers.moved(event.peer, now_ms=now_ms)
        before = peer.state(now_ms=now_ms)
        peer.health.failed(now_ms=now_ms, cut_off=self.peers.cut_off())
        after = peer.state(now_ms=now_ms)
        if after != before:
            notice = {"peer": peer.key.hex(), "state": str(after), "reason": event.reason}
            effects.append(Publish("peer", notice))
        return effects

    def _help_expected(self, now_ms: int) -> list[bytes]:
        """Live peers with a model family that we lack."""
        own = set(self.routing.families())
        alive = self.peers.alive(now_ms=now_ms)
        return [peer.key for peer in alive if set(peer.said.families) - own]

    # Timers.

    def _timer(self, event: events.TimerFired, now_ms: int) -> list[Effect]:
        match event.name.split("/", 1):
            case ["sync"]:
                return self._sync(now_ms)
            case ["catch up"]:
                return self._catch_up()
            case ["announce"]:
                return [self._send(peer, message) for peer, message in self._push.announce()]
            case ["poll"]:
                return self._poll(now_ms)
            case ["task", task_id]:
                items = self.deliberations.on_timer(bytes.fromhex(task_id), now_ms=now_ms)
                return self._finish(items, now_ms)
        raise AssertionError(f"there is no timer {event.name!r}")

    def _sync(self, now_ms: int) -> list[Effect]:
        """Compare with one peer; let in what was early; look for seeds not met yet."""
        due = self.ledger.due(now_ms=now_ms)
        effects = self._after(due, source=None, push=False, now_ms=now_ms)
        effects += self._introductions(now_ms)
        self._follow_ups.clear()
        self._push.renew(self.peers.reachable(now_ms=now_ms))
        peer = self.peers.to_compare_with(now_ms=now_ms)
        if peer is not None:
            effects.append(self._send(peer.key, self._anti_entropy.summary()))
        interval_ms = self.settings.sync_interval_ms
        jitter_ms = self._rng.randrange(-interval_ms // 5, interval_ms // 5 + 1)
        effects.append(SetTimer("sync", interval_ms + jitter_ms))
        return effects

    def _catch_up(self) -> list[Effect]:
        """Compare once more with the peer that had much for us, or we for it."""
        behind, self._behind = self._behind, None
        return [self._send(behind, self._anti_entropy.summary())] if behind is not None else []

    def _poll(self, now_ms: int) -> list[Effect]:
        """Nobody can dial us: keep long polls open at some peers, to hear of news at once."""
        free = [peer for peer in self.peers.due(now_ms=now_ms) if peer.key not in self._polling]
        vacancies = max(0, POLLED_PEERS_MAX - len(self._polling))
        chosen = self._rng.sample(free, min(vacancies, len(free)))
        self._polling.update(peer.key for peer in chosen)
        effects: list[Effect] = [self._send(peer.key, Poll(WAIT_MS_MAX)) for peer in chosen]
        effects.append(SetTimer("poll", self.settings.sync_interval_ms))
        return effects

    def _poll_ended(self, key: bytes) -> list[Effect]:
        self._polling.discard(key)
        return [SetTimer("poll", POLL_AGAIN_MS)]

    # Models.

    def _model_replied(self, event: events.ModelReplied, now_ms: int) -> list[Effect]:
        items = self.deliberations.on_reply(
            event.call_id, event.text, model=event.model, family=event.family, now_ms=now_ms
        )
        return self._finish(items, now_ms)

    def _model_failed(self, event: events.ModelFailed, now_ms: int) -> list[Effect]:
        items = self.deliberations.on_failure(
            event.call_id, event.failure, retry_after_ms=event.retry_after_ms, now_ms=now_ms
        )
        return self._finish(items, now_ms)


_HANDLERS: Final[dict[type[Any], Callable[[Node, Any, int], list[Effect]]]] = {
    events.Restored: Node._restored,
    events.Started: Node._started,
    events.MessageReceived: Node._message,
    events.Exchanged: Node._exchanged,
    events.SendFailed: Node._send_failed,
    events.Introduced: Node._introduced,
    events.IntroductionFailed: Node._introduction_failed,
    events.TimerFired: Node._timer,
    events.ModelReplied: Node._model_replied,
    events.ModelFailed: Node._model_failed,
    events.Remember: Node._remember,
    events.RememberPrivately: Node._remember_privately,
    events.Retract: Node._retract,
    events.SubmitTask: Node._submit_task,
    events.AddPeer: Node._add_peer,
}


_MESSAGES: Final[dict[type[Any], Callable[[Node, Any, Any, int], list[Effect]]]] = {
    Summary: Node._summary,
    Table: Node._table,
    Ranges: Node._ranges,
    Supply: Node._supply,
    Push: Node._pushed,
    Prune: Node._prune,
    Have: Node._have,
    Want: Node._want,
    Poll: Node._polled,
}


def _differs(before: Record, now: Mapping[str, Any]) -> bool:
    """Whether our description changed since it was last signed."""
    said = dict(before.content())
    said.pop("salt", None)
    return {**now, "families": list(now["families"])} != said


def _supplied(messages: Sequence[Message]) -> int:
    """How many records these carry."""
    return sum(len(one.records) for one in messages if isinstance(one, Supply))


def _notice(record: Record, source: bytes | None) -> dict[str, Any]:
    return {
        "id": record.id.hex(),
        "kind": record.kind,
        "author": record.header.writer.hex(),
        "from": source.hex() if source is not None else None,
    }


def _task_notice(record: Record, task_id: bytes) -> dict[str, Any]:
    return {"id": task_id.hex(), "status": record.kind, "record": record.id.hex()}
