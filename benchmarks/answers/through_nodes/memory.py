"""Does memory compound? A swarm that has answered many tasks, and controls, on the same new ones.

The tasks held out are of kinds that the swarm met, and none of them is nearly one that it met. All
arms put the same questions to the same members, with the same draws of chance, in as many calls
with as many steps: what they are shown is all that differs. To try what a memory says takes from
the steps; to see whether it is about such a task at all does not, as what stands in a request is
paid in tokens of it and not in calls. In three more arms that takes from the steps, too.

    fresh             nothing is recalled
    verified          the swarm that learnt, as shipped: findings are answers that passed a check
    trust alone       the same swarm, and nothing is recalled: what its grades are worth
    by hand           what that swarm had right, written into a swarm that knows nobody
    truth             every task with its right answer, as if all had been graded
    every answer      the swarm writes down whatever it answered, right or wrong, and recalls it
    outcomes only     the same answers without their questions
    placebo           as many true findings of another swarm, of kinds never asked here, domain by
                      domain; no denials, which would be right of other tasks too
    placebo, swapped  the same questions with answers to tasks of that other swarm
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.answers.solvers.members import FORMS, spores
from benchmarks.answers.solvers.tasks import Stream, Task, is_right, nearness, right_answer, stream
from benchmarks.answers.through_nodes.experiments import UNSEEN, Row
from benchmarks.answers.through_nodes.models import SolverModel, Spent
from benchmarks.answers.through_nodes.swarm import Recall, Swarm

STREAM: Final = 120  # tasks that the swarm meets before anything is measured
KINDS: Final = 40
HELD_OUT: Final = 60
SPORES: Final = 3
BUDGET: Final = 1  # of the spore that is asked; its peers lend one call each: three in all
AGAIN: Final = "Another note from the archive. "  # no tool understands this either
FREE: Final = "unhurried, "
PAID: Final = "reading costs steps, "
SHIPPED: Final = ("fresh", "verified", "placebo")  # asked both ways

Finding = tuple[Task, str]
"""A task and what was answered."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """A swarm, and what its models were asked and shown."""

    swarm: Swarm
    spent: Spent


def memory(seed: int) -> Row:
    """Every arm on one stream: right or wrong task by task, with what it took.

    Some arms are asked once more, in other words, with as many calls as the protocol likes.
    """
    told = stream(seed, STREAM, kinds=KINDS, held_out=HELD_OUT)
    other = stream(seed + 500_000, 2 * STREAM, kinds=KINDS)
    learnt, found = _learnt(seed, told, checked=True)
    kept = [(task, answer) for task, answer in found if is_right(task, answer)]
    strange, wrong = strangers(kept, other), swapped(kept, told, other)
    arms: dict[str, Callable[[], Crowd]] = {
        "fresh": partial(new, seed, None),
        "verified": lambda: learnt,
        "trust alone": lambda: _forgetful(_learnt(seed, told, checked=True)[0]),
        "by hand": partial(written, seed, [f"{task.text}\n{answer}" for task, answer in kept]),
        "truth": partial(written, seed, [_worked(task) for task in told.tasks]),
        "every answer": lambda: _learnt(seed, told, checked=False)[0],
        "outcomes only": partial(written, seed, [answer for _, answer in kept]),
        "placebo": partial(written, seed, strange),
        "placebo, swapped": partial(written, seed, wrong),
        f"{PAID}verified": lambda: _learnt(seed, told, checked=True, reading_costs=True)[0],
        f"{PAID}placebo": partial(written, seed, strange, reading_costs=True),
        f"{PAID}placebo, swapped": partial(written, seed, wrong, reading_costs=True),
    }
    row: Row = {"nearest": [nearness(task, told.tasks) for task in told.held_out]}
    for name, made in arms.items():
        asked = made()
        measure(name, asked, told.held_out, BUDGET, row)
        if name in SHIPPED:
            measure(f"{FREE}{name}", asked, told.held_out, None, row)
    return row


def measure(name: str, crowd: Crowd, tasks: Sequence[Task], budget: int | None, row: Row) -> None:
    """Ask all of these, and note under the arm's name what came of it and what it took."""
    for task in tasks:
        question = (UNSEEN if budget is not None else AGAIN) + task.text
        done = crowd.swarm.ask(0, question, form=FORMS[task.domain], budget=budget)
        answer = done.outcome.answer if done.outcome is not None else None
        texts = crowd.spent.shown.get(question, ())
        shown = [text.rpartition("\n")[2] for text in texts]
        said = {
            name: float(answer is not None and is_right(task, answer)),
            f"{name}: calls": float(crowd.spent.calls[question]),
            f"{name}: steps": float(crowd.spent.steps[question]),
            f"{name}: reading": float(crowd.spent.reading[question]),
            f"{name}: shown": float(len(texts)),
            f"{name}: characters": float(sum(map(len, texts))),
            f"{name}: shown a right answer": float(any(is_right(task, text) for text in shown)),
        }
        for key, value in said.items():
            row.setdefault(key, []).append(value)


