"""Figures as tables for people, and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any, Final

from rich.table import Table

from benchmarks.svg import Picture, Scale

_COLUMNS: Final[Mapping[str, str]] = {
    "p50_us": "p50 µs",
    "p99_us": "p99 µs",
    "p50_to_tantivy": "p50 : tantivy",
    "p99_to_tantivy": "p99 : tantivy",
    "p50_to_bm25s": "p50 : bm25s",
    "exact_share": "exact",
    "hit5": "hit@5",
    "insert_per_cpu_s": "fed /CPU s",
    "searchable_p99_ms": "found after ms, p99",
    "rss_mb": "RSS MB",
    "anon_mb": "own MB",
    "disk_bytes_per_memory": "disk B each",
    "open_ms": "open ms",
}
_QUALITY: Final[Mapping[str, str]] = {
    "ndcg10": "nDCG@10",
    "recall10": "recall@10",
    "recall100": "recall@100",
    "exact_share": "exact",
    "p50_us": "p50 µs",
    "p99_us": "p99 µs",
    "skipped": "left out",
}
# How engines are drawn: ours bold, so that they are found at once.
_DRAWN: Final[Mapping[str, str]] = {
    "synapse-budget": "a bold",
    "synapse": "a",
    "synapse-numpy": "a dashed",
    "tantivy": "b",
    "bm25s": "b dashed",
    "fts5": "c",
    "sklearn": "d dashed",
    "reference": "c dashed",
    "usearch": "d",
    "faiss": "d dashed",
}


def shown(value: Any) -> str:
    """A figure with as many digits as it deserves."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def speed_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line an engine and size."""
    table = Table(title="Recall by size and engine (CPU time of one thread, fastest of the rounds)")
    table.add_column("memories", justify="right")
    table.add_column("engine")
    for heading in _COLUMNS.values():
        table.add_column(heading, justify="right")
    last = None
    for row in rows:
        if last not in (None, row["n"]):
            table.add_section()
        last = row["n"]
        figures = [shown(row.get(name)) for name in _COLUMNS]
        table.add_row(f"{row['n']:,}", row["engine"], *figures)
    return table


def markdown(rows: Sequence[Mapping[str, Any]], figures: Sequence[str]) -> str:
    """The same for a document: a line an engine, a column a size, each with these figures."""
    sizes = sorted({row["n"] for row in rows})
    names = list(dict.fromkeys(row["engine"] for row in rows))
    known = {(row["engine"], row["n"]): row for row in rows}
    lines = [" | ".join(["| engine", *map(_count, sizes)]) + " |", "|---" * (len(sizes) + 1) + "|"]
    for name in names:
        cells = []
        for size in sizes:
            row = known.get((name, size), {})
            cells.append(" / ".join(shown(row[each]) for each in figures if each in row))
        lines.append(" | ".join([f"| {name}", *cells]) + " |")
    return "\n".join(lines)


def quality_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line a collection and engine."""
    table = Table(title="Quality on judged collections")
    table.add_column("collection")
    table.add_column("engine")
    for heading in _QUALITY.values():
        table.add_column(heading, justify="right")
    for row in rows:
        figures = [_fixed(name, row.get(name)) for name in _QUALITY]
        table.add_row(str(row["collection"]), row["engine"], *figures)
    return table


def _fixed(name: str, value: Any) -> str:
    return f"{value:.4f}" if name.startswith(("ndcg", "recall")) and value else shown(value)


# The picture

_WIDTH, _PANEL, _TOP, _LEFT, _RIGHT = 900, 380, 60, 70, 690
_UNITS: Final = ((1e6, "s"), (1e3, "ms"), (1, "µs"))


def picture(rows: Sequence[Mapping[str, Any]]) -> str:
    """Latency against size, both by powers of ten: the median above, the 99th percentile below."""
    drawn = Picture(
        _WIDTH,
        2 * _PANEL + 30,
        "Time of a recall against how many memories there are, for several engines",
    )
    for nth, (figure, title) in enumerate((("p50_us", "median"), ("p99_us", "99th percentile"))):
        _panel(drawn, rows, figure, f"CPU time of one recall, {title}", _TOP + nth * _PANEL)
    return drawn.svg()


def _panel(
    drawn: Picture, rows: Sequence[Mapping[str, Any]], figure: str, title: str, top: int
) -> None:
    bottom = top + _PANEL - 100
    sizes = sorted({row["n"] for row in rows})
    across = Scale(log10(sizes[0]), max(log10(sizes[-1]), log10(sizes[0]) + 1), _LEFT, _RIGHT)
    known = [log10(row[figure]) for row in rows if row.get(figure)]
    low, high = int(min(known)), int(max(known)) + 1
    up = Scale(low, high, bottom, top)
    drawn.text(_LEFT, top - 16, title, size=15)
    for power in range(low, high + 1):
        drawn.line(_LEFT, up(power), _RIGHT, up(power), of="grid")
        drawn.text(_LEFT - 8, up(power) + 4, _time(power), of="quiet", anchor="end", size=12)
    for size in sizes:
        at = across(log10(size))
        drawn.text(at, bottom + 18, _count(size), of="quiet", anchor="middle", size=12)
    middle = (_LEFT + _RIGHT) / 2
    drawn.text(middle, bottom + 36, "memories", of="quiet", anchor="middle", size=12)
    ends: list[tuple[float, float, str, str]] = []
    for engine, of in _DRAWN.items():
        points = [
            (across(log10(row["n"])), up(log10(row[figure])))
            for row in sorted(rows, key=lambda row: int(row["n"]))
            if row["engine"] == engine and row.get(figure)
        ]
        if points:
            drawn.curve(points, of=of)
            ends.append((points[-1][1], points[-1][0], engine, of.split()[0]))
    _names(drawn, ends, top)


def _names(drawn: Picture, ends: Sequence[tuple[float, float, str, str]], top: int) -> None:
    """Each line's name at the right, a line apart, tied to the line's end."""
    at = top - 20.0
    for height, across, engine, of in sorted(ends):
        at = max(height, at + 17)
        drawn.dot(across, height, of=of, radius=2.5)
        drawn.line(across + 4, height, _RIGHT + 24, at, of="grid")
        drawn.text(_RIGHT + 28, at + 4, engine, of=of, size=13)


def _time(power: int) -> str:
    value = 10.0**power
    unit, name = next((each for each in _UNITS if value >= each[0]), _UNITS[-1])
    return f"{value / unit:g} {name}"


def _count(size: int) -> str:
    for unit, name in ((1_000_000, " M"), (1_000, " k")):
        if size >= unit:
            return f"{size / unit:g}{name}"
    return str(size)
