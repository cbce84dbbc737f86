"""What counts as a term: the one way both memories and queries are cut up.

Spores rank alike only while they analyse alike, so a change that alters any term or impact raises
`ANALYSER_VERSION`, and an index built by another version is built anew. (Newer Pythons know newer
characters: texts that hold any may be cut differently, all others are not.)

Indexes know a term by its key, its CRC-32. Two terms may share a key and then count as one:
of five million terms, one in a thousand does, and all indexes take the same ones together.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from array import array
from collections import Counter
from functools import lru_cache
from typing import Final

from synapse.retrieval.stemmer import stem

ANALYSER_VERSION: Final = 2
QUERY_TERMS_MAX: Final = 256  # a page of text; `bm25` needs it so that a sum fits in 32 bits
WORD_CHARACTERS_MAX: Final = 64  # a SHA-256 in hexadecimal is one term; longer words are cut up
_CACHED_WORDS_MAX: Final = 1 << 15  # so that stemming is rare; about 6 MB when full

# English words that carry grammar and no subject, and what an apostrophe leaves of some.
_STOP_WORDS: Final = """
    a about above after again against all also am an and any are as at be because been before being
    below between both but by can could did do does doing down during each few for from further had
    has have having he her here hers herself him himself his how i if in into is it its itself just
    me more most my myself no nor not now of off on once only or other our ours ourselves out over
    own same she should so some such than that the their theirs them themselves then there these
    they this those through to too under until up very was we were what when where which while who
    whom why will with would you your yours yourself yourselves d don ll m re s t ve
"""
STOP_WORDS: Final = frozenset(_STOP_WORDS.split())

# Thai and Lao, Burmese, Khmer, kana, Han, Hangul: scripts that leave out the spaces, or put them
# where no search would.
_UNSPACED: Final = (
    "\u0e01-\u0edf\u1000-\u109f\u1780-\u17d3\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa"
    "\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff"
)
# Vowel signs and accents belong to the word, though `\w` does not take them in. Only those of the
# Basic Multilingual Plane: `re` looks such a set up at once, and any other one character by one.
_MARKS: Final = "".join(
    mark
    for mark in map(chr, range(0x300, 0x10000))
    if unicodedata.category(mark) in ("Mn", "Mc") and not "\ufe00" <= mark <= "\ufe0f"
)
_WORD: Final = re.compile(rf"[^\W_]+(?:[{_MARKS}]+[^\W_]*)*")
_PART: Final = re.compile(rf"([{_UNSPACED}]+)|[^{_UNSPACED}]{{1,{WORD_CHARACTERS_MAX}}}")


def analyse(text: str) -> list[str]:
    """The terms of `text`, in order, repeated as often as they occur; stop words are left out.

    A term is the stem of an English word, another script's word as it is written, or two
    neighbouring characters where words are not spaced (one, if it stands alone). Everything is
    case-folded and in NFC; `_` and punctuation separate.
    """
    terms: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFC", text.casefold())):
        if word.isascii() and len(word) <= WORD_CHARACTERS_MAX:
            terms.append(_term(word))
        else:
            for part in _PART.finditer(word):
                terms += _bigrams(part[0]) if part[1] else [_term(part[0])]
    return [term for term in terms if term]


def query_terms(query: str) -> Counter[str]:
    """The terms of a query, at most `QUERY_TERMS_MAX`, and how often each is asked for."""
    return Counter(analyse(query)[:QUERY_TERMS_MAX])


def key(term: str) -> int:
    """The 32 bits by which indexes know a term."""
    return zlib.crc32(term.encode())


def keys(text: str) -> array[int]:
    """The key of every term of `text`, in order."""
    return array("I", map(key, analyse(text)))


@lru_cache(maxsize=_CACHED_WORDS_MAX)
def _term(word: str) -> str:
    """The term a spaced word stands for; empty for a stop word."""
    if word in STOP_WORDS:
        return ""
    return stem(word) if word.isascii() and word.isalpha() else word


def _bigrams(run: str) -> list[str]:
    """Every two neighbouring characters; a character that stands alone is its own term."""
    return [run[at : at + 2] for at in range(max(1, len(run) - 1))]
