"""Everybody gets everything: joiners, hosts nobody can dial, hosts that were away."""

from __future__ import annotations

import pytest

from synapse.core.messages import RECORDS_MAX
from synapse.sim.network import Conditions
from synapse.sim.simulator import Simulator
from tests.sim.swarms import MINUTE_MS, Swarm, texts


@pytest.mark.promise("convergent")
def test_a_joiner_gets_an_hour_of_history_and_not_the_newest_slice() -> None:
    swarm = Swarm()
    writer, _ = swarm.add(2)
    records = 2 * RECORDS_MAX + 100
    for number in range(records):
        swarm.simulator.remember(writer, f"memory {number}")
        swarm.wait(60 * MINUTE_MS // records)
    (joiner,) = swarm.add()
    swarm.wait(10_000)
    assert texts(joiner) == {f"memory {number}" for number in range(records)}
    assert swarm.problems() == []


@pytest.mark.promise("convergent")
def test_a_spore_that_only_dials_out_gets_and_gives_within_seconds() -> None:
    swarm = Swarm()
    (hub,) = swarm.add()
    one, other = swarm.add(2, dialable=False)
    swarm.wait(10_000)
    swarm.simulator.remember(one, "from one that nobody can dial")
    swarm.simulator.remember(hub, "from the hub")
    swarm.wait(2_000)
    assert texts(other) == texts(one) == texts(hub)
    assert len(texts(other)) == 2


@pytest.mark.promise("convergent")
def test_a_spore_that_only_dials_out_brings_its_history() -> None:
    swarm = Swarm()
    (hub,) = swarm.add()
    (laptop,) = swarm.add(dialable=False)
    swarm.simulator.network.part(((hub.number,), (laptop.number,)))
    for number in range(2 * RECORDS_MAX):
        swarm.simulator.remember(laptop, f"memory {number}")
    swarm.wait(MINUTE_MS)
    swarm.simulator.network.heal()
    swarm.wait(MINUTE_MS)
    assert len(texts(hub)) == 2 * RECORDS_MAX
    assert swarm.problems() == []


@pytest.mark.promise("convergent")
def test_a_laptop_that_was_closed_for_hours_is_back_within_a_minute() -> None:
    swarm = Swarm()
    laptop, *others = swarm.add(3)
    swarm.wait(MINUTE_MS)
    swarm.simulator.network.part(((laptop.number,), tuple(host.number for host in others)))
    swarm.wait(4 * 60 * MINUTE_MS)
    swarm.simulator.remember(others[0], "what happened meanwhile")
    swarm.simulator.network.heal()
    swarm.wait(MINUTE_MS)
    assert texts(laptop) == {"what happened meanwhile"}


@pytest.mark.promise("convergent")
def test_many_operators_with_a_record_each_are_caught_up_with_in_seconds() -> None:
    swarm = Swarm()
    swarm.add(60)
    swarm.wait(2 * MINUTE_MS)
    (joiner,) = swarm.add()
    swarm.wait(10_000)
    assert len(joiner.disk) == 61


@pytest.mark.promise("convergent")
def test_a_link_that_works_one_way_only_hides_nothing() -> None:
    swarm = Swarm()
    one, two, _ = swarm.add(3)
    swarm.wait(10_000)
    swarm.simulator.network.block(one.number, two.number)
    swarm.simulator.remember(one, "from one")
    swarm.simulator.remember(two, "from two")
    swarm.wait(MINUTE_MS)
    assert texts(one) == texts(two) == {"from one", "from two"}


@pytest.mark.promise("convergent")
def test_records_from_a_clock_an_hour_ahead_wait_until_they_are_due() -> None:
    swarm = Swarm()
    hosts = swarm.add(4)
    hosts[0].skew_ms = 60 * MINUTE_MS
    swarm.wait(MINUTE_MS)
    for number in range(20):
        swarm.simulator.remember(hosts[0], f"memory {number}")
        swarm.wait(1_000)
    swarm.simulator.take_back(hosts[0])
    assert texts(hosts[1]) == set()
    assert swarm.exchanges_in(MINUTE_MS) < 4 * 12 * 10, "nobody offers them without pause"
    swarm.wait(60 * MINUTE_MS)
    assert len(texts(hosts[1])) == 19
    assert swarm.problems() == []


@pytest.mark.promise("never_forgets")
def test_what_is_taken_back_is_erased_everywhere_and_stays_so() -> None:
    swarm = Swarm()
    hosts = swarm.add(4)
    swarm.wait(10_000)
    swarm.simulator.remember(hosts[0], "said too much")
    swarm.wait(5_000)
    away = hosts[3]
    away.crash()
    swarm.simulator.take_back(hosts[0])
    swarm.wait(5_000)
    away.start()
    swarm.wait(MINUTE_MS)
    assert all(texts(host) == set() for host in hosts)
    assert len(away.disk) == 6  # four descriptions, the memory's header, the retraction
    assert swarm.problems() == []


@pytest.mark.promise("authored")
def test_a_byte_that_flips_on_the_way_is_refused_and_counted() -> None:
    swarm = Swarm(conditions=Conditions(corruption=0.2))
    hosts = swarm.add(4)
    for number in range(20):
        swarm.simulator.remember(hosts[number % 4], f"memory {number}")
        swarm.wait(1_000)
    swarm.wait(MINUTE_MS)
    reasons = set().union(*(host.refused() for host in hosts))
    assert {"signature", "body_hash", "malformed"} <= reasons
    assert len(texts(hosts[0])) == 20
    assert swarm.problems() == []


def test_a_host_that_has_not_started_yet_is_tried_again() -> None:
    simulator = Simulator(1)
    late, early = simulator.add(), simulator.add()
    early.start()
    simulator.clock.run(5_000)
    late.start()
    simulator.clock.run(20_000)
    assert len(late.disk) == len(early.disk) == 2
