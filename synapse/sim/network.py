"""A network worse than yours: requests and replies between hosts, as over HTTP.

Latency, loss, duplication, reordering, flipped bytes, halves that do not see each other, and
links that work one way only. A caller that hears nothing gives up after a while and cannot know
which of the two ways failed, which is the whole difficulty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final, Protocol

from synapse.sim.clock import VirtualClock
from synapse.sim.trace import Trace

TIMEOUT_MS: Final = 5_000  # a caller's patience; a long poll's comes on top
LATE_MS_MAX: Final = 1_000  # how far reordering delays: past several messages sent after it


@dataclass(frozen=True, slots=True)
class Conditions:
    """How bad the network is. Shares are of requests and of replies, each on its own."""

    latency_ms: tuple[int, int] = (20, 150)  # one way, between continents
    loss: float = 0.0
    duplication: float = 0.0  # a proxy that tried again
    reordering: float = 0.0
    corruption: float = 0.0  # one byte changed


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no reply: a short code."""

    reason: str


Reply = bytes | Failure
Respond = Callable[[Reply], None]


class Server(Protocol):
    """What the network needs to know of a host."""

    number: int
    key: bytes

    @property
    def up(self) -> bool:
        """Whether it runs."""

    def serve(self, path: str, caller: bytes, data: bytes, respond: Respond) -> None:
        """Answer a request, now or later, once."""


class Network:
    """Carries requests between hosts that are known by their addresses."""

    def __init__(
        self,
        clock: VirtualClock,
        rng: Random,
        conditions: Conditions,
        *,
        trace: Trace,
        watch: Callable[[bytes], None],
    ) -> None:
        """`watch` sees every request and reply as it is sent."""
        self.conditions = conditions
        self.bytes_sent = 0
        self.exchanges = 0
        self._clock = clock
        self._rng = rng
        self._trace = trace
        self._watch = watch
        self._servers: dict[str, Server] = {}
        self._latency_ms: dict[tuple[int, int], int] = {}
        self._sides: dict[int, int] = {}
        self._blocked: set[tuple[int, int]] = set()

    def attach(self, url: str, server: Server) -> None:
        """From now on `server` answers at `url`."""
        self._servers[url] = server

    def part(self, sides: Sequence[Sequence[int]]) -> None:
        """Hosts of different sides no longer see each other."""
        self._sides = {host: side for side, hosts in enumerate(sides) for host in hosts}

    def block(self, source: int, target: int) -> None:
        """Nothing gets from `source` to `target` any more; the other way works."""
        self._blocked.add((source, target))

    def heal(self) -> None:
        """Everybody sees everybody again."""
        self._sides = {}
        self._blocked = set()

    def request(
        self,
        caller: Server,
        url: str,
        path: str,
        data: bytes,
        *,
        timeout_ms: int,
        respond: Respond,
    ) -> None:
        """Ask whoever answers at `url`; `respond` is called once, with its reply or why not."""
        self.exchanges += 1
        call = _Call(respond)
        self._clock.after(timeout_ms, partial(call.end, Failure("timeout")))
        target = self._servers.get(url)
        if target is None:
            return
        arrivals = self._sent(caller.number, target.number, data)
        for delay_ms, arrived in arrivals:
            deliver = partial(self._deliver, call, caller, target, path, arrived)
            self._clock.after(delay_ms, deliver)

    def _deliver(self, call: _Call, caller: Server, target: Server, path: str, data: bytes) -> None:
        if target.up:
            reply = partial(self._reply, call, caller.number, target.number)
            target.serve(path, caller.key, data, reply)
        else:
            self._reply(call, caller.number, target.number, Failure("unreachable"))

    def _reply(self, call: _Call, caller: int, target: int, reply: Reply) -> None:
        data = reply if isinstance(reply, bytes) else b""
        for delay_ms, arrived in self._sent(target, caller, data)[:1]:
            outcome = arrived if isinstance(reply, bytes) else reply
            self._clock.after(delay_ms, partial(call.end, outcome))

    def _sent(self, source: int, target: int, data: bytes) -> list[tuple[int, bytes]]:
        """When and how copies of `data` arrive: none when it is lost, two when it is doubled."""
        self.bytes_sent += len(data)
        self._watch(data)
        self._trace.note(self._clock.now_ms, source, f"{len(data)} bytes to {target}", data)
        if self._cut(source, target) or self._happens(self.conditions.loss):
            return []
        copies = 2 if self._happens(self.conditions.duplication) else 1
        return [(self._delay_ms(source, target), self._worn(data)) for _ in range(copies)]

    def _cut(self, source: int, target: int) -> bool:
        apart = self._sides.get(source) != self._sides.get(target)
        return apart or (source, target) in self._blocked

    def _delay_ms(self, source: int, target: int) -> int:
        link = (min(source, target), max(source, target))
        if link not in self._latency_ms:
            self._latency_ms[link] = self._rng.randint(*self.conditions.latency_ms)
        latency_ms = self._latency_ms[link]
        jitter_ms = self._rng.randrange(latency_ms // 10 + 1)
        late = self._happens(self.conditions.reordering)
        return latency_ms + jitter_ms + (self._rng.randrange(LATE_MS_MAX) if late else 0)

    def _worn(self, data: bytes) -> bytes:
        """`data`, perhaps with one byte changed."""
        if not data or not self._happens(self.conditions.corruption):
            return data
        at = self._rng.randrange(len(data))
        return data[:at] + bytes([data[at] ^ self._rng.randrange(1, 256)]) + data[at + 1 :]

    def _happens(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share


class _Call:
    """One request that is under way. Of several outcomes the first counts."""

    def __init__(self, respond: Respond) -> None:
        self._respond: Respond | None = respond

    def end(self, reply: Reply) -> None:
        respond, self._respond = self._respond, None
        if respond is not None:
            respond(reply)
