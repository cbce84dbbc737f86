"""The formula, held against the textbook's."""

import math

import pytest

from synapse.retrieval import bm25
from synapse.retrieval.analysis import QUERY_TERMS_MAX


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("length", [7, 56, 200])
@pytest.mark.parametrize("holders", [1, 30, 900])
def test_the_integer_score_is_the_textbook_score_within_two_percent(
    count: int, length: int, holders: int
) -> None:
    idf = math.log(1 + (1000 - holders + 0.5) / (holders + 0.5))
    textbook = idf * count * (1.5 + 1) / (count + 1.5 * (1 - 0.7 + 0.7 * length / 56))
    ours = bm25.score(bm25.impact(count, length) * bm25.weight(holders, 1000))
    assert ours == pytest.approx(textbook, rel=0.02)


def test_the_greatest_total_fits_in_32_bits() -> None:
    greatest_weight = QUERY_TERMS_MAX * bm25.weight(1, bm25.MEMORIES_MAX)
    assert greatest_weight * bm25.IMPACT_MAX < 1 << 32
    assert bm25.MEMORIES_MAX * (bm25.IMPACT_MAX + 1) <= 1 << 32


def test_every_match_counts_for_something() -> None:
    assert bm25.impact(1, 1_000_000) == 1
    assert bm25.weight(bm25.MEMORIES_MAX, bm25.MEMORIES_MAX) == 1


def test_no_number_of_occurrences_exceeds_the_greatest_impact() -> None:
    assert bm25.impact(1_000_000, 1) == bm25.IMPACT_MAX
