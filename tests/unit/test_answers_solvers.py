"""The small solvers: exact checks, tasks that recur, and members that are wrong honestly."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import combinations, pairwise, permutations, product
from random import Random

import pytest

from benchmarks.answers.solvers import arithmetic, colouring, cryptarithm, game24, sat
from benchmarks.answers.solvers.members import (
    CHECKS,
    DOMAINS,
    FORMS,
    MEMBERS,
    Member,
    of_domain,
    spores,
)
from benchmarks.answers.solvers.solver import LOOKED_AT
from benchmarks.answers.solvers.tasks import (
    NEAR_DUPLICATE,
    Task,
    fresh,
    is_right,
    nearness,
    right_answer,
    stream,
    worked,
)
from synapse.core.reasoning.canonical import grouped
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.prompts import excerpt

SAT = "Find a satisfying assignment of: (x1 or not x2 or x3) and (x2 or x4)"
CONTRADICTION = "Find a satisfying assignment of: (x1) and (not x1)"
TRIANGLE = "Colour the graph with 3 colours: 1-2, 2-3, 1-3"
TETRAHEDRON = "Colour the graph with 3 colours: 1-2, 1-3, 1-4, 2-3, 2-4, 3-4"
GAME = "Use 3, 8, 8, 3 each exactly once with + - * / and parentheses to make 24"
HOPELESS = "Use 1, 1, 1, 1 each exactly once with + - * / and parentheses to make 24"
MONEY = "Solve SEND + MORE = MONEY"
MONEY_SOLVED = "S=9 E=5 N=6 D=7 M=1 O=0 R=8 Y=2"


# Exact checks


@pytest.mark.parametrize(
    ("domain", "text", "answer"),
    [
        ("arithmetic", "Compute 48273 * 9182 + 77", "443242763"),
        ("arithmetic", "Compute 48273 * 9182 + 77", "443,242,763"),
        ("arithmetic", "Compute 5 - (2 + 3) * 4", "-15"),
        ("sat", SAT, "x1=1 x2=0 x3=1 x4=1"),
        ("sat", CONTRADICTION, "unsatisfiable"),
        ("colouring", TRIANGLE, "1=1 2=2 3=3"),
        ("colouring", TETRAHEDRON, "impossible"),
        ("24", GAME, "8 / (3 - 8 / 3)"),
        ("24", HOPELESS, "impossible"),
        ("cryptarithm", MONEY, MONEY_SOLVED),
    ],
)
def test_a_right_answer_is_right(domain: str, text: str, answer: str) -> None:
    assert CHECKS[domain](text, answer)


@pytest.mark.parametrize(
    ("domain", "text", "answer"),
    [
        ("arithmetic", "Compute 48273 * 9182 + 77", "443242762"),
        ("arithmetic", "Compute 48273 * 9182 + 77", "about 443242763"),
        ("sat", SAT, "x1=0 x2=1 x3=0 x4=0"),
        ("sat", SAT, "x1=1 x2=0 x3=1"),
        ("sat", SAT, "x1=1 x2=0 x3=1 x4=1 x4=0"),
        ("sat", SAT, "x1=2 x2=0 x3=1 x4=1"),
        ("sat", SAT, "unsatisfiable"),
        ("colouring", TRIANGLE, "1=1 2=2 3=4"),
        ("colouring", TRIANGLE, "1=1 2=2 3=2"),
        ("colouring", TRIANGLE, "impossible"),
        ("24", GAME, "3 * 8"),
        ("24", GAME, "8 / (3 - 8 / 3) + 0"),
        ("24", GAME, "__import__('os')"),
        ("24", GAME, "8 / (3 - 3) + 8"),
        ("24", GAME, "impossible"),
        ("cryptarithm", MONEY, "S=9 E=5 N=6 D=7 M=1 O=0 R=8 Y=3"),
        ("cryptarithm", MONEY, "S=0 E=5 N=6 D=7 M=1 O=0 R=8 Y=2"),
        ("cryptarithm", MONEY, ""),
    ],
)
def test_a_wrong_answer_is_wrong(domain: str, text: str, answer: str) -> None:
    assert not CHECKS[domain](text, answer)


def test_whether_clauses_can_be_satisfied_agrees_with_trying_every_assignment() -> None:
    rng = Random(1)
    outcomes = set()
    for _ in range(200):
        clauses = [
            tuple(one * rng.choice((1, -1)) for one in rng.sample(range(1, 6), 3))
            for _ in range(rng.randint(10, 30))
        ]
        one = sat.formula(clauses)
        tried = [
            values
            for values in product((False, True), repeat=one.variables)
            if all(any(values[abs(x) - 1] == (x > 0) for x in clause) for clause in clauses)
        ]
        assert sat.models(one).bit_count() == len(tried)
        assert sat.is_right(one, "unsatisfiable") == (not tried)
        outcomes.add(bool(tried))
    assert outcomes == {True, False}


def test_whether_a_graph_can_be_coloured_agrees_with_trying_every_colouring() -> None:
    rng = Random(2)
    outcomes = set()
    for _ in range(150):
        edges = [*combinations(range(6), 2)]
        edges = [(0, 5), *rng.sample(edges, rng.randint(6, 14))]
        one = colouring.graph(3, list(dict.fromkeys(edges)))
        tried = any(
            all(colours[a] != colours[b] for a, b in edges)
            for colours in product(range(3), repeat=6)
        )
        assert colouring.is_possible(one) == tried
        outcomes.add(tried)
    assert outcomes == {True, False}


def test_what_makes_24_agrees_with_exact_fractions() -> None:
    rng = Random(3)
    outcomes = set()
    for _ in range(60):
        numbers = tuple(sorted(rng.randint(1, 13) for _ in range(3)))
        assert bool(game24.solutions(numbers)) == makes_24([Fraction(one) for one in numbers])
        outcomes.add(bool(game24.solutions(numbers)))
    assert outcomes == {True, False}


def makes_24(values: list[Fraction]) -> bool:
    if len(values) == 1:
        return values[0] == 24
    for (i, a), (j, b) in permutations(enumerate(values), 2):
        rest = [value for at, value in enumerate(values) if at not in (i, j)]
        results = [a + b, a - b, a * b, *([a / b] if b else [])]
        if any(makes_24([*rest, result]) for result in results):
            return True
    return False


def test_expressions_that_differ_only_in_layout_and_order_are_written_alike() -> None:
    assert game24.shown(("+", ("*", 3, 8), ("-", 8, 8))) == "3 * 8 + 8 - 8"
    assert game24.shown(("-", ("+", 8, ("*", 8, 3)), 8)) == "3 * 8 + 8 - 8"
    assert game24.shown(("/", 8, ("-", 3, ("/", 8, 3)))) == "8 / (3 - 8 / 3)"


def test_a_cryptarithm_has_the_solutions_that_trying_every_digit_finds() -> None:
    one = cryptarithm.puzzle(("AB", "BA"), "CCD")
    tried = [
        digits
        for digits in permutations(range(10), 4)
        if digits[0] and digits[1] and digits[2]
        if 11 * (digits[0] + digits[1]) == 110 * digits[2] + digits[3]
    ]
    found = cryptarithm.solutions(one, at_most=1_000)
    assert sorted(tuple(one_["ABCD"[at]] for at in range(4)) for one_ in found) == sorted(tried)
    assert tried


# Tasks


def test_one_seed_gives_one_stream() -> None:
    assert stream(4, 60, kinds=20, drift=0.1, held_out=20) == stream(
        4, 60, kinds=20, drift=0.1, held_out=20
    )
    assert stream(4, 60, kinds=20).tasks != stream(5, 60, kinds=20).tasks


def test_every_task_is_read_by_its_own_domain_and_has_a_right_answer() -> None:
    for task in fresh(6, 100):
        assert is_right(task, right_answer(task))


def test_tasks_recur_and_held_out_ones_were_never_seen() -> None:
    told = stream(7, 300, kinds=30, held_out=30)
    assert len({task.kind for task in told.tasks}) == 30
    assert len(told.held_out) == 30
    assert {task.kind for task in told.held_out} <= {task.kind for task in told.tasks}
    assert not {task.text for task in told.held_out} & {task.text for task in told.tasks}


@pytest.mark.parametrize("domain", DOMAINS)
def test_nothing_held_out_is_nearly_a_task_of_the_stream(domain: str) -> None:
    told = stream(7, 60, kinds=10, held_out=20, domains=(domain,))
    assert len(told.held_out) == 20
    assert all(nearness(task, told.tasks) < NEAR_DUPLICATE for task in told.held_out)


def test_the_same_task_in_another_order_is_near() -> None:
    told = Task(
        "Use 3, 8, 8, 3 each exactly once with + - * / and parentheses to make 24", "", "24"
    )
    swapped = Task(told.text.replace("3, 8, 8, 3", "8, 3, 3, 8"), "", "24")
    assert nearness(swapped, [told]) == 1
    assert nearness(Task(told.text.replace("3, 8, 8, 3", "8, 3, 3, 9"), "", "24"), [told]) < 0.8


@pytest.mark.parametrize("domain", ["sat", "colouring"])
def test_an_earlier_answer_solves_a_later_task_of_its_kind(domain: str) -> None:
    told = stream(8, 60, kinds=10, held_out=10, domains=(domain,))
    first = {task.kind: right_answer(task) for task in told.tasks}
    assert all(is_right(task, first[task.kind]) for task in told.held_out)


@pytest.mark.parametrize("domain", ["arithmetic", "sat", "colouring", "24", "cryptarithm"])
def test_drift_makes_what_was_right_wrong(domain: str) -> None:
    """Every task of a drifting stream changes one of two kinds first."""
    told = stream(9, 60, kinds=2, drift=1.0, domains=(domain,))
    answers = [right_answer(task) for task in told.tasks]
    later = list(zip(told.tasks[20:], answers, strict=False))
    assert sum(is_right(task, answer) for task, answer in later) < len(later) / 2


def test_an_assignment_a_partition_and_digits_are_the_only_ones() -> None:
    for task in fresh(10, 45, domains=("sat", "colouring", "cryptarithm")):
        if task.domain == "sat":
            one = sat.parse(task.text)
            assert one is not None
            assert sat.models(one).bit_count() <= 1
        elif task.domain == "colouring":
            graph = colouring.parse(task.text)
            assert graph is not None
            assert len(colouring.colourings(graph, at_most=2)) <= 1
        else:
            puzzle = cryptarithm.parse(task.text)
            assert puzzle is not None
            assert len(cryptarithm.solutions(puzzle, at_most=2)) == 1


# Members


def by_name(id_: str) -> Member:
    return next(one for one in MEMBERS if one.id == id_)


EVERY_MEMBER = pytest.mark.parametrize("member", MEMBERS, ids=lambda one: one.id)


def tasks_of(member: Member) -> tuple[Task, ...]:
    return tasks_in(member.domain)


@cache
def tasks_in(domain: str) -> tuple[Task, ...]:
    return fresh(11, 12, domains=(domain,))


@EVERY_MEMBER
def test_one_seed_gives_one_answer(member: Member) -> None:
    for task in tasks_of(member):
        one, other = (member.answer(task.text, temperature=0.7, rng=Random(5)) for _ in range(2))
        assert one == other


@EVERY_MEMBER
def test_an_answer_comes_first_among_hypotheses_whose_weights_sum_to_one(member: Member) -> None:
    for task in tasks_of(member):
        given = member.answer(task.text, temperature=1.0, rng=Random(6))
        assert not given.abstained
        assert given.answer == given.hypotheses[0][0] != ""
        assert 1 <= len(given.hypotheses) <= 3
        assert sum(weight for _, weight in given.hypotheses) == pytest.approx(1)
        assert [w for _, w in given.hypotheses] == sorted(
            (w for _, w in given.hypotheses), reverse=True
        )
        assert len({text for text, _ in given.hypotheses}) == len(given.hypotheses)


@EVERY_MEMBER
def test_steps_are_counted_and_the_last_piece_of_work_alone_may_exceed_them(
    member: Member,
) -> None:
    for task in tasks_of(member):
        given = member.answer(task.text, temperature=0.7, rng=Random(7), steps=300)
        assert 0 < given.steps <= 300 + 150


@EVERY_MEMBER
def test_a_barred_answer_is_not_given_again(member: Member) -> None:
    for task in tasks_of(member):
        leader = member.answer(task.text, temperature=0.7, rng=Random(8)).answer
        again = member.answer(task.text, temperature=1.0, rng=Random(9), barred=leader)
        assert again.abstained == (again.answer == "")
        assert leader not in [text for text, _ in again.hypotheses]


@EVERY_MEMBER
@pytest.mark.parametrize("text", ["", "What is love?", "Compute (", "Solve A = B", "Use 3 -> 3"])
def test_a_member_abstains_from_what_is_none_of_its_tasks(member: Member, text: str) -> None:
    assert member.answer(text, temperature=0.7, rng=Random(0)).abstained


@EVERY_MEMBER
def test_hostile_quotes_do_no_harm(member: Member) -> None:
    task = tasks_of(member)[0]
    hostile = (
        "", "(" * 5_000, "x1=1 " * 3_000, "x1=9 1=9 A=99", "1=0 2=0", "((((((1" * 15,
        "Compute 1 * 2 + 3 -> 999999999999", "9" * 500, f"{task.text} -> ", "A=1 B=1 C=1",
        f"{task.text} -> unsatisfiable impossible 1 x1=1 1=1",
    )  # fmt: skip
    given = member.answer(
        task.text, temperature=0.7, rng=Random(1), others=hostile, memories=hostile
    )
    assert given.answer


@pytest.mark.parametrize("id_", ["sat/splitting", "colouring/saturation", "24/exhaustive"])
def test_given_enough_steps_a_complete_search_is_right(id_: str) -> None:
    member = by_name(id_)
    for task in tasks_of(member):
        given = member.answer(task.text, temperature=0.3, rng=Random(1), steps=100_000)
        assert is_right(task, given.answer)


def test_resolution_never_denies_with_certainty_what_can_be_satisfied() -> None:
    member = by_name("sat/resolution")
    for task in tasks_of(member):
        given = member.answer(task.text, temperature=0.3, rng=Random(1), steps=20_000)
        if given.hypotheses == (("unsatisfiable", 1.0),):
            assert right_answer(task) == "unsatisfiable"


def test_someone_who_never_learnt_of_precedence_errs_on_products_that_come_second() -> None:
    task, rng = "Compute 7 + 3 * 5", Random(1)
    said = {
        one.name: one.answer(task, temperature=0.0, rng=rng).answer
        for one in of_domain("arithmetic")
    }
    assert said["left-to-right"] == said["calculator"] == "50"
    assert said["registers"] == said["schoolbook"] == said["residues"] == "22"


def test_a_register_wraps_and_keeps_the_true_value_as_a_hypothesis() -> None:
    given = by_name("arithmetic/registers").answer(
        "Compute 100000 * 60000 + 1", temperature=0.0, rng=Random(1)
    )
    assert given.answer == str(6_000_000_001 - 2**32)
    assert "6000000001" in [text for text, _ in given.hypotheses]


@pytest.mark.parametrize("name", ["registers", "residues"])
def test_a_weak_solver_recognises_the_right_answer_among_others(name: str) -> None:
    member, task = by_name(f"arithmetic/{name}"), "Compute 700000 * 600000 + 1"
    alone = member.answer(task, temperature=0.0, rng=Random(1))
    told = member.answer(
        task, temperature=0.0, rng=Random(1), others=("420000000002", "420000000001", "42")
    )
    assert alone.answer != told.answer == "420000000001"


@pytest.mark.parametrize("name", ["walksat", "gsat", "splitting", "dives", "resolution"])
def test_a_search_takes_over_an_answer_that_holds_and_not_one_that_does_not(name: str) -> None:
    member = by_name(f"sat/{name}")
    tasks = [t for t in tasks_of(member) if right_answer(t) != "unsatisfiable"]
    for task in tasks:
        right = right_answer(task)
        wrong = right.replace("=1", "=0")
        given = member.answer(task.text, temperature=0.7, rng=Random(2), others=(wrong, right))
        assert given.answer == right


def test_a_remembered_product_saves_its_multiplication() -> None:
    member = by_name("arithmetic/residues")
    task = "Compute 123456 * 654321 + 5"
    memory = worked(Task("Compute 123456 * 654321 - 95", "", "arithmetic"), "80779853281")
    assert not CHECKS["arithmetic"](task, ask(member, task))
    assert ask(member, task, memory) == "80779853381"
    assert CHECKS["arithmetic"](task, ask(member, task, memory))


def test_a_false_memory_of_a_product_is_seen_through_by_its_remainders() -> None:
    member = by_name("arithmetic/residues")
    task = "Compute 123456 * 654321 + 5"
    memory = worked(Task("Compute 123456 * 654321 - 95", "", "arithmetic"), "80779853280")
    assert ask(member, task, memory) == ask(member, task)


def test_a_remembered_expression_lends_its_frame_to_other_numbers() -> None:
    member = by_name("24/random-trees")
    task = game24.asked((13, 5, 9, 6))
    memory = worked(Task(game24.asked((2, 1, 13, 5)), "", "24"), "(13 - 5) * (1 + 2)")
    told = member.answer(task, temperature=0.0, rng=Random(3), steps=20, memories=(memory,))
    assert told.answer == "(13 - 5) * (9 - 6)"
    assert told.steps <= 20


@EVERY_MEMBER
@pytest.mark.parametrize("reading_costs", [False, True])
def test_memories_that_do_not_apply_buy_no_more_steps(member: Member, reading_costs: bool) -> None:
    """What it takes to try them comes out of the steps of the call; to read them, if it costs."""
    for task, other in zip(tasks_of(member), tasks_in(member.domain)[::-1], strict=True):
        memories = [worked(other, right_answer(other))] * 8
        given = member.answer(
            task.text,
            temperature=0.7,
            rng=Random(7),
            memories=memories,
            reading_costs=reading_costs,
        )
        assert given.steps <= member.steps + OVERDRAWN
        assert given.reading <= 8 * LOOKED_AT
        assert not (reading_costs and given.reading)


@pytest.mark.parametrize("id_", ["sat/splitting", "colouring/saturation"])
def test_what_is_remembered_of_an_unlike_task_is_read_and_not_tried(id_: str) -> None:
    """Reading takes from the steps where it is said to cost: a search then gets less far."""
    member = by_name(id_)
    tasks = [task for task in tasks_of(member) if "=" in right_answer(task)]
    for task, other in pairwise(tasks):
        if nearness(task, [other]) > 0.2:
            continue
        memories = [worked(other, right_answer(other))] * 8
        alone, free, paid = (
            member.answer(
                task.text, temperature=0.7, rng=Random(7), memories=shown, reading_costs=costs
            )
            for shown, costs in (((), False), (memories, False), (memories, True))
        )
        assert replace(free, reading=0) == alone
        assert free.reading == 8 * LOOKED_AT
        assert paid.steps >= min(alone.steps + 8 * LOOKED_AT, member.steps)


def test_a_formula_whose_middle_is_left_out_of_a_quote_is_still_recognised() -> None:
    told = stream(3, 40, kinds=5, domains=("sat",), held_out=10)
    member = by_name("sat/walksat")
    long = [task for task in told.tasks if len(task.text) > 1_300]
    for task in told.held_out:
        alike = [one for one in long if one.kind == task.kind]
        if not alike or "=" not in right_answer(task):
            continue
        memory = excerpt(f"{alike[0].text}\n{right_answer(task)}")
        given = member.answer(task.text, temperature=0.7, rng=Random(2), memories=[memory])
        assert len(memory) < len(alike[0].text)
        assert given.answer == right_answer(task)
        assert given.reading == LOOKED_AT


@pytest.mark.parametrize(
    "id_", ["sat/walksat", "sat/gsat", "colouring/tabucol", "colouring/least-clashes"]
)
def test_reading_what_does_not_apply_moves_no_draw_of_a_search(id_: str) -> None:
    """With steps to spare, an answer is the same as without it: no second try, no other luck."""
    member = by_name(id_)
    for task, other in zip(tasks_of(member), tasks_in(member.domain)[::-1], strict=True):
        shown = [worked(other, right_answer(other))] * 4
        if "=" not in shown[0] or other == task:
            continue
        alone, told = (
            member.answer(
                task.text, temperature=0.7, rng=Random(7), steps=50_000, memories=memories
            )
            for memories in ((), shown)
        )
        assert told.answer == alone.answer


OVERDRAWN = 150  # by the last piece of work


def ask(member: Member, task: str, *memories: str) -> str:
    return member.answer(task, temperature=0.0, rng=Random(3), memories=memories).answer


def test_temperature_moves_answers() -> None:
    member = by_name("cryptarithm/beam")
    task = tasks_of(member)[3]
    cold = {member.answer(task.text, temperature=0.0, rng=Random(4)).answer for _ in range(3)}
    hot = {member.answer(task.text, temperature=1.0, rng=Random(s)).answer for s in range(8)}
    assert len(cold) == 1
    assert len(hot) > 1


@pytest.mark.parametrize("domain", DOMAINS)
def test_members_are_neither_helpless_nor_perfect_and_err_on_different_tasks(domain: str) -> None:
    tasks = fresh(12, 60, domains=(domain,))
    right = [
        [
            is_right(task, member.answer(task.text, temperature=0.7, rng=Random(at)).answer)
            for at, task in enumerate(tasks)
        ]
        for member in of_domain(domain)
    ]
    shares = [sum(one) / len(tasks) for one in right]
    together = sum(any(one) for one in zip(*right, strict=True)) / len(tasks)
    assert all(0.15 <= share <= 0.9 for share in shares)
    assert max(shares) + 0.05 < together


def test_answers_that_differ_are_told_apart_in_the_form_their_domain_names() -> None:
    for task in fresh(13, 20):
        said = [
            member.answer(task.text, temperature=1.0, rng=Random(1)).answer
            for member in of_domain(task.domain)
        ]
        apart = grouped(said, Kind(FORMS[task.domain])).groups
        assert len(set(apart)) == len(set(said))


def test_spores_are_at_home_in_every_domain_and_differ() -> None:
    seven = spores(7)
    for domain in DOMAINS:
        assert len({one.member(domain).id for one in seven}) == 7


def test_an_expression_that_is_too_deep_is_no_task() -> None:
    assert arithmetic.parse("Compute " + "(" * 95 + "1" + ")" * 95) is not None
    assert arithmetic.parse("Compute " + "(" * 190) is None