def new(seed: int, recall: Recall | None, *, reading_costs: bool = False) -> Crowd:
    """Three spores that know nothing yet, each with a model of its own."""
    spent = Spent()
    crews = [
        [SolverModel(one.name, one.name, one.members, seed, spent, reading_costs=reading_costs)]
        for one in spores(SPORES)
    ]
    return Crowd(Swarm(seed, crews, recall=recall), spent)


def _learnt(
    seed: int, told: Stream, *, checked: bool, reading_costs: bool = False
) -> tuple[Crowd, list[Finding]]:
    """A swarm after the whole stream. Unchecked, its users write down whatever was answered."""
    learnt, found = new(seed, Recall(), reading_costs=reading_costs), []
    for number, task in enumerate(told.tasks):
        at = number % SPORES
        question = task.text if checked else UNSEEN + task.text
        outcome = learnt.swarm.ask(at, question, form=FORMS[task.domain]).outcome
        if outcome is None or outcome.answer is None:
            continue
        found.append((task, outcome.answer))
        if not checked:
            learnt.swarm.remember(at, f"{task.text}\n{outcome.answer}", kind="finding")
    return learnt, found


def _forgetful(crowd: Crowd) -> Crowd:
    crowd.swarm.recalling = None
    return crowd


def written(seed: int, texts: Sequence[str], *, reading_costs: bool = False) -> Crowd:
    """Such a swarm, to whose users these findings were given."""
    crowd = new(seed, Recall(), reading_costs=reading_costs)
    for text in dict.fromkeys(texts):
        crowd.swarm.remember(0, text, kind="finding")
    return crowd


def _worked(task: Task) -> str:
    return f"{task.text}\n{right_answer(task)}"


def strangers(kept: Sequence[Finding], other: Stream) -> list[str]:
    """For each finding a worked task of its domain that another swarm met, as far as they go."""
    waiting: dict[str, list[str]] = {}
    for task in reversed(other.tasks):
        text = _worked(task)
        if _affirms(text):
            waiting.setdefault(task.domain, []).append(text)
    return [waiting[task.domain].pop() for task, _ in kept if waiting.get(task.domain)]


def _affirms(worked: str) -> bool:
    """Whether it gives an answer, and not that there is none."""
    return any(letter.isdigit() for letter in worked.rpartition("\n")[2])


def swapped(kept: Sequence[Finding], told: Stream, other: Stream) -> list[str]:
    """Each finding's question with a right answer to a strange task of its domain.

    Denials are not swapped: that a task like this has no solution says something of this one, and
    false advice is no placebo. Nor are answers that happen to be right here too.
    """
    strange: dict[str, list[str]] = {}
    for task in other.tasks:
        if _affirms(_worked(task)):
            strange.setdefault(task.domain, []).append(right_answer(task))
    texts = []
    for number, (task, _) in enumerate(kept):
        alike = [one for one in (*told.tasks, *told.held_out) if one.kind == task.kind]
        answers = strange[task.domain]
        turned = answers[number % len(answers) :] + answers[: number % len(answers)]
        wrong = (text for text in turned if not any(is_right(one, text) for one in alike))
        texts += [f"{task.text}\n{text}" for text in (next(wrong, None),) if text is not None]
    return texts
