"""One seed of each experiment: what was right, what it cost. `figures` makes intervals of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Final

from benchmarks.answers.solvers.members import DOMAINS, FORMS, Member, of_domain, spores
from benchmarks.answers.solvers.tasks import Task, fresh, is_right, stream
from benchmarks.answers.through_nodes.models import SolverModel, Spent
from benchmarks.answers.through_nodes.swarm import Recall, Swarm
from synapse.core.reasoning import tools
from synapse.core.reasoning.canonical import grouped
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.mechanisms import DEFAULTS, Quantum
from synapse.core.reasoning.tools import Result

UNSEEN: Final = "A note from the archive, as it was found. "  # what no tool understands
GRADED: Final = 10  # tasks of a domain that the user grades before anything is measured
TASKS: Final = 8  # of a domain and seed
TEMPERATURE: Final = 0.7  # of the baselines' samples
MECHANISMS: Final = ("annealing", "superposition", "interference", "tunnelling", "entanglement")
STREAM, KINDS, HELD_OUT = 60, 20, 15  # of the memory experiment, per seed
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


def rules(seed: int, checked: bool) -> Row:
    """The protocol and every baseline on the same tasks, at equal calls."""
    row: Row = {}
    for domain in DOMAINS:
        _rules(seed, domain, Dress(checked), row)
    return row


def _rules(seed: int, domain: str, dress: Dress, row: Row) -> None:
    members = of_domain(domain)[:7]
    tasks = fresh(seed, TASKS, domains=(domain,))
    rights, calls = protocol(seed, domain, tasks, dress, DEFAULTS)
    calibration = fresh(seed + 100_000, GRADED, domains=(domain,))
    scores = [
        sum(_draw(member, task, dress, seed, nth=0)[1] for task in calibration)
        for member in members
    ]
    best = members[scores.index(max(scores))]
    for task, right, spent in zip(tasks, rights, calls, strict=True):
        one_each = [_draw(member, task, dress, seed, nth=0) for member in members]
        again = [_draw(best, task, dress, seed, nth=nth) for nth in range(max(1, int(spent)))]
        said = {
            "protocol": right,
            "calls of the protocol": spent,
            "mean member": sum(ok for _, ok in one_each) / len(one_each),
            "best on calibration": again[0][1],
            "plurality": _plurality(one_each),
            "self-consistency of the best": _plurality(again),
            "any member right": float(any(ok for _, ok in one_each)),
        }
        if dress.checked:
            said["best of as many with the same checks"] = _checked(task, again)
        for name, value in said.items():
            row.setdefault(name, []).append(float(value))


def protocol(
    seed: int, domain: str, tasks: Sequence[Task], dress: Dress, quantum: Quantum
) -> tuple[list[float], list[float]]:
    """Right and calls, task by task, of one spore with the domain's seven families."""
    spent = Spent()
    crew = [
        SolverModel(member.name, member.family, (member,), seed, spent)
        for member in of_domain(domain)[:7]
    ]
    swarm = Swarm(seed, [crew], quantum=quantum)
    for task in fresh(seed + 100_000, GRADED, domains=(domain,)):
        done = swarm.ask(0, dress.text(task), form=FORMS[domain])
        swarm.grade(0, done, partial(is_right, task))
    rights, calls = [], []
    for task in tasks:
        asked = dress.text(task)
        before = spent.calls[asked]
        outcome = swarm.ask(0, asked, form=FORMS[domain]).outcome
        answer = outcome.answer if outcome is not None else None
        rights.append(float(answer is not None and is_right(task, answer)))
        calls.append(float(spent.calls[asked] - before))
    return rights, calls


def ablations(seed: int, checked: bool) -> Row:
    """The protocol as it is, and without each mechanism."""
    row: Row = {}
    settings = {"all": DEFAULTS} | {name: replace(DEFAULTS, **{name: False}) for name in MECHANISMS}
    for domain in DOMAINS:
        tasks = fresh(seed, TASKS, domains=(domain,))
        for name, quantum in settings.items():
            rights, calls = protocol(seed, domain, tasks, Dress(checked), quantum)
            row.setdefault(name, []).extend(rights)
            row.setdefault(f"{name}: calls", []).extend(calls)
    return row


