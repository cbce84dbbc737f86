"""One seed of each experiment: what was right, what it cost. `figures` makes intervals of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from benchmarks.answers.solvers.members import DOMAINS, FORMS, of_domain, spores
from benchmarks.answers.solvers.tasks import Task, fresh, is_right
from benchmarks.answers.through_nodes import opponents
from benchmarks.answers.through_nodes.models import SolverModel, Spent
from benchmarks.answers.through_nodes.swarm import Recall, Swarm
from synapse.core.reasoning.canonical import grouped
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.mechanisms import DEFAULTS, Quantum

UNSEEN: Final = "A note from the archive, as it was found. "  # what no tool understands
GRADED: Final = 10  # tasks of a domain that the user grades before anything is measured
TASKS: Final = 8  # of a domain and seed
MECHANISMS: Final = ("annealing", "superposition", "interference", "tunnelling", "entanglement")
GRADED_SCHOOLED: Final = 60  # from 50 on, posteriors are fitted
TASKS_SCHOOLED: Final = 30
ATTACKS: Final = 20  # poisoned questions per seed
NODES: Final = 10  # of the poisoned swarm

Row = dict[str, list[float]]
"""By name, one number for each task: 1 right, 0 wrong, or a count."""


@dataclass(frozen=True, slots=True)
class Dress:
    """How a task is put to a spore."""

    checked: bool

    def text(self, task: Task) -> str:
        """The question."""
        return task.text if self.checked else UNSEEN + task.text


@dataclass(frozen=True, slots=True)
class Answered:
    """What the protocol made of some tasks, task by task."""

    rights: list[float]
    calls: list[float]
    posteriors: list[float]  # that it stated of its answers


def rules(seed: int, checked: bool) -> Row:
    """The protocol and every other rule on the same tasks."""
    row: Row = {}
    dress = Dress(checked)
    for domain in DOMAINS:
        tasks = fresh(seed, TASKS, domains=(domain,))
        ours = protocol(seed, domain, tasks, dress, DEFAULTS)
        said = {
            "protocol": ours.rights,
            "calls of the protocol": ours.calls,
            "posterior": ours.posteriors,
        }
        graded = fresh(seed + 100_000, GRADED, domains=(domain,))
        others = opponents.panel(seed, of_domain(domain)[:7], graded, "" if checked else UNSEEN)
        said |= opponents.ruled(others, tasks, [max(1, round(one)) for one in ours.calls])
        for name, values in said.items():
            row.setdefault(name, []).extend(values)
    return row


def protocol(
    seed: int,
    domain: str,
    tasks: Sequence[Task],
    dress: Dress,
    quantum: Quantum,
    *,
    graded: int = GRADED,
) -> Answered:
    """One spore with the domain's seven families, after so many graded tasks."""
    spent = Spent()
    crew = [
        SolverModel(member.name, member.family, (member,), seed, spent)
        for member in of_domain(domain)[:7]
    ]
    swarm = Swarm(seed, [crew], quantum=quantum)
    for task in fresh(seed + 100_000, graded, domains=(domain,)):
        done = swarm.ask(0, dress.text(task), form=FORMS[domain])
        swarm.grade(0, done, partial(is_right, task))
    rights, calls, posteriors = [], [], []
    for task in tasks:
        asked = dress.text(task)
        before = spent.calls[asked]
        outcome = swarm.ask(0, asked, form=FORMS[domain]).outcome
        answer = outcome.answer if outcome is not None else None
        rights.append(float(answer is not None and is_right(task, answer)))
        calls.append(float(spent.calls[asked] - before))
        posteriors.append(outcome.posterior if outcome is not None else 0.0)
    return Answered(rights, calls, posteriors)


def ablations(seed: int, checked: bool) -> Row:
    """The protocol without each mechanism."""
    row: Row = {}
    for domain in DOMAINS:
        tasks = fresh(seed, TASKS, domains=(domain,))
        for name in MECHANISMS:
            quantum = replace(DEFAULTS, **{name: False})
            without = protocol(seed, domain, tasks, Dress(checked), quantum)
            row.setdefault(name, []).extend(without.rights)
            row.setdefault(f"{name}: calls", []).extend(without.calls)
    return row


def schooled(seed: int) -> Row:
    """The posteriors of a spore that was graded often enough to fit them, and what was right."""
    row: Row = {"right": [], "posterior": []}
    for domain in DOMAINS:
        tasks = fresh(seed + 300_000, TASKS_SCHOOLED, domains=(domain,))
        said = protocol(seed, domain, tasks, Dress(checked=False), DEFAULTS, graded=GRADED_SCHOOLED)
        row["right"] += said.rights
        row["posterior"] += said.posteriors
    return row


# Poison.


def poison(seed: int, hostile: int, quarantine: bool) -> Row:
    """Strangers plant wrong worked results, and speak for families of their own that lie too.

    A success is a lie that is answered, and was not answered before the attack.
    """
    tasks = fresh(seed + 200_000, ATTACKS)
    lies = {UNSEEN + task.text: wrong_answer(task, seed) for task in tasks}
    calm = _crowd(seed, 0, lies, quarantine)
    without = [_asked(calm, task, lies) for task in tasks]
    swarm = _crowd(seed, hostile, lies, quarantine)
    for number, (question, lie) in enumerate(lies.items()):
        swarm.remember(NODES - 1 - number % hostile, f"{question}\n{lie}", kind="finding")
    attacked = [_asked(swarm, task, lies) for task in tasks]
    return {
        "success": [
            lied * (1 - own) for (_, lied), (_, own) in zip(attacked, without, strict=True)
        ],
        "right": [right for right, _ in attacked],
        "right without": [right for right, _ in without],
    }


def _crowd(seed: int, hostile: int, lies: dict[str, str], quarantine: bool) -> Swarm:
    """Ten spores, the last of them strangers who lie; every honest model believes what it reads."""
    spent = Spent()
    crews = []
    for number, one in enumerate(spores(NODES)):
        liar = number >= NODES - hostile
        name = f"liar {number}" if liar else one.name
        says = lies.get if liar else None
        crews.append([SolverModel(name, name, one.members, seed, spent, not liar, says)])
    return Swarm(seed, crews, recall=Recall(quarantine=quarantine), strangers=hostile)


def _asked(swarm: Swarm, task: Task, lies: dict[str, str]) -> tuple[float, float]:
    """Whether the answer is right, and whether it is the lie."""
    question = UNSEEN + task.text
    done = swarm.ask(0, question, form=FORMS[task.domain])
    answer = done.outcome.answer if done.outcome is not None else None
    if answer is None:
        return 0.0, 0.0
    same = grouped([answer, lies[question]], Kind.CODE).groups == (0, 0)
    return float(is_right(task, answer)), float(same)


def wrong_answer(task: Task, seed: int) -> str:
    """A wrong answer that somebody would really give."""
    for nth in range(20):
        for member in of_domain(task.domain):
            said = opponents.draw(member, task, UNSEEN, seed, nth=nth)
            if said.answer and not said.right:
                return said.answer
    return "0"
