"""What is kept of where terms are: the same as looking it up, within its room."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from synapse.retrieval import directory, segment
from synapse.retrieval.directory import Directory
from synapse.retrieval.engine import BEST, NUMPY, Engine
from synapse.retrieval.segment import Segment
from tests.unit.retrieval.test_engine import postings
from tests.unit.retrieval.test_engine import segment as data_of

ROOMY = 1 << 20  # bytes


def segments(engine: Engine) -> tuple[Segment, ...]:
    return tuple(
        segment.made(engine, data_of(engine, postings(seed, 300, terms=40), 300), ())
        for seed in range(4)
    )


def keys(its: tuple[Segment, ...]) -> array[int]:
    return array("I", np.unique(its[0].contents.view["frequent_keys"]).tolist()[:12])


@pytest.mark.parametrize("engine", [BEST, NUMPY], ids=lambda engine: engine.name)
def test_what_is_kept_is_what_the_engine_finds(engine: Engine) -> None:
    its = segments(engine)
    known, wanted = Directory.of(its, ROOMY), keys(its)
    blocks = tuple(each.block for each in its)
    fresh = engine.locate(blocks, wanted)
    for _ in range(2):  # looked up, and then remembered
        located = known.locate(engine, wanted)
        assert located == fresh
        copied = known.heads(engine, [(key, 20) for key in wanted], located)
        for (_, places), heads in zip(located, copied, strict=True):
            assert len(heads) == len(engine.heads(blocks, places, 20))


def test_copied_lists_stay_within_their_room() -> None:
    its = segments(BEST)
    known, wanted = Directory.of(its, 3_000), keys(its)
    for most in range(10, 60, 5):
        known.heads(BEST, [(key, most) for key in wanted], known.locate(BEST, wanted))
        assert known.copied_bytes <= 3_000


def test_the_commonest_terms_are_copied_before_anybody_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    its = segments(BEST)
    known = Directory.of(its, ROOMY)
    known.warm(BEST, 50)
    assert known.copied_bytes == 0  # more segments may come any moment
    monkeypatch.setattr(directory, "SETTLED_S", 0.0)
    known.warm(BEST, 50)
    before, view = known.copied_bytes, its[len(its) // 2].contents.view
    assert before > 0
    held = view["lists"][view["frequent_starts"]]
    commonest = array("I", [int(view["frequent_keys"][int(np.argmax(held))])])
    known.heads(BEST, [(commonest[0], 50)], known.locate(BEST, commonest))
    assert known.copied_bytes == before


def test_warming_ends_when_its_part_of_the_room_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "SETTLED_S", 0.0)
    monkeypatch.setattr(directory, "WARMED_AT_ONCE", 1)
    known = Directory.of(segments(BEST), 4_000)
    for _ in range(100):
        known.warm(BEST, 50)
    assert 0 < known.copied_bytes < 4_000


def test_a_removal_forgets_places_and_keeps_lists() -> None:
    its = segments(BEST)
    known, wanted = Directory.of(its, ROOMY), keys(its)
    known.heads(BEST, [(key, 20) for key in wanted], known.locate(BEST, wanted))
    fewer = (segment.with_removed(BEST, its[0], list(range(200))), *its[1:])
    after = known.followed_by(fewer)
    assert after.copied_bytes == known.copied_bytes
    assert after.living == known.living - 200
    held = [holders for holders, _ in after.locate(BEST, wanted)]
    assert held == [holders for holders, _ in BEST.locate(tuple(e.block for e in fewer), wanted)]
    assert sum(held) < sum(holders for holders, _ in known.locate(BEST, wanted))


def test_other_segments_begin_a_new_directory() -> None:
    its = segments(BEST)
    known, wanted = Directory.of(its, ROOMY), keys(its)
    known.heads(BEST, [(key, 20) for key in wanted], known.locate(BEST, wanted))
    assert known.followed_by(its) is known
    assert known.followed_by(its[:-1]).copied_bytes == 0
