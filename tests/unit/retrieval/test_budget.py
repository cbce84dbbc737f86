"""What is read of a question that cannot be read whole."""

from random import Random

from synapse.retrieval.budget import (
    BUDGET,
    EASY,
    EXACT_MAX,
    HARD,
    HARDEST,
    OTHERS,
    RAREST,
    Plan,
    budget_for,
    plan,
)

SEGMENTS = 150
COMMON = 3_000_000  # memories that hold a common word
WEIGHTS = [9_000, 8_000, 1_000, 1_000]
OF_ALL_SORTS = [120_000, 90_000, COMMON, COMMON]
OF_COMMON_WORDS = [900_000, 800_000, COMMON, COMMON]
WITH_RARE_WORDS = [120, 900, COMMON, COMMON]  # which tell nearly all


def test_only_past_a_million_memories_is_anything_left_unread() -> None:
    assert budget_for(EXACT_MAX) is None
    assert budget_for(EXACT_MAX + 1) == BUDGET


def test_what_fits_is_read_whole() -> None:
    assert plan([7, 7], [BUDGET - 1, 1], SEGMENTS, BUDGET) == Plan(
        BUDGET, [BUDGET, BUDGET], HARD.rescored
    )


def test_easy_questions_pay_for_hard_ones() -> None:
    hardest, hard, easy = (
        plan(WEIGHTS, held, SEGMENTS, BUDGET)
        for held in (OF_COMMON_WORDS, OF_ALL_SORTS, WITH_RARE_WORDS)
    )
    assert BUDGET < hard.reading < hardest.reading <= BUDGET * HARDEST.most
    assert easy.reading == int(hard.reading * EASY)
    assert max(easy.most) < max(hard.most) <= max(hardest.most)
    assert hardest.rescored < hard.rescored == easy.rescored


def test_the_rarest_are_read_furthest_and_of_the_others_the_heads() -> None:
    least = int(BUDGET * OTHERS)
    held = [COMMON, 300_000, COMMON, 500_000, 700_000, 0]
    most = plan([1] * len(held), held, SEGMENTS, BUDGET).most
    furthest = [term for term, its in enumerate(most) if its > least]
    assert furthest == [1, 3, 4] and len(furthest) == RAREST, "not the one that nobody holds"
    assert most[1] == max(most) and min(most) == least


def test_more_terms_are_read_less_far_because_each_takes_its_time() -> None:
    few, many = (plan([1] * terms, [COMMON] * terms, SEGMENTS, BUDGET).reading for terms in (4, 24))
    assert BUDGET * HARDEST.most >= few > many > 0


def test_lists_are_wanted_in_few_sizes() -> None:
    """What is wanted of a term is kept under its size; it must not change with every memory."""
    random, sizes = Random(1), set()
    for _ in range(2_000):
        held = [int(10 ** random.uniform(0, 6.5)) for _ in range(random.randint(1, 30))]
        weights = [random.randint(1, 40_000) for _ in held]
        reading, most, _ = plan(weights, held, SEGMENTS, BUDGET)
        assert 0 < reading <= BUDGET * HARDEST.most
        sizes.update(most)
    assert len(sizes) <= 8


def test_the_least_budget_reads_something() -> None:
    assert plan([1, 1], [5, 9], 1, 1).most == [1, 1]
