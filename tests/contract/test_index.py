"""What every `Index` does, whichever way it finds its answers."""

from collections.abc import Callable

import pytest

from synapse.core.memory.memory import Memory
from synapse.ports import ANY, Filter, Index
from synapse.retrieval.inverted import InvertedIndex
from synapse.retrieval.scan import ScanIndex


@pytest.fixture(params=[ScanIndex, InvertedIndex])
def index(request: pytest.FixtureRequest) -> Index:
    engine: Callable[[], Index] = request.param
    return engine()


def memory(
    number: int,
    text: str,
    *,
    kind: str = "note",
    tags: tuple[str, ...] = (),
    author: str = "ada",
    shared: bool = True,
) -> Memory:
    return Memory(number.to_bytes(32, "big"), text, kind, tags, author, 0, shared)


def found(index: Index, query: str, *, limit: int = 10, wanted: Filter = ANY) -> list[int]:
    return [int.from_bytes(hit.id) for hit in index.search(query, limit=limit, wanted=wanted)]


def test_a_memory_is_found_as_soon_as_it_is_added(index: Index) -> None:
    for number, text in enumerate(["the gateway failed", "a certificate expired"]):
        index.add([memory(number, text)])
        assert found(index, text) == [number]


def test_the_length_is_the_number_of_searchable_memories(index: Index) -> None:
    assert len(index) == 0
    index.add([memory(1, "apple"), memory(2, "…"), memory(3, "pear")])
    index.remove([memory(3, "").id])
    assert len(index) == 2


def test_a_removed_memory_is_found_no_more(index: Index) -> None:
    index.add([memory(1, "apple"), memory(2, "apple")])
    index.remove([memory(1, "").id, memory(7, "").id])
    assert found(index, "apple") == [2]


def test_removing_the_last_memory_leaves_nothing_to_find(index: Index) -> None:
    index.add([memory(1, "apple")])
    index.remove([memory(1, "").id])
    assert found(index, "apple") == []


def test_a_removed_memory_can_come_back(index: Index) -> None:
    index.add([memory(1, "apple")])
    index.remove([memory(1, "").id])
    index.add([memory(1, "pear")])
    assert (found(index, "apple"), found(index, "pear"), len(index)) == ([], [1], 1)


def test_an_id_that_is_there_already_is_left_as_it_is(index: Index) -> None:
    index.add([memory(1, "apple"), memory(1, "pear")])
    index.add([memory(1, "plum")])
    assert (found(index, "apple"), found(index, "pear plum"), len(index)) == ([1], [], 1)


def test_after_a_removal_scores_are_as_if_the_memory_had_never_been(index: Index) -> None:
    index.add([memory(1, "apple pie"), memory(2, "apple tart")])
    before = index.search("apple tart", limit=10)
    index.add([memory(3, "apple cake")])
    assert index.search("apple tart", limit=10) != before
    index.remove([memory(3, "").id])
    assert index.search("apple tart", limit=10) == before


def test_filtered_memories_do_not_take_the_place_of_others(index: Index) -> None:
    index.add([memory(n, "apple apple apple", kind="draft") for n in range(50)])
    index.add([memory(n, "an apple and many other fruits", kind="fact") for n in range(50, 60)])
    assert found(index, "apple", limit=5, wanted=Filter(kind="fact")) == [50, 51, 52, 53, 54]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Filter(), [1, 2, 3, 4]),
        (Filter(kind="fact"), [2, 4]),
        (Filter(author="bob"), [3]),
        (Filter(author=""), [4]),
        (Filter(tag="red"), [2, 3]),
        (Filter(shared=True), [1, 2, 3]),
        (Filter(shared=False), [4]),
        (Filter(kind="fact", tag="red", shared=True), [2]),
        (Filter(kind="fact", author="bob"), []),
        (Filter(tag="nobody has it"), []),
    ],
)
def test_a_filter_lets_through_what_meets_all_it_asks_for(
    index: Index, wanted: Filter, numbers: list[int]
) -> None:
    index.add(
        [
            memory(1, "apple"),
            memory(2, "apple", kind="fact", tags=("red", "sweet")),
            memory(3, "apple", tags=("green", "red"), author="bob"),
            memory(4, "apple", kind="fact", author="", shared=False),
        ]
    )
    assert found(index, "apple", wanted=wanted) == numbers


