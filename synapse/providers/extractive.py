"""A reasoner without a model: the sentences of memory that bear on the question, quoted.

Sentences are ranked by TF-IDF cosine to the question and spread by maximal marginal relevance
(Carbonell & Goldstein, SIGIR 1998). It understands nothing: a memory that gives orders is at most
quoted. The same request always gives the same reply.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from synapse.core.effects import ModelRequest, Quote
from synapse.core.errors import ProviderError
from synapse.core.reasoning.model_routing import EXTRACTIVE
from synapse.ports import ModelReply
from synapse.providers.sentences import sentences

MODEL: Final = "tf-idf+mmr"

SENTENCES_MAX: Final = 4  # of an answer; more is no answer but a list
SENTENCE_CHARACTERS_MAX: Final = 400  # four of them are a long paragraph; most have about 100
SENTENCES_READ_MAX: Final = 2_000  # shared evenly among the quotes; a tenth of a second of work
CANDIDATES_MAX: Final = 64  # the best are compared each with each, so their square is the cost
DIVERSITY: Final = 0.7  # lambda of the paper: 1.0 is relevance alone
RELEVANCE_MIN: Final = 0.05  # as of twenty words asked that share one with a sentence; no source
RELEVANCE_SHARE_MIN: Final = 1 / 3  # of the best sentence's: brevity beats filling up; no source
LIKENESS_MAX: Final = 0.8  # cosine from which two sentences say the same; no source
STATEMENT_WORDS_MIN: Final = 12  # without a full stop, fewer are a heading; no source
STEM_CHARACTERS: Final = 6  # stand for a word and its inflections; no source for the number, but
# see the pseudo-stems, one n-gram a word in any language, of Mayfield & McNamee (SIGIR 2003)

_CONTENT_WORDS: Final = {  # on scikit-learn's list of stop words, yet people ask about them
    *("bill", "bottom", "call", "cry", "detail", "empty", "fill", "find", "fire", "front"),
    *("interest", "mill", "mine", "move", "part", "serious", "side", "system", "thick", "thin"),
}
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_CITATION: Final = re.compile(r"\[([0-9a-fA-F]{8})\]")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, and the memory (hexadecimal id) that it is quoted from."""

    text: str
    cite: str


class Extractive:
    """The provider of last resort. It needs no key, no network and no memory of its own."""

    async def complete(self, target: str, request: ModelRequest, *, timeout_ms: int) -> ModelReply:
        """Answer with quotations, as JSON: answer, cites, claims and confidence.

        Confidence is the best sentence's cosine to the question, 0.0 to 1.0: how much of it is
        about the question, not how likely it is to be true. Raises ProviderError: `refused` when
        nothing in memory bears on the question.
        """
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                text = await asyncio.to_thread(answer, request.question, request.quotes)
        except TimeoutError:
            raise ProviderError("slow", f"not done within {timeout_ms} ms") from None
        return ModelReply(text=text, model=MODEL, family=EXTRACTIVE)

    async def close(self) -> None:
        """Nothing to let go of."""


def answer(question: str, quotes: Sequence[Quote]) -> str:
    """The reply to a question, as JSON. Raises ProviderError when the quotes hold none."""
    read = list(itertools.islice(_read(quotes), SENTENCES_READ_MAX))
    best = _best(question, [sentence.text for sentence in read])
    if not best:
        raise ProviderError("refused", "nothing in memory bears on the question")
    chosen = [read[index] for index, _ in best]
    return json.dumps(
        {
            "answer": " ".join(f"{sentence.text} [{sentence.cite[:8]}]" for sentence in chosen),
            "cites": list(dict.fromkeys(sentence.cite for sentence in chosen)),
            "claims": [{"text": sentence.text, "cites": [sentence.cite]} for sentence in chosen],
            "confidence": round(min(1.0, max(relevance for _, relevance in best)), 3),
        },
        ensure_ascii=False,
    )


def _read(quotes: Sequence[Quote]) -> Iterator[Sentence]:
    """Every quote's first sentences. What looks like a citation of ours in one is defused."""
    each = max(1, SENTENCES_READ_MAX // max(1, len(quotes)))
    for quote in quotes:
        found = sentences(quote.text, characters_max=SENTENCE_CHARACTERS_MAX)
        read = list(itertools.islice(found, each))
        for text in list(filter(_says_something, read)) or read:
            yield Sentence(_CITATION.sub(r"(\1)", text), quote.id.hex())


def _says_something(text: str) -> bool:
    """Whether this is more than a heading: it ends as sentences do, or is long enough."""
    ended = text.rstrip("\"'”’»)]").endswith((".", "!", "?", "…", ":", ";", "。", "！", "？", "।"))
    return ended or len(text.split()) >= STATEMENT_WORDS_MIN or bool(_UNSPACED.search(text))


def _best(question: str, texts: Sequence[str]) -> list[tuple[int, float]]:
    """Which sentences to quote, as (index, relevance), in the order to quote them."""
    if not any(_terms(question)):
        return []
    vectorizer = _learnt().TfidfVectorizer(analyzer=_terms, token_pattern=None, sublinear_tf=True)
    vectors = vectorizer.fit_transform([question, *texts])
    relevance = (vectors[1:] @ vectors[0].T).toarray().ravel()
    floor = max(RELEVANCE_MIN, RELEVANCE_SHARE_MIN * relevance.max(initial=0.0))
    ranked = np.argsort(-relevance, kind="stable")[:CANDIDATES_MAX]
    candidates = ranked[relevance[ranked] >= floor]
    likeness = (vectors[1 + candidates] @ vectors[1 + candidates].T).toarray()
    spread = _spread(relevance[candidates], likeness)
    return [(int(candidates[i]), float(relevance[candidates[i]])) for i in spread]


def _spread(relevance: NDArray[np.float64], likeness: NDArray[np.float64]) -> list[int]:
    """Maximal marginal relevance: each next one is relevant, and unlike those chosen before."""
    chosen: list[int] = []
    left = list(range(len(relevance)))
    while left and len(chosen) < SENTENCES_MAX:
        nearest = {i: max((likeness[i, j] for j in chosen), default=0.0) for i in left}
        best = max(left, key=lambda i: DIVERSITY * relevance[i] - (1 - DIVERSITY) * nearest[i])
        chosen.append(best)
        left = [i for i in left if likeness[i, best] <= LIKENESS_MAX]  # itself goes too
    return chosen


def _terms(text: str) -> Iterator[str]:
    """What a sentence is about: stems of words; pairs of characters where words have no spaces."""
    for word in "".join(c if _in_a_word(c) else " " for c in text.casefold()).split():
        if _UNSPACED.search(word):
            yield from (word[i : i + 2] for i in range(max(1, len(word) - 1)))
        elif word not in _stop_words():
            yield word[:STEM_CHARACTERS] if word.isalpha() else word


@cache
def _learnt() -> Any:
    """What scikit-learn knows of text. Loading it takes a second and 70 MB, so a spore that only
    remembers does not. It stays: the garbage collector need not look through it again."""
    from sklearn.feature_extraction import text

    gc.collect()
    gc.freeze()
    return text


@cache
def _stop_words() -> frozenset[str]:
    more = {"did", "does", "doing", "s", "t"}
    return frozenset(_learnt().ENGLISH_STOP_WORDS) - _CONTENT_WORDS | more


def _in_a_word(character: str) -> bool:
    """Letters, digits, and the marks that many scripts write their vowels with."""
    return character.isalnum() or unicodedata.category(character).startswith("M")
