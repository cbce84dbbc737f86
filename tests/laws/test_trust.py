"""What is believed, counted grade by grade, against the same counted from all of them at once.

The twin below holds nothing between two questions. It reads every grade that stands each time,
which is how the rules are easiest to follow, and far too slow to be asked by peers.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import combinations
from random import Random
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse.core.clock import Timestamp
from synapse.core.crdt.trust_counts import BUCKET_MS
from synapse.core.memory.record import GRADE, Record
from synapse.core.memory.record_set import dot_text
from synapse.core.trust import kinship, policy, weights
from synapse.core.trust.beliefs import OTHER_KINDS_GRADES, Beliefs
from synapse.core.trust.evidence import Evidence, Grade
from synapse.core.trust.kinship import Kinship, phi
from synapse.core.trust.policy import Standing
from tests.making import START_MS, identity, made_up_id, record

OWN = identity(1).key
KINDS = ("number", "code")
FAMILIES = ("ash", "birch", "cedar")
OPERATORS = (OWN, identity(2).key, identity(3).key, b"")
MONTHS = 4
POSITIONS = 24
NOW_MS = START_MS + MONTHS * BUCKET_MS


@cache
def drawn(number: int) -> Record:
    """The grade with this number. Most observers tell the truth about most positions, and some
    before we do, so that advisers are met and operators become known."""
    rng = Random(f"grade {number}")
    position, observer = rng.randrange(POSITIONS), rng.choice((1, 1, 1, 2, 2, 3, 4))
    true, lies = position % 4 != 0, rng.random() < 0.1
    said_by = rng.choice(OPERATORS) if lies else OPERATORS[position % 3]
    fields = {
        "family": rng.choice(FAMILIES) if lies else FAMILIES[position // 3 % 3],
        "operator": said_by,
        "task_kind": KINDS[rng.random() < 0.3],
        "right": int(true != lies),
        "source": "user",
        "answer": bytes([rng.randrange(2)]) * 4,
    }
    month = rng.randrange(MONTHS - 2) + (2 if observer == 1 else 0)
    return record(
        fields,
        kind=GRADE,
        seq=number + 1,
        writer=identity(observer),
        hlc=Timestamp(START_MS + month * BUCKET_MS + rng.randrange(BUCKET_MS), 0),
        refs=(made_up_id(100 + position // 3), made_up_id(200 + position)),
    )


NUMBERS = st.integers(0, 299)
STEPS = st.lists(
    st.tuples(st.sampled_from(["met", "met", "met", "taken back", "dot", "asked"]), NUMBERS),
    min_size=20,
    max_size=200,
)
Steps = Sequence[tuple[str, int]]


def test_the_grades_drawn_here_make_advisers_and_known_operators() -> None:
    met: set[str] = set()
    for number in (50, 300):
        evidence, beliefs = counted([("met", each) for each in range(number)])
        for subject, kind in evidence.graded():
            portions = beliefs.explain(subject, kind, now_ms=NOW_MS).portions
            met |= {one.origin for one in portions if subject.startswith("family:")}
    assert met == {"own", "own of strangers", "advisers", "unknown"}


def counted(steps: Steps) -> tuple[Evidence, Beliefs]:
    """What is believed after these steps, questions in between."""
    evidence = Evidence()
    beliefs = Beliefs(evidence, own=OWN)
    for what, number in steps:
        one = drawn(number)
        if what == "met":
            evidence.absorb(one)
        elif what == "taken back":
            evidence.withdraw(one if number % 2 else one.without_body())
        elif what == "dot":
            evidence.withdraw_dots(one.header.operator, [dot_text(one.header.dot)])
        else:
            told(beliefs, now_ms=START_MS + number % MONTHS * BUCKET_MS)
    return evidence, beliefs


def told(beliefs: Beliefs, *, now_ms: int = NOW_MS) -> dict[str, Any]:
    """Every number anybody may ask for."""
    said: dict[str, Any] = {"believed": dict(beliefs.believed(now_ms=now_ms))}
    for kind in KINDS:
        judgement = beliefs.judgement(kind, now_ms=now_ms)
        said[kind] = dict(judgement.chances)
        pairs = list(combinations(FAMILIES, 2))
        said[f"{kind} tasks"] = {pair: judgement.kinship.tasks(*pair) for pair in pairs}
        said[f"{kind} errors"] = {pair: judgement.correlation(*pair) for pair in pairs}
        said[f"{kind} collisions"] = judgement.kinship.collision_rate
    return said


# The twin.


def standing(steps: Steps) -> list[Grade]:
    """Of each observer's grades of a position the last that nobody took back."""
    met: dict[int, None] = {}
    back: set[int] = set()
    for what, number in steps:
        if what == "met":
            met[number] = None
        elif what == "taken back" or (what == "dot" and number in met):
            back.add(number)
    last: dict[tuple[bytes, bytes], Grade] = {}
    for number in met:
        grade = Evidence().absorb(drawn(number))
        assert grade is not None
        before = last.get((grade.observer, grade.position))
        if number not in back and (before is None or when(before) < when(grade)):
            last[grade.observer, grade.position] = grade
    return list(last.values())


