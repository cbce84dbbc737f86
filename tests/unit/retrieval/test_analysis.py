"""How text is cut into terms."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.retrieval.analysis import (
    ANALYSER_VERSION,
    QUERY_TERMS_MAX,
    WORD_CHARACTERS_MAX,
    analyse,
    query_terms,
)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        (" \t\n…!?", []),
        ("The gateways of the spores", ["gateway", "spore"]),
        ("Don't panic: it’s the node's fault", ["panic", "node", "fault"]),
        ("batch_records_max = 256", ["batch", "record", "max", "256"]),
        ("user@example.org", ["user", "exampl", "org"]),
        ("STRASSE Straße", ["strass", "strass"]),
        ("Café cafe\u0301 CAFÉ", ["café"] * 3),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("مُحَمَّد", ["مُحَمَّد"]),
        ("東京都", ["東京", "京都"]),
        ("猫", ["猫"]),
        ("東京。京都", ["東京", "京都"]),
        ("Python言語v3で", ["python", "言語", "v3", "で"]),
        ("한국어", ["한국", "국어"]),
        ("ภาษาไทย", ["ภา", "าษ", "ษา", "าไ", "ไท", "ทย"]),
        ("🎉 party 1️⃣ ❤️", ["parti", "1"]),
        ("x86 sha256 3rd", ["x86", "sha256", "3rd"]),
    ],
)
def test_text_is_cut_into_terms(text: str, terms: list[str]) -> None:
    assert analyse(text) == terms


def test_terms_keep_their_order_and_number() -> None:
    assert analyse("runs run running walks run") == ["run", "run", "run", "walk", "run"]


def test_a_change_to_the_analysis_comes_with_a_new_version() -> None:
    """When this fails, raise ANALYSER_VERSION and write down the new terms."""
    text = "The operators' relational naïveté: 3 relays in Zürich, образцы, 網路閘道 and snake_case"
    terms = ["oper", "relat", "naïveté", "3", "relay", "zürich", "образцы", "網路", "路閘", "閘道"]
    assert (ANALYSER_VERSION, analyse(text)) == (2, [*terms, "snake", "case"])


def test_a_very_long_word_is_cut_up_and_a_sha256_is_not() -> None:
    sha256 = "0123456789abcdef" * 4
    assert analyse(sha256) == [sha256]
    assert analyse("x1" * 100) == ["x1" * 32, "x1" * 32, "x1" * 32, "x1" * 4]
    assert analyse("ж" * 100) == ["ж" * 64, "ж" * 36]


def test_a_query_counts_its_terms_up_to_the_limit() -> None:
    assert query_terms("runs of the runner, running") == {"run": 2, "runner": 1}
    many = query_terms(" ".join(f"word{n}" for n in range(2 * QUERY_TERMS_MAX)))
    assert list(many) == [f"word{n}" for n in range(QUERY_TERMS_MAX)]


@given(st.text())
def test_any_text_yields_bounded_terms_in_normal_form(text: str) -> None:
    for term in analyse(text):
        assert 0 < len(term) <= WORD_CHARACTERS_MAX
        assert term == unicodedata.normalize("NFC", term)


@given(st.text(alphabet="aàéßЖΩ漢字かなकि한é1_ .-"))
def test_case_and_normal_form_do_not_matter(text: str) -> None:
    assert analyse(unicodedata.normalize("NFD", text)) == analyse(text)
    assert analyse(text.upper()) == analyse(text)
