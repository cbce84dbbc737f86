"""Words and meaning in one order, held against the formula computed by hand."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from synapse.ports import Hit, Hits
from synapse.retrieval.semantic.column import Column
from synapse.retrieval.semantic.reranking import rerank
from tests.making import made_up_id

EAST = np.array([1.0, 0.0], np.float32)


def pointing(*cosines: float) -> np.ndarray:
    """Vectors with these cosines to the east."""
    return np.array([[each, (1 - each**2) ** 0.5] for each in cosines], np.float32)


def column(folder: Path, nearness: dict[int, float]) -> Column:
    made = Column(folder, model="made up")
    made.open()
    if nearness:
        made.append([made_up_id(n) for n in nearness], pointing(*nearness.values()))
    return made


def hits(*scores: float) -> Hits:
    return Hits(Hit(made_up_id(nth), score) for nth, score in enumerate(scores))


def numbers(found: Hits) -> list[int]:
    by_id = {made_up_id(number): number for number in range(200)}
    return [by_id[hit.id] for hit in found]


def test_each_score_is_half_of_words_and_half_of_meaning(tmp_path):
    found = rerank(hits(8.0, 6.0, 2.0), EAST, column(tmp_path, {0: 0.1, 1: 0.9, 2: 0.5}))
    assert numbers(found) == [1, 0, 2]
    assert [hit.score for hit in found] == pytest.approx(
        [0.5 * 6 / 8 + 0.5 * 0.9, 0.5 + 0.5 * 0.1, 0.5 * 2 / 8 + 0.5 * 0.5], abs=0.005
    )
    assert found.reranked


def test_a_hundred_are_ordered_as_by_hand(tmp_path):
    random = Random("a hundred")
    scores = sorted((random.uniform(1, 20) for _ in range(100)), reverse=True)
    nearness = {number: random.uniform(0, 1) for number in range(100)}
    made = column(tmp_path, nearness)
    found = rerank(hits(*scores), EAST, made)
    stored = made.cosines([made_up_id(n) for n in range(100)], EAST)
    by_hand = sorted(
        range(100), key=lambda n: -(0.5 * scores[n] / max(scores) + 0.5 * float(stored[n]))
    )
    assert numbers(found) == by_hand


def test_where_vectors_are_missing_meaning_has_a_smaller_share_and_the_average_stands_in(tmp_path):
    found = rerank(hits(10.0, 8.0, 6.0, 4.0), EAST, column(tmp_path, {0: 0.2, 3: 0.8}))
    scores = {number: hit.score for number, hit in zip(numbers(found), found, strict=True)}
    by_hand = {
        0: 0.75 * 1.0 + 0.25 * 0.2,
        1: 0.75 * 0.8 + 0.25 * 0.5,
        2: 0.75 * 0.6 + 0.25 * 0.5,
        3: 0.75 * 0.4 + 0.25 * 0.8,
    }
    assert scores == pytest.approx(by_hand, abs=0.005)


def test_one_vector_among_a_hundred_hardly_moves_anything(tmp_path):
    scores = [100.0 - number for number in range(100)]
    found = numbers(rerank(hits(*scores), EAST, column(tmp_path, {50: 1.0})))
    assert found[:50] == list(range(50))


def test_memories_without_vectors_keep_their_order_among_each_other(tmp_path):
    random = Random("order")
    scores = sorted((random.uniform(1, 20) for _ in range(60)), reverse=True)
    nearness = {number: random.uniform(-1, 1) for number in range(0, 60, 3)}
    found = numbers(rerank(hits(*scores), EAST, column(tmp_path, nearness)))
    without = [number for number in found if number not in nearness]
    assert without == sorted(without)


def test_without_any_vector_everything_stays_as_it_was(tmp_path):
    before = hits(3.0, 2.0, 1.0)
    found = rerank(before, EAST, column(tmp_path, {}))
    assert found == before
    assert not found.reranked


def test_no_score_falls_to_zero(tmp_path):
    found = rerank(hits(5.0, 0.001), EAST, column(tmp_path, {0: -1.0, 1: -0.9}))
    assert numbers(found) == [0, 1]
    assert all(hit.score > 0 for hit in found)


def test_ties_go_by_id(tmp_path):
    found = rerank(hits(2.0, 2.0, 2.0), EAST, column(tmp_path, {0: 0.5, 1: 0.5, 2: 0.5}))
    assert [hit.id for hit in found] == sorted(made_up_id(number) for number in range(3))


def test_whether_the_search_was_exact_is_passed_on(tmp_path):
    cut = hits(2.0, 1.0)
    cut.exact = False
    assert not rerank(cut, EAST, column(tmp_path, {0: 0.5})).exact