def when(grade: Grade) -> tuple[int, bytes]:
    return grade.at_ms, grade.id


def aged(grades: Iterable[Grade]) -> tuple[float, float]:
    """(right, wrong), each by its age."""
    sums = [0.0, 0.0]
    for one in grades:
        worth = weights.decay(one.at_ms // BUCKET_MS, now=NOW_MS // BUCKET_MS)
        sums[not one.right] += worth
    return sums[0], sums[1]


class Twin:
    """Beliefs from scratch."""

    def __init__(self, grades: list[Grade]) -> None:
        self.grades = grades
        self.ours = [one for one in grades if one.observer == OWN]

    def told(self) -> dict[str, Any]:
        graded = {one.operator for one in self.ours} - {b""}
        said: dict[str, Any] = {"believed": {one.hex(): self.operator(one).mean for one in graded}}
        families = {one.family for one in self.grades}
        for kind in KINDS:
            said[kind] = {one: self.chance(one, kind) for one in families}
            related = [
                one for one in self.ours if one.task_kind == kind and not self.strange(one.operator)
            ]
            pairs, said[f"{kind} collisions"] = plainly_related(related)
            said[f"{kind} tasks"] = {pair: tasks for pair, (tasks, _) in pairs.items()}
            said[f"{kind} errors"] = {pair: rho for pair, (_, rho) in pairs.items()}
        return said

    def operator(self, key: bytes) -> Standing:
        return Standing(*aged(one for one in self.ours if one.operator == key))

    def strange(self, key: bytes) -> bool:
        return key not in (b"", OWN) and not self.operator(key).reliable

    def chance(self, family: str, kind: str) -> float:
        about = [one for one in self.grades if one.family == family]
        right, wrong = self.bounded([one for one in about if one.task_kind == kind])
        more = self.bounded([one for one in about if one.task_kind != kind])
        scale = min(1.0, OTHER_KINDS_GRADES / sum(more)) if sum(more) else 0.0
        return weights.probability(right + scale * more[0], wrong + scale * more[1])

    def bounded(self, about: list[Grade]) -> tuple[float, float]:
        advisers = self.advisers()
        origins: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for one in about:
            if one.observer == OWN:
                origin, worth = "strangers" if self.strange(one.operator) else "own", 1.0
            else:
                origin = "advisers" if one.observer in advisers else "unknown"
                worth = advisers.get(one.observer, 1.0)
            right, wrong = aged([one])
            origins[origin][0] += worth * right
            origins[origin][1] += worth * wrong
        most = {
            "strangers": policy.STRANGER_GRADES,
            "advisers": policy.KNOWN_ADVICE,
            "unknown": policy.UNKNOWN_ADVICE,
        }
        total = [0.0, 0.0]
        for origin, sums in origins.items():
            if sum(sums) > 0:
                factor = min(1.0, most.get(origin, sum(sums)) / sum(sums))
                total = [total[0] + factor * sums[0], total[1] + factor * sums[1]]
        return total[0], total[1]

    def advisers(self) -> dict[bytes, float]:
        mine = {one.position: one for one in self.ours}
        met: dict[bytes, list[bool]] = defaultdict(list)
        for one in self.grades:
            ours = mine.get(one.position)
            if one.observer != OWN and ours is not None and one.at_ms <= ours.at_ms:
                met[one.observer].append(one.right == ours.right)
        return {
            observer: max(0.0, 2 * (sum(agreed) + 1) / (len(agreed) + 2) - 1)
            for observer, agreed in met.items()
            if len(agreed) >= policy.SHARED_POSITIONS_MIN
        }


def plainly_related(grades: list[Grade]) -> tuple[dict[tuple[str, str], tuple[int, float]], float]:
    """(tasks together, correlation) by pair of families, and the rate of collisions."""
    tasks: dict[bytes, dict[str, Grade]] = {}
    for one in sorted(grades, key=when):
        tasks.setdefault(one.task, {})[one.family] = one
    newest = sorted(tasks.values(), key=lambda task: max(map(when, task.values())))
    pairs: dict[tuple[str, str], tuple[int, float]] = {}
    for pair in combinations(FAMILIES, 2):
        wrong = [
            (not task[pair[0]].right, not task[pair[1]].right)
            for task in newest[-kinship.TASKS_MAX :]
            if pair[0] in task and pair[1] in task
        ]
        table = [
            wrong.count(cell)
            for cell in ((True, True), (True, False), (False, True), (False, False))
        ]
        measured, prior = phi(*table), kinship.CORRELATION_TASKS
        shrunk = (
            kinship.OTHER_FAMILY
            if measured is None
            else (len(wrong) * measured + prior * kinship.OTHER_FAMILY) / (len(wrong) + prior)
        )
        pairs[pair] = len(wrong), shrunk
    agreed = told = telling = 0
    for task in newest[-kinship.TASKS_MAX :]:
        said = [one.answer for one in task.values() if not one.right and one.answer]
        both = list(combinations(said, 2))
        agreed, told, telling = (
            agreed + sum(a == b for a, b in both),
            told + len(both),
            telling + (len(both) > 0),
        )
    weight = kinship.COLLISION_TASKS
    rate = (
        (telling * agreed / told + weight * weights.COLLISION_RATE) / (telling + weight)
        if told
        else weights.COLLISION_RATE
    )
    return pairs, rate


# The laws.


@pytest.mark.promise("convergent")
@settings(max_examples=200)
@given(steps=STEPS, data=st.data())
def test_what_is_believed_is_what_all_grades_say_whatever_came_first_or_twice(
    steps: Steps, data: st.DataObject
) -> None:
    evidence, beliefs = counted(steps)
    found = told(beliefs)
    fresh = Evidence()
    for grade in data.draw(st.permutations(standing(steps))):
        fresh.absorb(next(r for r in map(drawn, range(300)) if r.id == grade.id))
    assert found == told(Beliefs(fresh, own=OWN)), "to the last bit: nothing is left of the way"
    assert list(evidence.grades()) == list(fresh.grades())
    expected = Twin(standing(steps)).told()
    assert found.keys() == expected.keys()
    for name, numbers in expected.items():
        assert found[name] == pytest.approx(numbers, abs=1e-9), name


@given(steps=STEPS, most=st.integers(1, 3))
def test_only_the_newest_tasks_say_how_families_err_together(steps: Steps, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinship, "TASKS_MAX", most)
        kept = Kinship()
        held: dict[bytes, Grade] = {}
        for what, number in steps:
            grade = Evidence().absorb(drawn(number))
            assert grade is not None
            if what == "met" and grade.id not in held:
                kept.add(grade)
                held[grade.id] = grade
            elif what != "met" and held.pop(grade.id, None) is not None:
                kept.remove(grade)
        pairs, rate = plainly_related(list(held.values()))
        assert {pair: kept.tasks(*pair) for pair in pairs} == {
            pair: number for pair, (number, _) in pairs.items()
        }
        assert {pair: kept.correlation(*pair) for pair in pairs} == pytest.approx(
            {pair: rho for pair, (_, rho) in pairs.items()}
        )
        assert kept.collision_rate == pytest.approx(rate)


@given(steps=STEPS, number=st.integers(0, POSITIONS - 1))
def test_the_indexes_of_grades_list_what_stands(steps: Steps, number: int) -> None:
    evidence, beliefs = counted(steps)
    stand = sorted(standing(steps), key=when, reverse=True)
    task = made_up_id(100 + number // 3)
    assert evidence.newest(1_000) == stand
    assert evidence.of_task(task) == sorted(
        (one for one in stand if one.task == task), key=lambda one: one.id
    )
    for subject, kind in evidence.graded():
        about = [one for one in stand if one.task_kind == kind and subject in named(one)]
        assert evidence.about(subject, kind, 1_000) == about
        assert evidence.about(subject, kind, 2) == about[:2]
    for subject in evidence.subjects():
        every = [one for one in stand if subject in named(one)]
        right = sum(one.right for one in every)
        assert beliefs.totals(subject) == (right, len(every) - right)
    assert set(evidence.graded()) == {(name, one.task_kind) for one in stand for name in named(one)}


def named(grade: Grade) -> list[str]:
    """The subjects of a grade."""
    family = f"family:{grade.family}"
    return [family, f"operator:{grade.operator.hex()}"] if grade.operator else [family]


# What it costs, in steps of the interpreter, which are the same on every run.


def steps_of(work: Callable[[], object]) -> int:
    """How many instructions of Python this runs."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@cache
def swarm_grade(number: int, *, observer: int = 2, position: int | None = None) -> Record:
    """A grade of some position by a peer, as many peers would send them."""
    rng = Random(f"swarm {number}")
    return record(
        {
            "family": FAMILIES[number % 3],
            "operator": identity(2 + number % 5).key,
            "task_kind": KINDS[0],
            "right": int(rng.random() < 0.7),
            "source": "user",
        },
        kind=GRADE,
        seq=number + 1,
        writer=identity(observer),
        hlc=Timestamp(START_MS + number, 0),
        refs=(made_up_id(number // 3), made_up_id(10_000 + (position or number))),
    )


def judged_after_one_more(number: int, extra: Record, *, observers: int) -> int:
    """What absorbing one more grade and judging anew costs a spore that met so many."""
    evidence = Evidence()
    beliefs = Beliefs(evidence, own=OWN)
    for each in range(number):
        evidence.absorb(swarm_grade(each, observer=1 + each % observers))

    def asked() -> list[float]:
        return [beliefs.judgement(KINDS[0], now_ms=NOW_MS).weight(one) for one in FAMILIES]

    asked()
    return steps_of(lambda: (evidence.absorb(extra), asked()))


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("observer", [1, 2])
def test_a_grade_costs_the_same_however_many_there_are(observer: int) -> None:
    extra = swarm_grade(9_999, observer=observer)
    few, many = (judged_after_one_more(number, extra, observers=4) for number in (200, 3_200))
    assert many < 1.3 * few


@pytest.mark.promise("bounded")
def test_an_operator_that_names_many_kinds_and_spores_makes_no_judgement_dearer() -> None:
    evidence = Evidence()
    beliefs = Beliefs(evidence, own=OWN)
    evidence.absorb(swarm_grade(0, observer=1))

    def asked() -> float:
        return beliefs.judgement(KINDS[0], now_ms=NOW_MS).weight(FAMILIES[0])

    before = steps_of(asked)
    for number in range(1_000):
        made_up = {"family": FAMILIES[0], "task_kind": f"kind {number}", "right": 0, "source": ""}
        evidence.absorb(
            record(
                {**made_up, "operator": made_up_id(number)},
                kind=GRADE,
                seq=number + 1,
                writer=identity(9),
                refs=(made_up_id(number), made_up_id(50_000 + number)),
            )
        )
    assert steps_of(asked) < 2 * before
    told = beliefs.explain(f"family:{FAMILIES[0]}", KINDS[0], now_ms=NOW_MS)
    assert told.wrong_elsewhere <= policy.UNKNOWN_ADVICE, "a thousand kinds are heard as one"


@pytest.mark.promise("bounded")
def test_an_observer_that_grades_one_position_again_and_again_is_no_dearer() -> None:
    evidence = Evidence()
    beliefs = Beliefs(evidence, own=OWN)
    costs = []
    for number in range(800):
        one = swarm_grade(3 * number, position=1)
        costs.append(steps_of(lambda one=one: evidence.absorb(one)))  # type: ignore[misc]  # bound
    assert len(evidence) == 1
    assert max(costs[400:]) < 1.5 * max(costs[10:100])
    assert beliefs.totals(f"family:{FAMILIES[0]}") in ((1, 0), (0, 1))
