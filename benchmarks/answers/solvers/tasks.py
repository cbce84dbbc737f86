"""Tasks drawn from a seed: fresh ones, and streams in which kinds of task come back varied.

A kind hides what its variations share and no text says: the value of a product, an assignment, a
partition, half of an expression, the digits of letters. So an earlier answer helps whoever can
carry it over and check it, and misleads whoever copies it once the kind has drifted. Assignments,
partitions and digits are made the only solution, so that right answers are equal answers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Final, Protocol

from benchmarks.answers.solvers import arithmetic, colouring, cryptarithm, game24, sat
from benchmarks.answers.solvers.members import CHECKS, DOMAINS, SOLUTIONS
from benchmarks.answers.solvers.solver import shared

# Sizes at which the members are neither helpless nor perfect; found by trial.
RESULT_DIGITS: Final = (4, 12)
VARIABLES: Final = (11, 17)
VERTICES: Final = (11, 19)
LETTERS: Final = (5, 8)
DENIED_SHARE: Final = 0.25  # of the tasks that can be unsolvable, how many are
FEW_SOLUTIONS: Final = 3
NEAR_DUPLICATE: Final = 0.8  # Jaccard from which a task counts as met before; no source
TRIES_MAX: Final = 400  # draws until a task has the wanted property; then whatever was drawn last


@dataclass(frozen=True, slots=True)
class Task:
    """What a spore is asked. Tasks of one `kind` share what is hidden; most kinds occur once."""

    text: str
    kind: str
    domain: str


@dataclass(frozen=True, slots=True)
class Stream:
    """Tasks in order, and others of kinds that occurred, as these are now, whose texts are new."""

    tasks: tuple[Task, ...]
    held_out: tuple[Task, ...]


def is_right(task: Task, answer: str) -> bool:
    """Whether an answer is right, exactly."""
    return CHECKS[task.domain](task.text, answer)


def right_answer(task: Task) -> str:
    """An answer that is right."""
    return SOLUTIONS[task.domain](task.text)


def worked(task: Task, answer: str) -> str:
    """A task with an answer, as a memory may quote it. Whether it is right is not said."""
    return f"{task.text} -> {answer}"


def fresh(seed: int, n: int, *, domains: Sequence[str] = DOMAINS) -> tuple[Task, ...]:
    """Tasks each of a kind of its own, the domains in turn."""
    rng = Random(f"fresh {seed}")
    return tuple(
        Task(_KINDS[domain](rng).varied(rng), f"{domain}-fresh-{seed}-{number}", domain)
        for number in range(n)
        for domain in [domains[number % len(domains)]]
    )


def stream(
    seed: int,
    n: int,
    *,
    kinds: int = 150,
    drift: float = 0.0,
    held_out: int = 0,
    domains: Sequence[str] = DOMAINS,
) -> Stream:
    """Tasks of recurring kinds, each as likely as the next; none held out is nearly one of them.

    `drift` is the chance, before each task, that one kind becomes a near twin of itself with
    another right answer.
    """
    rng = Random(f"stream {seed}")
    names = [(domains[number % len(domains)], number) for number in range(kinds)]
    hidden = [_KINDS[domain](rng) for domain, _ in names]
    tasks = []
    for _ in range(n):
        if rng.random() < drift:
            changed = rng.randrange(kinds)
            hidden[changed] = hidden[changed].drifted(rng)
        at = rng.randrange(kinds)
        tasks.append(_task(names[at], hidden[at].varied(rng)))
    met = sorted({int(task.kind.rpartition("-")[2]) for task in tasks})
    kept: list[Task] = []
    for draw in range(4 * held_out):
        at = met[draw % len(met)]
        task = _task(names[at], hidden[at].varied(rng))
        if len(kept) < held_out and nearness(task, (*tasks, *kept)) < NEAR_DUPLICATE:
            kept.append(task)
    return Stream(tuple(tasks), tuple(kept))


def nearness(task: Task, others: Sequence[Task]) -> float:
    """The largest Jaccard index of what a task is made of and what any of the others is."""
    own = _parts(task.domain, task.text)
    same = [one for one in others if one.domain == task.domain]
    return max((shared(own, _parts(one.domain, one.text)) for one in same), default=0.0)


@lru_cache(maxsize=4_096)
def _parts(domain: str, text: str) -> frozenset[object]:
    """Clauses, edges, words or numbers, whatever order they are written in.

    Of things that come twice, the second is another thing.
    """
    if domain == sat.NAME and (formula := sat.parse(text)) is not None:
        return frozenset(tuple(sorted(clause)) for clause in formula.clauses)
    if domain == colouring.NAME and (graph := colouring.parse(text)) is not None:
        return frozenset(graph.edges)
    if domain == game24.NAME and (numbers := game24.parse(text)) is not None:
        words = [str(number) for number in numbers]
    else:
        words = _WORD.findall(text)
    counted = Counter(words)
    return frozenset((word, nth) for word in counted for nth in range(counted[word]))


_WORD: Final = re.compile(r"[A-Z]{1,8}\b|\d+")  # of a cryptarithm, or a number


def _task(name: tuple[str, int], text: str) -> Task:
    domain, number = name
    return Task(text, f"{domain}-{number}", domain)


class Kind(Protocol):
    """What variations of a task share."""

    def varied(self, rng: Random) -> str:
        """The text of one task of this kind."""

    def drifted(self, rng: Random) -> Kind:
        """A kind that looks much the same and has another answer."""


# Arithmetic: the core expression stays, another number is added or taken away.


@dataclass(frozen=True, slots=True)
class _Core:
    factors: tuple[int, ...]
    shape: str

    def varied(self, rng: Random) -> str:
        core = self.shape.format(*self.factors)
        apart = rng.randint(10, 99_999)
        forms = ["{core} + {apart}", "{core} - {apart}"]
        if "-" not in self.shape:
            forms += ["{apart} + {core}", "{apart} - {core}"]
        return arithmetic.asked(rng.choice(forms).format(core=core, apart=apart))

    def drifted(self, rng: Random) -> _Core:
        last = self.factors[-1]
        other = last + rng.choice((1, 2, 10, 20))
        return _Core((*self.factors[:-1], other), self.shape)


_SHAPES: Final = ("{} * {}", "{} * {}", "({} + {}) * {}", "{} * {} - {} * {}", "{} * {} * {}")


def _core(rng: Random) -> Kind:
    shape = rng.choice(_SHAPES)
    digits = rng.randint(*RESULT_DIGITS)
    if shape.count("*") == 2 and "-" not in shape:
        parts = [digits // 3, (digits + 1) // 3, (digits + 2) // 3]
    elif "(" in shape:
        short = max(1, digits // 2 - rng.randint(0, 1))
        parts = [digits - short, digits - short, short]
    else:
        short = max(1, digits // 2 - rng.randint(0, 1))
        parts = [digits - short, short] * (shape.count("*"))
    return _Core(tuple(rng.randint(10 ** (size - 1), 10**size - 1) for size in parts), shape)


# Satisfiability: the only assignment stays, and half of the clauses.


@dataclass(frozen=True, slots=True)
class _Hidden:
    values: tuple[bool, ...]
    denied: bool
    kept: tuple[sat.Clause, ...]

    def varied(self, rng: Random) -> str:
        clauses = _narrowed(self.values, self.kept, rng)
        if self.denied:
            three = rng.sample(range(1, len(self.values)), 3)
            clauses.append(tuple(-one if self.values[one] else one for one in three))
        rng.shuffle(clauses)
        return sat.asked([tuple(rng.sample(clause, len(clause))) for clause in clauses])

    def drifted(self, rng: Random) -> _Hidden:
        changed = set(rng.sample(range(1, len(self.values)), 3))
        values = tuple(value != (at in changed) for at, value in enumerate(self.values))
        kept = tuple(clause for clause in self.kept if _true_in(clause, values))
        return _Hidden(values, self.denied, kept)


def _true_in(clause: sat.Clause, values: Sequence[bool]) -> bool:
    return any(values[abs(literal)] == (literal > 0) for literal in clause)


def _hidden(rng: Random) -> Kind:
    values = tuple(rng.random() < 0.5 for _ in range(rng.randint(*VARIABLES) + 1))
    clauses = _narrowed(values, (), rng)
    kept = tuple(rng.sample(clauses, len(clauses) // 2))
    return _Hidden(values, rng.random() < DENIED_SHARE, kept)


def _narrowed(values: Sequence[bool], kept: Sequence[sat.Clause], rng: Random) -> list[sat.Clause]:
    """Clauses, with those kept, that leave these values as the only assignment.

    Clauses are drawn so that a literal's sign says nothing about its variable's value: of three
    literals 1.5 are true on average. Later ones are chosen to exclude an assignment still left.
    """
    variables = len(values) - 1
    every = (1 << (1 << variables)) - 1
    wanted = 1 << sum(values[one] << (one - 1) for one in range(1, variables + 1))
    clauses = list(kept)
    left = every
    for clause in kept:
        left &= sat.row_mask(variables, clause, every)
    while left != wanted:
        three = rng.sample(range(1, variables + 1), 3)
        if len(clauses) < 3 * variables:
            true = rng.choices((1, 2, 3), (6, 3, 1))[0]
            signs = [number < true for number in range(3)]
            clause = tuple(
                one if values[one] == sign else -one for one, sign in zip(three, signs, strict=True)
            )
        else:
            rival = (left & ~wanted).bit_length() - 1
            clause = tuple(-one if rival >> (one - 1) & 1 else one for one in three)
            if not _true_in(clause, values):
                continue
        clauses.append(clause)
        left &= sat.row_mask(variables, clause, every)
    return clauses


# Colouring: the only partition stays, and half of the edges.


@dataclass(frozen=True, slots=True)
class _Partition:
    classes: tuple[int, ...]
    denied: bool
    kept: tuple[colouring.Edge, ...]

    def varied(self, rng: Random) -> str:
        edges = _tightened(self.classes, self.kept, rng)
        if self.denied:
            edges.append(_pair(self.classes, rng, alike=True))
        rng.shuffle(edges)
        return colouring.asked(1 + max(self.classes), edges)

    def drifted(self, rng: Random) -> _Partition:
        classes = list(self.classes)
        colours = 1 + max(classes)
        for vertex in rng.sample(range(colours, len(classes)), 2):
            classes[vertex] = (classes[vertex] + rng.randint(1, colours - 1)) % colours
        kept = tuple((a, b) for a, b in self.kept if classes[a] != classes[b])
        return _Partition(tuple(classes), self.denied, kept)


def _partition(rng: Random) -> Kind:
    colours = rng.choice((3, 3, 3, 4))
    size = rng.randint(*VERTICES)
    classes = (*range(colours), *(rng.randrange(colours) for _ in range(size - colours)))
    edges = _tightened(classes, (), rng)
    kept = tuple(rng.sample(edges, len(edges) // 2))
    return _Partition(classes, rng.random() < DENIED_SHARE, kept)


def _tightened(
    classes: Sequence[int], kept: Sequence[colouring.Edge], rng: Random
) -> list[colouring.Edge]:
    """Edges, with those kept, that leave these classes as the only colouring."""
    colours = 1 + max(classes)
    edges = dict.fromkeys(kept)
    while len(edges) < 1.6 * len(classes):
        edges[_pair(classes, rng, alike=False)] = None
    edges[(0, len(classes) - 1) if classes[0] != classes[-1] else (1, len(classes) - 1)] = None
    while True:
        one = colouring.graph(colours, list(edges))
        rivals = [
            rival
            for rival in colouring.colourings(one, at_most=2)
            if colouring.shown(rival) != colouring.shown(classes)
        ]
        alone = next((v for v, near in enumerate(one.near) if len(near) < colours - 1), None)
        if not rivals and alone is None:
            return list(edges)
        if alone is not None:
            others = [v for v in range(len(classes)) if classes[v] != classes[alone]]
            chosen = rng.choice(others)
            edges[(min(alone, chosen), max(alone, chosen))] = None
            continue
        lumped = [
            (a, b)
            for b in range(len(classes))
            for a in range(b)
            if rivals[0][a] == rivals[0][b] and classes[a] != classes[b]
        ]
        edges[rng.choice(lumped)] = None


def _pair(classes: Sequence[int], rng: Random, *, alike: bool) -> colouring.Edge:
    """Two vertices, the smaller first, of one class or of two."""
    while True:
        a, b = sorted(rng.sample(range(len(classes)), 2))
        if (classes[a] == classes[b]) == alike:
            return a, b


# The 24 game: two numbers stay, and how they make 24 with what the other two come to.


@dataclass(frozen=True, slots=True)
class _Numbers:
    numbers: tuple[int, ...]
    given_up: tuple[int, int]  # those that change: they make `worth`, or no 24 at all
    worth: game24.Value | None

    def varied(self, rng: Random) -> str:
        kept = list((Counter(self.numbers) - Counter(self.given_up)).elements())
        pairs = [(a, b) for a in range(1, 14) for b in range(a, 14)]
        rng.shuffle(pairs)
        fits = (pair for pair in pairs if pair != self.given_up and self._fits(pair, kept))
        numbers = [*kept, *next(fits, self.given_up)]
        return game24.asked(rng.sample(numbers, len(numbers)))

    def _fits(self, pair: tuple[int, int], kept: Sequence[int]) -> bool:
        """Whether a pair is worth as much as the one given up, and makes 24 in as few ways."""
        worths = [(made.above, made.below) for made in game24.joined(*pair)]
        if self.worth is not None and (self.worth.above, self.worth.below) not in worths:
            return False
        ways = len(game24.solutions(tuple(sorted((*kept, *pair)))))
        return _rarity(ways) == _rarity(len(game24.solutions(self.numbers)))

    def drifted(self, rng: Random) -> Kind:
        """Three of the numbers stay, and it is another two that change from now on."""
        numbers = list(self.numbers)
        at = rng.randrange(len(numbers))
        numbers[at] += 1 if numbers[at] < 13 else -1
        return _framed(tuple(sorted(numbers)), rng)


def _rarity(ways: int) -> int:
    """0: impossible; 1: few ways; 2: many."""
    return min(1, ways) + (ways > FEW_SOLUTIONS)


def _framed(numbers: tuple[int, ...], rng: Random) -> _Numbers:
    """These numbers, and which two of them are to change."""
    found = sorted(game24.solutions(numbers))
    if not found:
        one, other = sorted(rng.sample(numbers, 2))
        return _Numbers(numbers, (one, other), None)
    read = game24.read(rng.choice(found))
    assert read is not None, "it was written by the same module"
    part, (one, other) = rng.choice(list(game24.innermost(read[0].tree)))
    return _Numbers(numbers, (min(one, other), max(one, other)), game24.valued(part))


def _numbers(rng: Random) -> Kind:
    drawn = rng.random()
    numbers: tuple[int, ...] = (1, 2, 3, 4)
    for _ in range(TRIES_MAX):
        numbers = tuple(sorted(rng.randint(1, 13) for _ in range(4)))
        if len(set(numbers)) < 3:
            continue
        wanted = 0 if drawn < DENIED_SHARE else 1 if drawn < 0.7 else 2
        if _rarity(len(game24.solutions(numbers))) == wanted:
            break
    return _framed(numbers, rng)


# Cryptarithms: the digits of the letters stay, and the first word.


@dataclass(frozen=True, slots=True)
class _Code:
    letters: str  # by digit
    first: int

    def varied(self, rng: Random) -> str:
        words, total = ["A"], "A"
        for _ in range(TRIES_MAX):
            second = rng.randint(100, 99_999)
            words = [self._written(self.first), self._written(second)]
            total = self._written(self.first + second)
            if not LETTERS[0] <= len({*words[0], *words[1], *total}) <= LETTERS[1]:
                continue
            if rng.random() < 0.5:
                words.reverse()
            if len(cryptarithm.solutions(cryptarithm.puzzle(words, total), at_most=2)) == 1:
                break
        return cryptarithm.asked(words, total)

    def drifted(self, rng: Random) -> _Code:
        """Two digits change places: the first word is another number in the same letters."""
        digits = list(range(10))
        while True:
            i, j = rng.sample(digits, 2)
            letters = list(self.letters)
            letters[i], letters[j] = letters[j], letters[i]
            word = self._written(self.first)
            first = int("".join(str(letters.index(letter)) for letter in word))
            if len(str(first)) == len(word) and first != self.first:
                return _Code("".join(letters), first)

    def _written(self, number: int) -> str:
        return "".join(self.letters[int(digit)] for digit in str(number))


def _code(rng: Random) -> Kind:
    letters = "".join(rng.sample("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10))
    return _Code(letters, rng.randint(1_000, 99_999))


_KINDS: Final = {
    arithmetic.NAME: _core,
    sat.NAME: _hidden,
    colouring.NAME: _partition,
    game24.NAME: _numbers,
    cryptarithm.NAME: _code,
}
