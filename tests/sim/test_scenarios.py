"""The named scenarios, each with all its checkers. A failure prints what repeats it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from synapse.sim.report import Report
from synapse.sim.scenarios import SCENARIOS, run

NODES = 12
SEEDS = range(50)


def kept(report: Report) -> Report:
    """The report, when every promise was kept."""
    assert not report.failures, report.render()
    return report


@pytest.mark.promise("convergent")
@pytest.mark.promise("never_forgets")
@pytest.mark.parametrize("seed", SEEDS)
def test_replicas_converge_after_a_partition_heals(seed: int) -> None:
    report = kept(run("partition", nodes=NODES, seed=seed))
    assert report.converged_after_ms <= 20_000  # figure A8 of the acceptance table, with loss


@pytest.mark.promise("durable")
@pytest.mark.promise("convergent")
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_acknowledged_is_lost_when_hosts_lose_power_as_they_write(seed: int) -> None:
    report = kept(run("crash", nodes=NODES, seed=seed))
    assert report.lost == 0
    assert report.acknowledged > NODES  # more than every host's private memory


@pytest.mark.promise("private")
@pytest.mark.promise("bounded")
@pytest.mark.promise("convergent")
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "joiner"])
def test_every_promise_is_kept_in_every_scenario(scenario: str) -> None:
    kept(run(scenario, nodes=NODES, seed=7))


@pytest.mark.promise("convergent")
def test_a_swarm_of_forty_survives_chaos() -> None:
    kept(run("chaos", nodes=40, seed=7))


@pytest.mark.promise("flat")
@pytest.mark.promise("bounded")
def test_an_idle_spore_sends_as_little_in_a_large_swarm_as_in_a_small_one() -> None:
    few, many = (kept(run("calm", nodes=nodes, seed=7)) for nodes in (5, 50))
    assert many.idle_bytes_a_node_a_minute <= few.idle_bytes_a_node_a_minute + 500
    assert many.idle_bytes_a_node_a_minute <= 2_000


@pytest.mark.promise("bounded")
def test_most_records_come_once_and_soon() -> None:
    report = kept(run("calm", nodes=50, seed=7))
    assert report.redundancy <= 1.5
    assert report.spread_p50_ms <= 1_000


@pytest.mark.promise("reproducible")
def test_one_seed_gives_one_trace_under_any_hash_seed() -> None:
    source = (
        "from synapse.sim.scenarios import run\n"
        "print([run(name, nodes=8, seed=3).trace for name in ('chaos', 'models', 'liars')])"
    )
    traces = [
        subprocess.run(
            [sys.executable, "-c", source],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert traces[0] == traces[1]


@pytest.mark.promise("reproducible")
def test_another_seed_gives_another_trace() -> None:
    assert run("chaos", nodes=4, seed=1).trace != run("chaos", nodes=4, seed=2).trace


@pytest.mark.promise("honest")
def test_a_report_is_readable_complete_and_says_how_to_repeat_it() -> None:
    shares: list[float] = []
    report = run("models", nodes=4, seed=9, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert "synapse sim --nodes 4 --seed 9 --scenario models" in report.render()
    assert json.loads(json.dumps(report.as_dict()))["trace"] == report.trace
    assert all(len(line) <= 100 for line in report.render().splitlines())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_swarm_of_one_is_a_swarm(scenario: str) -> None:
    if scenario != "joiner":
        kept(run(scenario, nodes=1, seed=1))
