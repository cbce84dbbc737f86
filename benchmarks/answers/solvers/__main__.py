"""How good the members are, how alike their errors, what helps them, and what they cost.

    python -m benchmarks.answers.solvers [--items 150] [--seed 1] [--temperature 0.7] [--json]

First, `items` fresh tasks a domain: the share of right answers, at the temperature and at 0; "any3"
counts a right one among the hypotheses; times are CPU time of this process. Correlations are of
being wrong (phi); "same wrong answer" is the share of tasks, of those where two members are both
wrong, on which they say the same.

Then tasks of recurring kinds, asked again with something to go by: the blind answers of the
domain's other members; a right memory of the same kind; a right memory of the kind as it was before
it drifted; a false memory of the very task; and with the blind answer barred, where the share is
of right answers among those given at all.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from random import Random
from typing import Any

from benchmarks.answers.solvers.members import DOMAINS, Member, of_domain
from benchmarks.answers.solvers.solver import Answer, plain
from benchmarks.answers.solvers.tasks import (
    Stream,
    Task,
    fresh,
    is_right,
    right_answer,
    stream,
    worked,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One member on its domain."""

    domain: str
    member: str
    family: str
    accuracy: float
    right_any: float
    greedy_accuracy: float  # at temperature 0
    abstained: float
    steps: float
    steps_limit: int
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Told:
    """One member's accuracy with something to go by."""

    domain: str
    member: str
    blind: float
    others: float
    memory: float
    stale: float
    false: float
    barred: float | None  # None when it never gave another answer