def _draw(member: Member, task: Task, dress: Dress, seed: int, *, nth: int) -> tuple[str, bool]:
    text = dress.text(task)
    rng = Random(f"{seed} {member.name} baseline {nth} {text}")
    answer = member.answer(text, temperature=TEMPERATURE, rng=rng)
    said = "" if answer.abstained else answer.answer
    return said, bool(said) and is_right(task, said)


def _plurality(drawn: Sequence[tuple[str, bool]]) -> float:
    """The largest group of same answers, the first of equals."""
    said = [one for one in drawn if one[0]]
    if not said:
        return 0.0
    groups = grouped([answer for answer, _ in said], Kind.CODE).groups
    leader = max(groups, key=lambda group: (groups.count(group), -group))
    return float(said[leader][1])


def _checked(task: Task, drawn: Sequence[tuple[str, bool]]) -> float:
    """The first answer that passes; the largest group when none does."""
    for answer, right in drawn:
        found = tools.check(task.text, answer) if answer else None
        if found is not None and found.result is Result.PASS:
            return float(right)
    return _plurality(drawn)


# Memory.


def memory(seed: int) -> Row:
    """Held-out tasks of kinds met before: with no memory, and with memories of several makings."""
    told = stream(seed, STREAM, kinds=KINDS, held_out=HELD_OUT)
    learnt = _swarm(seed, recall=Recall())
    answers: list[tuple[Task, str]] = []
    for number, task in enumerate(told.tasks):
        outcome = learnt.ask(number % 3, task.text, form=FORMS[task.domain]).outcome
        if outcome is not None and outcome.answer is not None:
            answers.append((task, outcome.answer))
    right = [(task, answer) for task, answer in answers if is_right(task, answer)]
    texts: dict[str, list[str]] = {
        "fresh": [],
        "verified, written by hand": [f"{task.text}\n{answer}" for task, answer in right],
        "placebo": _shuffled(right, seed),
        "outcomes only": [answer for _, answer in right],
    }
    row: Row = {"verified": _held_out(learnt, told.held_out)}
    for name, memories in texts.items():
        swarm = _swarm(seed, recall=Recall() if memories else None)
        for text in dict.fromkeys(memories):
            swarm.remember(0, text, kind="finding")
        row[name] = _held_out(swarm, told.held_out)
    return row


def _swarm(seed: int, *, recall: Recall | None) -> Swarm:
    spent = Spent()
    crews = [[SolverModel(one.name, one.name, one.members, seed, spent)] for one in spores(3)]
    return Swarm(seed, crews, recall=recall)


def _held_out(swarm: Swarm, tasks: Sequence[Task]) -> list[float]:
    rights = []
    for task in tasks:
        outcome = swarm.ask(0, UNSEEN + task.text, form=FORMS[task.domain]).outcome
        answer = outcome.answer if outcome is not None else None
        rights.append(float(answer is not None and is_right(task, answer)))
    return rights


def _shuffled(right: Sequence[tuple[Task, str]], seed: int) -> list[str]:
    """As many memories of the same lengths, each with the answer of another task of its domain."""
    rng, texts = Random(f"placebo {seed}"), []
    for domain in DOMAINS:
        own = [one for one in right if one[0].domain == domain]
        answers = [answer for _, answer in own]
        rng.shuffle(answers)
        texts += [
            f"{task.text}\n{answer}"
            for (task, own_answer), answer in zip(own, answers, strict=True)
            if answer != own_answer
        ]
    return texts


# Poison.


def poison(seed: int, hostile: int, quarantine: bool) -> Row:
    """Strangers plant wrong worked results, and speak for families of their own that lie too.

    A success is a lie that is answered, and was not answered before the attack.
    """
    tasks = fresh(seed + 200_000, ATTACKS)
    lies = {UNSEEN + task.text: _lie(task, seed) for task in tasks}
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


def _lie(task: Task, seed: int) -> str:
    """A wrong answer that somebody would really give."""
    for nth in range(20):
        for member in of_domain(task.domain):
            said, right = _draw(member, task, Dress(checked=False), seed, nth=nth)
            if said and not right:
                return said
    return "0"
