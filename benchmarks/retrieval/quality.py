"""Quality by engine: nDCG@10 and recall on judged collections, alone or among generated memories.

The questions are the collection's own; each engine is asked in its own process. Generated memories
take their real text from Python's manual, unless other collections are named: with the judged ones
they hold runs of the very documents that are looked for, which is harder than it ever gets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Final

from benchmarks.retrieval import peers_folder
from benchmarks.retrieval.engines import KINDS
from benchmarks.retrieval.judged import Collection, ndcg, recall
from benchmarks.retrieval.speed import Figures, Limits, Process, SkippedError
from benchmarks.retrieval.worker import percentile

DEEP: Final = 100  # of recall@100


def measure(
    found: Sequence[Collection],
    engines: Sequence[str],
    folder: Path,
    limits: Limits,
    *,
    mixed: int = 0,
    real: str = "",
) -> Iterator[Figures]:
    """A row for each collection and engine; mixed ones lie in one index."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "real.txt").write_text(real, "utf-8")
    if not mixed:
        for each in found:
            yield from _measured([each], engines, folder / each.name, limits, 0)
    else:
        yield from _measured(found, engines, folder / f"mixed-{mixed}", limits, mixed)


def _measured(
    found: Sequence[Collection],
    engines: Sequence[str],
    folder: Path,
    limits: Limits,
    mixed: int,
) -> Iterator[Figures]:
    folder.mkdir(parents=True, exist_ok=True)
    texts = [text for each in found for text in each.documents.values()]
    (folder / "judged.json").write_text(json.dumps(texts), "utf-8")
    for name in engines:
        try:
            yield from _engine(found, name, folder, limits, mixed)
        except (SkippedError, peers_folder.NotToBeHadError) as error:
            yield {"engine": name, "collection": found[0].name, "skipped": str(error)}


def _engine(
    found: Sequence[Collection], name: str, folder: Path, limits: Limits, mixed: int
) -> Iterator[Figures]:
    kind = KINDS[name]
    builder = kind.fed_by or name
    settings = {
        "name": name,
        "folder": str(folder / builder),
        "memories": mixed,
        "judged": str(folder / "judged.json"),
        "real": str(folder.parent / "real.txt"),
        "seconds_max": limits.build_s,
    }
    python, done = peers_folder.python_for(name), folder / f"{builder}.done"
    if not kind.durable or not done.exists():
        limited = settings | {"name": builder, "memory_bytes_max": limits.memory_bytes}
        with Process(python, limited) as process:
            process.ask(do="build")
            if not kind.durable:
                yield from _asked(process, found, name, folder, mixed)
                return
        done.touch()
    with Process(python, settings) as process:
        process.ask(do="open")
        yield from _asked(process, found, name, folder, mixed)


def _asked(
    process: Process, found: Sequence[Collection], name: str, folder: Path, mixed: int
) -> Iterator[Figures]:
    first = mixed
    for each in found:
        queries = each.judged()
        path = folder / f"{each.name}-{name}.json"
        path.write_text(json.dumps(list(queries.values())), "utf-8")
        count = len(queries)
        reply = process.ask(do="answers", path=str(path), first=0, upto=count, limit=10)
        deep = process.ask(do="answers", path=str(path), first=0, upto=count, limit=DEEP)
        ids = list(each.documents)
        scored = []
        for key, top, far in zip(queries, reply["answers"], deep["answers"], strict=True):
            gains = each.of(key)
            named = [_named(ids, number - first) for number in top]
            named_far = [_named(ids, number - first) for number in far]
            scored.append(
                (ndcg(named, gains), recall(named, gains, 10), recall(named_far, gains, DEEP))
            )
        row: dict[str, Any] = {"engine": name, "collection": each.name, "mixed": mixed}
        names = ("ndcg10", "recall10", "recall100")
        row |= {
            figure: round(mean(values), 4)
            for figure, values in zip(names, zip(*scored, strict=True), strict=True)
        }
        row |= {"queries": count, "documents": len(ids)}
        row["exact_share"] = round(sum(reply["exact"]) / count, 4)
        yield row | _latency(process, path, count)
        first += len(ids)


def _latency(process: Process, path: Path, count: int) -> Figures:
    """Of these questions, the faster of two rounds."""
    rounds = [
        process.ask(do="ask", path=str(path), first=0, upto=count)["cpu_us"] for _ in range(2)
    ]
    fastest = [min(times) for times in zip(*rounds, strict=True)]
    return {
        "p50_us": round(percentile(fastest, 50), 1),
        "p99_us": round(percentile(fastest, 99), 1),
    }


def _named(ids: Sequence[str], number: int) -> str:
    """A judged document's id; a generated one's is no id."""
    return ids[number] if 0 <= number < len(ids) else f"generated {number}"
