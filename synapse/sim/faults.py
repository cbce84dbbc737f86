"""What goes wrong, and when: values that a seed draws and the simulator applies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from synapse.sim.simulator import Simulator

DOWN_MS: Final = (1_000, 15_000)  # how long a host stays off


@dataclass(frozen=True, slots=True)
class Crash:
    """A host loses power."""

    host: int


@dataclass(frozen=True, slots=True)
class Restart:
    """It gets power again."""

    host: int


@dataclass(frozen=True, slots=True)
class Part:
    """Sides of the network no longer see each other."""

    sides: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Nothing gets from one host to another; the other way works."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Heal:
    """The network is whole again."""


@dataclass(frozen=True, slots=True)
class Skew:
    """A host's clock is set wrong."""

    host: int
    skew_ms: int


Fault = Crash | Restart | Part | Block | Heal | Skew


@dataclass(frozen=True, slots=True)
class Timed:
    """A fault and its virtual time."""

    at_ms: int
    fault: Fault


def schedule(simulator: Simulator, faults: Iterable[Timed]) -> None:
    """Let these happen."""
    for timed in faults:
        simulator.at(timed.at_ms, partial(_apply, simulator, timed.fault))


def _apply(simulator: Simulator, fault: Fault) -> None:
    match fault:
        case Crash(number):
            if simulator.hosts[number].up:
                simulator.hosts[number].crash()
        case Restart(number):
            if not simulator.hosts[number].up:
                simulator.hosts[number].start()
        case Part(sides):
            simulator.network.part(sides)
        case Block(source, target):
            simulator.network.block(source, target)
        case Heal():
            simulator.network.heal()
        case Skew(number, skew_ms):
            simulator.hosts[number].skew_ms = skew_ms


# What a seed draws.


def halves(rng: Random, hosts: Sequence[int], *, start_ms: int, stop_ms: int) -> list[Timed]:
    """Two random halves apart for a while."""
    shuffled = rng.sample(hosts, len(hosts))
    middle = len(shuffled) // 2
    parted = Part((tuple(shuffled[:middle]), tuple(shuffled[middle:])))
    return [Timed(start_ms, parted), Timed(stop_ms, Heal())]


def power_cuts(rng: Random, moments: Sequence[tuple[int, int]], *, count: int) -> list[Timed]:
    """Crashes of hosts within milliseconds of `moments` (when, host) at which they write."""
    faults = []
    for at_ms, host in rng.sample(moments, min(count, len(moments))):
        off_ms = at_ms + rng.randrange(12)  # a commit takes up to 10
        faults.append(Timed(off_ms, Crash(host)))
        faults.append(Timed(off_ms + rng.randint(*DOWN_MS), Restart(host)))
    return faults


def one_way_links(
    rng: Random, hosts: Sequence[int], *, count: int, start_ms: int, stop_ms: int
) -> list[Timed]:
    """Links that work one way only, for a while."""
    faults = []
    for _ in range(count if len(hosts) > 1 else 0):
        source, target = rng.sample(hosts, 2)
        faults.append(Timed(rng.randrange(start_ms, stop_ms), Block(source, target)))
    return [*faults, Timed(stop_ms, Heal())]


def wrong_clocks(rng: Random, hosts: Sequence[int], *, skew_ms_max: int) -> list[Timed]:
    """Every host's clock wrong by up to this much, either way, from the start."""
    return [Timed(0, Skew(host, rng.randint(-skew_ms_max, skew_ms_max))) for host in hosts]
