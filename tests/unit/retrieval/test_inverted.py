"""What only the inverted index promises: that it may be fed and asked from different threads."""

import threading
from pathlib import Path

from synapse.core.memory.memory import Memory
from synapse.ports import Ranking
from synapse.retrieval.budget import BUDGET, EXACT_MAX, budget_for
from synapse.retrieval.inverted import InvertedIndex

DAY_MS = 86_400_000


def memory(number: int, text: str) -> Memory:
    return Memory(number.to_bytes(32, "big"), text, "note", (), "ada", 0, True)


def test_searches_see_whole_memories_while_another_thread_adds_and_removes() -> None:
    index = InvertedIndex()
    passing = [memory(number, "apple pie") for number in range(3000)]
    index.add([memory(9999, "apple cake")])

    def churn() -> None:
        index.add(passing)
        index.remove([each.id for each in passing])

    writer = threading.Thread(target=churn)
    writer.start()
    while writer.is_alive():
        hits = index.search("apple pie", limit=5000)
        scores = {hit.score for hit in hits[:-1]}  # all pies are alike, and the cake comes last
        assert len(scores) <= 1
        assert hits[-1].id == memory(9999, "").id
    writer.join()
    assert [hit.id for hit in index.search("apple", limit=10)] == [memory(9999, "").id]


def test_adding_removing_verifying_upkeep_and_searching_go_on_at_once(tmp_path: Path) -> None:
    index = InvertedIndex(tmp_path, head_rows=50)
    passing = [memory(number, f"apple pie {number % 5}") for number in range(3000)]
    done = threading.Event()

    def feed() -> None:
        for first in range(0, len(passing), 7):
            index.add(passing[first : first + 7], covers=(first, first + 7))
        done.set()

    def take_back() -> None:
        while not done.is_set():
            index.remove([each.id for each in passing[::2]])
            index.verified([each.id for each in passing[1::50]], at_ms=DAY_MS)

    def keep_up() -> None:
        while not done.is_set():
            index.maintain()

    threads = [threading.Thread(target=target) for target in (feed, take_back, keep_up)]
    for thread in threads:
        thread.start()
    while not done.is_set():
        hits = index.search("apple", limit=5000)
        assert len({hit.id for hit in hits}) == len(hits)
    for thread in threads:
        thread.join()
    index.remove([each.id for each in passing[::2]])
    index.verified([passing[5].id], at_ms=50 * DAY_MS)
    index.close()
    index = InvertedIndex(tmp_path)
    assert [hit.id for hit in index.search("apple", limit=5000)] == [
        each.id for each in passing[1::2]
    ]
    now = Ranking(now_ms=50 * DAY_MS, half_life_days=5)
    assert index.search("apple", limit=1, ranking=now)[0].id == passing[5].id
    assert list(index.missing(3000)) == []


def test_small_indexes_are_searched_exactly_and_large_ones_within_a_budget() -> None:
    assert budget_for(10) is None
    assert budget_for(EXACT_MAX) is None
    assert budget_for(10_000_000) == BUDGET
