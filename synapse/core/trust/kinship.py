"""How families err together, learnt from the tasks on which several were graded.

`correlation` is phi, the correlation of being wrong; `collision_rate` is how often two that were
wrong gave the same answer. Both are shrunk to what was measured on other models, because phi of
five tasks says next to nothing. Only one observer's grades are read, its own: nobody else can
make two families look alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from synapse.core.trust.evidence import Grade
from synapse.core.trust.weights import COLLISION_RATE

SAME_FAMILY: Final = 0.41  # correlation of errors within a family; measured 0.40 to 0.50
OTHER_FAMILY: Final = 0.35  # and between families; measured 0.33 to 0.43
CORRELATION_TASKS: Final = 50  # how many tasks the prior is worth
COLLISION_TASKS: Final = 20
TASKS_MAX: Final = 2_000  # of the newest: enough to measure phi to 0.02


@dataclass(slots=True)
class _Pair:
    """On how many tasks both, either or none of two families was wrong."""

    both: int = 0
    first: int = 0
    second: int = 0
    neither: int = 0


class Kinship:
    """What one observer's grades on one kind of task say of families in pairs."""

    def __init__(self, grades: Iterable[Grade]) -> None:
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self.collision_rate = COLLISION_RATE
        tasks = _by_task(grades)
        for graded in tasks:
            for one, other in combinations(sorted(graded), 2):
                pair = self._pairs.setdefault((one, other), _Pair())
                _note(pair, wrong=not graded[one].right, other_wrong=not graded[other].right)
        self._measure_collisions(tasks)

    def correlation(self, one: str, other: str) -> float:
        """Phi of their errors, shrunk to the prior; the prior for who was never graded with."""
        if one == other:
            return SAME_FAMILY
        pair = self._pairs.get((min(one, other), max(one, other)))
        if pair is None:
            return OTHER_FAMILY
        number = pair.both + pair.first + pair.second + pair.neither
        measured = phi(pair.both, pair.first, pair.second, pair.neither)
        if measured is None:
            return OTHER_FAMILY  # one of them was always right, or always wrong
        return (number * measured + CORRELATION_TASKS * OTHER_FAMILY) / (number + CORRELATION_TASKS)

    def tasks(self, one: str, other: str) -> int:
        """On how many tasks both were graded."""
        pair = self._pairs.get((min(one, other), max(one, other)), _Pair())
        return pair.both + pair.first + pair.second + pair.neither

    def _measure_collisions(self, tasks: list[dict[str, Grade]]) -> None:
        agreed = pairs = telling = 0
        for graded in tasks:
            wrong = [graded[family].answer for family in sorted(graded) if not graded[family].right]
            known = [answer for answer in wrong if answer]
            here = len(known) * (len(known) - 1) // 2
            pairs += here
            telling += here > 0
            agreed += sum(one == other for one, other in combinations(known, 2))
        if pairs:
            self.collision_rate = (telling * agreed / pairs + COLLISION_TASKS * COLLISION_RATE) / (
                telling + COLLISION_TASKS
            )


def phi(both: int, first: int, second: int, neither: int) -> float | None:
    """The correlation of two yes-or-no facts from their table; None when one never varied."""
    product = (both + first) * (both + second) * (neither + first) * (neither + second)
    return (both * neither - first * second) / math.sqrt(product) if product else None


def _note(pair: _Pair, *, wrong: bool, other_wrong: bool) -> None:
    if wrong and other_wrong:
        pair.both += 1
    elif wrong:
        pair.first += 1
    elif other_wrong:
        pair.second += 1
    else:
        pair.neither += 1


def _by_task(grades: Iterable[Grade]) -> list[dict[str, Grade]]:
    """The newest tasks, each with the last grade of each family."""
    tasks: dict[bytes, dict[str, Grade]] = {}
    for grade in sorted(grades, key=lambda one: (one.at_ms, one.id)):
        tasks.setdefault(grade.task, {})[grade.family] = grade

    def newest(task: Mapping[str, Grade]) -> tuple[int, bytes]:
        return max((grade.at_ms, grade.id) for grade in task.values())

    return sorted(tasks.values(), key=newest)[-TASKS_MAX:]
