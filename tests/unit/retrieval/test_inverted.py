"""What only the inverted index promises: that it may be fed and asked from different threads."""

import threading

from synapse.core.memory.memory import Memory
from synapse.retrieval.inverted import InvertedIndex


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
