"""Grades in, beliefs out: each grade counts once, in whatever order, and can be taken back."""

from __future__ import annotations

import math
from random import Random

import pytest

from synapse.core.clock import Timestamp
from synapse.core.memory.record import GRADE, MEMORY, RETRACTION, Record
from synapse.core.memory.record_set import dot_text
from synapse.core.trust import weights
from synapse.core.trust.beliefs import Beliefs
from synapse.core.trust.calibration import Calibration, Outcome, fitted, log_loss
from synapse.core.trust.evidence import Evidence
from synapse.core.trust.kinship import OTHER_FAMILY, SAME_FAMILY, Kinship, phi
from synapse.core.trust.weights import PROBABILITY_MAX, decay, probability, vote, weight
from tests.making import START_MS, identity, made_up_id, record
from tests.unit.core.nodes import Table

OWN = identity(1)
DAY_MS = 86_400_000
KIND = "number"


def grade(
    right: object,
    *,
    seq: int = 1,
    observer: int = 1,
    kind: str = GRADE,
    task: int | None = None,
    position: int | None = None,
    by: int = 1,
    at_ms: int | None = None,
    **fields: object,
) -> Record:
    said = {
        "family": "polar",
        "task_kind": KIND,
        "right": right,
        "source": "user",
        "operator": identity(by).key,
        **fields,
    }
    return record(
        said,
        kind=kind,
        seq=seq,
        writer=identity(observer),
        hlc=None if at_ms is None else Timestamp(at_ms, 0),
        refs=(
            made_up_id(10_000 + (seq if task is None else task)),
            made_up_id(20_000 + (seq if position is None else position)),
        ),
    )


def learnt(*grades: Record) -> Evidence:
    evidence = Evidence()
    for one in grades:
        evidence.absorb(one)
    return evidence


def counts(evidence: Evidence, family: str = "polar") -> tuple[int, int]:
    """(right, wrong) of the grades that stand."""
    found = evidence.about(f"family:{family}", KIND, 1_000)
    return sum(one.right for one in found), sum(not one.right for one in found)


def totals(*grades: Record) -> tuple[int, int]:
    return counts(learnt(*grades))


def beliefs(*grades: Record) -> Beliefs:
    return Beliefs(learnt(*grades), own=OWN.key)


def test_right_and_wrong_are_counted_by_family_and_by_operator() -> None:
    evidence = learnt(grade(1), grade(0, seq=2), grade(1, observer=2, by=3))
    assert counts(evidence) == (2, 1)
    assert counts(evidence, "solar") == (0, 0)
    assert evidence.families() == ["polar"]
    operators = [f"operator:{one.key.hex()}" for one in (OWN, identity(3))]
    assert evidence.graded() == sorted((one, KIND) for one in ["family:polar", *operators])


def test_a_grade_that_comes_twice_counts_once() -> None:
    assert totals(grade(1), grade(1), grade(1)) == (1, 0)


def test_whoever_corrects_a_grade_does_not_count_twice() -> None:
    first, second = grade(1, seq=1, position=7), grade(0, seq=2, position=7)
    assert totals(first, second) == totals(second, first) == (0, 1)


def test_two_observers_of_one_position_both_count() -> None:
    assert totals(grade(1, position=7), grade(1, position=7, observer=2)) == (2, 0)


@pytest.mark.promise("convergent")
def test_the_order_of_arrival_does_not_matter() -> None:
    rng = Random(4)
    grades = [
        grade(rng.randrange(2), seq=seq, observer=1 + seq % 3, position=seq % 11)
        for seq in range(1, 30)
    ]
    expected = totals(*grades)
    for _ in range(20):
        rng.shuffle(grades)
        assert totals(*grades, *grades[:9]) == expected


def test_a_grade_taken_back_is_gone_also_when_it_comes_after_its_retraction() -> None:
    kept, taken = grade(1, seq=1), grade(0, seq=2)
    before, after, erased = learnt(kept, taken), Evidence(), learnt(kept, taken)
    before.withdraw(taken)
    after.withdraw(taken)
    for one in (taken, kept):
        after.absorb(one)
    erased.withdraw(taken.without_body())
    for evidence in (before, after, erased):
        assert counts(evidence) == (1, 0)
        assert [one.id for one in evidence.grades()] == [kept.id]


