"""The stemmer, held against stems of the Snowball project's own implementation (3.1.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.retrieval.stemmer import stem

STEMS = {
    "as it is": "as as, by by, is is, say say, sing sing, string string, bed bed, rate rate, us us",
    "plurals": "caresses caress, ties tie, cries cri, gas gas, this this, gaps gap, kiwis kiwi, "
    "abyss abyss, cactus cactus, knights knight",
    "past and participle": "agreed agre, proceed proceed, feed feed, bled bled, hopped hop, "
    "hopping hop, hoping hope, falling fall, hissing hiss, luxuriated luxuri, dying die, "
    "added add, egging egg, aging age, using use, evening evening, outing outing",
    "last y": "cry cri, by by, enjoy enjoy, yellow yellow, youth youth, boyish boyish, toy toy",
    "one suffix after the other": "relational relat, conditional condit, valency valenc, "
    "hesitancy hesit, differently differ, digitizer digit, vietnamization vietnam, operator oper, "
    "feudalism feudal, hopefulness hope, callousness callous, decisiveness decis, "
    "sensitivity sensit, sensibility sensibl, geologist geolog, analogy analog, carefully care, "
    "helplessly helpless, really realli, triplicate triplic, formative format, electrical electr, "
    "goodness good, revival reviv, replacement replac, adoption adopt, opinion opinion, "
    "consign consign, consignment consign, consistency consist, consolatory consolatori",
    "last e and l": "probate probat, cease ceas, controlling control, roll roll",
    "words of their own": "skies sky, skis ski, sky sky, news news, gently gentl, early earli, "
    "only onli, general general, generously generous, internal internal, organization organiz, "
    "university universiti, universe univers, past past, pasted paste, lateral lateral",
}


@pytest.mark.parametrize("pairs", STEMS.values(), ids=STEMS)
def test_stems_are_those_of_the_published_algorithm(pairs: str) -> None:
    words, stems = zip(*(pair.split() for pair in pairs.split(", ")), strict=True)
    assert [stem(word) for word in words] == list(stems)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=80))
def test_any_word_has_a_stem_of_lower_case_letters_no_longer_than_itself(word: str) -> None:
    stemmed = stem(word)
    assert stemmed.isascii() and stemmed.islower()
    assert len(stemmed) <= len(word)
