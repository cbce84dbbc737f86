"""Who said the same before."""

from dataclasses import replace
from hashlib import sha256
from random import Random

import pytest

from synapse.core.memory.memory import Memory
from synapse.retrieval.duplicates import Duplicates
from synapse.retrieval.engine import BEST, NUMPY


def memory(name: str, text: str, *, author: str = "ada") -> Memory:
    return Memory(sha256(name.encode()).digest(), text, "note", (), author, 0, True)


BEGINNINGS = ("bar", "cel", "dov", "fim", "gus", "lan", "mop", "pir", "rud", "tok")
ENDINGS = ("mp", "nd", "rk", "st", "lt", "ck", "pt", "nk")
WORDS = [f"{a}{b}{c}" for a in BEGINNINGS for b in "aeiou" for c in ENDINGS]


def story(seed: int) -> list[str]:
    random = Random(seed)
    return [random.choice(WORDS) + random.choice(("", "ax", "om", "el", "ush")) for _ in range(50)]


@pytest.mark.parametrize("engine", [BEST, NUMPY])
def test_the_same_text_from_another_author_is_corroboration(engine: object) -> None:
    duplicates = Duplicates(engine=BEST if engine is BEST else NUMPY)
    first, again = memory("1", " ".join(story(1))), memory("2", " ".join(story(1)), author="bob")
    (likeness,) = duplicates.add([first, memory("3", " ".join(story(2))), again])
    assert (likeness.id, likeness.earlier) == (again.id, first.id)
    assert (likeness.same_text, likeness.same_operator, likeness.share) == (True, False, 1.0)


def test_a_retold_text_is_near_and_a_different_one_is_not() -> None:
    duplicates, near = Duplicates(), 0
    for seed in range(100):
        words = story(seed)
        assert duplicates.add([memory(f"{seed}", " ".join(words))]) == []
        words[7], words[30] = "anotherword", "thingummy"
        found = duplicates.add([memory(f"{seed} again", " ".join(words))])
        near += bool(found)
        assert all(not each.same_text and each.share >= 0.75 for each in found)
    assert near >= 95


def test_a_memory_is_no_duplicate_of_itself() -> None:
    duplicates, one = Duplicates(), memory("1", " ".join(story(1)))
    assert duplicates.add([one, one]) == []
    assert duplicates.add([one]) == []


def test_short_texts_are_the_same_when_they_are_equal_and_only_then() -> None:
    duplicates = Duplicates()
    found = duplicates.add(
        [memory("1", "apple pie"), memory("2", "apple tart"), memory("3", "apple pie")]
    )
    assert [(each.earlier, each.same_text) for each in found] == [(memory("1", "").id, True)]
    assert duplicates.add([memory("4", "…"), memory("5", "…"), memory("6", "")]) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [("5 of 50 jobs failed", "50 of 50 jobs failed"), ("it is safe to", "it is not safe to"),
     ("we do it", "we don't do it"), ("we can do it", "we cannot do it")],
)  # fmt: skip
def test_a_text_that_differs_in_a_number_or_a_denial_says_something_else(
    one: str, other: str
) -> None:
    duplicates, tail = Duplicates(), " ".join(story(1))
    assert duplicates.add([memory("1", f"{one} {tail}"), memory("2", f"{other} {tail}")]) == []
    assert len(duplicates.add([memory("3", f"{one} {tail}")])) == 1


def test_one_operator_with_two_spores_repeats_itself() -> None:
    duplicates, text = Duplicates(), " ".join(story(1))
    first = replace(memory("1", text, author="spore 1"), operator="org")
    second = replace(memory("2", text, author="spore 2"), operator="org")
    (likeness,) = duplicates.add([first, second])
    assert likeness.same_operator


def test_what_was_taken_back_is_like_nothing_any_more() -> None:
    duplicates, text = Duplicates(), " ".join(story(1))
    first = memory("1", text)
    duplicates.add([first])
    duplicates.forget([first.id, memory("unknown", "").id])
    assert duplicates.add([memory("2", text)]) == []


@pytest.mark.parametrize("told", [50, 64, 150])
def test_what_is_remembered_survives_being_packed(told: int) -> None:
    duplicates = Duplicates(remembered=64)
    duplicates.add([memory(f"{seed}", " ".join(story(seed))) for seed in range(told)])
    again = Duplicates.unpacked(duplicates.packed())
    young = range(max(0, told - 64), told)
    retold = [memory(f"{seed} again", " ".join(story(seed))) for seed in young]
    assert again.add(retold) == duplicates.add(retold) != []
    assert again.packed() == duplicates.packed()


def test_memories_that_come_together_are_compared_as_if_they_came_one_by_one() -> None:
    random = Random(5)
    told = [memory(f"{n}", " ".join(story(random.randrange(60)))) for n in range(300)]
    together, alone = Duplicates(remembered=128), Duplicates(remembered=128)
    assert together.add(told[:100]) == [one for each in told[:100] for one in alone.add([each])]


def test_the_oldest_are_forgotten_first() -> None:
    duplicates = Duplicates(remembered=64)
    duplicates.add([memory(f"{seed}", " ".join(story(seed))) for seed in range(200)])
    assert duplicates.add([memory("old", " ".join(story(0)))]) == []
    assert len(duplicates.add([memory("young", " ".join(story(199)))])) == 1
