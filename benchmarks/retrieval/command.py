"""The command line of these benchmarks."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.retrieval import judged, quality, report, speed
from benchmarks.retrieval.engines import DEFAULT, KINDS


def main(arguments: Sequence[str]) -> None:
    """`quality …` judges answers; everything else measures speed."""
    if arguments and arguments[0] == "quality":
        quality_command(arguments[1:])
    else:
        speed_command(arguments)


def _shared(parser: argparse.ArgumentParser, default: Sequence[str]) -> None:
    parser.add_argument(
        "--engines",
        default=",".join(default),
        help=f"with commas, of {', '.join(KINDS)} (%(default)s)",
    )
    parser.add_argument("--text", type=Path, help="collections whose text generated memories take")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, no table")
    parser.add_argument("--out", type=Path, help="write the figures to this file too")
    parser.add_argument("--folder", type=Path, help="where indexes are made; they are kept there")
    parser.add_argument("--build-s", type=float, default=1800.0, help="a build's time at most")
    parser.add_argument(
        "--memory-gb", type=float, help="of a build at most (60 %% of what is free)"
    )


def speed_command(arguments: Sequence[str]) -> None:
    """Measure speed."""
    parser = argparse.ArgumentParser(prog="bench retrieval", description=speed.__doc__)
    _shared(parser, DEFAULT)
    parser.add_argument("--sizes", default="10000,100000", help="how many memories, with commas")
    parser.add_argument("--judged", type=Path, help="measure quality on these collections instead")
    parser.add_argument("--ask-s", type=float, default=60.0, help="an engine's questions at most")
    parser.add_argument("--no-fresh", action="store_true", help="leave out time to searchable")
    parser.add_argument("--picture", type=Path, help="write latency against size as SVG")
    parser.add_argument("--from", dest="files", type=Path, nargs="*", help="show these files again")
    parser.add_argument("--markdown", metavar="FIGURES", help="print these figures as a table")
    wanted = parser.parse_args(arguments)
    if wanted.judged:
        quality_command(["--judged", str(wanted.judged), "--engines", "synapse", "--json"])
        return
    if wanted.files:
        documents = [json.loads(path.read_text("utf-8")) for path in wanted.files]
        _show(wanted, speed.with_ratios([row for each in documents for row in each["rows"]]))
        return
    with tempfile.TemporaryDirectory(prefix="synapse-bench-") as temporary:
        run = speed.Run(
            engines=_engines(parser, wanted.engines),
            folder=wanted.folder or Path(temporary),
            limits=_limits(wanted, wanted.ask_s),
            real=_text(wanted.text),
            keep=wanted.folder is not None,
            fresh=not wanted.no_fresh,
        )
        rows: list[speed.Figures] = []
        for size in wanted.sizes.split(","):
            found = speed.with_ratios(list(run.size(int(size))))
            rows += found
            if wanted.json:
                print("\n".join(json.dumps(row) for row in found), flush=True)
            _write(
                wanted.out,
                ["retrieval", *arguments],
                {"corpus": run.fingerprint, "rows": rows, "skipped": run.skipped},
            )
    _show(wanted, rows)


def _show(wanted: argparse.Namespace, rows: Sequence[speed.Figures]) -> None:
    if wanted.markdown:
        print(report.markdown(rows, wanted.markdown.split(",")))
    elif not wanted.json:
        _console().print(report.speed_table(rows))
    if wanted.picture:
        wanted.picture.write_text(report.picture(rows), "utf-8")
        print(f"wrote {wanted.picture}", file=sys.stderr)


def quality_command(arguments: Sequence[str]) -> None:
    """Measure quality."""
    parser = argparse.ArgumentParser(prog="bench quality", description=quality.__doc__)
    _shared(parser, ("synapse", "tantivy", "bm25s", "fts5"))
    parser.add_argument("--corpus", type=Path, help="corpus.jsonl, with --queries and --qrels")
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--qrels", type=Path)
    parser.add_argument("--judged", type=Path, help="a collection's folder, or a folder of such")
    parser.add_argument("--mixed", type=int, default=0, help="among so many generated memories")
    parser.add_argument("--convert", type=Path, nargs=2, metavar=("FOLDER", "OUT"))
    wanted = parser.parse_args(arguments)
    if wanted.convert:
        source, out = wanted.convert
        for path in judged.write_beir(judged.read_collection(source), out):
            print(path)
        return
    if wanted.judged:
        found = judged.collections(wanted.judged)
    elif wanted.corpus and wanted.queries and wanted.qrels:
        found = [judged.read_beir(wanted.corpus, wanted.queries, wanted.qrels)]
    else:
        parser.error("say --judged FOLDER, or --corpus, --queries and --qrels")
    with tempfile.TemporaryDirectory(prefix="synapse-bench-") as temporary:
        folder = wanted.folder or Path(temporary)
        limits = _limits(wanted, 600.0)
        engines = _engines(parser, wanted.engines)
        rows = []
        real = _text(wanted.text)
        for row in quality.measure(found, engines, folder, limits, mixed=wanted.mixed, real=real):
            rows.append(row)
            if wanted.json:
                print(json.dumps(row), flush=True)
    _write(wanted.out, ["quality", *arguments], {"rows": rows})
    if not wanted.json:
        _console().print(report.quality_table(rows))


def _console() -> Console:
    """Wide enough for every column when nobody's screen sets a limit."""
    return Console() if sys.stdout.isatty() else Console(width=180)


def _engines(parser: argparse.ArgumentParser, typed: str) -> list[str]:
    names = [name.strip() for name in typed.split(",") if name.strip()]
    for name in names:
        if name not in KINDS:
            parser.error(f"there is no engine {name!r}; there are {', '.join(KINDS)}")
    return names


def _limits(wanted: argparse.Namespace, ask_s: float) -> speed.Limits:
    memory = wanted.memory_gb * 2**30 if wanted.memory_gb else 0.6 * _free_bytes()
    return speed.Limits(wanted.build_s, ask_s, int(memory))


def _free_bytes() -> int:
    """What the system could still give; 0 where it does not say, and then there is no limit."""
    path = Path("/proc/meminfo")
    lines = path.read_text().splitlines() if path.exists() else []
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else 0


def _text(folder: Path | None) -> str:
    """The documents of judged collections, one after another."""
    found = judged.collections(folder) if folder else []
    return "\n".join(text for each in found for text in each.documents.values())


def _write(path: Path | None, typed: Sequence[str], what: speed.Figures) -> None:
    """The figures, with where they come from; a path of this machine is of no use elsewhere."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        words = ["FOLDER" if Path(word).is_absolute() else word for word in typed]
        body = {"command": " ".join(["synapse bench", *words]), **speed.machine(), **what}
        path.write_text(json.dumps(body, indent=1) + "\n", "utf-8")
