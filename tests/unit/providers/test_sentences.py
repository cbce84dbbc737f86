"""Markdown and plain text as sentences."""

from __future__ import annotations

import pytest

from synapse.providers.sentences import sentences


def split(text, characters_max=400):
    return list(sentences(text, characters_max=characters_max))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One thing. Another thing! A third?", ["One thing.", "Another thing!", "A third?"]),
        ("It is 3.14 long... or so, e.g. here.", ["It is 3.14 long... or so, e.g. here."]),
        ("Dr. Lee met J. Smith. They left.", ["Dr. Lee met J. Smith.", "They left."]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("Wrapped\nover lines.\n\nA paragraph", ["Wrapped over lines.", "A paragraph"]),
        ("# Title #1\nText.\n## Next\nMore.", ["Title #1", "Text.", "Next", "More."]),
        ("- one\n* two\n+ three\n1. four\n2) five", ["one", "two", "three", "four", "five"]),
        ("> quoted\n> on two lines", ["quoted on two lines"]),
        ("**Durable.** It *stays* __here__.", ["Durable.", "It *stays* __here__."]),
        ("2 ** 3 ** 4 of `__init__`", ["2 ** 3 ** 4 of `__init__`"]),
        ("Do:\n```sh\nmake. it\n  now\n```\nDone.", ["Do:", "make. it\n  now", "Done."]),
        ("```\nnever closed", ["never closed"]),
        ("塔は高い。猫が寝た！本当？", ["塔は高い。", "猫が寝た！", "本当？"]),
        ("Башня высокая. Кот спит.", ["Башня высокая.", "Кот спит."]),
        ("यह एक है। यह दो है।", ["यह एक है।", "यह दो है।"]),
        ("", []),
        (" \n\n```\n```\n", []),
    ],
)
def test_a_text_falls_into_its_sentences(text, expected):
    assert split(text) == expected


@pytest.mark.parametrize("text", ["word " * 500, "x" * 9_000, "```\n" + "code\n" * 500])
def test_a_sentence_is_cut_with_an_ellipsis(text):
    (sentence,) = split(text, characters_max=100)
    assert len(sentence) <= 100
    assert sentence.endswith("…")


@pytest.mark.parametrize("unit", [*".!?…\"'。\n\t>#-*`~ ", ". ", "a. ", "> ", "# ", "1. ", " \n"])
def test_hostile_repetition_is_read_in_linear_time(unit):
    """A quadratic pattern would need minutes for so many characters, and this test would hang."""
    read = sentences(unit * (300_000 // len(unit)), characters_max=400)
    assert all(len(sentence) <= 400 for sentence in read)
