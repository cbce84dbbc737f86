"""The inverted index against the exact scan: the same ids, order and scores, to the last bit."""

from collections.abc import Iterator
from random import Random

import pytest

from synapse.core.memory.memory import Memory
from synapse.ports import ANY, Filter, Index
from synapse.retrieval.inverted import InvertedIndex
from synapse.retrieval.scan import ScanIndex

LATIN = ["the", "of", "apple", "apples", "pear", "running", "runs", "naïve", "x", "42"]
WORDS = [*LATIN, "gateway", "Ωμέγα", "京都", "东京都"]
KINDS, AUTHORS, TAGS = ["note", "fact"], ["", "ada", "bob"], ["red", "green", "blue"]


@pytest.fixture
def twins() -> tuple[Index, Index]:
    return InvertedIndex(), ScanIndex()


def text(random: Random, *, words_max: int) -> str:
    return " ".join(random.choices(WORDS, k=random.randint(0, words_max)))


def memories(random: Random, count: int) -> Iterator[Memory]:
    for _ in range(count):
        author = random.choice(AUTHORS)
        yield Memory(
            id=random.randbytes(1) * 2,  # so few that some come twice
            text=text(random, words_max=random.choice([3, 30])),
            kind=random.choice(KINDS),
            tags=tuple(random.choices(TAGS, k=random.randint(0, 2))),
            author=author,
            created_ms=0,
            shared=bool(author),
        )


def a_filter(random: Random) -> Filter:
    if random.random() < 0.5:
        return ANY
    return Filter(
        kind=random.choice([None, None, *KINDS]),
        author=random.choice([None, None, None, *AUTHORS]),
        tag=random.choice([None, None, *TAGS]),
        shared=random.choice([None, None, None, True, False]),
    )


def assert_alike(twins: tuple[Index, Index], random: Random, *, queries: int) -> None:
    inverted, scan = twins
    assert len(inverted) == len(scan)
    for _ in range(queries):
        query, limit, wanted = text(random, words_max=6), random.randint(0, 12), a_filter(random)
        assert inverted.search(query, limit=limit, wanted=wanted) == scan.search(
            query, limit=limit, wanted=wanted
        )


@pytest.mark.parametrize("block", range(8))
def test_both_give_the_same_answers_through_random_additions_and_removals(block: int) -> None:
    for seed in range(250 * block, 250 * (block + 1)):
        random, twins = Random(seed), (InvertedIndex(), ScanIndex())
        for _ in range(2):
            added = list(memories(random, random.randint(0, 15)))
            gone = [memory.id for memory in added if random.random() < 0.3]
            for index in twins:
                index.add(added)
                index.remove(gone)
            assert_alike(twins, random, queries=2)


def test_both_give_the_same_answers_over_thousands_of_memories(twins: tuple[Index, Index]) -> None:
    random = Random(1)
    added = [
        Memory(random.randbytes(32), text(random, words_max=30), "note", (), "ada", 0, True)
        for _ in range(4000)
    ]
    for index in twins:
        index.add(added)
    assert_alike(twins, random, queries=20)


def test_both_give_the_same_answers_after_most_memories_are_gone(
    twins: tuple[Index, Index],
) -> None:
    random = Random(2)
    added = [
        Memory(random.randbytes(32), text(random, words_max=9), "note", ("red",), "ada", 0, True)
        for _ in range(2500)
    ]
    for index in twins:
        index.add(added)
        index.remove([memory.id for memory in added[:2200]])
        index.add(added[:100])
    assert_alike(twins, random, queries=100)
