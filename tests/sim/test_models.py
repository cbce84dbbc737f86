"""Tasks when models err, fail and run out of quota."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from synapse.core.reasoning.task import Task
from synapse.sim.host import EPOCH_MS, Host
from synapse.sim.models import EXTRACTOR, Account, ScriptedModel
from tests.sim.swarms import MINUTE_MS, Swarm


def model(family: str, **behaviour: object) -> ScriptedModel:
    return ScriptedModel(f"{family}-1", family, **behaviour)  # type: ignore[arg-type]  # a test's


# Words that no exact tool understands: what is right here only models say.
QUESTION = "Ann has 20 + 22 apples and eats none; say the number"


def asked(swarm: Swarm, host: Host, question: str = QUESTION) -> list[Task]:
    """The task as every host sees it, a minute after it was asked."""
    swarm.wait(10_000)
    swarm.simulator.ask(host, question)
    swarm.wait(MINUTE_MS)
    return [task for one in swarm.simulator.hosts for task in one.node.ledger.tasks]


def outcomes(tasks: Sequence[Task]) -> set[tuple[str | None, str] | None]:
    return {
        (task.outcome.answer, task.outcome.stop_reason) if task.outcome else None for task in tasks
    }


def test_three_families_decide_and_every_spore_shows_it() -> None:
    swarm = Swarm()
    for family in ("alpha", "beta", "gamma"):
        swarm.add(models=(model(family),))
    (asker,) = swarm.add(models=(EXTRACTOR,))  # its operator wrote the addresses of the others
    tasks = asked(swarm, asker)
    assert len(tasks) == 4
    assert outcomes(tasks) == {("42", "decided")}
    assert swarm.problems() == []


def test_families_that_only_strangers_speak_for_are_one_voter() -> None:
    swarm = Swarm()
    swarm.add(3)  # whom everybody knows
    for family in ("alpha", "beta", "gamma"):
        swarm.add(models=(model(family),))
    (asker,) = swarm.add(models=(EXTRACTOR,))
    assert outcomes(asked(swarm, asker)) == {("42", "one_family")}


@pytest.mark.promise("no_failure_is_an_answer")
def test_a_swarm_out_of_quota_waits_and_says_until_when() -> None:
    spent = Account(calls_a_minute=0)
    swarm = Swarm()
    hosts = swarm.add(5, models=(model("alpha", account=spent),))
    tasks = asked(swarm, hosts[0])
    (task,) = hosts[0].node.ledger.tasks
    waiting = hosts[0].node.thinking.deliberations.waiting(task.id)
    assert waiting is not None
    assert waiting.retry_at_ms > EPOCH_MS + swarm.simulator.clock.now_ms
    assert waiting.reasons == {"alpha-1": "rate_limited"}
    assert outcomes(tasks) == {None}
    assert all(task.positions == [] for task in tasks)


@pytest.mark.promise("no_failure_is_an_answer")
def test_a_task_is_answered_when_the_quota_is_back() -> None:
    spent = Account(calls_a_minute=0)
    swarm = Swarm()
    hosts = swarm.add(3, models=(model("alpha", account=spent),))
    asked(swarm, hosts[0])
    spent.calls_a_minute = 60
    swarm.wait(5 * MINUTE_MS)
    tasks = [task for host in hosts for task in host.node.ledger.tasks]
    assert outcomes(tasks) == {("42", "one_family")}


@pytest.mark.promise("no_failure_is_an_answer")
@pytest.mark.parametrize("failure", ["auth", "overloaded", "slow", "bad_reply", "gone"])
def test_no_failure_of_every_model_becomes_a_position(failure: str) -> None:
    swarm = Swarm()
    hosts = swarm.add(3, models=(model("alpha", failures=((failure, 1.0),)),))
    tasks = asked(swarm, hosts[0])
    assert all(task.positions == [] for task in tasks)
    assert outcomes(tasks) == {None}


def test_a_task_survives_the_crash_of_its_asker() -> None:
    swarm = Swarm()
    hosts = swarm.add(3, models=(model("alpha"),))
    swarm.wait(10_000)
    swarm.simulator.ask(hosts[0], QUESTION)
    swarm.wait(200)
    hosts[0].crash()
    swarm.wait(5_000)
    hosts[0].start()
    swarm.wait(MINUTE_MS)
    assert outcomes([task for host in hosts for task in host.node.ledger.tasks]) == {
        ("42", "one_family")
    }


def test_a_spore_without_a_model_answers_from_memory() -> None:
    swarm = Swarm()
    hosts = swarm.add(2, models=(EXTRACTOR,))
    swarm.wait(10_000)
    swarm.simulator.remember(hosts[1], "Ebb and flood follow the moon.")
    (task, _) = asked(swarm, hosts[0], "What do ebb and flood follow?")
    assert task.outcome is not None
    assert task.outcome.answer == "Ebb and flood follow the moon."
    assert len(task.outcome.cites) == 1
