"""Does diversity help, and does federation scale? Both through real nodes and their gossip."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, product
from random import Random
from typing import Final

from benchmarks.answers.solvers.members import (
    DOMAINS,
    FORMS,
    Member,
    Spore,
    of_domain,
    spores,
)
from benchmarks.answers.solvers.tasks import Task, fresh, is_right
from benchmarks.answers.through_nodes.experiments import TASKS, UNSEEN, Row, wrong_answer
from benchmarks.answers.through_nodes.models import SolverModel, Spent
from benchmarks.answers.through_nodes.opponents import draw
from benchmarks.answers.through_nodes.swarm import Swarm

POOL: Final = 80  # tasks of a domain on which accuracies are matched; none is measured on
POOL_SEED: Final = 900_000
PAIRS: Final = 5  # of a domain: the best matched ones, in turn
BUDGET: Final = 1  # of who is asked; its peers lend one call each
MODELS: Final = 7  # different spores there are: other nodes run the same again
TASKS_EACH: Final = 3  # of a domain, for every size of swarm
HOSTILE_SHARE: Final = 0.2

Match = tuple[Member, tuple[Member, ...]]
"""One algorithm, and three others of three families that are as good on average."""


@lru_cache(maxsize=1)
def accuracies() -> dict[str, float]:
    """Every member's accuracy on the pool."""
    found = {}
    for domain in DOMAINS:
        tasks = fresh(POOL_SEED, POOL, domains=(domain,))
        for one in of_domain(domain):
            rights = [draw(one, task, UNSEEN, POOL_SEED, nth=0).right for task in tasks]
            found[one.id] = sum(rights) / POOL
    return found


@lru_cache(maxsize=len(DOMAINS))
def matches(domain: str) -> tuple[Match, ...]:
    """The best matched pairs of a domain, one for each single algorithm, nearest first."""
    known, members = accuracies(), of_domain(domain)
    found = []
    for one in members:
        trios = [
            trio
            for trio in combinations([other for other in members if other is not one], 3)
            if len({one.family, *(other.family for other in trio)}) == 4
        ]
        apart = [
            (abs(sum(known[other.id] for other in trio) / 3 - known[one.id]), at)
            for at, trio in enumerate(trios)
        ]
        if apart:
            nearest, at = min(apart)
            found.append((nearest, one.id, one, trios[at]))
    found.sort(key=lambda match: match[:2])
    return tuple((one, trio) for _, _, one, trio in found[:PAIRS])


def diversity(seed: int) -> Row:
    """Three nodes: of one algorithm, drawn three times, and of three, each as good on average.

    The copies bear names of their own, so that each has a vote. Three calls a task either way.
    """
    row: Row = {}
    for domain in DOMAINS:
        pairs = matches(domain)
        one, trio = pairs[seed % len(pairs)]
        tasks = fresh(seed + 400_000, TASKS, domains=(domain,))
        for name, crew in {"three algorithms": trio, "one algorithm": (one, one, one)}.items():
            row.setdefault(name, []).extend(_together(seed, crew, tasks))
            said = [[draw(m, task, UNSEEN, seed, nth=0).right for m in crew] for task in tasks]
            row.setdefault(f"mean member of {name}", []).extend(sum(r) / 3 for r in said)
    return row


def _together(seed: int, members: Sequence[Member], tasks: Sequence[Task]) -> list[float]:
    spent = Spent()
    names = [f"{one.name} {number}" for number, one in enumerate(members)]
    crews = [
        [SolverModel(name, name, (one,), seed, spent)]
        for name, one in zip(names, members, strict=True)
    ]
    return [_asked(Swarm(seed, crews), task) for task in tasks]


def _asked(swarm: Swarm, task: Task, *, budget: int | None = BUDGET) -> float:
    done = swarm.ask(0, UNSEEN + task.text, form=FORMS[task.domain], budget=budget)
    answer = done.outcome.answer if done.outcome is not None else None
    return float(answer is not None and is_right(task, answer))


# Federation.


@lru_cache(maxsize=1)
def _weakest_first() -> tuple[Spore, ...]:
    known = accuracies()

    def mean(spore: Spore) -> float:
        return sum(known[one.id] for one in spore.members)

    return tuple(sorted(spores(MODELS), key=lambda spore: (mean(spore), spore.name)))


def federation(seed: int, nodes: int, skewed: bool) -> Row:
    """A swarm of so many nodes of seven models: all as common, or the weakest the commonest.

    By node, every one speaks for a family of its own; by family, copies of a model share a vote.
    """
    rng = Random(f"federation {seed} {nodes} {skewed}")
    models = _weakest_first()
    odds = [1 / rank if skewed else 1.0 for rank in range(1, MODELS + 1)]
    drawn = rng.choices(models, odds, k=nodes)
    tasks = fresh(seed + 700_000, TASKS_EACH * len(DOMAINS))
    row: Row = {"families": [float(len({one.name for one in drawn}))] * len(tasks)}
    for by_node, hostile in product((True, False), (0, round(HOSTILE_SHARE * nodes))):
        if hostile and by_node:
            continue  # whoever counts nodes loses to them; the question is what families lose
        name = f"by {'node' if by_node else 'family'}"
        swarm, spent = _swarm(seed, drawn, by_node=by_node, hostile=hostile, tasks=tasks)
        label = f"{name}, 20% hostile" if hostile else name
        row[label] = [_asked(swarm, task, budget=None) for task in tasks]
        row[f"{label}: calls"] = [float(spent.calls[UNSEEN + task.text]) for task in tasks]
    return row


def _swarm(
    seed: int, drawn: Sequence[Spore], *, by_node: bool, hostile: int, tasks: Sequence[Task]
) -> tuple[Swarm, Spent]:
    """The nodes; hostile strangers join them who all tell one lie, for a family of their own."""
    spent = Spent()
    crews = [
        [SolverModel(f"node {at}", f"node {at}" if by_node else one.name, one.members, seed, spent)]
        for at, one in enumerate(drawn)
    ]
    lies = {UNSEEN + task.text: wrong_answer(task, seed) for task in tasks} if hostile else {}
    crews += [
        [SolverModel(f"liar {at}", "liar", drawn[0].members, seed, spent, says=lies.get)]
        for at in range(hostile)
    ]
    return Swarm(seed, crews, strangers=hostile), spent
