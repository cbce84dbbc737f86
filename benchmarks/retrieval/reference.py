"""The reference's method, written from its description, to be measured beside ours.

Up to 50,000 memories: TF-IDF of 5,000 features, fitted anew after any change; every question
transforms every memory again, and a Python loop weighs each by its age. Past that: MinHash of
three-character shingles, 128 hashes in 16 bands of 8, where only memories that share a whole band
with the question are looked at. The hashes are worked out with numpy here, about twenty times as
fast as there, or nobody would wait for them.
"""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

MINHASH_FROM: Final = 50_000
FEATURES: Final = 5_000
SCORE_MIN: Final = 0.05
HASHES, BANDS, BAND = 128, 16, 8
SHINGLE: Final = 3
DECAY_A_DAY, DECAY_MIN = 0.1, 0.15
_PRIME: Final = (1 << 31) - 1


class Reference:
    """A linear scan, and then a search that finds nothing."""

    def __init__(self, folder: Path) -> None:
        self._texts: list[str] = []
        self._numbers: list[int] = []
        self._vectorizer: Any = None
        random = np.random.RandomState(1)
        self._factors = random.randint(1, _PRIME, (HASHES, 1)).astype(np.int64)
        self._terms = random.randint(0, _PRIME, (HASHES, 1)).astype(np.int64)
        self._signatures: list[Any] = []
        self._buckets: defaultdict[bytes, list[int]] = defaultdict(list)

    def feed(self, numbers: Sequence[int], texts: Sequence[str]) -> None:
        """Take these in."""
        self._numbers += numbers
        self._texts += texts

    def finish(self) -> None:
        """Make everything searchable."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        if len(self._texts) < MINHASH_FROM:
            self._vectorizer = TfidfVectorizer(max_features=FEATURES, stop_words="english")
            self._vectorizer.fit(self._texts)
            return
        for row, text in enumerate(self._texts):
            signature = self._signature(text)
            self._signatures.append(signature)
            for bucket in _bands(signature):
                self._buckets[bucket].append(row)

    def open(self) -> None:
        """It stays in the process that built it."""

    def prepare(self, query: str) -> str:
        """The question in the engine's own terms."""
        return query

    def search(self, prepared: str, limit: int) -> Any:
        """The best matches, best first."""
        if self._vectorizer is None:
            return self._collisions(prepared, limit)
        from sklearn.metrics.pairwise import cosine_similarity

        everything = self._vectorizer.transform(self._texts)
        scores = cosine_similarity(self._vectorizer.transform([prepared]), everything)[0]
        for row in range(len(scores)):
            age_days = (len(scores) - row) * 1e-4
            scores[row] *= max(DECAY_MIN, math.exp(-DECAY_A_DAY * age_days))
        best = np.argsort(-scores, kind="stable")[:limit]
        return best[scores[best] > SCORE_MIN].tolist()

    def _collisions(self, query: str, limit: int) -> list[int]:
        signature = self._signature(query)
        rows = {row for bucket in _bands(signature) for row in self._buckets.get(bucket, ())}
        scored = [(float(np.mean(self._signatures[row] == signature)), -row) for row in rows]
        best = sorted(scored, reverse=True)[:limit]
        return [-row for score, row in best if score > SCORE_MIN]

    def _signature(self, text: str) -> Any:
        text = text.lower()
        shingles = {text[at : at + SHINGLE] for at in range(max(1, len(text) - SHINGLE + 1))}
        hashes = np.array([zlib.crc32(each.encode()) % _PRIME for each in sorted(shingles)])
        return ((self._factors * hashes + self._terms) % _PRIME).min(axis=1).astype(np.int32)

    def numbers(self, found: Any) -> list[int]:
        """Of what was found."""
        return [self._numbers[row] for row in found]

    def exact(self, found: Any) -> bool:
        """Whether that is what its own ranking asks for."""
        return self._vectorizer is not None

    def close(self) -> None:
        """Nothing is held open."""


def _bands(signature: Any) -> list[bytes]:
    rows = signature.reshape(BANDS, BAND)
    return [bytes([nth]) + rows[nth].tobytes() for nth in range(BANDS)]
