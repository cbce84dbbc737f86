"""A thousand spores run out of quota and come back: the routing of each, and the vendors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

import pytest

from synapse.core.effects import CallModel, ModelRequest
from synapse.core.errors import Unavailable
from synapse.core.events import ModelFailed, ModelReplied
from synapse.core.reasoning.buckets import CLOCK_MS, RESERVE
from synapse.core.reasoning.model_routing import JITTER_MS_MAX, Routing
from synapse.sim.clock import VirtualClock
from synapse.sim.host import EPOCH_MS
from synapse.sim.models import DAY_MS, MINUTE_MS, Account, ScriptedModel
from tests.sim.swarms import Swarm

SPORES = 1_000
MIDNIGHT_MS = DAY_MS - EPOCH_MS % DAY_MS  # of virtual time; an hour and three quarters on
ASKING_MS = 90 * MINUTE_MS  # tasks come in for so long, and then it is nearly midnight
REQUEST = ModelRequest("", "", "What is 20 + 22?", (), temperature=0.0, tokens_max=100)


@dataclass
class Spore:
    """What a spore does when it has nothing but a task, its routing and time."""

    models: Sequence[ScriptedModel]
    clock: VirtualClock
    rng: Random
    ended_ms: list[int] = field(default_factory=list)
    called_ms: list[int] = field(default_factory=list)
    unavailable: list[Unavailable] = field(default_factory=list)
    _calls: int = 0

    def __post_init__(self) -> None:
        self.routing = Routing([one.target for one in self.models], Random(self.rng.random()))
        self._by_name = {one.name: one for one in self.models}

    def now_ms(self) -> int:
        return EPOCH_MS + self.clock.now_ms

    def ask(self) -> None:
        """Serve a task, or say until when nobody can and try again then."""
        now_ms = self.now_ms()
        target = self.routing.choose(now_ms=now_ms)
        if target is None:
            unavailable = self.routing.unavailable(now_ms=now_ms)
            assert unavailable.retry_at_ms > now_ms
            self.unavailable.append(unavailable)
            self.clock.after(unavailable.retry_at_ms - now_ms, self.ask)
            return
        self._calls += 1
        self.routing.called(target.name, now_ms=now_ms, call=self._calls)
        self.called_ms.append(self.clock.now_ms)
        call = CallModel(self._calls, target.name, REQUEST, target.timeout_ms)
        model = self._by_name[target.name]
        delay_ms, event = model.answer(call, self.rng, now_ms=self.clock.now_ms)
        self.clock.after(delay_ms, partial(self._heard, target.name, event))

    def _heard(self, name: str, event: ModelReplied | ModelFailed) -> None:
        if isinstance(event, ModelReplied):
            self.routing.replied(
                name, now_ms=self.now_ms(), call=event.call_id, limits=event.limits
            )
            self.ended_ms.append(self.clock.now_ms)
            return
        self.routing.failed(
            name,
            event.failure,
            now_ms=self.now_ms(),
            call=event.call_id,
            retry_after_ms=event.retry_after_ms,
        )
        self.ask()


def swarm(count: int, tasks: int, accounts: Sequence[Account]) -> tuple[VirtualClock, list[Spore]]:
    """So many spores, each with so many tasks before midnight; account after account in turn."""
    clock, rng, spores = VirtualClock(), Random(1), []
    for number in range(count):
        account = accounts[number % len(accounts)]
        model = ScriptedModel("polar-1", "polar", account=account)
        spore = Spore((model,), clock, Random(rng.random()))
        spores.append(spore)
        for _ in range(tasks):
            clock.after(rng.randrange(ASKING_MS), spore.ask)
    return clock, spores


def account(*, stated: bool) -> Account:
    return Account(calls_a_minute=5, calls_a_day=10, midnight_ms=MIDNIGHT_MS, stated=stated)


@pytest.mark.promise("no_failure_is_an_answer")
@pytest.mark.promise("bounded")
def test_a_thousand_spores_that_know_their_quota_never_go_past_it_and_all_come_back() -> None:
    accounts = [account(stated=True) for _ in range(SPORES)]
    clock, spores = swarm(SPORES, 14, accounts)

    clock.run(MIDNIGHT_MS)
    a_day = 10 - 10 // RESERVE
    assert all(len(spore.called_ms) == len(spore.ended_ms) == a_day for spore in spores)
    for spore in spores:
        assert spore.unavailable[-1].reasons == {"polar-1": "requests/day"}
        assert spore.unavailable[-1].retry_at_ms >= EPOCH_MS + MIDNIGHT_MS + CLOCK_MS

    clock.run(MIDNIGHT_MS + CLOCK_MS + JITTER_MS_MAX + 5 * MINUTE_MS)
    assert all(len(spore.ended_ms) == 14 for spore in spores)
    assert sum(one.refused for one in accounts) == 0
    assert not len(clock)


def test_spores_do_not_come_back_as_a_thundering_herd() -> None:
    clock, spores = swarm(SPORES, 14, [account(stated=True) for _ in range(SPORES)])
    clock.run(MIDNIGHT_MS + CLOCK_MS + JITTER_MS_MAX + 5 * MINUTE_MS)
    first_ms = [min(at for at in one.called_ms if at > MIDNIGHT_MS) for one in spores]
    a_second = Counter(at_ms // 1_000 for at_ms in first_ms)
    assert max(first_ms) - min(first_ms) > 0.9 * JITTER_MS_MAX
    assert max(a_second.values()) <= 10  # two on average: a thousand over ten minutes


def test_spores_that_learn_of_their_quota_are_refused_once_at_most() -> None:
    accounts = [account(stated=False) for _ in range(300)]
    clock, spores = swarm(300, 14, accounts)
    clock.run(MIDNIGHT_MS + CLOCK_MS + 2 * JITTER_MS_MAX + 10 * MINUTE_MS)
    assert all(len(spore.ended_ms) == 14 for spore in spores)
    assert max(one.refused for one in accounts) <= 1
    assert sum(one.refused for one in accounts) < 30  # of 4,200 calls


def test_spores_that_share_an_account_hear_of_each_other_through_the_vendor() -> None:
    accounts = [account(stated=True) for _ in range(60)]
    clock, spores = swarm(300, 3, accounts)  # five to an account: fifteen tasks for ten calls
    clock.run(MIDNIGHT_MS + 2 * 60 * MINUTE_MS)
    assert all(len(spore.ended_ms) == 3 for spore in spores)
    for one in accounts:
        assert one.asked - one.refused == 15
        assert one.refused <= 2 * 5  # nobody insists


@pytest.mark.promise("no_failure_is_an_answer")
def test_tasks_of_whole_nodes_wait_for_the_next_day_and_are_answered_then() -> None:
    spent = Account(calls_a_day=5, midnight_ms=MIDNIGHT_MS, stated=True)
    swarm = Swarm()
    (host,) = swarm.add(models=(ScriptedModel("polar-1", "polar", account=spent),))
    swarm.wait(10_000)
    for number in range(7):
        swarm.simulator.ask(host, f"What is {number} + 22?")
        swarm.wait(10_000)
    tasks = list(host.node.ledger.tasks)
    waiting = [host.node.thinking.deliberations.waiting(task.id) for task in tasks]
    late = [one for one in waiting if one is not None]
    assert sum(task.outcome is not None for task in tasks) == 4
    assert len(late) == 3
    assert all(one.retry_at_ms > EPOCH_MS + MIDNIGHT_MS for one in late)
    assert {reason for one in late for reason in one.reasons.values()} == {"requests/day"}

    swarm.wait(MIDNIGHT_MS + CLOCK_MS + JITTER_MS_MAX)
    assert all(task.outcome is not None for task in host.node.ledger.tasks)
    assert spent.refused == 0
