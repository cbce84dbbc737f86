"""The peers this spore knows: bounded, and filled so that no one neighbourhood can own it.

Addresses come from the operator (seeds, trusted) and from signed descriptions (anyone). Those of
strangers are bucketed by network group, so that one operator's thousand addresses take a few
places and not the table (the eclipse defence of Heilman et al., USENIX Security 2015).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final
from urllib.parse import urlsplit

from synapse.core.membership.failure_detector import Health, State
from synapse.core.membership.handshake import Description, description
from synapse.core.memory.record import Record

PEERS_MAX: Final = 512  # what one spore can compare itself with in an hour
GROUP_MAX: Final = 16  # strangers of one network group
SEED_RETRY_MS: Final = 1_000
SEED_RETRY_MS_MAX: Final = 60_000


@dataclass(slots=True)
class Peer:
    """One other spore, and our dealings with it."""

    said: Description
    seed: bool = False  # its address is a seed's
    vouched: bool = False  # the operator itself wrote that address: its word counts as ours
    health: Health = field(default_factory=Health)
    url: str | None = None  # where we dial it: the seed's address, or the one it claims
    group: str = ""  # the network group of the address it claims

    @property
    def key(self) -> bytes:
        """The public key that is this peer."""
        return self.said.key

    def state(self, *, now_ms: int) -> State:
        """What our own exchanges say of it."""
        return self.health.state(now_ms=now_ms, dialable=self.url is not None)


@dataclass(slots=True)
class Seed:
    """An address to begin from, until whoever lives there has introduced itself."""

    url: str
    public: bool = False  # from a list that others keep: dialled, but nobody vouches for it
    key: bytes | None = None
    retry_ms: int = 0
    attempts: int = 0
    problem: str = ""


class PeerTable:
    """Peers by key, and the seeds that lead to them."""

    def __init__(self, *, own_key: bytes, rng: Random, private_addresses: bool) -> None:
        """`private_addresses`: whether a stranger's loopback or LAN address may be dialled, which
        makes sense only for a spore that itself lives there."""
        self.seeds: dict[str, Seed] = {}
        self._own_key = own_key
        self._rng = rng
        self._private_addresses = private_addresses
        self._peers: dict[bytes, Peer] = {}  # in the order of their keys

    def __iter__(self) -> Iterator[Peer]:
        """In the order of their keys."""
        return iter(self._peers.values())

    def __len__(self) -> int:
        return len(self._peers)

    def get(self, key: bytes) -> Peer | None:
        """The peer with this key."""
        return self._peers.get(key)

    def add_seed(self, url: str, *, public: bool = False) -> Seed:
        """Talk to whoever answers there. An address the operator wrote is not `public`."""
        seed = self.seeds.setdefault(url, Seed(url, public))
        seed.public = seed.public and public
        return seed

    def describe(self, record: Record, *, trusted: bool = False) -> Peer | None:
        """Take in a description. None when it is our own, old, nonsense or one too many.

        `trusted` when it came from an address of the operator's: for that there is always room.
        """
        said = description(record)
        if said is None or said.key == self._own_key or not said.compatible:
            return None
        peer = self._peers.get(said.key)
        if peer is None:
            if not trusted and not self._room_for(said):
                return None
            peer = Peer(said)
            self._peers = dict(sorted({**self._peers, peer.key: peer}.items()))
        elif said.said_at < peer.said.said_at:
            return None
        group = network_group(said.url)
        crowded = group != peer.group and self._crowded(group)
        peer.said, peer.group = said, "" if crowded else group
        if not peer.seed:
            may_dial = said.url is not None and not crowded and self._may_dial(said.url)
            peer.url = said.url if may_dial else None
        return peer

    def introduced(self, url: str, record: Record) -> Peer | None:
        """Whoever answers at a seed's address is this. None when it is us, or incompatible."""
        said = description(record)
        if said is None or not said.compatible:
            return None
        seed = self.seeds.get(url)
        peer = self.describe(record, trusted=seed is not None) or self.get(said.key)
        if seed is not None:
            seed.key, seed.problem, seed.attempts = said.key, "", 0
        if peer is not None and seed is not None:
            peer.seed, peer.url, peer.vouched = True, url, not seed.public
        return peer

    def introduction_failed(self, url: str, reason: str, *, now_ms: int) -> None:
        """Nobody useful answered at a seed's address: try again later."""
        seed = self.seeds.get(url)
        if seed is not None:
            seed.attempts += 1
            delay = min(SEED_RETRY_MS << min(seed.attempts - 1, 16), SEED_RETRY_MS_MAX)
            seed.retry_ms, seed.problem = now_ms + delay, reason

    def moved(self, key: bytes, *, now_ms: int) -> None:
        """Somebody else answers where this peer was: learn anew who lives at the seed's address."""
        peer = self.get(key)
        if peer is not None:
            peer.seed, peer.url, peer.vouched = False, None, False
        for seed in self.seeds.values():
            if seed.key == key:
                seed.key, seed.retry_ms = None, now_ms

    def unmet_seeds(self, *, now_ms: int) -> list[str]:
        """Addresses of the operator's that should be dialled now to learn who lives there."""
        due = [seed for seed in self.seeds.values() if seed.key is None and seed.retry_ms <= now_ms]
        return sorted(seed.url for seed in due)

    def reachable(self, *, now_ms: int) -> list[bytes]:
        """Keys of the peers a message can be given to now, sorted: those that are not down, and
        those with an address that we have not tried yet."""
        return [
            peer.key
            for peer in self
            if (peer.url is not None and peer.health.untried)
            or peer.state(now_ms=now_ms) is not State.DOWN
        ]

    def alive(self, *, now_ms: int) -> list[Peer]:
        """Peers that answered lately."""
        return [peer for peer in self if peer.state(now_ms=now_ms) is State.ALIVE]

    def to_compare_with(self, *, now_ms: int) -> Peer | None:
        """The peer for the next comparison: our choice, at random among those due."""
        due = self.due(now_ms=now_ms)
        return self._rng.choice(due) if due else None

    def due(self, *, now_ms: int) -> list[Peer]:
        """Peers that may be dialled now, by key."""
        return [peer for peer in self if peer.url is not None and peer.health.retry_ms <= now_ms]

    def cut_off(self) -> bool:
        """Whether over a third of the peers fail at once: then it is probably us."""
        dialled = [peer for peer in self if peer.url is not None]
        failing = [peer for peer in dialled if peer.health.failures]
        return 3 * len(failing) > len(dialled)

    def _room_for(self, said: Description) -> bool:
        if self._crowded(network_group(said.url)):
            return False
        return len(self._peers) < PEERS_MAX or self._evicted()

    def _crowded(self, group: str) -> bool:
        neighbours = sum(peer.group == group for peer in self._peers.values())
        return bool(group) and neighbours >= GROUP_MAX

    def _evicted(self) -> bool:
        """Give up the stranger we have heard from least; whether there was one to give up."""
        idle = [peer for peer in self if not peer.seed and not peer.health.answers]
        if not idle:
            return False
        del self._peers[min(idle, key=lambda peer: peer.health.heard_ms).key]
        return True

    def _may_dial(self, url: str) -> bool:
        return self._private_addresses or (
            urlsplit(url).scheme == "https" and not is_private(urlsplit(url).hostname or "")
        )


def network_group(url: str | None) -> str:
    """The neighbourhood an address belongs to: a /16, a /32 of IPv6, or a registrable domain.

    Empty for spores without an address and for loopback: there is nothing to eclipse there.
    """
    host = (urlsplit(url).hostname or "") if url is not None else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "" if host in ("", "localhost") else ".".join(host.split(".")[-2:])
    if address.is_loopback:
        return ""
    prefix = 16 if address.version == 4 else 32
    return str(ipaddress.ip_network((address, prefix), strict=False))


def is_private(host: str) -> bool:
    """Whether a host name is, by its looks alone, no address of the public internet.

    A first filter only: the transport checks what the name resolves to when it connects.
    """
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))
