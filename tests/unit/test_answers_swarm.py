"""Solvers through real nodes: the experiments behind the solvers layer, on one seed."""

from __future__ import annotations

import pytest

from benchmarks.answers.solvers.members import FORMS, of_domain
from benchmarks.answers.solvers.tasks import fresh, is_right, right_answer, stream
from benchmarks.answers.through_nodes import experiments, federation, memory, opponents
from benchmarks.answers.through_nodes.experiments import UNSEEN, Dress
from benchmarks.answers.through_nodes.models import SolverModel, Spent
from benchmarks.answers.through_nodes.swarm import Recall, Swarm
from synapse.core.reasoning import grading, tools
from synapse.core.reasoning.ballot import Ballot, latest
from synapse.core.reasoning.kinds import Kind
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
    assert all(calls >= 1 for calls in first.calls)
    assert all(0 <= posterior <= 1 for posterior in first.posteriors)


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


def test_whatever_is_shown_a_task_takes_as_many_calls() -> None:
    told = stream(4, 20, kinds=5, held_out=8)
    shown = [f"{task.text}\n{right_answer(task)}" for task in told.tasks]
    row: experiments.Row = {}
    for name, crowd in {"fresh": memory.new(4, None), "told": memory.written(4, shown)}.items():
        memory.measure(name, crowd, told.held_out, memory.BUDGET, row)
    assert set(row["fresh: calls"]) == set(row["told: calls"]) == {3.0}
    assert set(row["fresh: shown"]) == {0.0}
    assert min(row["told: shown"]) > 0
    assert sum(row["told: steps"]) < sum(row["fresh: steps"])


def test_what_a_swarm_holds_and_never_recalls_changes_no_answer() -> None:
    """Chance depends on the seed, the task and the member: not on what happened before."""
    told, other = stream(4, 20, kinds=10, held_out=20), stream(5, 30, kinds=10)
    holding = memory.written(4, [f"{task.text}\n{right_answer(task)}" for task in other.tasks])
    holding.swarm.recalling = None
    row: experiments.Row = {}
    memory.measure("fresh", memory.new(4, None), told.held_out, memory.BUDGET, row)
    memory.measure("holding", holding, told.held_out, memory.BUDGET, row)
    for what in ("", ": calls", ": steps"):
        assert row[f"fresh{what}"] == row[f"holding{what}"]


def test_a_placebo_is_offered_and_read_as_much_as_what_helps_and_holds_no_right_answer() -> None:
    told, other = stream(4, 60, kinds=10, held_out=20), stream(5, 120, kinds=10)
    kept = [(task, right_answer(task)) for task in told.tasks]
    strange = memory.strangers(kept, other)
    assert len(strange) == len(set(strange)) == len(kept)
    row: experiments.Row = {}
    for name, texts in {
        "helpful": [f"{task.text}\n{answer}" for task, answer in kept],
        "placebo": strange,
    }.items():
        memory.measure(name, memory.written(4, texts), told.held_out, memory.BUDGET, row)
    assert row["helpful: shown"] == row["placebo: shown"]
    assert sum(row["placebo: reading"]) > 0
    assert sum(row["placebo: characters"]) > 0.8 * sum(row["helpful: characters"])
    assert sum(row["helpful: shown a right answer"]) > sum(row["placebo: shown a right answer"]) + 5


def test_a_swapped_placebo_holds_no_answer_that_is_right_for_its_question() -> None:
    told, other = stream(4, 40, kinds=10, held_out=20), stream(5, 40, kinds=10)
    kept = [(task, right_answer(task)) for task in told.tasks]
    texts = memory.swapped(kept, told, other)
    assert len(texts) > 30
    for text in texts:
        question, _, answer = text.rpartition("\n")
        [kind] = {task.kind for task in told.tasks if task.text == question}
        alike = [one for one in (*told.tasks, *told.held_out) if one.kind == kind]
        assert not any(is_right(one, answer) for one in alike)


def test_a_debate_takes_the_calls_it_is_given_and_shows_counts_only_when_asked() -> None:
    members = of_domain(DOMAIN)[:7]
    panel = opponents.panel(1, members, fresh(100_001, 4, domains=(DOMAIN,)), UNSEEN)
    [task] = fresh(1, 1, domains=(DOMAIN,))
    assert len(opponents.debate(panel, task, 14, shown=False)) == 7
    assert len(opponents.debate(panel, task, 5, shown=True)) == 3
    rules = opponents.ruled(panel, [task], [5])
    assert {"log-odds", "Dawid-Skene", "the reference's rule", "debate, counts shown"} <= set(rules)
    assert all(len(rights) == 1 for rights in rules.values())


def test_copies_of_a_model_are_one_family_or_as_many_as_there_are_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(federation, "POOL", 3)  # who is weakest need not be known well
    row = federation.federation(1, 3, False)
    assert set(row) >= {"by node", "by family", "by family, 20% hostile"}
    assert len(row["by node"]) == len(row["by family"]) == 15


def test_a_grade_of_a_first_belief_is_carried_to_the_revision_that_says_the_same() -> None:
    """What calibrates a posterior is the revised answers, and what is graded are the first ones."""
    swarm = Swarm(1, [crew(Spent())])
    carried = 0
    for task in fresh(8, 12, domains=(DOMAIN,)):
        done = swarm.ask(0, UNSEEN + task.text, form=FORMS[DOMAIN])
        first = grading.graded_positions(done)
        graded = {one.id: is_right(task, one.answer) for one in first}
        ballot = Ballot(tuple(latest(done.positions)), (), (), Kind.CODE, ())
        for position_id, right in grading.carried(ballot, done, graded).items():
            position = done.position(position_id)
            assert position is not None
            assert right == is_right(task, position.answer)
            carried += position.cycle > 0
    assert carried > 0
