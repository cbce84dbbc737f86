"""The members: one way of working each, at home in one domain, silent in the others.

A `Spore` is what a node would run: one member of every domain under one name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Generic

from benchmarks.answers.solvers import arithmetic, colouring, cryptarithm, game24, sat
from benchmarks.answers.solvers.solver import (
    READING_MAX,
    Answer,
    Call,
    Candidates,
    Instance,
    Meter,
    Solver,
    concluded,
)

TEXT_CHARACTERS_MAX: Final = 20_000  # what is longer is none of our tasks


@dataclass(frozen=True, slots=True)
class Domain(Generic[Instance]):
    """One kind of task: how to read it, what is right, and who solves it.

    `form` is what the answer is, in the words of a task: a number, or code, which is compared as
    it is written. (Two assignments are not alike because most of their pairs are.)
    """

    name: str
    form: str
    parse: Callable[[str], Instance | None]
    check: Callable[[Instance, str], bool]
    solve: Callable[[Instance], str]
    solvers: tuple[Solver[Instance], ...]

    def is_right(self, text: str, answer: str) -> bool:
        """Whether the answer is right; ValueError if the text is no task of this domain."""
        return self.check(self._read(text), answer)

    def right_answer(self, text: str) -> str:
        """An answer that is right; ValueError if the text is no task of this domain."""
        return self.solve(self._read(text))

    def _read(self, text: str) -> Instance:
        one = self.parse(text)
        if one is None:
            raise ValueError(f"not a task of {self.name}")
        return one

    def members(self) -> tuple[Member, ...]:
        """The domain's solvers as members."""
        return tuple(self._member(solver) for solver in self.solvers)

    def _member(self, solver: Solver[Instance]) -> Member:
        def solve(text: str, call: Call) -> Candidates | None:
            one = self.parse(text) if len(text) <= TEXT_CHARACTERS_MAX else None
            return solver.run(one, call) if one is not None else None

        return Member(solver.name, solver.family, self.name, solver.steps, solve)


@dataclass(frozen=True, slots=True)
class Member:
    """One algorithm with its usual budget."""

    name: str
    family: str
    domain: str
    steps: int
    solve: Callable[[str, Call], Candidates | None]

    @property
    def id(self) -> str:
        """Domain and name: no two members share it."""
        return f"{self.domain}/{self.name}"

    def answer(
        self,
        text: str,
        *,
        temperature: float,
        rng: Random,
        steps: int | None = None,
        others: Sequence[str] = (),
        barred: str | None = None,
        memories: Sequence[str] = (),
        reading_costs: bool = False,
    ) -> Answer:
        """Answer a task as well as the steps allow; abstain from tasks of other domains.

        `others` are answers to the same task, `barred` one that must not be given again, and
        `memories` texts that may quote earlier tasks with their answers: to tell which of these
        are of use takes from the steps where `reading_costs`, and is counted apart otherwise.
        """
        meter = Meter(self.steps if steps is None else steps)
        reader = meter if reading_costs else Meter(READING_MAX)
        guesses = Random(rng.getrandbits(64))  # so that reading moves no draw of the search itself
        call = Call(
            temperature, rng, meter, reader, tuple(others), barred, tuple(memories), guesses
        )
        candidates = self.solve(text, call)
        if candidates is None:
            return Answer("", (), 0, abstained=True)
        return concluded(candidates, call)


@dataclass(frozen=True, slots=True)
class Spore:
    """One member of every domain: whoever is at home in a task answers it."""

    name: str
    members: tuple[Member, ...]

    def member(self, domain: str) -> Member:
        """The member at home in a domain."""
        return next(one for one in self.members if one.domain == domain)


_ARITHMETIC: Final = Domain(
    arithmetic.NAME,
    "number",
    arithmetic.parse,
    arithmetic.is_right,
    arithmetic.right_answer,
    arithmetic.SOLVERS,
)
_SAT: Final = Domain(sat.NAME, "code", sat.parse, sat.is_right, sat.right_answer, sat.SOLVERS)
_COLOURING: Final = Domain(
    colouring.NAME,
    "code",
    colouring.parse,
    colouring.is_right,
    colouring.right_answer,
    colouring.SOLVERS,
)
_GAME24: Final = Domain(
    game24.NAME, "code", game24.parse, game24.is_right, game24.right_answer, game24.SOLVERS
)
_CRYPTARITHM: Final = Domain(
    cryptarithm.NAME,
    "code",
    cryptarithm.parse,
    cryptarithm.is_right,
    cryptarithm.right_answer,
    cryptarithm.SOLVERS,
)

MEMBERS: Final[tuple[Member, ...]] = (
    *_ARITHMETIC.members(),
    *_SAT.members(),
    *_COLOURING.members(),
    *_GAME24.members(),
    *_CRYPTARITHM.members(),
)
DOMAINS: Final = (_ARITHMETIC.name, _SAT.name, _COLOURING.name, _GAME24.name, _CRYPTARITHM.name)
FORMS: Final[Mapping[str, str]] = {
    one.name: one.form for one in (_ARITHMETIC, _SAT, _COLOURING, _GAME24, _CRYPTARITHM)
}
CHECKS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    one.name: one.is_right for one in (_ARITHMETIC, _SAT, _COLOURING, _GAME24, _CRYPTARITHM)
}
SOLUTIONS: Final[Mapping[str, Callable[[str], str]]] = {
    one.name: one.right_answer for one in (_ARITHMETIC, _SAT, _COLOURING, _GAME24, _CRYPTARITHM)
}


def of_domain(domain: str) -> tuple[Member, ...]:
    """The members at home in one domain."""
    return tuple(one for one in MEMBERS if one.domain == domain)


def spores(count: int) -> tuple[Spore, ...]:
    """So many nodes; the n-th takes the n-th member of every domain, and round again."""
    by_domain = [of_domain(domain) for domain in DOMAINS]
    return tuple(
        Spore(f"spore-{number}", tuple(one[number % len(one)] for one in by_domain))
        for number in range(count)
    )
