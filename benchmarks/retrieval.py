"""How fast, how large and how good retrieval is.

    python -m benchmarks.retrieval --sizes 10000,100000     speed, one JSON object a line
    python -m benchmarks.retrieval --judged FOLDER          nDCG@10, one JSON object a line

Speed is measured on generated memories: the same ones on every run, with the word frequencies of
English (Zipf-Mandelbrot) and about 60 words each. Every engine runs in a process of its own, on
one thread. Absolute figures depend on the machine; the ratios to scikit-learn's brute-force
TF-IDF, measured in the same run, are what to compare.

FOLDER holds judged collections in SMART format, one folder each: documents in `*.all*`, queries in
`*.qry` or `query*`, judgements in `*qrel*`.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import multiprocessing
import re
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from synapse.core.memory.memory import Memory
from synapse.retrieval.analysis import STOP_WORDS
from synapse.retrieval.inverted import InvertedIndex
from synapse.retrieval.scan import ScanIndex

SEED = 20_260_101
# Zipf-Mandelbrot: the n-th commonest content word is drawn with a density of (n + shift)^-exponent.
# The commonest is then in a third of all memories, the thousandth in 0.3 %.
VOCABULARY, SHIFT, EXPONENT = 200_000, 15, 1.2
STOP_WORD_SHARE = 0.45  # of running English
BATCH = 1000
QUERIES = 400
ROUNDS = 5  # a query's time is its fastest; the other rounds measure the machine
SCAN_MEMORIES_MAX = 10_000  # beyond it the exact scan takes minutes
LIMIT = 10


class Engine(Protocol):
    """What is measured: bulk insertion, then one query at a time."""

    def add(self, memories: Sequence[Memory]) -> None:
        """Make these searchable."""

    def search(self, query: str, *, limit: int) -> object:
        """The best `limit` matches."""


class BruteForce:
    """scikit-learn's TF-IDF and one sparse product with every memory: what most programs do.

    It cannot be fed piece by piece: every `add` fits everything anew.
    """

    def __init__(self) -> None:
        self._vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words=sorted(STOP_WORDS))
        self._matrix = None

    def add(self, memories: Sequence[Memory]) -> None:
        """Fit the vocabulary and the idf, and keep every memory's vector."""
        self._matrix = self._vectorizer.fit_transform(memory.text for memory in memories)

    def search(self, query: str, *, limit: int) -> object:
        """The rows of the best `limit` memories, best first."""
        scores = (self._matrix @ self._vectorizer.transform([query]).T).toarray().ravel()
        best = np.argpartition(-scores, limit - 1)[:limit]
        return best[np.argsort(-scores[best])]


ENGINES: dict[str, Callable[[], Engine]] = {
    "sklearn": BruteForce,
    "synapse": InvertedIndex,
    "scan": ScanIndex,
}


