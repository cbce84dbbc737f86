"""Eager push: new records reach everyone in a few hops, at the price of little redundancy.

Plumtree (Leitao, Pereira, Rodrigues, SRDS 2007) over HTTP: the reply to a push is the prune. A
spore keeps a few links, however large the swarm. Records go at once over the eager links; their
ids follow over the lazy ones, and a peer that lacks one asks for it, which turns the link eager at
both ends. A link that brought only duplicates turns lazy at both ends, so that the eager links
come to form a tree. Best effort; anti-entropy repairs the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from synapse.core.codec import fetched, fitting
from synapse.core.memory.record import Record
from synapse.core.messages import IDS_MAX, Have, Message, Prune, Push, Supply, Want

LINKS_MIN: Final = 6  # a random graph of degree 6 stays connected when a third of its links fail
LINKS_MAX: Final = 12  # with those that others chose
PRUNE_ABOVE: Final = 3  # links: among so few, a copy too many costs less than half a second late
ANNOUNCE_AFTER_MS: Final = 500  # a push has crossed the swarm by then: few ask for what is coming
NEWS_MS: Final = 600_000  # older records than this are history: left to anti-entropy

Outgoing = tuple[bytes, Message]
"""A peer's key and what to tell it."""


class EagerPush:
    """Which peers get new records at once, and which get their ids."""

    def __init__(self, read: Callable[[Sequence[bytes]], Sequence[Record]], rng: Random) -> None:
        self._read = read
        self._rng = rng
        self._links: dict[bytes, bool] = {}  # by the peer's key, whether the link is eager
        self._announcements: dict[bytes, list[bytes]] = {}

    @property
    def links(self) -> dict[bytes, bool]:
        """The peers we pass news to, and whether at once."""
        return dict(self._links)

    @property
    def announcing(self) -> bool:
        """Whether ids wait to be announced."""
        return bool(self._announcements)

    def spread(
        self,
        records: Sequence[Record],
        *,
        reachable: Sequence[bytes],
        source: bytes | None,
        now_ms: int,
    ) -> list[Outgoing]:
        """Pass news on, except to the peer it came from."""
        self._choose_links(reachable)
        news = _news(records, now_ms=now_ms)
        push = Push(fitting(news))
        outgoing: list[Outgoing] = []
        for peer, eager in sorted(self._links.items()):
            if not news or peer == source:
                continue
            if eager:
                outgoing.append((peer, push))
            else:
                self._note(peer, news)
        return outgoing

    def mention(
        self,
        records: Sequence[Record],
        *,
        reachable: Sequence[bytes],
        source: bytes | None,
        now_ms: int,
    ) -> None:
        """Announce news, even on eager links: by now the others may have it too."""
        self._choose_links(reachable)
        news = _news(records, now_ms=now_ms)
        for peer in sorted(self._links):
            if news and peer != source:
                self._note(peer, news)

    def announce(self) -> list[Outgoing]:
        """Tell what was noted."""
        waiting, self._announcements = self._announcements, {}
        return [(peer, Have(tuple(ids))) for peer, ids in waiting.items() if peer in self._links]

    def renew(self, reachable: Sequence[bytes]) -> None:
        """Give up a random lazy link for another, so that links do not stay where they all began,
        at the seeds, and nobody keeps a place among them for ever."""
        lazy = sorted(peer for peer, eager in self._links.items() if not eager)
        free = sorted(set(reachable).difference(self._links))
        if lazy and free:
            del self._links[self._rng.choice(lazy)]
            self._links[self._rng.choice(free)] = False

    def link(self, peer: bytes, *, eager: bool) -> None:
        """Pass news to this peer from now on, if there is room for it."""
        if peer in self._links or len(self._links) < LINKS_MAX:
            self._links[peer] = eager

    def on_push(self, peer: bytes, *, new: int, known: int) -> list[Message]:
        """Keep a link that brings news; prune one of many that brings only what we have."""
        if new:
            self.link(peer, eager=True)
        elif known and len(self._links.keys() | {peer}) > PRUNE_ABOVE:
            self.link(peer, eager=False)
            return [Prune()]
        return []

    def on_prune(self, peer: bytes) -> None:
        """The peer gets its records from others."""
        if peer in self._links:
            self._links[peer] = False

    def on_have(self, peer: bytes, have: Have) -> list[Message]:
        """Ask for what is announced and not here: the tree did not reach us."""
        held = {record.id for record in self._read(have.ids)}
        missing = tuple(one for one in have.ids if one not in held)
        if not missing:
            return []
        self.link(peer, eager=True)
        return [Want(missing)]

    def on_want(self, peer: bytes, want: Want) -> list[Message]:
        """The tree did not reach this peer: send, and push to it again."""
        if peer in self._links:
            self._links[peer] = True
        return [Supply(fetched(want.ids, self._read))]

    def _note(self, peer: bytes, records: Sequence[Record]) -> None:
        waiting = self._announcements.setdefault(peer, [])
        waiting += [record.id for record in records[: IDS_MAX - len(waiting)]]

    def _choose_links(self, reachable: Sequence[bytes]) -> None:
        there = set(reachable)
        self._links = {peer: eager for peer, eager in self._links.items() if peer in there}
        free = sorted(there.difference(self._links))
        vacancies = min(LINKS_MIN - len(self._links), len(free))
        if vacancies > 0:
            self._links.update(dict.fromkeys(self._rng.sample(free, vacancies), True))


def _news(records: Sequence[Record], *, now_ms: int) -> list[Record]:
    return [record for record in records if now_ms - record.header.hlc.ms <= NEWS_MS]
