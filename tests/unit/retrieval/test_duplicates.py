"""Who said the same before."""

from hashlib import sha256
from random import Random

import pytest

from synapse.core.memory.memory import Memory
from synapse.retrieval.duplicates import Duplicates
from synapse.retrieval.engine import BEST, NUMPY


def memory(name: str, text: str, *, author: str = "ada") -> Memory:
    return Memory(sha256(name.encode()).digest(), text, "note", (), author, 0, True)


def story(seed: int) -> list[str]:
    random = Random(seed)
    return [f"word{random.randrange(5000)}" for _ in range(50)]


@pytest.mark.parametrize("engine", [BEST, NUMPY])
def test_the_same_text_from_another_author_is_corroboration(engine: object) -> None:
    duplicates = Duplicates(engine=BEST if engine is BEST else NUMPY)
    first, again = memory("1", " ".join(story(1))), memory("2", " ".join(story(1)), author="bob")
    (likeness,) = duplicates.add([first, memory("3", " ".join(story(2))), again])
    assert (likeness.id, likeness.earlier) == (again.id, first.id)
    assert (likeness.same_text, likeness.same_author, likeness.share) == (True, False, 1.0)


def test_a_retold_text_is_near_and_a_different_one_is_not() -> None:
    duplicates, near = Duplicates(), 0
    for seed in range(100):
        words = story(seed)
        assert duplicates.add([memory(f"{seed}", " ".join(words))]) == []
        words[7], words[30] = "another", "thing"
        found = duplicates.add([memory(f"{seed} again", " ".join(words))])
        near += bool(found)
        assert all(not each.same_text and each.share >= 0.75 for each in found)
    assert near >= 95


def test_a_memory_is_no_duplicate_of_itself() -> None:
    duplicates, one = Duplicates(), memory("1", " ".join(story(1)))
    assert duplicates.add([one, one]) == []
    assert duplicates.add([one]) == []


def test_short_texts_are_not_compared() -> None:
    duplicates = Duplicates()
    assert duplicates.add([memory("1", "apple pie"), memory("2", "apple pie")]) == []
    assert duplicates.add([memory("3", "…"), memory("4", "")]) == []


def test_the_oldest_are_forgotten_first() -> None:
    duplicates = Duplicates(remembered=64)
    duplicates.add([memory(f"{seed}", " ".join(story(seed))) for seed in range(200)])
    assert duplicates.add([memory("old", " ".join(story(0)))]) == []
    assert len(duplicates.add([memory("young", " ".join(story(199)))])) == 1
