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

import functools
import itertools
import operator
import re
from collections.abc import Iterable, Sequence
from typing import Final

from synapse.core.text import words

CLAIM_CHARACTERS_MAX: Final = 1_000
MEMORY_CHARACTERS_MAX: Final = 6_000  # of a memory, read in 2 ms; nothing is denied beyond them
SHARE_MIN: Final = 0.6  # of the claim's content words, to support it; no source
SHARE_NONE: Final = 0.2  # below, it is about something else; no source
WORDS_MIN: Final = 3  # content words, names and numbers: fewer say too little to be compared
STEM_CHARACTERS: Final = 6  # stand for a word and its inflections; no source for the number
SENTENCES_TOGETHER: Final = 3

_NUMBER: Final = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?")
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|[0-9][0-9,.]*[0-9]|[0-9]")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n+")
_FOREIGN: Final = re.compile(r"[^\W\d_\u0000-\u024f\u1e00-\u1eff]")  # letters that are not Latin
_NUMBER_WORDS: Final = {  # `one` is as often a pronoun
    "zero": 0,
    **{
        word: number
        for number, word in enumerate(
            words(
                "two three four five six seven eight nine ten eleven twelve thirteen fourteen "
                "fifteen sixteen seventeen eighteen nineteen twenty"
            ),
            start=2,
        )
    },
}
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
    whole = len(memory) <= MEMORY_CHARACTERS_MAX
    read = memory[:MEMORY_CHARACTERS_MAX]
    if len(claim) > CLAIM_CHARACTERS_MAX or not _latin(claim) or not _latin(read):
        return None
    sure, likely = _names_and_numbers(claim)
    content = list(dict.fromkeys(map(_stem, filter(_carries, _marks(claim)))))
    if len(content) + len(sure) < WORDS_MIN:
        return None
    sentences = [marks for marks in map(_marks, _SENTENCE.split(read)) if marks]
    there = frozenset(itertools.chain.from_iterable(sentences))
    if any(mark not in there for mark in sure):
        scaled = any(mark[0].isdigit() for mark in sure) and not _SCALES.isdisjoint(there)
        return False if whole and not scaled else None
    share, denies = _best([*sure, *likely], content, sentences)
    if share >= SHARE_MIN:
        return True if denies == _denies(_marks(claim)) else None
    return False if share < SHARE_NONE and whole else None


def _names_and_numbers(claim: str) -> tuple[list[str], list[str]]:
    """Those of a claim; and capitalised words that may be names, but begin a sentence."""
    sure: list[str] = []
    likely: list[str] = []
    for sentence in _SENTENCE.split(claim):
        for place, word in enumerate(_WORD.findall(sentence)):
            mark = _mark(word)
            if mark[0].isdigit():
                sure.append(mark)
            elif word[0].isupper() and _carries(mark):
                (sure if place else likely).append(mark)
    return list(dict.fromkeys(sure)), list(dict.fromkeys(likely))


def _best(
    marks: Sequence[str], content: Sequence[str], sentences: Sequence[Sequence[str]]
) -> tuple[float, bool]:
    """The largest share of the content that few sentences in a row hold, the fewest first.

    The second value says whether those of them that bear on it deny something. Where a name or
    number is missing, the share stays between yes and no.
    """
    have = [_bits(content, map(_stem, one)) for one in sentences]
    named = [_bits(marks, one) for one in sentences]
    denials = [_denies(one) for one in sentences]
    best, denies = 0.0, False
    for together in range(1, SENTENCES_TOGETHER + 1):
        for start in range(max(0, len(sentences) - together + 1)):
            window = slice(start, start + together)
            found = functools.reduce(operator.or_, have[window])
            if content and not found:
                continue
            share = found.bit_count() / len(content) if content else 1.0
            if functools.reduce(operator.or_, named[window]).bit_count() < len(marks):
                share = min(share, (SHARE_MIN + SHARE_NONE) / 2)
            if share > best:
                near = zip(have[window], denials[window], strict=True)
                best, denies = share, any(denied for bits, denied in near if bits)
    return best, denies


def _bits(wanted: Sequence[str], there: Iterable[str]) -> int:
    """Which of the wanted words are there, a bit each."""
    present = frozenset(there)
    return sum(1 << i for i, word in enumerate(wanted) if word in present)


def _marks(text: str) -> list[str]:
    return [_mark(word) for word in _WORD.findall(text)]


def _mark(word: str) -> str:
    """A word in lower case without 's; a number as plain digits, if written as a word too."""
    lower = word.casefold().replace("’", "'").removesuffix("'s")
    if lower in _NUMBER_WORDS:
        return str(_NUMBER_WORDS[lower])
    if not lower[0].isdigit() or not _NUMBER.fullmatch(lower):
        return lower
    whole, _, decimals = lower.replace(",", "").partition(".")
    decimals = decimals.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{decimals}" if decimals else "")


def _stem(word: str) -> str:
    return word[:STEM_CHARACTERS]


def _carries(mark: str) -> bool:
    """Whether a word says what the text is about. Numbers are looked at by themselves."""
    return not (mark in _EMPTY or mark[0].isdigit() or _denies((mark,)))


def _denies(marks: Iterable[str]) -> bool:
    return any(mark in _DENIALS or mark.endswith("n't") for mark in marks)


def _latin(text: str) -> bool:
    """Whether its letters are Latin, where words are separated by spaces."""
    return not _FOREIGN.search(text)
