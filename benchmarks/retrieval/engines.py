"""What is measured, under one interface. Each engine lives in a process of its own (`worker`).

Numbers of memories are the benchmark's. Every lexical engine stems English and is asked without
stop words, with k1 1.2 and b 0.75 where it has them. What differs is theirs: see each class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

LIMIT: Final = 10
NOW_MS: Final = 1_800_000_000_000
SPAN_MS: Final = 100 * 86_400_000  # memories arrive evenly over a hundred days
SPAN_MEMORIES: Final = 10_000_000
OPERATORS: Final = 7


class Engine(Protocol):
    """Feeding, then asking. `folder` is its own and empty at first."""

    def feed(self, numbers: Sequence[int], texts: Sequence[str]) -> None:
        """Take these in; they need not be searchable yet."""

    def finish(self) -> None:
        """Make everything searchable, and durable where the engine can."""

    def open(self) -> None:
        """Be ready to answer from what another process fed."""

    def prepare(self, query: str) -> Any:
        """The question in the engine's own terms. Not counted: favours the peers."""

    def search(self, prepared: Any, limit: int) -> Any:
        """The best matches, best first, as the engine gives them. Counted."""

    def numbers(self, found: Any) -> list[int]:
        """The numbers of what was found. Not counted: favours the peers."""

    def exact(self, found: Any) -> bool:
        """Whether that is what the engine's own ranking asks for, and not an approximation."""

    def close(self) -> None:
        """Let go of the files."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How an engine is made, and what may be expected of it."""

    make: Callable[[Path], Engine]
    says: str
    needs: tuple[str, ...] = ()  # packages for a folder of peers
    modules: tuple[str, ...] = ()  # what must import there
    durable: bool = True  # whether another process can open what one fed
    whole: bool = False  # whether it must be built anew for every change
    links: bool = True  # whether its files never change, so that a copy may link to them
    fed_by: str = ""  # whose files it opens, if not its own
    narrowed: bool = False  # whether it leaves out memories on purpose, so that hits say nothing
    memories_max: int | None = None  # where it stops making sense, and why is in `says`


def memory_id(number: int) -> bytes:
    """Spread like a hash, and it tells the number."""
    return hashlib.sha256(b"%d" % number).digest()[:24] + number.to_bytes(8, "big")


class Synapse:
    """The index of this package."""

    def __init__(
        self, folder: Path, *, numpy: bool = False, budgeted: bool = False, ranked: bool = False
    ) -> None:
        """`budgeted`: as spores ask it. `ranked`: with decay, trust and a filter."""
        from synapse.core.memory.memory import Memory
        from synapse.ports import ANY, Filter, Ranking
        from synapse.retrieval.engine import BEST, NUMPY
        from synapse.retrieval.inverted import InvertedIndex

        self._memory: Any = Memory
        self._make: Any = InvertedIndex
        self._engine = NUMPY if numpy else BEST
        self.name = self._engine.name
        self._folder, self._budgeted = folder, budgeted
        self.budget: int | None = None  # postings
        self._index: Any = None
        self._fed = 0
        self._wanted: Any = ANY
        self._ranking: Any = None
        if ranked:
            trust = {f"{nth:02d}": nth / OPERATORS for nth in range(OPERATORS)}
            self._wanted = Filter(kind="note")
            self._ranking = Ranking(NOW_MS, half_life_days=7.0, trust=trust)

    def feed(self, numbers: Sequence[int], texts: Sequence[str]) -> None:
        """Take these in."""
        if self._index is None:
            self.open()
        after = self._fed
        self._fed += len(numbers)
        self._index.add(
            [self._one(number, text) for number, text in zip(numbers, texts, strict=True)],
            covers=(after, self._fed),
        )

    def _one(self, number: int, text: str) -> Any:
        created_ms = NOW_MS - SPAN_MS + number * SPAN_MS // SPAN_MEMORIES
        kind, author = "note" if number % 10 else "fact", f"{number % OPERATORS:02d}"
        return self._memory(memory_id(number), text, kind, (), author, created_ms, True)

    def upkeep(self) -> None:
        """One step of what a spore does on another thread."""
        self._index.maintain()

    def finish(self) -> None:
        """Make everything searchable."""
        while self._index.maintain():
            pass
        self._index.checkpoint()

    def open(self) -> None:
        """Be ready to answer."""
        from synapse.retrieval.budget import budget_for

        self._index = self._make(self._folder, engine=self._engine)
        self._fed = len(self._index)
        if self._budgeted:
            self.budget = budget_for(self._fed)

    def prepare(self, query: str) -> str:
        """The question in the engine's own terms."""
        return query

    def search(self, prepared: str, limit: int) -> Any:
        """The best matches, best first."""
        return self._index.search(
            prepared,
            limit=limit,
            wanted=self._wanted,
            ranking=self._ranking,
            budget=self.budget,
        )

    def numbers(self, found: Any) -> list[int]:
        """Of what was found."""
        return [int.from_bytes(hit.id[24:], "big") for hit in found]

    def exact(self, found: Any) -> bool:
        """Whether that is what its own ranking asks for."""
        return bool(found.exact)

    def close(self) -> None:
        """Let go of the files."""
        if self._index is not None:
            self._index.close()


