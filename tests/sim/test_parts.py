"""The simulated world itself: time, network, disk, clocks, and checkers that really look."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from synapse.core.effects import Persist
from synapse.sim import checkers
from synapse.sim.clock import VirtualClock
from synapse.sim.disk import Disk
from synapse.sim.network import Conditions, Failure, Network, Reply, Respond
from synapse.sim.trace import Trace
from tests.making import memory_chain, private
from tests.sim.swarms import MINUTE_MS, Swarm


class Server:
    """Answers every request with what it was asked, after it has counted it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.key = bytes([number])
        self.up = True
        self.served = 0

    def serve(self, path: str, caller: bytes, data: bytes, respond: Respond) -> None:
        self.served += 1
        respond(data)


class World:
    """Two servers, and what the first hears back from the second."""

    def __init__(self, **conditions: float) -> None:
        self.clock = VirtualClock()
        self.network = Network(
            self.clock,
            Random(1),
            Conditions(latency_ms=(50, 50), **conditions),  # type: ignore[arg-type]  # by name
            trace=Trace(),
            watch=lambda data: None,
        )
        self.one, self.two = Server(1), Server(2)
        self.network.attach("two", self.two)
        self.replies: list[tuple[int, Reply]] = []

    def ask(self, data: bytes = b"question") -> None:
        self.network.request(self.one, "two", "/", data, timeout_ms=5_000, respond=self._replied)
        self.clock.run(self.clock.now_ms + 10_000)

    def _replied(self, reply: Reply) -> None:
        self.replies.append((self.clock.now_ms, reply))


def test_things_due_at_once_happen_in_the_order_they_were_asked_for() -> None:
    clock, happened = VirtualClock(), list[int]()
    for number in range(5):
        clock.after(10, lambda number=number: happened.append(number))
    clock.after(5, lambda: clock.after(5, lambda: happened.append(5)))
    clock.run(10)
    assert happened == [0, 1, 2, 3, 4, 5]
    assert len(clock) == 0


def test_a_request_and_its_reply_take_their_time() -> None:
    world = World()
    world.ask()
    [(at_ms, reply)] = world.replies
    assert reply == b"question"
    assert 100 <= at_ms <= 110


def test_a_lost_request_fails_after_the_callers_patience() -> None:
    world = World(loss=1.0)
    world.ask()
    assert world.replies == [(5_000, Failure("timeout"))]
    assert world.two.served == 0


def test_a_doubled_request_is_served_twice_and_answered_once() -> None:
    world = World(duplication=1.0)
    world.ask()
    assert world.two.served == 2
    assert len(world.replies) == 1


def test_a_byte_flips() -> None:
    world = World(corruption=1.0)
    world.ask()
    [(_, reply)] = world.replies
    assert isinstance(reply, bytes)
    assert len(reply) == len(b"question")
    assert reply != b"question"


def test_a_blocked_link_works_the_other_way() -> None:
    world = World()
    world.network.block(2, 1)
    world.ask()
    assert world.two.served == 1  # the request arrived, its reply did not
    assert world.replies == [(5_000, Failure("timeout"))]


def test_sides_do_not_see_each_other_until_the_network_heals() -> None:
    world = World()
    world.network.part(((1,), (2,)))
    world.ask()
    world.network.heal()
    world.ask()
    assert [reply for _, reply in world.replies] == [Failure("timeout"), b"question"]


def test_a_host_that_is_off_refuses() -> None:
    world = World()
    world.two.up = False
    world.ask()
    [(at_ms, reply)] = world.replies
    assert reply == Failure("unreachable")
    assert at_ms < 5_000


@pytest.mark.promise("durable")
def test_a_crash_loses_what_was_not_synced_and_nothing_else() -> None:
    disk, chain = Disk(), memory_chain(3)
    disk.stage(Persist(tuple(chain[:2]), private=(private("kept"),)))
    disk.sync()
    disk.stage(Persist((chain[2],), erased=(chain[0].id, private("kept").id)))
    assert disk.read([chain[0].id, chain[2].id]) == [chain[0].without_body(), chain[2]]
    disk.crash()
    assert disk.read([one.id for one in chain]) == chain[:2]
    assert list(disk.private()) == [private("kept")]


def test_a_hosts_clock_may_be_wrong_but_never_runs_backwards() -> None:
    swarm = Swarm()
    (host,) = swarm.add()
    shown = []
    for skew_ms in (0, MINUTE_MS, -MINUTE_MS, 0):
        host.skew_ms = skew_ms
        swarm.wait(1_000)
        shown.append(host.now_ms())
    assert shown == sorted(shown)
    assert shown[1] - shown[0] == MINUTE_MS + 1_000
    assert shown[2] == shown[1]


def test_a_crash_before_the_commit_takes_the_acknowledgement_with_it() -> None:
    swarm = Swarm()
    (host,) = swarm.add()
    swarm.wait(1_000)
    swarm.simulator.remember(host, "not yet on the disk")
    host.crash()
    host.start()
    swarm.wait(1_000)
    assert host.observed.acknowledged == {}
    assert len(host.disk) == 1  # its description


class Harmed:
    """A swarm that is well, until a test harms it."""

    def __init__(self) -> None:
        self.swarm = Swarm()
        self.hosts = self.swarm.add(3)
        self.swarm.wait(5_000)
        self.swarm.simulator.remember(self.hosts[0], "a memory")
        self.swarm.simulator.remember_privately(self.hosts[0], checkers.CANARY)
        self.swarm.wait(5_000)
        assert self.swarm.problems() == []

    def found(self) -> str:
        return "\n".join(self.swarm.problems())


def test_checkers_notice_a_lost_record() -> None:
    harmed = Harmed()
    (memory_id, _) = harmed.hosts[0].observed.acknowledged
    harmed.hosts[1].disk._records.pop(memory_id)
    assert "acknowledged records survive" in harmed.found()
    assert "host 1 lost 1 records" in harmed.found()


def test_checkers_notice_a_host_that_differs() -> None:
    harmed = Harmed()
    harmed.swarm.simulator.network.part(((0,), (1, 2)))
    harmed.swarm.simulator.remember(harmed.hosts[0], "only here")
    harmed.swarm.wait(1_000)
    assert "hosts still differ" in harmed.found()


def test_checkers_notice_a_forged_record() -> None:
    harmed = Harmed()
    disk = harmed.hosts[2].disk
    record = next(iter(disk.records()))
    disk._records[record.id] = replace(record, signature=bytes(64))
    assert "a stored record is not genuine" in harmed.found()


def test_checkers_notice_private_text_on_the_wire() -> None:
    harmed = Harmed()
    harmed.swarm.simulator.remember(harmed.hosts[0], f"I should not say {checkers.CANARY}")
    harmed.swarm.wait(5_000)
    assert "private text was sent" in harmed.found()


def test_checkers_notice_a_task_that_nobody_ends() -> None:
    harmed = Harmed()
    host = harmed.hosts[0]
    harmed.swarm.simulator.ask(host, "What is 1 + 1?")
    harmed.swarm.wait(1_000)
    (task,) = host.node.ledger.tasks
    host.node.thinking.deliberations.sessions.pop(task.id, None)
    assert "neither ended nor waits" in harmed.found()
