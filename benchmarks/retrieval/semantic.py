"""The index, and its best hundred reordered by meaning. There is no language model here: a vector
is TF-IDF, projected to 256 numbers by a truncated SVD that is fitted to the very memories that are
searched (latent semantics). A trained model knows more than that; this shows the machinery, and a
lower bound of what it is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.retrieval.engines import Synapse, memory_id
from synapse.ports import Hits
from synapse.retrieval.analysis import analyse
from synapse.retrieval.semantic.column import Column
from synapse.retrieval.semantic.reranking import RERANKED, rerank

DIMENSIONS: Final = 256
FITTED: Final = 20_000  # memories; the rest are projected
BATCH: Final = 32  # vectors written at once, as from an endpoint


class Semantic(Synapse):
    """Keeps what was fitted in memory, so that it is asked by the process that fed it."""

    def __init__(self, folder: Path, *, every: int = 1) -> None:
        """`every` second memory, or third, has a vector."""
        super().__init__(folder / "index")
        self._column = Column(folder / "vectors", model="latent semantics")
        self._column.open()
        self._every = every
        self._fitting: tuple[list[int], list[str]] = ([], [])
        self._words: Any = None
        self._axes: Any = None

    def feed(self, numbers: Sequence[int], texts: Sequence[str]) -> None:
        """Take these in."""
        super().feed(numbers, texts)
        if self._axes is not None:
            self._keep(numbers, texts)
            return
        self._fitting[0].extend(numbers)
        self._fitting[1].extend(texts)
        if len(self._fitting[0]) >= FITTED:
            self._fit()

    def finish(self) -> None:
        """Make everything searchable."""
        super().finish()
        if self._axes is None:
            self._fit()

    def _fit(self) -> None:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        numbers, texts = self._fitting
        self._words = TfidfVectorizer(analyzer=analyse, sublinear_tf=True)
        rows = self._words.fit_transform(texts)
        size = min(DIMENSIONS, len(texts) - 1, rows.shape[1] - 1)
        svd = TruncatedSVD(size, n_iter=4, random_state=0).fit(rows)
        self._axes = np.ascontiguousarray(svd.components_.T, dtype=np.float32)
        self._keep(numbers, texts)
        self._fitting = ([], [])

    def _vectors(self, texts: Sequence[str]) -> Any:
        rows = self._words.transform(texts).astype(np.float32) @ self._axes
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

    def _keep(self, numbers: Sequence[int], texts: Sequence[str]) -> None:
        vectors = self._vectors(texts)
        pointing = [  # the others hold unknown words only
            row
            for row in np.flatnonzero(vectors.any(axis=1)).tolist()
            if not numbers[row] % self._every
        ]
        for start in range(0, len(pointing), BATCH):
            rows = pointing[start : start + BATCH]
            self._column.append([memory_id(numbers[row]) for row in rows], vectors[rows])

    def search(self, prepared: str, limit: int) -> Any:
        """The best matches, best first. The question's vector is part of its time."""
        hits = super().search(prepared, max(limit, RERANKED))
        found = rerank(hits, self._vectors([prepared])[0], self._column)
        cut = Hits(found[:limit])
        cut.exact = found.exact
        return cut

    def close(self) -> None:
        """Let go of the files."""
        super().close()
        self._column.close()
