"""Named stories of a swarm: users write, things go wrong, things are mended, and then we look.

0 s      hosts start
10 s     users write, for as long as the scenario says; faults come and go
then     everything is mended and nobody writes, until all hosts are equal
then     an idle minute, and the checks
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

from synapse.core.node import Node
from synapse.sim import checkers, faults
from synapse.sim.faults import Timed
from synapse.sim.host import Host
from synapse.sim.liars import LIARS
from synapse.sim.models import EXTRACTOR, Account, ScriptedModel
from synapse.sim.network import Conditions
from synapse.sim.report import Report
from synapse.sim.simulator import Simulator

STARTED_MS: Final = 2_000  # by now every host is switched on
WRITE_FROM_MS: Final = 10_000
REST_MS_MAX: Final = 300_000  # to become equal once everything is mended
LOOK_MS: Final = 100  # between looks
IDLE_MS: Final = 60_000
WRITES_MIN: Final = 24
WRITES_MAX: Final = 300  # a run stays within a minute of one core

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the seed drew for the users of a swarm."""

    hosts: range
    writes: tuple[tuple[int, int], ...]  # (when, on which host), in order of time
    stop_ms: int  # everything is mended now

    @property
    def start_ms(self) -> int:
        """When the first memory is written."""
        return self.writes[0][0]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story. What it does not say is as in `calm`."""

    about: str
    conditions: Conditions = field(default_factory=Conditions)
    writing_ms: int = 30_000
    faults: Callable[[Random, Plan], Sequence[Timed]] = lambda rng, plan: ()
    undialable: int = 0  # one host in so many can only dial out
    liars: int = 0  # one host in so many breaks the protocol
    teams: Callable[[], Sequence[Sequence[ScriptedModel]]] = lambda: ((EXTRACTOR,),)
    tasks: int = 0
    joins_late: bool = False  # one host more, when everything has been written


def run(scenario: str, *, nodes: int, seed: int, progress: Progress | None = None) -> Report:
    """Play a scenario to its end. `progress` is told the share that is done, 0 to 1."""
    story = SCENARIOS[scenario]
    simulator = Simulator(seed, conditions=story.conditions)
    plan = _prepare(simulator, story, nodes)
    tell = progress or (lambda share: None)
    end_ms = plan.stop_ms + IDLE_MS
    for now_ms in range(0, plan.stop_ms, 1_000):
        simulator.clock.run(now_ms)
        tell(now_ms / end_ms)
    simulator.clock.run(plan.stop_ms)
    _mend(simulator)
    rested_ms = _rest(simulator)
    tell(plan.stop_ms / end_ms)
    bytes_before = simulator.network.bytes_sent
    simulator.clock.run(simulator.clock.now_ms + IDLE_MS)
    idle_bytes = simulator.network.bytes_sent - bytes_before
    tell(1.0)
    return _report(simulator, scenario, nodes, seed, rested_ms, idle_bytes // nodes)


# The run, step by step.


def _prepare(simulator: Simulator, story: Scenario, nodes: int) -> Plan:
    """Hosts, users and faults, all in the diary."""
    rng = simulator.child_rng()
    teams = story.teams()
    for number in range(nodes):
        host = simulator.add(
            dialable=not _every(story.undialable, number),
            models=teams[number % len(teams)],
            node_class=_character(story.liars, number),
        )
        simulator.at(rng.randrange(STARTED_MS), host.start)
    plan = _plan(rng, simulator.hosts, story)
    for number, (at_ms, author) in enumerate(plan.writes):
        text = f"Spore {author} remembers thing {number}, {rng.randrange(10**9)}."
        simulator.at(at_ms, partial(simulator.remember, simulator.hosts[author], text))
    for at_ms, author in rng.sample(plan.writes, len(plan.writes) // 4):
        later_ms = at_ms + rng.randrange(plan.stop_ms - at_ms + 1)
        simulator.at(later_ms, partial(simulator.take_back, simulator.hosts[author]))
    for host in simulator.hosts:
        secret = f"{checkers.CANARY} of host {host.number}"
        simulator.at(plan.start_ms, partial(simulator.remember_privately, host, secret))
    for _ in range(story.tasks):
        at_ms = rng.randrange(plan.start_ms, plan.stop_ms)
        question = f"What is {rng.randrange(100)} + {rng.randrange(100)}?"
        simulator.at(at_ms, partial(simulator.ask, rng.choice(simulator.hosts), question))
    faults.schedule(simulator, story.faults(rng, plan))
    if story.joins_late:
        simulator.at(plan.stop_ms, simulator.add().start)
    return plan


def _plan(rng: Random, hosts: Sequence[Host], story: Scenario) -> Plan:
    count = min(max(WRITES_MIN, len(hosts)), WRITES_MAX)
    times = sorted(WRITE_FROM_MS + rng.randrange(story.writing_ms) for _ in range(count))
    writes = tuple((at_ms, rng.randrange(len(hosts))) for at_ms in times)
    return Plan(range(len(hosts)), writes, stop_ms=times[-1] + 20)


def _every(share: int, number: int) -> bool:
    """Whether this host is the last of its `share`; never when there is no share."""
    return share > 0 and number % share == share - 1


def _character(liars: int, number: int) -> type[Node]:
    return LIARS[number // liars % len(LIARS)] if _every(liars, number) else Node


def _mend(simulator: Simulator) -> None:
    simulator.network.heal()
    for host in simulator.hosts:
        if not host.up:
            host.start()


def _rest(simulator: Simulator) -> int | None:
    """Wait until all honest hosts are equal and all tasks ended; how long it took."""
    start_ms = simulator.clock.now_ms
    for waited_ms in range(0, REST_MS_MAX, LOOK_MS):
        simulator.clock.run(start_ms + waited_ms)
        honest = simulator.honest()
        if checkers.equal(honest) and not any(checkers.tasks_end(honest)):
            return waited_ms
    return None


def _report(
    simulator: Simulator,
    scenario: str,
    nodes: int,
    seed: int,
    rested_ms: int | None,
    idle_bytes: int,
) -> Report:
    hosts = simulator.honest()
    spread = _spread_ms(hosts)
    payloads_new = sum(host.observed.payloads_new for host in hosts)
    payloads = sum(host.observed.payloads for host in hosts)
    tasks = list(hosts[0].node.ledger.tasks)
    refused = sum((host.refused() for host in hosts), Counter[str]())
    failures = [*checkers.problems(hosts), *simulator.watch.problems()]
    return Report(
        scenario=scenario,
        nodes=nodes,
        seed=seed,
        virtual_ms=simulator.clock.now_ms,
        records=len(hosts[0].node.ledger.records),
        acknowledged=sum(len(host.observed.acknowledged) for host in hosts),
        lost=sum(1 for _ in checkers.lost(hosts)),
        converged=rested_ms is not None,
        converged_after_ms=rested_ms if rested_ms is not None else REST_MS_MAX,
        exchanges=simulator.network.exchanges,
        messages=simulator.wire.messages_sent,
        bytes_sent=simulator.network.bytes_sent,
        idle_bytes_a_node_a_minute=idle_bytes,
        redundancy=round((payloads - payloads_new) / max(1, payloads_new), 3),
        spread_p50_ms=_percentile(spread, 50),
        spread_p99_ms=_percentile(spread, 99),
        tasks=len(tasks),
        tasks_answered=sum(task.outcome is not None for task in tasks),
        refused=dict(sorted(refused.items())),
        trace=simulator.trace.hash(),
        failures=tuple(failures),
        trace_tail=tuple(simulator.trace.tail),
    )


def _spread_ms(hosts: Sequence[Host]) -> list[int]:
    """From acknowledgement to the disk of each other host that had begun by then, sorted."""
    began_ms = [min(host.observed.durable.values()) for host in hosts]
    return sorted(
        host.observed.durable[record_id] - acknowledged_ms
        for author in hosts
        for record_id, acknowledged_ms in author.observed.acknowledged.items()
        for host, since_ms in zip(hosts, began_ms, strict=True)
        if host is not author and since_ms <= acknowledged_ms and record_id in host.observed.durable
    )


def _percentile(ordered: Sequence[int], percent: int) -> int:
    return ordered[(len(ordered) - 1) * percent // 100] if ordered else 0


# The stories.


def _partition(rng: Random, plan: Plan) -> list[Timed]:
    return faults.halves(rng, plan.hosts, start_ms=plan.start_ms + 5_000, stop_ms=plan.stop_ms)


def _power_cuts(rng: Random, plan: Plan) -> list[Timed]:
    return faults.power_cuts(rng, plan.writes, count=len(plan.hosts) // 2)


def _everything(rng: Random, plan: Plan) -> list[Timed]:
    middle_ms = (plan.start_ms + plan.stop_ms) // 2
    return [
        *faults.wrong_clocks(rng, plan.hosts, skew_ms_max=300_000),
        *_power_cuts(rng, plan),
        *faults.one_way_links(
            rng, plan.hosts, count=len(plan.hosts), start_ms=plan.start_ms, stop_ms=middle_ms
        ),
        *faults.halves(rng, plan.hosts, start_ms=middle_ms, stop_ms=plan.stop_ms),
    ]


def _three_families() -> Sequence[Sequence[ScriptedModel]]:
    return (
        (ScriptedModel("alpha-1", "alpha", skill=0.9),),
        (ScriptedModel("beta-1", "beta", skill=0.8, failures=(("unreachable", 0.3),)),),
        (ScriptedModel("gamma-1", "gamma", skill=0.7, account=Account(calls_a_minute=6)),),
        (EXTRACTOR,),  # a host with no model
    )


def _one_account() -> Sequence[Sequence[ScriptedModel]]:
    shared = Account(calls_a_minute=8)
    return ((ScriptedModel("alpha-1", "alpha", skill=0.9, account=shared),),)


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "calm": Scenario("nothing goes wrong"),
    "partition": Scenario(
        "two halves write apart from each other, on a network that loses one request in twenty",
        Conditions(loss=0.05),
        faults=_partition,
    ),
    "crash": Scenario(
        "hosts lose power within milliseconds of a write, and what they had not synced",
        faults=_power_cuts,
    ),
    "chaos": Scenario(
        "all of it at once: loss, duplicates, reordering, flipped bytes, wrong clocks, one-way "
        "links, power cuts, a partition",
        Conditions(loss=0.1, duplication=0.05, reordering=0.1, corruption=0.02),
        faults=_everything,
        undialable=5,
    ),
    "dial_out_only": Scenario("one host in three cannot be dialled", undialable=3),
    "joiner": Scenario(
        "one more host comes when the others have been writing for an hour",
        writing_ms=3_600_000,
        joins_late=True,
    ),
    "models": Scenario(
        "tasks for models of three families that err, fail and run out of quota",
        teams=_three_families,
        tasks=12,
    ),
    "quota": Scenario(
        "tasks for hosts that all use one account, which allows eight calls a minute",
        teams=_one_account,
        tasks=16,
    ),
    "liars": Scenario(
        "one host in four lies: echoes fingerprints, forges, replays, equivocates", liars=4
    ),
}
