"""Peers that break the protocol cannot make honest ones differ, believe or work for nothing."""

from __future__ import annotations

import pytest

from synapse.core.gossip import FOLLOW_UPS_MAX
from synapse.sim.liars import LIARS, Echo, Equivocator, Forger, Liar, Replayer
from tests.sim.swarms import MINUTE_MS, Swarm, texts


def among_liars(kind: type[Liar], *, honest: int = 5, liars: int = 2) -> Swarm:
    """Honest hosts between liars, and a memory from everybody."""
    swarm = Swarm(seed=3)
    swarm.add(1)
    swarm.add(liars, node_class=kind)  # all that come later have liars among their seeds
    swarm.add(honest - 1)
    swarm.wait(10_000)
    for host in swarm.simulator.hosts:
        swarm.simulator.remember(host, f"host {host.number} remembers this")
        swarm.wait(500)
    swarm.wait(MINUTE_MS)
    return swarm


@pytest.mark.promise("convergent")
@pytest.mark.parametrize("kind", LIARS)
def test_honest_spores_converge_whatever_liars_say(kind: type[Liar]) -> None:
    swarm = among_liars(kind)
    assert swarm.problems() == []
    honest = swarm.simulator.honest()
    written = {f"host {host.number} remembers this" for host in honest}
    assert all(written <= texts(host) for host in honest)


@pytest.mark.promise("convergent")
def test_an_echoed_fingerprint_hides_nothing_for_long() -> None:
    swarm = among_liars(Echo, honest=3, liars=6)
    assert swarm.problems() == []


@pytest.mark.promise("authored")
def test_forgeries_are_refused_counted_and_stored_nowhere() -> None:
    swarm = among_liars(Forger)
    honest = swarm.simulator.honest()
    reasons = {reason for host in honest for reason in host.refused()}
    assert reasons == {"signature", "body_hash"}
    genuine = {f"host {host.number} remembers this" for host in swarm.simulator.hosts}
    assert all(texts(host) <= genuine for host in honest)


@pytest.mark.promise("authored")
def test_replays_change_nothing() -> None:
    swarm = among_liars(Replayer)
    before = [len(host.disk) for host in swarm.simulator.honest()]
    swarm.wait(MINUTE_MS)
    assert [len(host.disk) for host in swarm.simulator.honest()] == before


@pytest.mark.promise("bounded")
def test_replays_cannot_keep_honest_spores_busy() -> None:
    swarm = among_liars(Replayer)
    regular_a_minute = 12  # comparisons, each at most FOLLOW_UPS_MAX more with each of two liars
    limit = len(swarm.simulator.honest()) * regular_a_minute * (1 + 2 * FOLLOW_UPS_MAX)
    assert swarm.exchanges_in(MINUTE_MS) <= limit


@pytest.mark.promise("convergent")
@pytest.mark.promise("authored")
def test_both_records_of_an_equivocation_are_kept_everywhere_as_evidence() -> None:
    swarm = among_liars(Equivocator)
    liars = [host for host in swarm.simulator.hosts if not host.honest]
    for host in swarm.simulator.honest():
        for liar in liars:
            told = {text for text in texts(host) if text.startswith(f"host {liar.number} ")}
            assert len(told) == 2
            assert host.node.ledger.records.equivocations[liar.key] == 1
