"""Merging keeps every living memory with all that is known of it."""

import numpy as np
import pytest

from synapse.retrieval import segment
from synapse.retrieval.engine import BEST, NUMPY, Engine
from synapse.retrieval.segment import Segment
from tests.unit.retrieval.test_engine import postings
from tests.unit.retrieval.test_engine import segment as data_of


def made(engine: Engine, seed: int) -> Segment:
    return segment.made(engine, data_of(engine, postings(seed, 100, terms=50), 100), ())


@pytest.mark.parametrize("engine", [BEST, NUMPY], ids=lambda engine: engine.name)
def test_short_memories_come_first_and_each_keeps_its_terms_and_times(engine: Engine) -> None:
    parts = [segment.with_removed(engine, made(engine, 1), [3, 7]), made(engine, 2)]
    parts[1] = segment.with_verified(engine, parts[1], [5], 1_000)
    places = segment.places_in_one(parts)
    whole = segment.made(engine, segment.merged(engine, parts, places), ())
    lengths = np.diff(whole.contents.view["forward_starts"].astype(np.int64))
    assert whole.rows == 198
    assert (np.diff(lengths[: whole.rows]) >= 0).all()
    for part, its in zip(parts, places, strict=True):
        for row, place in enumerate(its.tolist()):
            if place < 0:
                assert row in (3, 7)
                continue
            assert whole.contents.view.id_of(place) == part.contents.view.id_of(row)
            assert segment.verified_of(whole)[place] == segment.verified_of(part)[row]
            assert terms(whole, place) == terms(part, row)


def terms(one: Segment, row: int) -> set[tuple[int, int]]:
    """(key, impact) of all terms that a row holds."""
    view = one.contents.view
    ranks, impacts = view.record(row)
    rare = view["rare_postings"] & 0xFFFF == row
    listed = zip(view["frequent_keys"][ranks].tolist(), impacts.tolist(), strict=True)
    alone = zip(
        view["rare_keys"][rare].tolist(), (view["rare_postings"][rare] >> 16).tolist(), strict=True
    )
    return {*listed, *alone}