def test_a_filter_does_not_change_the_scores_of_what_it_lets_through(index: Index) -> None:
    index.add([memory(1, "apple"), memory(2, "apple pie", kind="fact"), memory(3, "pear")])
    everything = index.search("apple", limit=10)
    facts = index.search("apple", limit=10, wanted=Filter(kind="fact"))
    assert facts == [hit for hit in everything if hit.id == memory(2, "").id]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_ties_are_in_the_order_of_ids_whatever_came_first(index: Index, order: list[int]) -> None:
    index.add([memory(number, "apple pie") for number in order])
    assert found(index, "pie", limit=3) == [0, 1, 2]


@pytest.mark.parametrize("query", ["", "   ", "!? …", "the and of it", "I don't", "unheard", "🎉"])
def test_a_query_of_no_known_words_finds_nothing(index: Index, query: str) -> None:
    index.add([memory(1, "I don't know the party 🎉 of it")])
    assert index.search(query, limit=10) == []


def test_an_empty_index_finds_nothing(index: Index) -> None:
    assert index.search("apple", limit=10) == []


def test_a_word_asked_for_twice_counts_twice(index: Index) -> None:
    index.add([memory(1, "apple pie"), memory(2, "pear tart"), memory(3, "plum cake")])
    once, twice = (index.search(query, limit=1)[0].score for query in ("apple", "apple apple"))
    assert twice == 2 * once
    assert found(index, "apple pear pear") == [2, 1]


def test_a_rarer_word_weighs_more(index: Index) -> None:
    index.add([memory(1, "apple"), memory(2, "pear"), memory(3, "apple")])
    assert found(index, "apple pear") == [2, 1, 3]


def test_more_occurrences_and_fewer_other_words_rank_higher(index: Index) -> None:
    index.add([memory(1, "apple" + " filler" * 9), memory(2, "apple"), memory(3, "apple apple")])
    assert found(index, "apple") == [3, 2, 1]


def test_scores_fall_and_stay_above_zero_even_for_a_word_every_memory_holds(index: Index) -> None:
    index.add([memory(n, "apple " + "filler " * 40 * n) for n in range(1, 60)])
    scores = [hit.score for hit in index.search("apple", limit=100)]
    assert len(scores) == 59
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


@pytest.mark.parametrize(("limit", "numbers"), [(-1, []), (0, []), (2, [0, 1]), (9, [0, 1, 2])])
def test_no_more_than_the_limit_is_returned(index: Index, limit: int, numbers: list[int]) -> None:
    index.add([memory(number, "apple") for number in range(3)])
    assert found(index, "apple", limit=limit) == numbers


def test_words_beyond_the_256th_are_not_looked_for(index: Index) -> None:
    index.add([memory(1, "apple"), memory(2, "pear")])
    assert found(index, "apple " * 255 + "pear") == [1, 2]
    assert found(index, "apple " * 256 + "pear") == [1]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Развёртывание шлюза не удалось", "ШЛЮЗА"),
        ("Η πύλη απέτυχε", "πύλη"),
        ("فشلت البوابة أمس", "البوابة"),
        ("השער נכשל אתמול", "השער"),
        ("गेटवे कल विफल हो गया", "विफल"),
        ("เกตเวย์ล้มเหลวเมื่อวานนี้", "ล้มเหลว"),
        ("网关昨天因证书过期而失败", "证书过期"),
        ("ゲートウェイは昨日失敗しました", "昨日"),
        ("게이트웨이가 어제 실패했다", "게이트웨이"),
        ("Der Straßenname ist Größe", "STRASSENNAME"),
        ("le cafe\u0301 est ferme\u0301", "caf\u00e9"),
        ("it works 🎉🎉 in the gateway", "🎉 gateway"),
        ("key " + "ab3" * 5000, "ab3" * 5000),
    ],
)
def test_text_of_every_script_is_found(index: Index, text: str, query: str) -> None:
    index.add([memory(1, "something else"), memory(2, text), memory(3, "и ещё, 別物, 다른 것")])
    assert found(index, query) == [2]
