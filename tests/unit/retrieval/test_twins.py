"""Every engine against the exact scan: the same ids, order and scores, to the last bit."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from synapse.core.memory.memory import Memory
from synapse.ports import ANY, Filter, Index, Labels, Ranking
from synapse.retrieval import budget, directory, layout
from synapse.retrieval.engine import BEST, NUMPY
from synapse.retrieval.inverted import InvertedIndex
from synapse.retrieval.scan import ScanIndex

LATIN = ["the", "of", "apple", "apples", "pear", "running", "runs", "naïve", "x", "42"]
WORDS = [*LATIN, "gateway", "Ωμέγα", "京都", "东京都"]
KINDS, AUTHORS, TAGS = ["note", "fact"], ["", "ada", "bob"], ["red", "green", "blue"]
DAY_MS = 86_400_000
ALL = 1_000  # more than are totalled
ENGINES = (BEST, NUMPY)  # the same twice where no compiler was


def text(random: Random, *, words_max: int) -> str:
    return " ".join(random.choices(WORDS, k=random.randint(0, words_max)))


def memories(random: Random, count: int) -> Iterator[Memory]:
    for _ in range(count):
        author = random.choice(AUTHORS)
        yield Memory(
            id=bytes(31) + random.randbytes(1),  # so few that some come twice
            text=text(random, words_max=random.choice([3, 30])),
            kind=random.choice(KINDS),
            tags=tuple(random.choices(TAGS, k=random.randint(0, 2))),
            author=author,
            created_ms=random.randint(0, 90) * DAY_MS,
            shared=bool(author),
        )


def some_labels(random: Random, count: int) -> list[Labels]:
    return [
        Labels(random.choice(["", "org"]), random.choice(["", "llama"]), random.choice("ab"))
        for _ in range(count)
    ]


def a_filter(random: Random) -> Filter:
    if random.random() < 0.5:
        return ANY
    return Filter(
        kind=random.choice([None, None, *KINDS]),
        author=random.choice([None, None, None, *AUTHORS]),
        tag=random.choice([None, None, *TAGS]),
        shared=random.choice([None, None, None, True, False]),
        operator=random.choice([None, None, None, "ada", "org"]),
        family=random.choice([None, None, None, "", "llama"]),
        task=random.choice([None, None, None, "a"]),
        since_ms=random.choice([None, None, 30 * DAY_MS]),
        until_ms=random.choice([None, None, 60 * DAY_MS]),
        operators_left_out=random.choice([frozenset(), frozenset({"bob"})]),
    )


def a_ranking(random: Random) -> Ranking | None:
    if random.random() < 0.4:
        return None
    return Ranking(
        now_ms=random.choice([0, 50, 100]) * DAY_MS,
        half_life_days=random.choice([None, 0.5, 7, 90]),
        trust=random.choice([None, {"ada": 1.0, "org": 0.2}]),
        min_score=random.choice([0.0, 0.0, 1.0]),
    )


def assert_alike(indexes: list[Index], random: Random, *, queries: int) -> None:
    scan = indexes[0]
    for _ in range(queries):
        query, limit = text(random, words_max=6), random.randint(0, 12)
        wanted, ranking = a_filter(random), a_ranking(random)
        expected = scan.search(query, limit=limit, wanted=wanted, ranking=ranking)
        for index in indexes[1:]:
            assert len(index) == len(scan)
            found = index.search(query, limit=limit, wanted=wanted, ranking=ranking)
            assert found == expected


def live(indexes: list[Index], random: Random) -> None:
    """A few memories come, some go, some are verified, and there is upkeep."""
    added = list(memories(random, random.randint(0, 15)))
    labels = some_labels(random, len(added))
    gone = [memory.id for memory in added if random.random() < 0.3]
    verified = [memory.id for memory in added if random.random() < 0.3]
    at_ms, steps = random.randint(0, 100) * DAY_MS, random.randint(0, 3)
    for index in indexes:
        index.add(added, labels=labels)
        index.verified(verified, at_ms=at_ms)
        index.remove(gone)
        if steps:
            index.maintain(steps=steps)


@pytest.mark.parametrize("block", range(8))
def test_all_give_the_same_answers_through_random_lives(block: int) -> None:
    for seed in range(15 * block, 15 * (block + 1)):
        random = Random(seed)
        head_rows = random.choice([1, 3, 20])
        indexes: list[Index] = [ScanIndex()]
        indexes += [InvertedIndex(engine=engine, head_rows=head_rows) for engine in ENGINES]
        for _ in range(6):
            live(indexes, random)
            assert_alike(indexes, random, queries=3)


@pytest.mark.parametrize("seed", range(20))
def test_all_give_the_same_answers_on_the_disk_and_after_opening_anew(
    tmp_path: Path, seed: int
) -> None:
    random, scan = Random(seed), ScanIndex()
    for life in range(4):
        engine = random.choice(ENGINES)  # both read what the other wrote
        index = InvertedIndex(tmp_path, engine=engine, head_rows=random.choice([1, 3, 20]))
        for _ in range(random.randint(1, 6)):
            live([scan, index], random)
            assert_alike([scan, index], random, queries=2)
        index.close() if life % 2 else index.checkpoint()


def thousands(random: Random, count: int) -> list[Memory]:
    words = [f"word{int(random.paretovariate(0.7)) % 3000}" for _ in range(40_000)]
    return [
        Memory(
            random.randbytes(32),
            " ".join(random.choices(words, k=random.randint(1, 60))),
            random.choice(KINDS),
            (),
            random.choice(AUTHORS[1:]),
            number * DAY_MS // 100,
            True,
            position=random.choice([number, (1 << 32) + number]),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("head_rows", [500, 8192])
def test_all_give_the_same_answers_over_thousands_of_memories(head_rows: int) -> None:
    random = Random(head_rows)
    added = thousands(random, 6_000)
    indexes: list[Index] = [ScanIndex()]
    indexes += [InvertedIndex(engine=engine, head_rows=head_rows) for engine in ENGINES]
    gone = [memory.id for memory in random.sample(added, 700)]
    for index in indexes:
        for first in range(0, len(added), 700):
            index.add(added[first : first + 700])
        index.remove(gone)
    for _ in range(15):
        query = " ".join(random.choice(added).text.split()[: random.randint(1, 30)])
        wanted, ranking = a_filter(random), a_ranking(random)
        for terms in ({}, {"wanted": wanted}, {"ranking": ranking}):
            expected = indexes[0].search(query, limit=10, **terms)
            assert indexes[1].search(query, limit=10, **terms) == expected
            assert indexes[2].search(query, limit=10, **terms) == expected


@pytest.mark.parametrize("rows_max", [300, 1000, layout.ROWS_MAX])
def test_both_engines_cut_alike_when_the_budget_is_spent(
    rows_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "SEGMENTS_LEAST", 1)
    monkeypatch.setattr(layout, "ROWS_MAX", rows_max)  # so that some segments are past merging
    random = Random(5)
    added = thousands(random, 3_000)
    indexes = [InvertedIndex(engine=engine, head_rows=500) for engine in ENGINES]
    for index in indexes:
        for first in range(0, len(added), 300):
            index.add(added[first : first + 300])
            index.maintain(steps=3)
    cut = 0
    for _ in range(40):
        query = " ".join(random.choice(added).text.split()[: random.randint(1, 30)])
        most, ranking, wanted = (
            random.choice([50, 500, 5000]),
            a_ranking(random),
            a_filter(random),
        )
        one, other = (
            index.search(query, limit=ALL, budget=most, ranking=ranking, wanted=wanted)
            for index in indexes
        )
        assert (one, one.exact) == (other, other.exact), "every row that was totalled"
        cut += not one.exact
        if one.exact:
            assert one == indexes[0].search(query, limit=ALL, ranking=ranking, wanted=wanted)
    assert cut > 10


def test_both_engines_foresee_alike_what_later_segments_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where memories of one time are about the same things, more is foreseen than there will be."""
    for name in ("HARD", "HARDEST"):
        monkeypatch.setattr(budget, name, getattr(budget, name)._replace(rescored=100))
    monkeypatch.setattr(directory, "SEGMENTS_LEAST", 1)
    monkeypatch.setattr(layout, "ROWS_MAX", 300)
    random = Random(9)
    added = thousands(random, 3_000)
    for nth, memory in enumerate(added):
        talk = random.choices(["tide", "moon", "shore"], k=max(0, 4 - nth // 200))
        added[nth] = replace(memory, text=" ".join([*talk, *memory.text.split()[: nth // 100]]))
    indexes = [InvertedIndex(engine=engine, head_rows=150) for engine in ENGINES]
    for index in indexes:
        for first in range(0, len(added), 150):
            index.add(added[first : first + 150])
            index.maintain(steps=3)
    sizes = set()
    for _ in range(150):
        words = ["tide", "moon", *random.choice(added).text.split()]
        query = " ".join(random.sample(words, min(len(words), 4)))
        most, ranking = random.choice([500, 2000]), a_ranking(random)
        one, other = (
            index.search(query, limit=ALL, budget=most, ranking=ranking) for index in indexes
        )
        assert (one, one.exact) == (other, other.exact)
        if not one.exact:
            sizes.add(len(one))
    assert max(sizes) == 100 and min(sizes) < 100, "too much was foreseen once, and once not"


def test_what_a_budget_leaves_whole_is_answered_exactly_however_few_rows_are_totalled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(directory, "SEGMENTS_LEAST", 1)
    monkeypatch.setattr(layout, "ROWS_MAX", 1000)
    random = Random(6)
    added = thousands(random, 3_000)
    index, scan = InvertedIndex(head_rows=500), ScanIndex()
    for first in range(0, len(added), 300):
        index.add(added[first : first + 300])
        scan.add(added[first : first + 300])
        index.maintain(steps=3)
    for _ in range(150):
        few = budget.HARD._replace(rescored=random.choice([3, 10, 40]))
        monkeypatch.setattr(budget, "HARD", few)
        query = " ".join(random.choice(added).text.split()[: random.randint(1, 30)])
        ranking, wanted = a_ranking(random), a_filter(random)
        expected = scan.search(query, limit=3, ranking=ranking, wanted=wanted)
        found = index.search(query, limit=3, budget=1 << 20, ranking=ranking, wanted=wanted)
        assert found == expected and found.exact


def test_what_was_looked_up_is_forgotten_when_it_no_longer_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layout, "ROWS_MAX", 200)
    monkeypatch.setattr(directory, "SEGMENTS_LEAST", 1)
    monkeypatch.setattr(directory, "TERMS_MAX", 20)
    monkeypatch.setattr(directory, "HEADS_BYTES_MAX", 3000)
    random = Random(8)
    added = thousands(random, 1_200)
    scan, *indexes = (
        ScanIndex(),
        *(InvertedIndex(engine=engine, head_rows=50) for engine in ENGINES),
    )
    for first in range(0, len(added), 100):
        for index in (scan, *indexes):
            index.add(added[first : first + 100])
            index.maintain(steps=3)
            index.remove([each.id for each in added[first : first + 100 : 7]])
            index.verified([each.id for each in added[:first:9]], at_ms=first * DAY_MS)
        for _ in range(4):
            query, ranking = random.choice(added).text[:60], a_ranking(random)
            expected = scan.search(query, limit=10, ranking=ranking)
            assert [index.search(query, limit=10, ranking=ranking) for index in indexes] == [
                expected,
                expected,
            ]
            one, other = (
                index.search(query, limit=10, budget=100, ranking=ranking) for index in indexes
            )
            assert (one, one.exact) == (other, other.exact)


def test_both_give_the_same_answers_after_most_memories_are_gone() -> None:
    random = Random(2)
    added = [
        Memory(random.randbytes(32), text(random, words_max=9), "note", ("red",), "ada", 0, True)
        for _ in range(2500)
    ]
    indexes: list[Index] = [ScanIndex(), InvertedIndex(head_rows=1000)]
    for index in indexes:
        index.add(added)
        index.remove([memory.id for memory in added[:2200]])
        index.add(added[:100])
    assert_alike(indexes, random, queries=100)
