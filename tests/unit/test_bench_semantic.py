"""The benchmark's engine that reorders by meaning: the same hits as the index, in another order."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.retrieval.engines import KINDS, Synapse
from benchmarks.retrieval.semantic import Semantic
from tests.latent import READING

QUESTION = "what does a doctor do at a hospital with petrol"


def fed(engine: Synapse) -> Synapse:
    engine.feed(range(len(READING)), READING)
    engine.finish()
    return engine


@pytest.mark.parametrize("every", [1, 2, 100])
def test_it_finds_what_the_index_finds(tmp_path: Path, every: int) -> None:
    plain = fed(Synapse(tmp_path / "plain"))
    meant = fed(Semantic(tmp_path / "meant", every=every))
    found = plain.search(QUESTION, 100)
    reordered = meant.search(QUESTION, 100)
    assert sorted(meant.numbers(reordered)) == sorted(plain.numbers(found))
    assert meant.exact(reordered)
    assert len(meant.search(QUESTION, 2)) == 2
    plain.close()
    meant.close()


def test_both_kinds_are_offered(tmp_path: Path) -> None:
    for name in ("synapse-semantic", "synapse-semantic-half"):
        engine = KINDS[name].make(tmp_path / name)
        assert not KINDS[name].durable
        engine.close()
