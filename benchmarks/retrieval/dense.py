"""Peers that search vectors. There is no language model here: a vector is hashed TF-IDF, projected
to 256 numbers by a truncated SVD that is fitted to the first memories (latent semantics). What they
find is worse than what words find; the question's vector is part of a question's time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from synapse.retrieval.analysis import STOP_WORDS

DIMENSIONS: Final = 256
HASHES: Final = 1 << 17
FITTED: Final = 20_000  # memories
M, EF_BUILD, EF_SEARCH = 16, 128, 64  # of HNSW: common choices


class Dense(ABC):
    """Turns texts into vectors."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: tuple[list[int], list[str]] = ([], [])
        self._steps: tuple[Any, ...] = ()
        self._axes: Any = None
        self._ready = False

    def feed(self, numbers: Sequence[int], texts: Sequence[str]) -> None:
        """Take these in."""
        if self._ready:
            self._add(np.array(numbers), self._vectors(texts))
            return
        self._waiting[0].extend(numbers)
        self._waiting[1].extend(texts)
        if len(self._waiting[0]) >= FITTED:
            self._fit()

    def _fit(self) -> None:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

        numbers, texts = self._waiting
        hashing = HashingVectorizer(
            n_features=HASHES, alternate_sign=False, norm=None, stop_words=sorted(STOP_WORDS)
        )
        tfidf = TfidfTransformer(sublinear_tf=True)
        rows = tfidf.fit_transform(hashing.transform(texts))
        svd = TruncatedSVD(min(DIMENSIONS, len(texts) - 1), n_iter=2, random_state=0).fit(rows)
        self._steps = (hashing, tfidf)
        # As scikit-learn multiplies, it copies all of it for every question.
        self._axes = np.ascontiguousarray(svd.components_.T, dtype=np.float32)
        self._ready = True
        vectors = self._vectors(texts)
        self._make(vectors.shape[1], vectors)
        self._add(np.array(numbers), vectors)

    def _vectors(self, texts: Sequence[str]) -> Any:
        rows: Any = texts
        for step in self._steps:
            rows = step.transform(rows)
        rows = rows.astype(np.float32) @ self._axes
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

    @abstractmethod
    def _make(self, dimensions: int, sample: Any) -> None:
        """An empty index; the sample says how its numbers are spread."""

    @abstractmethod
    def _add(self, numbers: Any, vectors: Any) -> None:
        """Take these in."""

    def finish(self) -> None:
        """Make everything searchable."""
        if not self._ready:
            self._fit()
        self._save()

    @abstractmethod
    def _save(self) -> None:
        """Write the index to the folder."""

    def open(self) -> None:  # noqa: B027  # both engines share this nothing
        """It stays in the process that built it."""

    def prepare(self, query: str) -> str:
        """The question in the engine's own terms."""
        return query

    def exact(self, found: Any) -> bool:
        """Whether that is what its own ranking asks for."""
        return False

    def close(self) -> None:  # noqa: B027  # as above
        """Nothing is held open."""


class Usearch(Dense):
    """HNSW with numbers of 8 bits."""

    _index: Any

    def _make(self, dimensions: int, sample: Any) -> None:
        from usearch.index import Index

        self._index = Index(
            ndim=dimensions,
            metric="cos",
            dtype="i8",
            connectivity=M,
            expansion_add=EF_BUILD,
            expansion_search=EF_SEARCH,
        )

    def _add(self, numbers: Any, vectors: Any) -> None:
        self._index.add(numbers, vectors, threads=1)

    def _save(self) -> None:
        self._index.save(str(self._folder / "usearch"))

    def search(self, prepared: str, limit: int) -> Any:
        """The best matches, best first."""
        return self._index.search(self._vectors([prepared])[0], limit, threads=1)

    def numbers(self, found: Any) -> list[int]:
        """Of what was found."""
        return [int(each) for each in found.keys]


class Faiss(Dense):
    """HNSW with a scalar quantiser of 8 bits."""

    _index: Any

    def _make(self, dimensions: int, sample: Any) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        eight = faiss.ScalarQuantizer.QT_8bit
        # By distance, a memory without words would be near to all, and tear the graph apart.
        self._index = faiss.IndexHNSWSQ(dimensions, eight, M, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = EF_BUILD
        self._index.hnsw.efSearch = EF_SEARCH
        self._index.train(sample)
        self._numbers: list[int] = []

    def _add(self, numbers: Any, vectors: Any) -> None:
        self._index.add(vectors)
        self._numbers += numbers.tolist()

    def _save(self) -> None:
        import faiss

        faiss.write_index(self._index, str(self._folder / "faiss"))

    def search(self, prepared: str, limit: int) -> Any:
        """The best matches, best first."""
        return self._index.search(self._vectors([prepared]), limit)

    def numbers(self, found: Any) -> list[int]:
        """Of what was found."""
        return [self._numbers[row] for row in found[1][0].tolist() if row >= 0]
