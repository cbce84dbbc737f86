"""What every `Index` does, whichever way it finds its answers."""

from pathlib import Path

import pytest

from synapse.core.memory.memory import Memory
from synapse.ports import ANY, Filter, Index, Labels, Ranking
from synapse.retrieval.engine import BEST, NUMPY
from synapse.retrieval.inverted import InvertedIndex
from synapse.retrieval.scan import ScanIndex

DAY_MS = 86_400_000


@pytest.fixture(params=["scan", "in memory", "on disk", "small head", "numpy"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Index:
    match request.param:
        case "in memory":
            return InvertedIndex()
        case "on disk":
            return InvertedIndex(tmp_path)
        case "small head":
            return InvertedIndex(tmp_path, engine=BEST, head_rows=2)
        case "numpy":
            return InvertedIndex(engine=NUMPY)
    return ScanIndex()


def memory(
    number: int,
    text: str,
    *,
    kind: str = "note",
    tags: tuple[str, ...] = (),
    author: str = "ada",
    shared: bool = True,
    created_ms: int = 0,
) -> Memory:
    return Memory(number.to_bytes(32, "big"), text, kind, tags, author, created_ms, shared)


def found(
    index: Index,
    query: str,
    *,
    limit: int = 10,
    wanted: Filter = ANY,
    ranking: Ranking | None = None,
) -> list[int]:
    hits = index.search(query, limit=limit, wanted=wanted, ranking=ranking)
    return [int.from_bytes(hit.id) for hit in hits]


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


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Filter(operator="org"), [1]),
        (Filter(operator="ada"), [2, 3]),
        (Filter(family="llama"), [1, 3]),
        (Filter(task="t1"), [2]),
        (Filter(task="t1", family="llama"), []),
        (Filter(operators_left_out=frozenset({"org", "nobody"})), [2, 3]),
        (Filter(operators_left_out=frozenset({"org", "ada"})), []),
        (Filter(since_ms=2 * DAY_MS), [2, 3]),
        (Filter(until_ms=3 * DAY_MS), [1, 2]),
        (Filter(since_ms=2 * DAY_MS, until_ms=3 * DAY_MS), [2]),
        (Filter(since_ms=9 * DAY_MS), []),
    ],
)
def test_filters_ask_for_labels_and_times_too(
    index: Index, wanted: Filter, numbers: list[int]
) -> None:
    index.add(
        [memory(number, "apple", created_ms=number * DAY_MS) for number in (1, 2, 3)],
        labels=[Labels("org", "llama"), Labels(task="t1"), Labels(family="llama")],
    )
    assert found(index, "apple", wanted=wanted) == numbers


def test_an_old_memory_loses_rank_and_does_not_disappear(index: Index) -> None:
    index.add(
        [
            memory(1, "apple apple apple", created_ms=0),
            memory(2, "apple and pear", created_ms=1000 * DAY_MS),
        ]
    )
    assert found(index, "apple") == [1, 2]
    aged = Ranking(now_ms=1000 * DAY_MS, half_life_days=30)
    assert found(index, "apple", ranking=aged) == [2, 1]
    fresh, old = (index.search("apple", limit=2)[nth].score for nth in (1, 0))
    scores = [hit.score for hit in index.search("apple", limit=2, ranking=aged)]
    assert scores == [pytest.approx(fresh), pytest.approx(0.15 * old, rel=1e-4)]


def test_relevance_halves_with_every_half_life(index: Index) -> None:
    index.add([memory(1, "apple")])
    plain = index.search("apple", limit=1)[0].score
    for days, share in ((0, 1), (10, 0.5), (20, 0.25)):
        aged = Ranking(now_ms=days * DAY_MS, half_life_days=10)
        score = index.search("apple", limit=1, ranking=aged)[0].score
        assert score == pytest.approx(share * plain, rel=1e-4)


def test_a_verified_memory_ages_from_then_on(index: Index) -> None:
    index.add([memory(1, "apple"), memory(2, "apple pie")])
    now = Ranking(now_ms=50 * DAY_MS, half_life_days=10)
    assert found(index, "apple", ranking=now) == [1, 2]
    index.verified([memory(2, "").id, memory(9, "").id], at_ms=50 * DAY_MS)
    assert found(index, "apple", ranking=now) == [2, 1]
    index.verified([memory(2, "").id], at_ms=0)  # news of an older use changes nothing
    assert found(index, "apple", ranking=now) == [2, 1]


def test_trust_in_the_operator_weighs_in(index: Index) -> None:
    index.add(
        [memory(number, "apple", author=name) for number, name in enumerate(("ada", "bob", "eve"))],
        labels=[Labels(), Labels(), Labels(operator="org")],
    )
    trusted = Ranking(now_ms=0, trust={"org": 1.0, "ada": 0.0})
    assert found(index, "apple", ranking=trusted) == [2, 1, 0]
    plain = index.search("apple", limit=1)[0].score
    scores = [hit.score for hit in index.search("apple", limit=3, ranking=trusted)]
    assert scores == pytest.approx([plain, 0.85 * plain, 0.7 * plain], rel=1e-4)


def test_a_minimum_score_cuts(index: Index) -> None:
    index.add([memory(1, "apple"), memory(2, "apple " + "filler " * 90), memory(3, "pear")])
    best, worst = (hit.score for hit in index.search("apple", limit=2))
    for least, numbers in ((worst / 2, [1, 2]), ((best + worst) / 2, [1]), (2 * best, [])):
        cut = Ranking(now_ms=0, min_score=least)
        assert found(index, "apple", ranking=cut) == numbers


def test_why_says_what_a_score_is_made_of(index: Index) -> None:
    index.add([memory(1, "apple pie"), memory(2, "pear"), memory(3, "apple")])
    ranking = Ranking(now_ms=10 * DAY_MS, half_life_days=10, trust={"ada": 0.5})
    hit = index.search("Pies apple pear apples", limit=1, ranking=ranking)[0]
    why = index.why("Pies apple pear apples", hit.id, ranking=ranking)
    assert why is not None
    assert [(each.term, each.asked, each.holders) for each in why.terms] == [
        ("pie", 1, 1),
        ("appl", 2, 2),
    ]
    assert why.score == hit.score
    assert (why.decay, why.trust) == (pytest.approx(0.5), pytest.approx(0.85, rel=1e-4))
    assert why.relevance == pytest.approx(sum(each.points for each in why.terms))
    assert index.why("apple", memory(9, "").id) is None


def test_what_was_covered_is_not_missing(index: Index) -> None:
    assert list(index.missing(10)) == [(0, 10)]
    index.add([memory(1, "apple")], covers=(0, 4))
    index.add([], covers=(6, 9))
    assert list(index.missing(10)) == [(4, 6), (9, 10)]
    index.add([memory(2, "pear")], covers=(4, 6))
    assert list(index.missing(9)) == []


def test_upkeep_changes_no_answer(index: Index) -> None:
    for number in range(40):
        index.add([memory(number, f"apple {'pie ' * (number % 3)}")])
    index.remove([memory(number, "").id for number in range(0, 40, 3)])
    before = index.search("apple pie", limit=40)
    while index.maintain():
        assert index.search("apple pie", limit=40) == before
    index.checkpoint()
    assert index.search("apple pie", limit=40) == before
    assert len(index) == 26
    index.close()


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
