"""What is read of a question that cannot be read whole."""

from random import Random

from synapse.retrieval.budget import (
    BUDGET,
    EASY,
    EXACT_MAX,
    MOST,
    OTHERS,
    RAREST,
    Plan,
    budget_for,
    plan,
)

SEGMENTS = 150
COMMON = 3_000_000  # memories that hold a common word
HARD = [400_000, 900_000, COMMON, COMMON]
EASY_ONES = [120, 900, COMMON, COMMON]  # its rarest words tell nearly all
WEIGHTS = [9_000, 8_000, 1_000, 1_000]


def test_only_past_a_million_memories_is_anything_left_unread() -> None:
    assert budget_for(EXACT_MAX) is None
    assert budget_for(EXACT_MAX + 1) == BUDGET


def test_what_fits_is_read_whole() -> None:
    assert plan([7, 7], [BUDGET - 1, 1], SEGMENTS, BUDGET) == Plan(BUDGET, [BUDGET, BUDGET])


def test_easy_questions_pay_for_hard_ones() -> None:
    hard, easy = (plan(WEIGHTS, held, SEGMENTS, BUDGET) for held in (HARD, EASY_ONES))
    assert BUDGET < hard.reading <= BUDGET * MOST
    assert easy.reading == int(hard.reading * EASY)
    assert max(easy.most) < max(hard.most)


def test_the_rarest_are_read_furthest_and_of_the_others_the_heads() -> None:
    least = int(BUDGET * OTHERS)
    held = [COMMON, 300_000, COMMON, 500_000, 700_000, 0]
    most = plan([1] * len(held), held, SEGMENTS, BUDGET).most
    furthest = [term for term, its in enumerate(most) if its > least]
    assert furthest == [1, 3, 4] and len(furthest) == RAREST, "not the one that nobody holds"
    assert most[1] == max(most) and min(most) == least


def test_more_terms_are_read_less_far_because_each_takes_its_time() -> None:
    few, many = (plan([1] * terms, [COMMON] * terms, SEGMENTS, BUDGET).reading for terms in (4, 24))
    assert BUDGET * MOST >= few > many > 0


def test_lists_are_wanted_in_few_sizes() -> None:
    """What is wanted of a term is kept under its size; it must not change with every memory."""
    random, sizes = Random(1), set()
    for _ in range(2_000):
        held = [int(10 ** random.uniform(0, 6.5)) for _ in range(random.randint(1, 30))]
        weights = [random.randint(1, 40_000) for _ in held]
        reading, most = plan(weights, held, SEGMENTS, BUDGET)
        assert 0 < reading <= BUDGET * MOST
        sizes.update(most)
    assert len(sizes) <= 8


def test_the_least_budget_reads_something() -> None:
    assert plan([1, 1], [5, 9], 1, 1).most == [1, 1]
