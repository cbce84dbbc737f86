"""How families err together, learnt from the tasks on which several were graded.

`correlation` is phi, the correlation of being wrong; `collision_rate` is how often two that were
wrong gave the same answer. Both are shrunk to what was measured on other models, because phi of
five tasks says next to nothing. Only one observer's grades are read, its own: nobody else can
make two families look alike. What is kept are whole numbers, so neither order nor time leaves a
trace: grades wait until somebody asks, and a task whose grades came together is counted once.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
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

    def __init__(self, grades: Iterable[Grade] = ()) -> None:
        self._tasks: dict[bytes, list[Grade]] = {}  # each task's grades, in the order of time
        self._order: list[tuple[int, bytes, bytes]] = []  # (last grade's time and id, task)
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._agreed = self._told = self._telling = 0  # pairs that were wrong: alike; all; tasks
        self._waiting: dict[bytes, list[tuple[Grade, bool]]] = {}  # by task: grades, come or gone
        for grade in grades:
            self.add(grade)

    def add(self, grade: Grade) -> None:
        """Count one more grade."""
        self._waiting.setdefault(grade.task, []).append((grade, True))

    def remove(self, grade: Grade) -> None:
        """Count one no more. It must have been added."""
        self._waiting.setdefault(grade.task, []).append((grade, False))

    @property
    def collision_rate(self) -> float:
        """How often two wrong answers to one task agree, shrunk to the prior."""
        self._count_waiting()
        if not self._told:
            return COLLISION_RATE
        return (self._telling * self._agreed / self._told + COLLISION_TASKS * COLLISION_RATE) / (
            self._telling + COLLISION_TASKS
        )

    def correlation(self, one: str, other: str) -> float:
        """Phi of their errors, shrunk to the prior; the prior for who was never graded with."""
        if one == other:
            return SAME_FAMILY
        self._count_waiting()
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
        self._count_waiting()
        pair = self._pairs.get((min(one, other), max(one, other)), _Pair())
        return pair.both + pair.first + pair.second + pair.neither

    def _count_waiting(self) -> None:
        for task, changes in self._waiting.items():
            self._leave(task)
            grades = self._tasks.setdefault(task, [])
            for grade, come in changes:
                if come:
                    insort(grades, grade, key=_when)
                else:
                    del grades[bisect_left(grades, _when(grade), key=_when)]
            self._enter(task)
        self._waiting.clear()

    # The newest tasks count; who comes in late may push one out, and who goes lets one in.

    def _leave(self, task: bytes) -> None:
        grades = self._tasks.get(task)
        if not grades:
            return
        place = bisect_left(self._order, (*_when(grades[-1]), task))
        first = max(0, len(self._order) - TASKS_MAX)
        if place >= first:
            self._count(task, -1)
            if first:
                self._count(self._order[first - 1][2], 1)
        del self._order[place]

    def _enter(self, task: bytes) -> None:
        grades = self._tasks[task]
        if not grades:
            del self._tasks[task]
            return
        key = (*_when(grades[-1]), task)
        insort(self._order, key)
        first = max(0, len(self._order) - TASKS_MAX)
        if bisect_left(self._order, key) >= first:
            self._count(task, 1)
            if first:
                self._count(self._order[first - 1][2], -1)

    def _count(self, task: bytes, by: int) -> None:
        """Count one task, or no more; of each family its last grade."""
        graded = {grade.family: grade for grade in self._tasks[task]}
        families = sorted(graded)
        for one, other in combinations(families, 2):
            pair = self._pairs.setdefault((one, other), _Pair())
            _note(pair, by, wrong=not graded[one].right, other_wrong=not graded[other].right)
            if not (pair.both or pair.first or pair.second or pair.neither):
                del self._pairs[one, other]
        wrong = [graded[one].answer for one in families if not graded[one].right]
        self._count_collisions([answer for answer in wrong if answer], by)

    def _count_collisions(self, wrong: Sequence[bytes], by: int) -> None:
        pairs = len(wrong) * (len(wrong) - 1) // 2
        self._told += by * pairs
        self._telling += by * (pairs > 0)
        self._agreed += by * sum(one == other for one, other in combinations(wrong, 2))


def phi(both: int, first: int, second: int, neither: int) -> float | None:
    """The correlation of two yes-or-no facts from their table; None when one never varied."""
    product = (both + first) * (both + second) * (neither + first) * (neither + second)
    return (both * neither - first * second) / math.sqrt(product) if product else None


def _note(pair: _Pair, by: int, *, wrong: bool, other_wrong: bool) -> None:
    if wrong and other_wrong:
        pair.both += by
    elif wrong:
        pair.first += by
    elif other_wrong:
        pair.second += by
    else:
        pair.neither += by


def _when(grade: Grade) -> tuple[int, bytes]:
    return (grade.at_ms, grade.id)