def test_taking_back_a_correction_brings_back_what_it_corrected() -> None:
    first, second = grade(1, seq=1, position=7), grade(0, seq=2, position=7)
    evidence = learnt(first, second)
    evidence.withdraw(second)
    assert counts(evidence) == (1, 0)


def test_a_retraction_of_something_else_changes_nothing() -> None:
    evidence = learnt(grade(1))
    evidence.withdraw(grade(1, kind=MEMORY))
    evidence.withdraw(record({}, kind=GRADE))
    assert counts(evidence) == (1, 0)


@pytest.mark.parametrize(
    "nonsense",
    [
        grade(2),
        grade(None),
        grade("1"),
        grade([1]),
        grade(1, family=7),
        grade(1, family=""),
        grade(1, family="x" * 65),
        grade(1, task_kind=None),
        grade(1, kind=MEMORY),
        grade(1).without_body(),
        record({"family": "polar", "task_kind": KIND, "right": 1}, kind=GRADE),
    ],
)
def test_nonsense_is_no_grade(nonsense: Record) -> None:
    assert Evidence().absorb(nonsense) is None
    assert totals(nonsense) == (0, 0)


@pytest.mark.parametrize("odd", [7, "x" * 32, b"short", None])
def test_an_operator_or_an_answer_that_is_none_is_left_out(odd: object) -> None:
    found = Evidence().absorb(grade(1, operator=odd, answer=odd if odd != b"short" else 7))
    assert found is not None
    assert (found.operator, found.answer) == (b"", b"")


# Weights.


def test_the_worked_example() -> None:
    # Nobody graded it: Beta(1.2, 0.8) has mean 0.6, and ln(0.6 / 0.4) - ln(0.3) = 1.6094.
    assert probability(0, 0) == pytest.approx(0.6)
    assert weight(0, 0) == pytest.approx(1.6094, abs=1e-4)
    # Right 8 times and wrong twice: (8 + 1.2) / (10 + 2) = 0.76667, ln(3.28571) + 1.20397.
    assert probability(8, 2) == pytest.approx(0.76667, abs=1e-5)
    assert weight(8, 2) == pytest.approx(2.39356, abs=1e-5)


def test_nobody_becomes_infallible_and_nobody_votes_against() -> None:
    assert probability(10**9, 0) == PROBABILITY_MAX < 1
    assert math.isfinite(weight(10**9, 0))
    assert weight(0, 10**9) == vote(0.0) == 0.0


def test_more_right_answers_never_weigh_less() -> None:
    for wrong in range(6):
        given = [weight(right, wrong) for right in range(40)]
        assert given == sorted(given)


def test_a_grade_is_worth_half_after_ninety_days_and_no_more_for_being_from_the_future() -> None:
    assert [decay(10, now=now) for now in (9, 10, 13, 16)] == [1.0, 1.0, 0.5, 0.25]


@pytest.mark.promise("reproducible")
def test_good_and_bad_members_separate_within_ten_grades() -> None:
    apart = 0
    for seed in range(100):
        rng, grades = Random(seed), []
        for task in range(10):
            for number, (family, skill) in enumerate((("good", 0.85), ("bad", 0.35))):
                right = int(rng.random() < skill)
                seq = 2 * task + number + 1
                grades.append(grade(right, seq=seq, task=task, family=family))
        judgement = beliefs(*grades).judgement(KIND, now_ms=START_MS)
        apart += judgement.chances["good"] - judgement.chances["bad"] > 0.15
    assert apart >= 95, "with trust by citation all members would stay at 0.4"


def test_old_grades_give_way_to_new_ones() -> None:
    old = [grade(1, seq=seq, at_ms=START_MS) for seq in range(1, 11)]
    now_ms = START_MS + 360 * DAY_MS
    new = [grade(0, seq=seq, at_ms=now_ms) for seq in range(11, 14)]
    believed = beliefs(*old, *new).judgement(KIND, now_ms=now_ms).chances["polar"]
    assert believed < 0.5 < probability(10, 3)


def test_what_a_family_did_on_other_kinds_counts_as_a_few_grades() -> None:
    elsewhere = [grade(1, seq=seq, task_kind="code") for seq in range(1, 101)]
    here = [grade(0, seq=seq) for seq in range(101, 105)]
    known = beliefs(*elsewhere)
    assert known.judgement(KIND, now_ms=START_MS).chances["polar"] == pytest.approx(
        probability(8, 0)
    )
    both = beliefs(*elsewhere, *here).judgement(KIND, now_ms=START_MS).chances["polar"]
    assert both == pytest.approx(probability(8, 4))


