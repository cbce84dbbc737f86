"""The English stemmer: Porter2, written from its published description.

Porter, M. F. (2001), "Snowball: a language for stemming algorithms", and the current rules at
https://snowballstem.org/algorithms/english/stemmer.html (version 3.1). The steps carry the names
used there. R1 is what follows the first consonant after a vowel; R2 is R1 of R1; most suffixes go
only when they lie within one of them. Apostrophes are not handled: the analyser splits at them.
"""

from __future__ import annotations

import re
from typing import Final

_EXCEPTIONS: Final = {
    "early": "earli",
    "gently": "gentl",
    "idly": "idl",
    "only": "onli",
    "singly": "singl",
    "skies": "sky",
    "skis": "ski",
    "ugly": "ugli",
    **{word: word for word in ("andes", "atlas", "bias", "cosmos", "howe", "news", "sky")},
}
_STEP_2: Final = {
    "tional": "tion",
    "enci": "ence",
    "anci": "ance",
    "abli": "able",
    "entli": "ent",
    "izer": "ize",
    "ization": "ize",
    "ational": "ate",
    "ation": "ate",
    "ator": "ate",
    "alism": "al",
    "aliti": "al",
    "alli": "al",
    "fulness": "ful",
    "ousli": "ous",
    "ousness": "ous",
    "iveness": "ive",
    "iviti": "ive",
    "biliti": "ble",
    "bli": "ble",
    "ogist": "og",
    "fulli": "ful",
    "lessli": "less",
    "ogi": "og",  # the last two have a condition of their own: see _SUFFIX_2
    "li": "",
}
_STEP_3: Final = {
    "tional": "tion",
    "ational": "ate",
    "alize": "al",
    "icate": "ic",
    "iciti": "ic",
    "ical": "ic",
    "ful": "",
    "ness": "",
    "ative": "",
}

# A search for an alternation that ends in `$` finds the longest suffix, as every step demands.
_Y_AS_CONSONANT: Final = re.compile(r"(^|[aeiouy])y")
_FIRST_REGION: Final = re.compile(r"arsen|commun|emerg|gener|inter|later|organ|past|univers")
_REGION: Final = re.compile(r"[aeiouy][^aeiouy]")
_SHORT_SYLLABLE: Final = re.compile(r"([^aeiouy][aeiouy][^aeiouywxY]|^[aeiouy][^aeiouy]|past)$")
_VOWEL: Final = re.compile(r"[aeiouy]")
_SUFFIX_1A: Final = re.compile(r"(sses|ied|ies|us|ss|s)$")
_SUFFIX_1B: Final = re.compile(r"(eedly|eed|edly|ed|ingly|ing)$")
_ING_STAYS: Final = frozenset(["cann", "earr", "even", "herr", "inn", "out"])
_SHORT_Y: Final = re.compile(r"[^aeiouy]y")
_DOUBLE: Final = re.compile(r"(?<!^[aeo])(bb|dd|ff|gg|mm|nn|pp|rr|tt)$")
_SUFFIX_2: Final = re.compile(rf"({'|'.join(list(_STEP_2)[:-2])}|(?<=l)ogi|(?<=[cdeghkmnrt])li)$")
_SUFFIX_3: Final = re.compile(rf"({'|'.join(_STEP_3)})$")
_SUFFIX_4: Final = re.compile(
    r"(al|ance|ence|er|ic|able|ible|ant|ement|ment|ent|ism|ate|iti|ous|ive|ize|(?<=[st])ion)$"
)


def stem(word: str) -> str:
    """The stem of a word of lower-case ASCII letters; it need not be a word itself."""
    if len(word) <= 2:
        return word
    if word in _EXCEPTIONS:
        return _EXCEPTIONS[word]
    word = _Y_AS_CONSONANT.sub(r"\1Y", word)
    fixed = _FIRST_REGION.match(word)
    r1 = fixed.end() if fixed else _region(word, 0)
    r2 = _region(word, r1)
    word = _step_1b(_step_1a(word), r1)
    if len(word) > 2 and word[-1] in "yY" and word[-2] not in "aeiouy":
        word = word[:-1] + "i"  # step 1c
    word = _steps_2_to_4(word, r1, r2)
    return _step_5(word, r1, r2).lower()


def _region(word: str, start: int) -> int:
    """Where the region begins that follows the first consonant after a vowel, from `start` on."""
    found = _REGION.search(word, start)
    return found.end() if found else len(word)


def _step_1a(word: str) -> str:
    """Plurals: caresses -> caress, ties -> tie, cries -> cri, gaps -> gap, gas -> gas."""
    found = _SUFFIX_1A.search(word)
    if not found or found[0] in ("us", "ss"):
        return word
    if found[0] == "sses":
        return word[:-2]
    if found[0] in ("ied", "ies"):
        return word[:-2] if len(word) > 4 else word[:-1]
    return word[:-1] if _VOWEL.search(word[:-2]) else word


def _step_1b(word: str, r1: int) -> str:
    """Past and participle: agreed -> agree, hopped -> hop, hoping -> hope, dying -> die."""
    found = _SUFFIX_1B.search(word)
    if not found:
        return word
    rest = word[: found.start()]
    if found[0] in ("eed", "eedly"):
        return rest + "ee" if len(rest) >= r1 and rest not in ("exc", "proc", "succ") else word
    if found[0] == "ing" and _SHORT_Y.fullmatch(rest):
        return rest[0] + "ie"
    if not _VOWEL.search(rest) or (found[0] == "ing" and rest in _ING_STAYS):
        return word
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    if _DOUBLE.search(rest):
        return rest[:-1]
    return rest + "e" if len(rest) == r1 and _SHORT_SYLLABLE.search(rest) else rest


def _steps_2_to_4(word: str, r1: int, r2: int) -> str:
    """Derivational suffixes, outermost first: relational -> relate, hopeful -> hope."""
    found = _SUFFIX_2.search(word)
    if found and found.start() >= r1:
        word = word[: found.start()] + _STEP_2[found[0]]
    found = _SUFFIX_3.search(word)
    if found and found.start() >= (r2 if found[0] == "ative" else r1):
        word = word[: found.start()] + _STEP_3[found[0]]
    found = _SUFFIX_4.search(word)
    return word[: found.start()] if found and found.start() >= r2 else word


def _step_5(word: str, r1: int, r2: int) -> str:
    """A last e or a doubled l: probate -> probat, controll -> control."""
    last = len(word) - 1
    if word.endswith("e"):
        silent = last >= r2 or (last >= r1 and not _SHORT_SYLLABLE.search(word[:last]))
        return word[:last] if silent else word
    return word[:last] if word.endswith("ll") and last >= r2 else word