class Scan(Synapse):
    """The exact scan: reads every memory for every question. The oracle of the tests."""

    def open(self) -> None:
        """Be ready to answer."""
        from synapse.retrieval.scan import ScanIndex

        self._index = ScanIndex()

    def finish(self) -> None:
        """Nothing is left to do."""


def _semantic(folder: Path, every: int = 1) -> Engine:
    from benchmarks.retrieval.semantic import Semantic

    return Semantic(folder, every=every)


def _tantivy(folder: Path) -> Engine:
    from benchmarks.retrieval.peers import Tantivy

    return Tantivy(folder)


def _bm25s(folder: Path) -> Engine:
    from benchmarks.retrieval.peers import Bm25s

    return Bm25s(folder)


def _fts5(folder: Path) -> Engine:
    from benchmarks.retrieval.peers import Fts5

    return Fts5(folder)


def _sklearn(folder: Path) -> Engine:
    from benchmarks.retrieval.peers import BruteForce

    return BruteForce(folder)


def _usearch(folder: Path) -> Engine:
    from benchmarks.retrieval.dense import Usearch

    return Usearch(folder)


def _faiss(folder: Path) -> Engine:
    from benchmarks.retrieval.dense import Faiss

    return Faiss(folder)


def _reference(folder: Path) -> Engine:
    from benchmarks.retrieval.reference import Reference

    return Reference(folder)


_NUMPY: Final = ("numpy>=2", "scipy", "scikit-learn>=1.5")
KINDS: Final[Mapping[str, Kind]] = {
    "synapse": Kind(Synapse, "the index, exact"),
    "synapse-budget": Kind(
        lambda folder: Synapse(folder, budgeted=True),
        "the index as spores ask it: exact up to a million memories, with a budget above",
        fed_by="synapse",
    ),
    "synapse-ranked": Kind(
        lambda folder: Synapse(folder, ranked=True),
        "the index, exact, with decay, trust and a filter on",
        fed_by="synapse",
        narrowed=True,
    ),
    "synapse-numpy": Kind(
        lambda folder: Synapse(folder, numpy=True),
        "the index without its compiled loops; the same files",
        fed_by="synapse",
    ),
    "synapse-semantic": Kind(
        _semantic,
        "the index, its best 100 reordered by vectors (TF-IDF, SVD fitted to the collection)",
        durable=False,
    ),
    "synapse-semantic-half": Kind(
        lambda folder: _semantic(folder, every=2),
        "the same, when only every second memory has a vector",
        durable=False,
    ),
    "scan": Kind(
        Scan,
        "the exact scan; past 10,000 memories it takes minutes",
        durable=False,
        memories_max=10_000,
    ),
    "tantivy": Kind(_tantivy, "tantivy, one thread", ("tantivy>=0.25",), ("tantivy",)),
    "bm25s": Kind(
        _bm25s,
        "bm25s with numba",
        ("bm25s>=0.3", "numba", "PyStemmer", *_NUMPY),
        ("bm25s", "numba", "Stemmer"),
        whole=True,
    ),
    "fts5": Kind(_fts5, "SQLite FTS5", links=False),
    "sklearn": Kind(_sklearn, "scikit-learn TF-IDF, brute force", durable=False, whole=True),
    "usearch": Kind(
        _usearch,
        "usearch HNSW over vectors of 256 numbers (hashed TF-IDF, SVD), 8 bits each",
        ("usearch>=2", *_NUMPY),
        ("usearch", "sklearn"),
        durable=False,
    ),
    "faiss": Kind(
        _faiss,
        "FAISS HNSW over the same vectors, 8 bits a number",
        ("faiss-cpu>=1.8", *_NUMPY),
        ("faiss", "sklearn"),
        durable=False,
    ),
    "reference": Kind(
        _reference,
        "the reference's method: TF-IDF of everything for each question, MinHash past 50,000",
        durable=False,
    ),
}
DEFAULT: Final = ("synapse", "synapse-budget", "synapse-numpy", "tantivy", "bm25s", "fts5")