def vocabulary() -> tuple[list[str], list[str]]:
    """The stop words, and made-up content words that can be stemmed, commonest first."""
    syllables = [a + b for a in "bcdfghjklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "or")]
    endings = ("", "s", "", "ing", "", "ed", "", "ly", "er", "")
    words = []
    for rank in range(VOCABULARY):
        word, rest = "", rank + len(syllables)
        while rest:
            rest, digit = divmod(rest, len(syllables))
            word += syllables[digit]
        words.append(word + endings[rank % len(endings)])
    return sorted(STOP_WORDS), words


class Writer:
    """An endless source of texts; two with one seed write the same."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.RandomState(seed)  # its streams are frozen for ever
        self._stop_words, self._words = vocabulary()

    def text(self, words: int) -> str:
        """That many words, each drawn on its own."""
        drawn = self._random.random_sample((3, words))
        first, last = SHIFT ** (1 - EXPONENT), (SHIFT + VOCABULARY) ** (1 - EXPONENT)
        ranks = (first + drawn[0] * (last - first)) ** (1 / (1 - EXPONENT)) - SHIFT
        stops = drawn[1] * len(self._stop_words)
        return " ".join(
            self._stop_words[int(stop)] if is_stop else self._words[int(rank)]
            for rank, stop, is_stop in zip(ranks, stops, drawn[2] < STOP_WORD_SHARE, strict=True)
        )

    def memories(self) -> Iterator[Memory]:
        """Memories of 20 to 180 words, 60 on average, without end."""
        number = 0
        while True:
            words = 20 + int(40 * self._random.standard_exponential())
            yield memory(number, self.text(min(words, 180)))
            number += 1

    def query(self, about: Memory) -> str:
        """5 to 30 words: half of the queries ask with a memory's own words, half with any."""
        words = self._random.randint(5, 31)
        if self._random.random_sample() < 0.5:
            return self.text(words)
        return " ".join(self._random.permutation(about.text.split())[:words])


def memory(number: int, text: str) -> Memory:
    """A shared memory whose id sorts like its number."""
    return Memory(number.to_bytes(32, "big"), text, "note", (), "00" * 32, 0, True)


def measure(name: str, memories: int) -> dict[str, float]:
    """Build one engine of that size in this process, and ask it every query."""
    writer = Writer(SEED)
    source = islice(writer.memories(), memories)
    batch_size = memories if name == "sklearn" else BATCH
    asked_about = range(0, memories, -(-memories // QUERIES))
    about, cpu_s, before_mb, engine = [], 0.0, resident_mb(), ENGINES[name]()
    while batch := list(islice(source, batch_size)):
        started = time.process_time()
        engine.add(batch)
        cpu_s += time.process_time() - started
        about += [each for each in batch if int.from_bytes(each.id) in asked_about]
    del batch
    gc.collect()
    rss_mb = resident_mb() - before_mb
    times_us = np.array([latencies_us(engine, about) for _ in range(ROUNDS)]).min(axis=0)
    return {
        "insert_per_cpu_s": round(memories / cpu_s),
        "p50_us": round(float(np.percentile(times_us, 50)), 1),
        "p99_us": round(float(np.percentile(times_us, 99)), 1),
        "rss_mb": round(rss_mb, 1),
    }


def latencies_us(engine: Engine, about: Sequence[Memory]) -> list[float]:
    """How long each query of one round took."""
    writer, times_us = Writer(SEED + 1), []
    for query in [writer.query(each) for each in about]:
        started = time.perf_counter_ns()
        engine.search(query, limit=LIMIT)
        times_us.append((time.perf_counter_ns() - started) / 1000)
    return times_us


def resident_mb() -> float:
    """Resident memory of this process; its peak where the system does not tell the present."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def report_speed(sizes: Sequence[int]) -> None:
    """Measure every engine at every size, each in a new process, scikit-learn first."""
    spawn = multiprocessing.get_context("spawn")
    for memories in sizes:
        peer: dict[str, float] = {}
        for name in ENGINES:
            if name == "scan" and memories > SCAN_MEMORIES_MAX:
                continue
            with spawn.Pool(1) as process:
                figures = process.apply(measure, (name, memories))
            peer = peer or figures
            ratios = {f"{key}_to_sklearn": round(figures[key] / peer[key], 4) for key in figures}
            print(json.dumps({"engine": name, "memories": memories, **figures, **ratios}))


def read_smart(path: Path, fields: str) -> list[str]:
    """The texts of a SMART file in its order, each its `fields` (letters, as in `.T`) joined."""
    texts: list[list[str]] = []
    field = ""
    for line in path.read_text(encoding="latin-1").splitlines():
        if re.match(r"\.I \d+", line):
            texts.append([])
        elif re.fullmatch(r"\.[A-Z]\s*", line):
            field = line[1]
        elif field in fields:
            texts[-1].append(line)
    return [" ".join(lines) for lines in texts]


def read_judgements(path: Path) -> dict[int, dict[int, int]]:
    """For every query, by position, the gain of each relevant document, by number.

    Cranfield's third column grades from 1 (a complete answer, gain 4) to 4 (of some interest, gain
    1); anything else there is not relevant. A file of four columns lists relevant documents only.
    """
    gains: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for line in path.read_text().splitlines():
        columns = [int(column) for column in line.split()]
        if len(columns) == 4:
            gains[columns[0]][columns[1]] = 1
        elif len(columns) == 3 and 1 <= columns[2] <= 4:
            gains[columns[0]][columns[1]] = 5 - columns[2]
    return gains


def ndcg(ranking: Sequence[int], gains: dict[int, int]) -> float:
    """nDCG at `LIMIT` with linear gains (Jarvelin and Kekalainen 2002): 1.0 is the best order."""

    def discounted(values: Sequence[int]) -> float:
        return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(values[:LIMIT]))

    ideal = discounted(sorted(gains.values(), reverse=True))
    return discounted([gains.get(document, 0) for document in ranking]) / ideal


def report_quality(collections: Path) -> None:
    """Mean nDCG@10 over the judged queries of every collection in a folder."""
    for folder in sorted(path for path in collections.iterdir() if path.is_dir()):
        documents = read_smart(next(folder.glob("*.all*")), "TAWK")
        queries = read_smart(next(folder.glob("*qry*"), folder / "query.text"), "W")
        judgements = read_judgements(next(folder.glob("*qrel*")))
        index = InvertedIndex()
        index.add([memory(number, text) for number, text in enumerate(documents, start=1)])
        quality = []
        for position, query in enumerate(queries, start=1):
            if gains := judgements.get(position):
                hits = index.search(query, limit=LIMIT)
                quality.append(ndcg([int.from_bytes(hit.id) for hit in hits], gains))
        mean = sum(quality) / len(quality)
        print(json.dumps({"collection": folder.name, "queries": len(quality), "ndcg_10": mean}))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments and print what they ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", default="10000,100000", help="how many memories, with commas")
    parser.add_argument("--judged", type=Path, help="measure quality on these collections instead")
    wanted = parser.parse_args(arguments)
    if wanted.judged:
        report_quality(wanted.judged)
    else:
        report_speed([int(size) for size in wanted.sizes.split(",")])


if __name__ == "__main__":
    main()
