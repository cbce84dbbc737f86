"""Solvers through real nodes: the experiments behind the solvers layer, on one seed."""

from __future__ import annotations

from benchmarks.answers.solvers.members import FORMS, of_domain
from benchmarks.answers.solvers.tasks import fresh
from benchmarks.answers.through_nodes import experiments
from benchmarks.answers.through_nodes.experiments import UNSEEN, Dress
from benchmarks.answers.through_nodes.models import SolverModel, Spent
from benchmarks.answers.through_nodes.swarm import Recall, Swarm
from synapse.core.reasoning import tools
from synapse.core.reasoning.mechanisms import DEFAULTS

DOMAIN = "colouring"


def crew(spent: Spent) -> list[SolverModel]:
    return [SolverModel(one.name, one.family, (one,), 1, spent) for one in of_domain(DOMAIN)[:3]]


def test_tools_recognise_the_bare_task_and_not_the_dressed_one() -> None:
    for task in fresh(1, 10):
        assert tools.check(task.text, "?") is not None
        assert tools.check(UNSEEN + task.text, "?") is None


def test_one_seed_gives_one_result() -> None:
    tasks = fresh(3, 4, domains=(DOMAIN,))
    first = experiments.protocol(3, DOMAIN, tasks, Dress(checked=False), DEFAULTS)
    assert experiments.protocol(3, DOMAIN, tasks, Dress(checked=False), DEFAULTS) == first
    assert all(calls >= 1 for calls in first[1])


def test_members_of_several_spores_answer_one_task_through_gossip() -> None:
    spent = Spent()
    swarm = Swarm(1, [[model] for model in crew(spent)])
    [task] = fresh(5, 1, domains=(DOMAIN,))
    done = swarm.ask(0, UNSEEN + task.text, form=FORMS[DOMAIN])
    assert len({position.author for position in done.positions}) >= 2
    assert done.commitments
    assert done.outcome is not None
    for station in swarm.stations[1:]:
        shown = station.node.ledger.tasks.get(done.id)
        assert shown is not None
        assert shown.outcome == done.outcome


def test_what_passed_a_check_is_recalled_by_other_spores() -> None:
    spent = Spent()
    swarm = Swarm(1, [crew(spent), crew(spent)], recall=Recall())
    asked = (
        (task, swarm.ask(0, task.text, form=FORMS[DOMAIN]).outcome)
        for task in fresh(6, 10, domains=(DOMAIN,))
    )
    task, outcome = next((one, came) for one, came in asked if came is not None and came.checked)
    [hit, *_] = swarm.stations[1].index.search(task.text, limit=5)
    [finding] = swarm.stations[1].disk.read([hit.id])
    assert finding.content()["text"] == f"{task.text}\n{outcome.answer}"


def test_strangers_memories_do_not_reach_a_model() -> None:
    row = experiments.poison(1, 3, True)
    assert sum(row["success"]) == 0
    assert sum(row["right"]) >= sum(row["right without"]) - 1
