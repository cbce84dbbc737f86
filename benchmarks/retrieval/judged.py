"""Judged collections: documents, questions and what answers them; and how good a ranking is.

Two layouts are read. BEIR's has `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`,
`text`) and judgements as tab-separated `query-id corpus-id score` under a heading. SMART's, in
which the old collections came, has documents in `*.all*`, questions in `*.qry` or `query*` and
judgements in `*qrel*`; the judgements count questions by position, not by their `.I`.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

LIMIT: Final = 10

Key = TypeVar("Key", str, int)


@dataclass(frozen=True, slots=True)
class Collection:
    """Texts by id in the order of the file, and the gains of the relevant ones by question."""

    name: str
    documents: Mapping[str, str]
    queries: Mapping[str, str]
    gains: Mapping[str, Mapping[str, int]]

    def judged(self) -> dict[str, str]:
        """The questions to which there is a relevant document."""
        return {key: text for key, text in self.queries.items() if any(self.of(key).values())}

    def of(self, query: str) -> Mapping[str, int]:
        """The gains of a question's documents."""
        return self.gains.get(query, {})


# Quality


def ndcg(ranking: Sequence[Key], gains: Mapping[Key, int], limit: int = LIMIT) -> float:
    """nDCG with linear gains (Jarvelin and Kekalainen 2002): 1.0 is the best order."""

    def discounted(values: Iterable[int]) -> float:
        return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(values))

    ideal = discounted(sorted(gains.values(), reverse=True)[:limit])
    return discounted(gains.get(document, 0) for document in ranking[:limit]) / ideal


def recall(ranking: Sequence[Key], gains: Mapping[Key, int], limit: int) -> float:
    """The share of the relevant documents that are among the first `limit`."""
    relevant = [document for document, gain in gains.items() if gain > 0]
    return sum(document in ranking[:limit] for document in relevant) / len(relevant)


# BEIR's layout


def read_beir(corpus: Path, queries: Path, qrels: Path) -> Collection:
    """Raises ValueError, KeyError and OSError for files that are not what they should be."""
    gains: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for line in qrels.read_text("utf-8").splitlines():
        columns = line.split("\t")
        if len(columns) == 3 and columns[2].strip().lstrip("-").isdigit():
            gains[columns[0]][columns[1]] = max(0, int(columns[2]))
    documents = {
        str(each["_id"]): f"{each.get('title') or ''} {each['text']}".strip()
        for each in _lines(corpus)
    }
    asked = {str(each["_id"]): str(each["text"]) for each in _lines(queries)}
    return Collection(corpus.parent.name, documents, asked, gains)


def _lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def write_beir(collection: Collection, folder: Path) -> list[Path]:
    """The files of BEIR's layout, judgements in `qrels.tsv`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels.tsv"]
    for path, texts in zip(paths, (collection.documents, collection.queries), strict=False):
        lines = [json.dumps({"_id": key, "text": text}) + "\n" for key, text in texts.items()]
        path.write_text("".join(lines), "utf-8")
    rows = ["query-id\tcorpus-id\tscore\n"]
    for query, gains in collection.gains.items():
        rows += [f"{query}\t{document}\t{gain}\n" for document, gain in gains.items()]
    paths[2].write_text("".join(rows), "utf-8")
    return paths


# SMART's layout


def read_collection(folder: Path) -> Collection:
    """A folder in either layout. Raises ValueError when it is in neither."""
    if (folder / "corpus.jsonl").is_file():
        qrels = folder / "qrels.tsv"
        if not qrels.is_file():
            qrels = folder / "qrels" / "test.tsv"
        return read_beir(folder / "corpus.jsonl", folder / "queries.jsonl", qrels)
    found = [next(folder.glob(name), None) for name in ("*.all*", "*qry*", "*qrel*")]
    documents, queries, judgements = found
    queries = queries or next(folder.glob("query*"), None)
    if documents is None or queries is None or judgements is None:
        raise ValueError(f"{folder} is neither in BEIR's layout nor in SMART's")
    gains = {
        str(query): {str(document): gain for document, gain in its.items()}
        for query, its in read_judgements(judgements).items()
    }
    texts = read_smart(documents, "TAWK")
    return Collection(
        folder.name,
        {str(nth): text for nth, text in enumerate(texts, start=1)},
        {str(nth): text for nth, text in enumerate(read_smart(queries, "W"), start=1)},
        gains,
    )


def collections(folder: Path) -> list[Collection]:
    """The one a folder is, or those in its folders, by name."""
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name != "qrels"]
    return [read_collection(path) for path in inside] if inside else [read_collection(folder)]


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