def test_what_is_believed_follows_new_grades_and_time() -> None:
    evidence = learnt(*(grade(1, seq=seq) for seq in range(1, 6)))
    known = Beliefs(evidence, own=OWN.key)
    first = known.judgement(KIND, now_ms=START_MS)
    assert known.judgement(KIND, now_ms=START_MS + 1) is first
    before = first.chances["polar"]
    evidence.absorb(grade(0, seq=9))
    after = known.judgement(KIND, now_ms=START_MS).chances["polar"]
    later = known.judgement(KIND, now_ms=START_MS + 360 * DAY_MS).chances["polar"]
    assert after < before
    assert abs(later - 0.6) < abs(after - 0.6)


# Families in pairs.


def pairs(*table: tuple[int, int, bytes, bytes]) -> Kinship:
    """Tasks on which "a" and "b" were graded: whether right, and the digests of what they said."""
    grades = []
    for task, (a, b, one, other) in enumerate(table):
        grades.append(grade(a, seq=2 * task + 1, task=task, family="a", answer=one))
        grades.append(grade(b, seq=2 * task + 2, task=task, family="b", answer=other))
    return Kinship(learnt(*grades).grades())


def test_families_nobody_graded_together_stand_at_the_prior() -> None:
    kinship = pairs()
    assert kinship.correlation("a", "b") == OTHER_FAMILY
    assert kinship.correlation("a", "a") == SAME_FAMILY
    assert kinship.tasks("a", "b") == 0


def test_correlation_is_measured_and_shrunk() -> None:
    always = pairs(*[(1, 1, b"", b""), (0, 0, b"", b"")] * 25)
    # 50 tasks, phi 1, and a prior of 50 tasks at 0.35.
    assert always.correlation("a", "b") == pytest.approx((50 * 1 + 50 * 0.35) / 100)
    assert always.correlation("b", "a") == always.correlation("a", "b")
    never = pairs(*[(1, 0, b"", b""), (0, 1, b"", b"")] * 25)
    assert never.correlation("a", "b") == pytest.approx((50 * -1 + 50 * 0.35) / 100)
    assert pairs(*[(1, 1, b"", b"")] * 50).correlation("a", "b") == OTHER_FAMILY


def test_phi_of_a_table() -> None:
    assert phi(20, 10, 10, 60) == pytest.approx((20 * 60 - 100) / math.sqrt(30 * 30 * 70 * 70))
    assert phi(0, 0, 5, 5) is None


def test_shared_mistakes_are_measured_and_shrunk() -> None:
    assert pairs(*[(0, 0, b"", b"")] * 40).collision_rate == weights.COLLISION_RATE
    alike = pairs(*[(0, 0, b"x", b"x")] * 20)
    assert alike.collision_rate == pytest.approx((20 * 1 + 20 * 0.3) / 40)
    unlike = pairs(*[(0, 0, b"x", b"y")] * 20)
    assert unlike.collision_rate == pytest.approx(0.15)


def test_order_asks_the_best_first_and_then_who_errs_apart() -> None:
    grades = []
    for task in range(60):
        right = {"best": task % 10 != 0, "twin": task % 10 != 0, "other": task % 10 != 5}
        for number, family in enumerate(right):
            seq = 3 * task + number + 1
            grades.append(grade(int(right[family]), seq=seq, task=task, family=family))
    known = beliefs(*grades)
    asked = known.order(["twin", "best", "other", "twin"], KIND, now_ms=START_MS)
    assert asked == ["twin", "other", "best"], "the twin's twin would say the same again"
    assert known.order(["y", "x"], KIND, now_ms=START_MS) == ["y", "x"]


# Calibration.


def outcomes(
    number: int, *, temperature: float, none: float, doubt: float = 0.0
) -> list[list[Outcome]]:
    """Outcomes that really come about with this calibration, one a task."""
    rng, made = Random(5), []
    for _ in range(number):
        scores = sorted((rng.uniform(0, 6) for _ in range(rng.randrange(1, 5))), reverse=True)
        odds = [math.exp((score - none) / temperature) for score in scores]
        discord = rng.uniform(0, 0.8) if len(scores) > 1 else 0.0
        whole = [*odds, math.exp(doubt * discord / temperature)]
        drawn = rng.choices([*range(len(scores)), None], whole)[0]
        made.append([(scores, discord, drawn)])
    return made


