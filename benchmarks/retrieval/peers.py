"""Peers that search words. Imports nothing of theirs before it is needed, and of ours the stop list
alone, so that it runs in a folder that holds only the peer.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from synapse.retrieval.analysis import STOP_WORDS

K1, B = 1.2, 0.75
TANTIVY_HEAP_BYTES: Final = 256_000_000
_WORD: Final = re.compile(r"[^\W_]+")


def content_words(text: str) -> list[str]:
    """Words without stop words, repeated as often as they occur."""
    return [word for word in _WORD.findall(text.lower()) if word not in STOP_WORDS]


class Lasting:
    """What peers have in common that give exact answers and keep files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def exact(self, found: Any) -> bool:
        """Whether that is what its own ranking asks for."""
        return True

    def close(self) -> None:
        """Nothing is held open."""


class Tantivy(Lasting):
    """English stems, one indexing thread, one segment a commit, its own merges; BM25 as it is."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._writer: Any = None
        self._index: Any = None
        self._searcher: Any = None

    def feed(self, numbers: Sequence[int], texts: Sequence[str]) -> None:
        """Take these in."""
        import tantivy

        if self._index is None:
            builder = tantivy.SchemaBuilder()
            builder.add_text_field("text", stored=False, tokenizer_name="en_stem")
            builder.add_unsigned_field("number", fast=True, stored=False)
            schema = builder.build()
            self._index = tantivy.Index(schema, path=str(self._folder), reuse=True)
        if self._writer is None:
            self._writer = self._index.writer(heap_size=TANTIVY_HEAP_BYTES, num_threads=1)
        for number, text in zip(numbers, texts, strict=True):
            document = tantivy.Document(text=text)
            document.add_unsigned("number", number)
            self._writer.add_document(document)

    def visible(self) -> None:
        """What a program does that wants to find what it added."""
        self._writer.commit()
        self._index.reload()
        self._searcher = self._index.searcher()

    def finish(self) -> None:
        """Make everything searchable."""
        self._writer.commit()
        self._writer.wait_merging_threads()
        self._writer = None
        self._index.reload()
        self._searcher = self._index.searcher()

    def open(self) -> None:
        """Be ready to answer."""
        import tantivy

        self._index = tantivy.Index.open(str(self._folder))
        self._searcher = self._index.searcher()

    def close(self) -> None:
        """Wait for what it does on other threads, which writes and deletes files."""
        if self._writer is not None:
            self._writer.wait_merging_threads()

    def prepare(self, query: str) -> str:
        """The question in the engine's own terms."""
        return " ".join(content_words(query))

    def search(self, prepared: str, limit: int) -> Any:
        """The best matches, best first."""
        return self._searcher.search(self._index.parse_query(prepared, ["text"]), limit)

    def numbers(self, found: Any) -> list[int]:
        """Of what was found."""
        addresses = [address for _, address in found.hits]
        return [int(each) for each in self._searcher.fast_field_values("number", addresses)]


class Bm25s(Lasting):
    """Scores worked out when it is built, so it is built anew for every change. numba, one thread.

    Snowball stems. It is asked with terms that were cut and stemmed before: favours it.
    """

    def __init__(self, folder: Path) -> None:
        import Stemmer

        super().__init__(folder)
        self._stemmer = Stemmer.Stemmer("english")
        self._terms: list[list[str]] = []
        self._numbers: list[int] = []
        self._retriever: Any = None

    def feed(self, numbers: Sequence[int], texts: Sequence[str]) -> None:
        """Take these in."""
        self._numbers += numbers
        self._terms += [self.prepare(text) for text in texts]

    def finish(self) -> None:
        """Make everything searchable."""
        import bm25s

        self._retriever = bm25s.BM25(k1=K1, b=B, backend="numba")
        self._retriever.index(self._terms, show_progress=False)
        self._terms = []
        self._retriever.save(str(self._folder))
        np.save(self._folder / "numbers.npy", np.array(self._numbers))

    def open(self) -> None:
        """Be ready to answer."""
        import bm25s

        self._retriever = bm25s.BM25.load(str(self._folder), mmap=True)
        self._retriever.backend = "numba"
        self._numbers = np.load(self._folder / "numbers.npy").tolist()

    def prepare(self, query: str) -> list[str]:
        """The question in the engine's own terms."""
        return list(self._stemmer.stemWords(content_words(query)))

    def search(self, prepared: list[str], limit: int) -> Any:
        """The best matches, best first."""
        if not prepared:
            return None
        k = min(limit, len(self._numbers))
        return self._retriever.retrieve([prepared], k=k, n_threads=1, show_progress=False)

    def numbers(self, found: Any) -> list[int]:
        """Of what was found."""
        if found is None:
            return []
        rows, scores = found.documents[0].tolist(), found.scores[0].tolist()
        return [self._numbers[row] for row, score in zip(rows, scores, strict=True) if score > 0]