@dataclass(frozen=True, slots=True)
class Pair:
    """How alike two members err."""

    domain: str
    one: str
    other: str
    same_family: bool
    phi: float | None
    collision: float | None


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.answers.solvers")
    parser.add_argument("--items", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    for domain in DOMAINS:
        tasks = fresh(chosen.seed, chosen.items, domains=(domain,))
        rows, answers = measured(tasks, of_domain(domain), chosen.temperature, chosen.seed)
        pairs = compared(tasks, of_domain(domain), answers)
        told = with_help(chosen.seed, chosen.items, domain, chosen.temperature)
        if chosen.json:
            figures: list[Row | Pair | Told] = [*rows, *pairs, *told]
            for one in figures:
                print(json.dumps({"benchmark": "solvers", **asdict(one)}))
        else:
            _print(domain, tasks, rows, pairs, answers)
            _print_told(told)


def measured(
    tasks: Sequence[Task], members: Sequence[Member], temperature: float, seed: int
) -> tuple[list[Row], dict[str, list[Answer]]]:
    """Every member on every task, once at the temperature and once at 0."""
    rows, answers = [], {}
    for member in members:
        rng = Random(f"{seed} {member.id}")
        began = time.process_time()
        given = [member.answer(task.text, temperature=temperature, rng=rng) for task in tasks]
        spent_ms = (time.process_time() - began) * 1_000
        greedy = [member.answer(task.text, temperature=0.0, rng=rng) for task in tasks]
        answers[member.id] = given
        both = list(zip(tasks, given, strict=True))
        rows.append(
            Row(
                domain=member.domain,
                member=member.name,
                family=member.family,
                accuracy=_mean([is_right(task, one.answer) for task, one in both]),
                right_any=_mean(
                    [any(is_right(task, text) for text, _ in one.hypotheses) for task, one in both]
                ),
                greedy_accuracy=_mean(
                    [is_right(task, one.answer) for task, one in zip(tasks, greedy, strict=True)]
                ),
                abstained=_mean([one.abstained for one in given]),
                steps=_mean([one.steps for one in given]),
                steps_limit=member.steps,
                milliseconds=spent_ms / len(tasks),
            )
        )
    return rows, answers


def with_help(seed: int, items: int, domain: str, temperature: float) -> list[Told]:
    """Every member on tasks of recurring kinds, with something to go by."""
    told = stream(seed, 3 * items, kinds=items, domains=(domain,), held_out=items)
    drifted = stream(seed, 3 * items, kinds=items, domains=(domain,), held_out=items, drift=1.0)
    members = of_domain(domain)
    pairs = _with_memory(told)
    stale = _with_memory(drifted)
    rng = Random(f"{seed} told")

    def asked(member: Member, task: Task, **given: Any) -> Answer:
        return member.answer(task.text, temperature=temperature, rng=rng, **given)

    blind = {one.id: [asked(one, task) for task, _ in pairs] for one in members}
    rows = []
    for one in members:
        others, false, barred = [], [], []
        for at, (task, _) in enumerate(pairs):
            said = [blind[other.id][at].answer for other in members if other is not one]
            wrong = [text for text in said if not is_right(task, text)]
            others.append(is_right(task, asked(one, task, others=said).answer))
            lie = worked(task, rng.choice(wrong or [""]))
            false.append(is_right(task, asked(one, task, memories=(lie,)).answer))
            again = asked(one, task, barred=blind[one.id][at].answer)
            barred += [] if again.abstained else [is_right(task, again.answer)]
        rows.append(
            Told(
                domain=domain,
                member=one.name,
                blind=_mean(
                    [is_right(t, a.answer) for (t, _), a in zip(pairs, blind[one.id], strict=True)]
                ),
                others=_mean(others),
                memory=_mean([is_right(t, asked(one, t, memories=(m,)).answer) for t, m in pairs]),
                stale=_mean([is_right(t, asked(one, t, memories=(m,)).answer) for t, m in stale]),
                false=_mean(false),
                barred=_mean(barred) if barred else None,
            )
        )
    return rows


def _with_memory(told: Stream) -> list[tuple[Task, str]]:
    """Held-out tasks, each with the first task of its kind and a right answer to that."""
    first = {task.kind: task for task in reversed(told.tasks)}
    return [
        (task, worked(first[task.kind], right_answer(first[task.kind])))
        for task in told.held_out
        if task.kind in first
    ]


def compared(
    tasks: Sequence[Task], members: Sequence[Member], answers: dict[str, list[Answer]]
) -> list[Pair]:
    """Every pair of members."""
    pairs = []
    for one, other in combinations(members, 2):
        wrong = [
            (not is_right(task, a.answer), not is_right(task, b.answer), a.answer, b.answer)
            for task, a, b in zip(tasks, answers[one.id], answers[other.id], strict=True)
        ]
        both = [plain(a) == plain(b) for left, right, a, b in wrong if left and right]
        phi = _phi([left for left, *_ in wrong], [right for _, right, *_ in wrong])
        pairs.append(
            Pair(
                domain=one.domain,
                one=one.name,
                other=other.name,
                same_family=one.family == other.family,
                phi=phi,
                collision=_mean(both) if both else None,
            )
        )
    return pairs


def _phi(left: Sequence[bool], right: Sequence[bool]) -> float | None:
    """Correlation of two rows of facts; None where one never changes."""
    p, q = _mean(left), _mean(right)
    both = _mean([a and b for a, b in zip(left, right, strict=True)])
    spread = math.sqrt(p * (1 - p) * q * (1 - q))
    return (both - p * q) / spread if spread else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _print(
    domain: str,
    tasks: Sequence[Task],
    rows: Sequence[Row],
    pairs: Sequence[Pair],
    answers: dict[str, list[Answer]],
) -> None:
    print(f"\n{domain}: {len(tasks)} tasks, for instance: {tasks[0].text[:90]}")
    heading = ("member", "family", "acc", "any3", "T=0", "steps", "limit", "ms")
    print("  {:20}{:18}{:>6}{:>6}{:>6}{:>8}{:>7}{:>7}".format(*heading))
    for row in rows:
        shares = f"{row.accuracy:6.2f}{row.right_any:6.2f}{row.greedy_accuracy:6.2f}"
        work = f"{row.steps:8.0f}{row.steps_limit:7}{row.milliseconds:7.2f}"
        print(f"  {row.member:20}{row.family:18}{shares}{work}")
    someone = [
        any(is_right(task, one[at].answer) for one in answers.values())
        for at, task in enumerate(tasks)
    ]
    for same, name in ((True, "within a family"), (False, "between families")):
        phis = [one.phi for one in pairs if one.same_family == same and one.phi is not None]
        alike = [
            one.collision for one in pairs if one.same_family == same and one.collision is not None
        ]
        if phis and alike:
            print(f"  {name}: phi {_mean(phis):.2f}, same wrong answer {_mean(alike):.2f}")
    print(f"  someone is right: {_mean(someone):.2f}")


def _print_told(told: Sequence[Told]) -> None:
    heading = ("with help", "blind", "others", "memory", "stale", "false", "barred")
    print("  {:20}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}".format(*heading))
    for one in told:
        shares = (one.blind, one.others, one.memory, one.stale, one.false)
        last = "-" if one.barred is None else f"{one.barred:.2f}"
        print(f"  {one.member:20}" + "".join(f"{share:8.2f}" for share in shares) + f"{last:>8}")


if __name__ == "__main__":
    main()
