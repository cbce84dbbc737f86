"""Eager push: new records reach everyone in a few hops, at the price of little redundancy.

Plumtree (Leitao, Pereira, Rodrigues, SRDS 2007) over HTTP: the reply to a push is the prune. A
link that brought only duplicates turns lazy: ids are announced on it in batches, and a peer that
lacks one asks for it and turns the link eager again. Best effort; anti-entropy repairs the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from synapse.core.codec import fitting
from synapse.core.memory.record import Record
from synapse.core.messages import IDS_MAX, Have, Message, Prune, Push, Supply, Want

EAGER_MAX: Final = 6  # a random graph of degree 6 stays connected when a third of its links fail
ANNOUNCE_AFTER_MS: Final = 100  # announcements wait this long for company

Outgoing = tuple[bytes, Message]
"""A peer's key and what to tell it."""


class EagerPush:
    """Which peers get new records at once, and which get their ids."""

    def __init__(self, read: Callable[[Sequence[bytes]], Sequence[Record]], rng: Random) -> None:
        self._read = read
        self._rng = rng
        self._eager: set[bytes] = set()
        self._pruned: set[bytes] = set()
        self._announcements: dict[bytes, list[bytes]] = {}

    def spread(
        self, records: Sequence[Record], *, reachable: Sequence[bytes], source: bytes | None
    ) -> list[Outgoing]:
        """Pass new records on to the `reachable` peers, except the one they came from."""
        self._choose_eager(reachable)
        outgoing: list[Outgoing] = []
        for peer in reachable:
            if peer == source:
                continue
            if peer in self._eager:
                outgoing.append((peer, Push(fitting(records))))
            else:
                waiting = self._announcements.setdefault(peer, [])
                waiting += [record.id for record in records[: IDS_MAX - len(waiting)]]
        return outgoing

    @property
    def announcing(self) -> bool:
        """Whether ids wait to be announced."""
        return bool(self._announcements)

    def announce(self, reachable: Sequence[bytes]) -> list[Outgoing]:
        """Tell the lazy links what is new."""
        waiting, self._announcements = self._announcements, {}
        return [(peer, Have(tuple(waiting[peer]))) for peer in reachable if peer in waiting]

    def on_push(self, *, new: int, known: int) -> list[Message]:
        """Prune a link that brings only what we have."""
        return [Prune()] if known and not new else []

    def on_prune(self, peer: bytes) -> None:
        """The peer gets its records from others."""
        self._eager.discard(peer)
        self._pruned.add(peer)

    def on_have(self, have: Have) -> list[Message]:
        """Ask for what is announced and not here."""
        held = {record.id for record in self._read(have.ids)}
        missing = tuple(one for one in have.ids if one not in held)
        return [Want(missing)] if missing else []

    def on_want(self, peer: bytes, want: Want) -> list[Message]:
        """The tree did not reach this peer: send, and push to it again."""
        self._pruned.discard(peer)
        return [Supply(fitting(self._read(want.ids)))]

    def _choose_eager(self, reachable: Sequence[bytes]) -> None:
        self._eager.intersection_update(reachable)
        self._pruned.intersection_update(reachable)
        free = sorted(set(reachable) - self._eager - self._pruned)
        vacancies = min(EAGER_MAX - len(self._eager), len(free))
        if vacancies > 0:
            self._eager.update(self._rng.sample(free, vacancies))
