"""Generated memories: the same ones on every run and for every engine, up to any number.

A memory mixes runs of two to six words of real text, words of its topic, common words and made-up
ones. The first k memories are the same for every n, because each 4,096 are drawn from a seed of
their own. Real text comes from the judged collections that are named, else from the manual that
every Python carries (`pydoc_data`), so another Python may give other texts: `fingerprint` tells.

Word frequencies are those of English (Zipf-Mandelbrot): the commonest content word is in a third of
all memories. Of the words about 55 in 100 are real text, 42 drawn, 3 from an open tail of 24
million; of what is drawn 42 in 100 are stop words.
"""

from __future__ import annotations

import hashlib
import pydoc_data.topics
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from synapse.retrieval.analysis import STOP_WORDS

SEED: Final = 20_260_101
CHUNK: Final = 4_096  # memories drawn from one seed
# Zipf-Mandelbrot: the n-th commonest content word is drawn with a density of (n + shift)^-exponent.
VOCABULARY, SHIFT, EXPONENT = 200_000, 12, 1.15
TOPICS, TOPIC_WORDS, TOPIC_EXPONENT = 14_000, 120, 0.7
# How many phrases a memory has: lognormal, so that sizes are those of short notes (10th, 50th and
# 90th percentile about 210, 410 and 800 bytes). No source; the research corpus looks like that.
PHRASES_MEDIAN, PHRASES_SIGMA, PHRASES_MIN, PHRASES_MAX = 18.3, 0.5, 3, 90
REAL_SHARE, TAIL_SHARE = 0.5, 0.1  # of phrases; the rest is drawn
STOP_WORD_SHARE, TOPIC_SHARE = 0.42, 0.28  # of drawn words
DRAWN_WORDS = 4  # of a drawn phrase
TAIL_SYLLABLES = 4  # of a word of the tail

_WORDS: Final = re.compile(r"[a-z0-9]+")
Numbers = NDArray[np.int64]


def manual() -> str:
    """The text of Python's own manual, as far as `help()` shows it."""
    topics = pydoc_data.topics.topics
    return "\n".join(topics[name] for name in sorted(topics))