def test_the_fit_finds_the_calibration_that_made_the_outcomes() -> None:
    met = outcomes(20_000, temperature=1.7, none=2.0, doubt=1.5)
    fit = fitted(met, default=Calibration(1.0, 0.0))
    assert fit.temperature == pytest.approx(1.7, rel=0.05)
    assert fit.none == pytest.approx(2.0, rel=0.1)
    assert fit.doubt == pytest.approx(1.5, rel=0.1)


def test_discord_never_makes_anyone_surer() -> None:
    met = outcomes(2_000, temperature=1.0, none=1.0, doubt=-2.0)
    default = Calibration(1.0, 1.2)
    fit = fitted(met, default=default)
    assert fit.doubt == 0.0
    blind = [[(scores, 0.0, right)] for ((scores, _, right),) in met]
    assert fit == fitted(blind, default=default)


def test_a_task_with_several_outcomes_is_one_task() -> None:
    default = Calibration(1.0, 1.2)
    assert (
        fitted([one * 3 for one in outcomes(49, temperature=3.0, none=0.0)], default=default)
        is default
    )


def test_few_outcomes_leave_the_default() -> None:
    default = Calibration(1.0, 1.2)
    assert fitted(outcomes(49, temperature=3.0, none=0.0), default=default) is default


def test_a_fit_is_never_worse_than_the_default_and_stays_finite() -> None:
    default = Calibration(1.0, 1.2)
    for met in (
        outcomes(60, temperature=0.6, none=2.0),
        outcomes(60, temperature=0.6, none=2.0, doubt=-3.0),
        [[([3.0], 0.0, 0)]] * 60,
        [[([3.0], 0.0, None)]] * 60,
        [[([], 0.0, None)]] * 60,
        [[([0.0, 0.0], 0.5, 1)]] * 60,
    ):
        fit = fitted(met, default=default)
        flat = [outcome for task in met for outcome in task]
        assert log_loss(flat, fit) <= log_loss(flat, default)
        assert 0.2 < fit.temperature <= 20.0
        assert math.isfinite(fit.none)


def test_beliefs_keep_what_was_fitted_for_one_kind() -> None:
    known = beliefs(grade(1))
    before = known.judgement(KIND, now_ms=START_MS)
    fit = known.calibrate(KIND, outcomes(200, temperature=2.0, none=1.0), now_ms=START_MS)
    after = known.judgement(KIND, now_ms=START_MS)
    assert (after.temperature, after.none, after.doubt) == (fit.temperature, fit.none, fit.doubt)
    assert after.temperature != before.temperature
    assert known.judgement("code", now_ms=START_MS).temperature == before.temperature
    known.calibrate(KIND, [], now_ms=START_MS)
    assert known.judgement(KIND, now_ms=START_MS).temperature == before.temperature


@pytest.mark.parametrize("named", [True, False])
def test_a_grade_that_was_taken_back_stops_counting_at_once(named: bool) -> None:
    table, other = Table(), identity(2)
    kept, taken = grade(1, seq=1, observer=2), grade(0, seq=2, observer=2)
    table.hear_records(kept, taken)
    assert table.node.ledger.beliefs.totals("family:polar") == (1, 1)
    retraction = record(
        {"dots": [dot_text(taken.header.dot)]},
        kind=RETRACTION,
        seq=3,
        writer=other,
        refs=(taken.id,) if named else (),
    )
    table.hear_records(retraction)
    assert table.node.ledger.beliefs.totals("family:polar") == (1, 0)
    again = Table(log=table.log)
    assert again.node.ledger.beliefs.totals("family:polar") == (1, 0)


def test_others_cannot_take_a_grade_back() -> None:
    table, taken = Table(), grade(0, seq=1, observer=2)
    dots = {"dots": [dot_text(taken.header.dot)]}
    theirs = record(dots, kind=RETRACTION, writer=identity(3), refs=(taken.id,))
    table.hear_records(taken, theirs)
    assert table.node.ledger.beliefs.totals("family:polar") == (0, 1)


def test_what_others_say_of_an_operator_does_not_change_how_far_it_is_believed() -> None:
    said = [grade(0, seq=seq, observer=5, by=3) for seq in range(1, 9)]
    known = beliefs(grade(1, by=2), *said)
    believed = known.believed(now_ms=START_MS)
    assert believed == {identity(2).key.hex(): pytest.approx(2 / 5)}
    assert known.believed(now_ms=START_MS + 1) is believed