class Fts5(Lasting):
    """Porter stems, no copy of the texts, no flush after each commit."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._database = sqlite3.connect(folder / "fts5.db", isolation_level=None)
        self._database.execute("PRAGMA synchronous = off")
        self._database.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS memories"
            " USING fts5(text, content='', tokenize='porter unicode61')"
        )

    def feed(self, numbers: Sequence[int], texts: Sequence[str]) -> None:
        """Take these in."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO memories(rowid, text) VALUES (?, ?)", zip(numbers, texts, strict=True)
        )
        self._database.execute("COMMIT")

    def finish(self) -> None:
        """Every commit is searchable."""

    def open(self) -> None:
        """It is."""

    def prepare(self, query: str) -> str:
        """The question in the engine's own terms."""
        return " OR ".join(f'"{word}"' for word in content_words(query))

    def search(self, prepared: str, limit: int) -> Any:
        """The best matches, best first."""
        if not prepared:
            return []
        return self._database.execute(
            "SELECT rowid FROM memories WHERE memories MATCH ? ORDER BY rank LIMIT ?",
            (prepared, limit),
        ).fetchall()

    def numbers(self, found: Any) -> list[int]:
        """Of what was found."""
        return [row for (row,) in found]

    def close(self) -> None:
        """Let go of the files."""
        self._database.close()


class BruteForce(Lasting):
    """scikit-learn's TF-IDF and one sparse product with every memory: what most programs do."""

    def __init__(self, folder: Path) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        super().__init__(folder)
        self._vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words=sorted(STOP_WORDS))
        self._texts: list[str] = []
        self._numbers: list[int] = []
        self._matrix: Any = None

    def feed(self, numbers: Sequence[int], texts: Sequence[str]) -> None:
        """Take these in."""
        self._numbers += numbers
        self._texts += texts

    def finish(self) -> None:
        """Make everything searchable."""
        self._matrix = self._vectorizer.fit_transform(self._texts)
        self._texts = []

    def open(self) -> None:
        """It stays in the process that built it."""

    def prepare(self, query: str) -> str:
        """The question in the engine's own terms."""
        return query

    def search(self, prepared: str, limit: int) -> Any:
        """The best matches, best first."""
        scores = (self._matrix @ self._vectorizer.transform([prepared]).T).toarray().ravel()
        limit = min(limit, len(scores))
        best = np.argpartition(-scores, limit - 1)[:limit]
        best = best[np.argsort(-scores[best], kind="stable")]
        return best[scores[best] > 0]

    def numbers(self, found: Any) -> list[int]:
        """Of what was found."""
        return [self._numbers[row] for row in found.tolist()]


def versions() -> str:
    """Of the packages that are here, as JSON."""
    from importlib.metadata import distributions

    wanted = ("tantivy", "bm25s", "numba", "usearch", "faiss-cpu", "scikit-learn", "numpy")
    found = {each.metadata["Name"].lower(): each.version for each in distributions()}
    known = {name: found[name] for name in wanted if name in found}
    return json.dumps({**known, "sqlite": sqlite3.sqlite_version})