def vocabulary() -> list[str]:
    """Made-up content words that can be stemmed, commonest first."""
    syllables = [a + b for a in "bcdfghjklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "or")]
    endings = ("", "s", "", "ing", "", "ed", "", "ly", "er", "")
    words = []
    for rank in range(VOCABULARY):
        word, rest = "", rank + len(syllables)
        while rest:
            rest, digit = divmod(rest, len(syllables))
            word += syllables[digit]
        words.append(word + endings[rank % len(endings)])
    return words


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Pieces of text by number, laid out so that a million can be joined at once."""

    letters: NDArray[np.uint8]
    starts: Numbers
    lengths: Numbers

    @classmethod
    def of(cls, pieces: Sequence[str]) -> Lexicon:
        """Of these pieces, which are ASCII."""
        lengths = np.array([len(piece) for piece in pieces])
        letters = np.frombuffer("".join(pieces).encode("ascii"), dtype=np.uint8)
        return cls(letters, np.cumsum(lengths) - lengths, lengths)

    def joined(self, pieces: Numbers) -> tuple[str, Numbers]:
        """These pieces one after another, and where each ends."""
        lengths = self.lengths[pieces]
        ends = np.cumsum(lengths)
        places = np.repeat(self.starts[pieces] - ends + lengths, lengths) + np.arange(ends[-1])
        return self.letters[places].tobytes().decode("ascii"), ends


class Corpus:
    """Memories without end."""

    def __init__(self, real: str = "") -> None:
        """`real` text to take runs of words from; the manual's if there is none."""
        words = _WORDS.findall((real or manual()).lower())
        drawn, stops = vocabulary(), sorted(STOP_WORDS)
        syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        kinds = sorted(dict.fromkeys(words))
        pieces = [word + " " for word in (*drawn, *stops, *kinds)] + syllables
        pieces += [syllable + "q " for syllable in syllables]
        self._lexicon = Lexicon.of(pieces)
        self._stops = len(drawn), len(stops)
        first = len(drawn) + len(stops)
        number = {word: first + nth for nth, word in enumerate(kinds)}
        self._real = np.array([number[word] for word in words])
        self._tail = first + len(kinds), len(syllables)
        self.real_words = words
        random = np.random.RandomState(SEED)  # its streams are frozen for ever
        self._topics = _zipf(random, TOPICS * TOPIC_WORDS).reshape(TOPICS, TOPIC_WORDS)
        weights = np.cumsum(np.arange(1, TOPICS + 1) ** -TOPIC_EXPONENT)
        self._topics_up_to = weights / weights[-1]

    @property
    def fingerprint(self) -> str:
        """Tells two corpora apart: of the first memories."""
        return hashlib.sha256("\n".join(self.chunk(0)).encode()).hexdigest()[:16]

    def texts(self, count: int, *, first: int = 0) -> Iterator[str]:
        """That many memories, from one on."""
        chunk, skipped = divmod(first, CHUNK)
        return islice(self._endless(chunk), skipped, skipped + count)

    def _endless(self, chunk: int) -> Iterator[str]:
        while True:
            yield from self.chunk(chunk)
            chunk += 1

    def chunk(self, number: int) -> list[str]:
        """The memories from `number` * CHUNK on."""
        random = np.random.RandomState([SEED, number])
        counts = random.lognormal(np.log(PHRASES_MEDIAN), PHRASES_SIGMA, CHUNK).astype(np.int64)
        counts = np.clip(counts, PHRASES_MIN, PHRASES_MAX)
        topics = np.searchsorted(self._topics_up_to, random.random_sample(CHUNK))
        pieces, ends = self._pieces(random, np.repeat(topics, counts))
        text, letters = self._lexicon.joined(pieces)
        cuts = [0, *letters[ends[np.cumsum(counts) - 1] - 1].tolist()]
        return [text[cuts[nth] : cuts[nth + 1] - 1] for nth in range(CHUNK)]

    def _pieces(self, random: np.random.RandomState, topics: Numbers) -> tuple[Numbers, Numbers]:
        """The pieces of every phrase, whose topic is given, and how many there are up to each."""
        phrases = len(topics)
        drawn = random.random_sample(phrases)
        is_real, is_tail = drawn < REAL_SHARE, drawn >= 1 - TAIL_SHARE
        lengths = np.where(is_real, random.randint(2, 7, phrases), DRAWN_WORDS)
        lengths[is_tail] = TAIL_SYLLABLES
        ends = np.cumsum(lengths)
        total = int(ends[-1])
        nth = np.arange(total) - np.repeat(ends - lengths, lengths)
        starts = random.randint(0, len(self._real) - 6, phrases)
        pieces = self._real[np.repeat(starts, lengths) + nth]

        where = np.flatnonzero(np.repeat(~is_real & ~is_tail, lengths))
        kind, choice = random.random_sample((2, len(where)))
        words = _zipf(random, len(where))
        first, stops = self._stops
        is_stop, is_topic = kind < STOP_WORD_SHARE, kind >= 1 - TOPIC_SHARE
        words[is_stop] = first + (choice[is_stop] ** 2 * stops).astype(np.int64)
        of_topic = np.repeat(topics, lengths)[where[is_topic]]
        place = (choice[is_topic] ** 1.5 * TOPIC_WORDS).astype(np.int64)
        words[is_topic] = self._topics[of_topic, place]
        pieces[where] = words

        where = np.flatnonzero(np.repeat(is_tail, lengths))
        first, syllables = self._tail
        pieces[where] = first + random.randint(0, syllables, len(where))
        pieces[where[nth[where] == TAIL_SYLLABLES - 1]] += syllables
        return pieces, ends


def _zipf(random: np.random.RandomState, count: int) -> Numbers:
    """Ranks of content words."""
    first, last = SHIFT ** (1 - EXPONENT), (SHIFT + VOCABULARY) ** (1 - EXPONENT)
    ranks = (first + random.random_sample(count) * (last - first)) ** (1 / (1 - EXPONENT)) - SHIFT
    found: Numbers = np.clip(ranks.astype(np.int64), 0, VOCABULARY - 1)
    return found


@dataclass(frozen=True, slots=True)
class Known:
    """A question whose answer is known: it was made of that memory's words."""

    query: str
    answer: int  # the memory's number


QUESTIONS: Final = 400
KNOWN_ITEMS: Final = 4_000  # among 400, a share of 0.96 was once seen as 0.98
KNOWN_WORDS: Final = 8
_CHUNKS_READ: Final = (
    40  # of those the questions are about: generating all takes as long as feeding
)


def sampled(corpus: Corpus, memories: int, count: int) -> list[tuple[int, str]]:
    """Memories from all over the first `memories`, with their numbers; again, if there are few."""
    chunks = range(-(-memories // CHUNK))
    chosen = chunks[:: -(-len(chunks) // _CHUNKS_READ)]
    each = -(-count // len(chosen))
    found: list[tuple[int, str]] = []
    for chunk in chosen:
        first = chunk * CHUNK
        texts = corpus.chunk(chunk)[: memories - first]
        found += [
            (first + nth, texts[nth])
            for nth in (place * len(texts) // each % len(texts) for place in range(each))
        ]
    return found[:count]


def questions(corpus: Corpus, memories: int, count: int = QUESTIONS) -> list[str]:
    """5 to 30 words: half are passages of the real text, half words of a memory in any order."""
    random = np.random.RandomState(SEED + 1)
    asked = []
    for nth, (_, text) in enumerate(sampled(corpus, memories, count)):
        words = 5 + nth * 7 % 26
        if nth % 2:
            asked.append(" ".join(random.permutation(text.split())[:words]))
        else:
            start = random.randint(0, len(corpus.real_words) - 30)
            asked.append(" ".join(corpus.real_words[start : start + words]))
    return asked


def known_items(corpus: Corpus, memories: int, count: int = KNOWN_ITEMS) -> list[Known]:
    """Eight different words of a memory, stop words aside, in any order.

    Memories that have fewer are passed over.
    """
    random = np.random.RandomState(SEED + 2)
    items = []
    for number, text in sampled(corpus, memories, count + count // 4):
        words = [word for word in dict.fromkeys(text.split()) if word not in STOP_WORDS]
        if len(words) >= KNOWN_WORDS:
            items.append(Known(" ".join(random.permutation(words)[:KNOWN_WORDS]), number))
    return items[:count]
