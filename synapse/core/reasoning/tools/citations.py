"""Whether a cited text supports a claim, as far as words can show it.

The rule, cheap and honest:

- every number of the claim must occur in the text (as digits, or as a word up to twenty), and every
  name (a capitalised word that does not begin a sentence): else the text does not support it;
- three in five of the claim's content words, cut to stems, must occur within three sentences in a
  row, together with those numbers and names, and both must deny or neither: then it does;
- fewer than one in five: it does not;
- anything between, another alphabet, a text too long to read whole: it cannot tell.

It sees words, not meaning: `Ana beat Bo` and `Bo beat Ana` look alike to it. Use it to find claims
that rest on nothing, not to prove those that rest on something.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from synapse.core.reasoning.tools.rational import Rational, number
from synapse.core.text import words

CLAIM_CHARACTERS_MAX: Final = 1_000
MEMORY_CHARACTERS_MAX: Final = 8_000  # of a memory, read in 3 ms; nothing is denied beyond them
SHARE_MIN: Final = 0.6  # of the claim's content words, to support it; no source
SHARE_NONE: Final = 0.2  # below, it is about something else; no source
WORDS_MIN: Final = 3  # content words, names and numbers: fewer say too little to be compared
STEM_CHARACTERS: Final = 6  # stand for a word and its inflections; no source for the number
SENTENCES_TOGETHER: Final = 3

_NUMBER: Final = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?")
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|[0-9][0-9,.]*[0-9]|[0-9]")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n+")
_NUMBER_WORDS: Final = words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_SCALES: Final = frozenset(
    words("hundred thousand million billion trillion dozen half third quarter percent twice")
)
_DENIALS: Final = frozenset(
    words("not no never none neither nor cannot without nobody nothing hardly")
)
_EMPTY: Final = frozenset(
    words(
        "a about after all also an and any are as at be been before being but by can could did do "
        "does during each for from had has have he her his how i if in into is it its may more "
        "most of on one or our she so some such than that the their them then there these they "
        "this those to was we were what when where which while who will with would you"
    )
)


def supports(claim: str, memory: str) -> bool | None:
    """True: the words of the claim are there. False: they are not. None: it cannot tell."""
    if len(claim) > CLAIM_CHARACTERS_MAX:
        return None
    whole = len(memory) <= MEMORY_CHARACTERS_MAX
    read = memory[:MEMORY_CHARACTERS_MAX]
    needed, likely = _needed(claim)
    content = _content(claim)
    if len(content) + len(needed) < WORDS_MIN or not _latin(claim + read):
        return None
    there = _marks(read)
    if any(mark not in there for mark in needed):
        loose = any(mark[:1].isdigit() for mark in needed) and not _SCALES.isdisjoint(there)
        return False if whole and not loose else None
    best, denies = _best(needed + likely, content, read)
    if best >= SHARE_MIN:
        return True if denies == _denies(claim) else None
    return False if best < SHARE_NONE and whole else None


def _needed(claim: str) -> tuple[list[str], list[str]]:
    """Numbers and names of a claim; and words that may be names, but begin a sentence."""
    sure: list[str] = []
    likely: list[str] = []
    for sentence in _SENTENCE.split(claim):
        for place, word in enumerate(_WORD.findall(sentence)):
            mark = _mark(word)
            if mark[:1].isdigit():
                sure.append(mark)
            elif word[0].isupper() and mark not in _EMPTY and mark not in _DENIALS:
                (sure if place else likely).append(mark)
    return list(dict.fromkeys(sure)), list(dict.fromkeys(likely))


def _content(text: str) -> list[str]:
    """Stems of the words that carry the claim, each once."""
    marks = [mark for mark in map(_mark, _WORD.findall(text)) if not mark[:1].isdigit()]
    stems = (_stem(mark) for mark in marks if mark not in _EMPTY and mark not in _DENIALS)
    return list(dict.fromkeys(stems))


def _best(marks: Sequence[str], content: Sequence[str], memory: str) -> tuple[float, bool]:
    """The largest share of the content found in a few sentences that hold every mark.

    The second value says whether those sentences deny something. Without a mark, half counts.
    """
    sentences = [one for one in _SENTENCE.split(memory) if one.strip()]
    best, denies = 0.0, False
    marked = [_marks(one) for one in sentences]
    for start in range(max(1, len(sentences) - SENTENCES_TOGETHER + 1)):
        together = range(start, min(len(sentences), start + SENTENCES_TOGETHER))
        there = frozenset[str]().union(*(marked[i] for i in together))
        stems = {_stem(word) for word in there}
        share = sum(stem in stems for stem in content) / len(content) if content else 1.0
        if any(mark not in there for mark in marks):
            share = min(share, (SHARE_MIN + SHARE_NONE) / 2)
        if share > best:
            near = [i for i in together if any(_stem(one) in content for one in sorted(marked[i]))]
            best, denies = share, any(_denies(sentences[i]) for i in near)
    return best, denies


def _marks(text: str) -> frozenset[str]:
    return frozenset(map(_mark, _WORD.findall(text)))


def _mark(word: str) -> str:
    """A word in lower case without 's; a number as its value, whether in digits or letters."""
    lower = word.casefold().replace("’", "'")
    lower = lower.removesuffix("'s")
    if lower in _NUMBER_WORDS and lower != "one":
        return str(_NUMBER_WORDS.index(lower))
    if _NUMBER.fullmatch(lower):
        return _value(lower).fraction()
    return lower


def _value(text: str) -> Rational:
    try:
        return number(text)
    except OverflowError:
        return Rational.of(0)


def _stem(word: str) -> str:
    return word[:STEM_CHARACTERS]


def _denies(text: str) -> bool:
    return any(
        word.casefold() in _DENIALS or word.casefold().replace("’", "'").endswith("n't")
        for word in _WORD.findall(text)
    )


def _latin(text: str) -> bool:
    """Whether its letters are Latin, where words are separated by spaces."""
    return all(one < "\u0250" or "\u1e00" <= one < "\u1f00" for one in text if one.isalpha())
