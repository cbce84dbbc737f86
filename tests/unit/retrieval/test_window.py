"""From hits to a context."""

from synapse.core.memory.memory import Memory
from synapse.ports import Hit
from synapse.retrieval.window import CONSIDERED_MAX, pack


def found(*texts: str) -> list[tuple[Hit, Memory]]:
    """Hits with falling scores."""
    return [
        (Hit(bytes([nth]), 10.0 - nth / 10), Memory(bytes([nth]), text, "note", (), "a", 0, True))
        for nth, text in enumerate(texts)
    ]


def words(text: str) -> int:
    return len(text.split())


def chosen(texts: list[str], tokens_max: int) -> list[int]:
    window = pack(found(*texts), tokens_max=tokens_max, tokens_of=words)
    return [hit.id[0] for hit in window.chosen]


def test_the_best_come_first_until_the_budget_is_spent() -> None:
    window = pack(
        found("apple pie", "pear tart crumble", "plum cake"), tokens_max=4, tokens_of=words
    )
    assert [hit.id for hit in window.chosen] == [b"\0", b"\2"]
    assert (window.tokens, window.crowded_out) == (4, (b"\1",))


def test_what_says_the_same_again_is_left_out_and_named() -> None:
    window = pack(
        found("The gateway failed at noon", "gateway failing at noon!", "a pear"),
        tokens_max=100,
        tokens_of=words,
    )
    assert [hit.id for hit in window.chosen] == [b"\0", b"\2"]
    assert window.alike == ((b"\1", b"\0"),)


def test_another_number_or_a_denial_is_no_repetition() -> None:
    texts = ["5 of 50 jobs failed", "50 of 50 jobs failed", "50 of 50 jobs never failed"]
    assert sorted(chosen(texts, 100)) == [0, 1, 2]


def test_texts_too_long_to_compare_are_alike_only_when_they_are_equal() -> None:
    long = "gateway " * 2_000
    window = pack(found(long, long, long + "exploded"), tokens_max=10_000, tokens_of=words)
    assert [hit.id[0] for hit in window.chosen] == [0, 2]
    assert window.alike == ((b"\1", b"\0"),)


def test_something_new_goes_before_more_of_the_same() -> None:
    texts = ["gateway failed certificate", "gateway failed certificate again today", "pear plum"]
    assert chosen(texts, 100) == [0, 2, 1]


def test_nothing_found_is_an_empty_window() -> None:
    assert pack([], tokens_max=10, tokens_of=words).chosen == ()
    assert chosen(["…", "!"], 10) == [0, 1]


def test_no_more_is_considered_than_is_quick() -> None:
    assert len(chosen([f"word{n}" for n in range(100)], 1000)) == CONSIDERED_MAX
