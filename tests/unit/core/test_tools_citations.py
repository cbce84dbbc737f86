"""Whether a memory supports what cites it: names, numbers and enough of the words."""

from __future__ import annotations

import pytest

from synapse.core.reasoning.tools import supports

BELL = (
    "The harbour bell was cast by Ana Reis in 1887. It weighs 1,200 kg and hangs above three "
    "cranes. The old bell was not rung during the war."
)
SUPPORTED = [
    "The harbour bell was cast by Ana Reis in 1887.",
    "Ana Reis cast the bell",
    "The bell weighs 1200.0 kg",
    "The bell hangs above 3 cranes",
    "The old bell was never rung during the war",
    "Ana Reis's harbour bell was cast in 1887",
]
UNSUPPORTED = [
    "The harbour bell was cast in 1888.",  # another number
    "The harbour bell was cast by Bo Lund in 1887.",  # another name
    "The bell weighs 2,100 kg",
    "Bees sleep at night in wooden hives",  # about something else
    "In spring Dora Maar painted the harbour bell",
]
UNDECIDED = [
    "The bell was rung during the war.",  # one denies, the other does not
    "Paris has a harbour bell cast in 1887",  # Paris may begin a sentence or be a name
    "The kitchen bell is small and made of brass",  # a few of its words
    "The bell.",
    "",
    "港の鐘は1887年に鋳造された。",
    "The bell " + "was cast " * 200,
]


@pytest.mark.parametrize("claim", SUPPORTED)
def test_a_claim_whose_words_are_there_is_supported(claim):
    assert supports(claim, BELL) is True


@pytest.mark.parametrize("claim", UNSUPPORTED)
def test_a_claim_whose_numbers_names_or_words_are_missing_is_not(claim):
    assert supports(claim, BELL) is False


@pytest.mark.parametrize("claim", UNDECIDED)
def test_where_words_do_not_show_it_nothing_is_said(claim):
    assert supports(claim, BELL) is None


def test_words_scattered_over_a_long_text_do_not_add_up():
    apart = "Nothing of note happened here. " * 5
    scattered = f"The harbour is wide. {apart}A bell hangs. {apart}It was cast in iron."
    assert supports("A harbour bell was cast in iron", scattered) is not True


def test_nothing_is_denied_of_a_text_that_was_not_read_to_its_end():
    assert supports("Ana Reis cast the bell in 1887", "Filler words here. " * 1_000) is None


def test_a_number_that_may_be_written_in_words_is_not_called_missing():
    assert supports("The town has 2,000,000 people", "The town has 2 million people") is None
    assert supports("The town has 12 wells", "The town has twelve wells") is True


def test_a_text_that_is_all_sentences_costs_little():
    assert supports("Ana Reis cast the bell in 1887", "1 2. " * 1_200) is False
    assert supports("the word it bell cast from here " * 25, "word. " * 1_000) is None
