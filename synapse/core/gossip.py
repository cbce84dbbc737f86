"""What spores say to each other: introducing, comparing, pushing, polling.

The node's half that deals with peers. Records that come in go to the ledger and are passed on;
what they make the node do is the node's business, which it does through `react`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from synapse.core import events
from synapse.core.effects import Effect, Introduce, Persist, Publish, Send, SetTimer
from synapse.core.ledger import Entered, Ledger, Read
from synapse.core.membership.peer_table import PeerTable
from synapse.core.memory.record import Record
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
from synapse.core.replication.anti_entropy import AntiEntropy
from synapse.core.replication.push import ANNOUNCE_AFTER_MS, EagerPush

START_MS_MAX: Final = 500  # spores that start together do not all compare at once
CATCH_UP_MS: Final = 20  # between comparisons that make progress
FOLLOW_UPS_MAX: Final = 256  # what one peer's replies may make us say between two regular ones
POLL_AGAIN_MS: Final = 250
POLLED_PEERS_MAX: Final = 2  # long polls held open by a spore nobody can dial
_NOT_AT_HOME: Final = ("stranger", "status_401")  # a spore with another key answers there now

React = Callable[[Record, int], list[Effect]]
"""What a new record makes the node do, beyond keeping and passing it on, at this time."""


class Gossip:
    """One spore's conversations."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        read: Read,
        react: React,
        rng: Random,
        interval_ms: int,
        dialable: bool,
    ) -> None:
        """`interval_ms` is the time between two comparisons; `dialable` whether others reach us."""
        self.ledger = ledger
        self.description: Record | None = None  # ours, once signed
        self._react = react
        self._rng = rng
        self._interval_ms = interval_ms
        self._dialable = dialable
        self._anti_entropy = AntiEntropy(ledger.records, read)
        self._push = EagerPush(self._anti_entropy.explained, Random(rng.getrandbits(64)))
        self._behind: bytes | None = None  # the peer we are catching up with
        self._follow_ups: Counter[bytes] = Counter()
        self._polling: set[bytes] = set()

    @property
    def peers(self) -> PeerTable:
        """Who the peers are."""
        return self.ledger.peers

    def start(self, *, now_ms: int) -> list[Effect]:
        """Begin to talk: look for the seeds, and set the timers that keep the talk going."""
        effects = self.introductions(now_ms)
        effects.append(SetTimer("sync", self._rng.randrange(1, START_MS_MAX)))
        if not self._dialable:
            effects.append(SetTimer("poll", POLL_AGAIN_MS))
        return effects

    def after(
        self, entered: Entered, *, source: bytes | None, push: bool, now_ms: int
    ) -> list[Effect]:
        """New records: keep them, pass them on, at once or by id alone, and act on them."""
        if not entered.records:
            return []
        effects: list[Effect] = [Persist(entered.records, erased=entered.erased)]
        effects += self._pass_on(entered.records, source=source, push=push, now_ms=now_ms)
        for record in entered.records:
            effects.append(Publish("record", _notice(record, source)))
            effects += self._react(record, now_ms)
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

    def on_message(self, event: events.MessageReceived, now_ms: int) -> list[Effect]:
        """Answer one message of a peer."""
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
        effects = self.after(entered, source=event.peer, push=not event.reply, now_ms=now_ms)
        if entered.records:
            del self._follow_ups[event.peer]  # worth our while
        return effects + self._moved(event, len(entered.records))

    def _pushed(self, event: events.MessageReceived, push: Push, now_ms: int) -> list[Effect]:
        entered = self.ledger.take_in(push, now_ms=now_ms)
        effects = self.after(entered, source=event.peer, push=True, now_ms=now_ms)
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

    def introductions(self, now_ms: int) -> list[Effect]:
        """Ask who lives at the seeds that we have not met yet."""
        return [Introduce(url, trusted=True) for url in self.peers.unmet_seeds(now_ms=now_ms)]

    def on_introduced(self, event: events.Introduced, now_ms: int) -> list[Effect]:
        """Greet whoever described itself: our own description, and a first comparison."""
        peer = self.peers.introduced(event.url, event.record)
        if peer is None:
            if event.record.header.writer != self.ledger.key:
                self.peers.introduction_failed(event.url, "protocol", now_ms=now_ms)
            return []  # ourselves, or a spore of another protocol
        entered = self.ledger.take_in(Supply((event.record,)), now_ms=now_ms)
        effects = self.after(entered, source=peer.key, push=False, now_ms=now_ms)
        peer.health.heard(now_ms=now_ms)
        if self.description is not None:
            effects.append(self._send(peer.key, Push((self.description,))))
        effects.append(self._send(peer.key, self._anti_entropy.summary()))
        effects.append(Publish("peer", {"peer": peer.key.hex(), "state": "alive", "url": peer.url}))
        return effects

    def on_introduction_failed(self, event: events.IntroductionFailed, now_ms: int) -> list[Effect]:
        """Try the address again later."""
        self.peers.introduction_failed(event.url, event.reason, now_ms=now_ms)
        return []

    def on_exchanged(self, event: events.Exchanged, now_ms: int) -> list[Effect]:
        """A request of ours was answered."""
        peer = self.peers.get(event.peer)
        if peer is not None:
            peer.health.heard(now_ms=now_ms)
            peer.health.answered_ms = now_ms
        return self._poll_ended(event.peer) if event.polled else []

    def on_send_failed(self, event: events.SendFailed, now_ms: int) -> list[Effect]:
        """A request of ours was not."""
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

    # Timers.

    def on_timer(self, name: str, now_ms: int) -> list[Effect]:
        """One of our timers is due."""
        match name:
            case "sync":
                return self._sync(now_ms)
            case "catch up":
                return self._catch_up()
            case "announce":
                return [self._send(peer, message) for peer, message in self._push.announce()]
            case "poll":
                return self._poll(now_ms)
        raise AssertionError(f"there is no timer {name!r}")

    def _sync(self, now_ms: int) -> list[Effect]:
        """Compare with one peer; let in what was early; look for seeds not met yet."""
        due = self.ledger.due(now_ms=now_ms)
        effects = self.after(due, source=None, push=False, now_ms=now_ms)
        effects += self.introductions(now_ms)
        self._follow_ups.clear()
        self._push.renew(self.peers.reachable(now_ms=now_ms))
        peer = self.peers.to_compare_with(now_ms=now_ms)
        if peer is not None:
            effects.append(self._send(peer.key, self._anti_entropy.summary()))
        fifth_ms = self._interval_ms // 5
        jitter_ms = self._rng.randrange(-fifth_ms, fifth_ms + 1)
        effects.append(SetTimer("sync", self._interval_ms + jitter_ms))
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
        effects.append(SetTimer("poll", self._interval_ms))
        return effects

    def _poll_ended(self, key: bytes) -> list[Effect]:
        self._polling.discard(key)
        return [SetTimer("poll", POLL_AGAIN_MS)]


_MESSAGES: Final[dict[type[Any], Callable[[Gossip, Any, Any, int], list[Effect]]]] = {
    Summary: Gossip._summary,
    Table: Gossip._table,
    Ranges: Gossip._ranges,
    Supply: Gossip._supply,
    Push: Gossip._pushed,
    Prune: Gossip._prune,
    Have: Gossip._have,
    Want: Gossip._want,
    Poll: Gossip._polled,
}


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
