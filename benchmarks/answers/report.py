"""Figures beside the bars they were to reach: tables for docs/evidence.md, a file, a picture.

    make bench-answers            python -m benchmarks.answers.report [--layers replay,solvers]

Each layer goes into tables of its own, between markers of the document; nothing else there is
touched. A figure that misses its bar says so. benchmarks/results/answers.json keeps every figure
with the command that gave it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.svg import Picture, Scale

ROOT: Final = Path(__file__).resolve().parents[2]
RESULTS: Final = ROOT / "benchmarks/results/answers.json"
DOCUMENT: Final = ROOT / "docs/evidence.md"
HEADINGS: Final = {
    "replay": "Replay: recorded answers of real models",
    "solvers": "Solvers: small programs through real spores",
}
FINE: Final = ("ECE",)  # figures that are probabilities, and need a digit more


@dataclass(frozen=True, slots=True)
class Bar:
    """What figures of a layer whose names match were to reach.

    `positive`: the interval must lie above 0 too. `datasets`: the bar of each, where they differ.
    """

    layer: str
    about: str
    figure: str  # a regular expression for the whole name
    least: float | None = None
    most: float | None = None
    datasets: Mapping[str, float] | None = None
    positive: bool = False

    def fits(self, figure: Mapping[str, Any]) -> bool:
        """Whether this is the figure's bar."""
        its = self.datasets is None or figure["dataset"] in self.datasets
        return bool(
            its and figure["layer"] == self.layer and re.fullmatch(self.figure, figure["figure"])
        )

    def limits(self, dataset: str) -> tuple[float | None, float | None]:
        """(least, most) for one dataset."""
        own = (self.datasets or {}).get(dataset)
        return (
            own if self.least is not None and own is not None else self.least,
            own if self.most is not None and own is not None else self.most,
        )

    def said(self, dataset: str) -> str:
        """In words."""
        least, most = self.limits(dataset)
        if least is not None and most is not None:
            text = f"{_number(least)} to {_number(most)}"
        else:
            text = f"≥ {_number(least)}" if least is not None else f"≤ {_number(most or 0.0)}"
        return f"{text}, interval above 0" if self.positive else text

    def met(self, figure: Mapping[str, Any]) -> bool:
        """Whether it was reached."""
        least, most = self.limits(figure["dataset"])
        value, low = figure["value"], figure["low"]
        high_enough = least is None or value >= least
        low_enough = most is None or value <= most
        return high_enough and low_enough and (not self.positive or (low is not None and low > 0))


_STOP: Final = r"stop when calls add too little"
_HOSTILE: Final = r"20% hostile of 1,000 nodes, .*: loss, (new here|graded.*)"
BARS: Final = (
    Bar(
        "replay",
        "a team of 7 against its best member",
        r"team of 7: the count - best on calibration",
        least=1.0,
        datasets={"GSM8K": 1.0, "CRUXEval": 1.0, "MATH-5": 3.5},
        positive=True,
    ),
    Bar(
        "replay",
        "never below the best member, from 5 grades up",
        r"\d+ grades: the count - best so far",
        least=0.0,
    ),
    Bar(
        "replay",
        "calls of 7, when asking stops",
        rf"{_STOP}: calls",
        most=3.3,
        datasets={"GSM8K": 1.8, "CRUXEval": 2.7, "MATH-5": 3.3},
    ),
    Bar("replay", "what stopping costs", rf"{_STOP} - all 7", least=-1.0),
    Bar(
        "replay",
        "1,000 nodes of skewed popularity",
        r"1,?000 nodes, Zipf, weakest commonest: by (model|family) x trust",
        least=73.0,
        datasets={"MATH-5": 73.0},
    ),
    Bar("replay", "calibration", r"ECE, fitted", most=0.025),
    Bar("replay", "what 20 % Sybil nodes cost", _HOSTILE, most=0.5),
    Bar(
        "solvers",
        "the protocol against self-consistency of the best, at equal calls",
        r".*protocol - self-consistency.*",
        least=2.0,
        positive=True,
    ),
    Bar("solvers", "what verified memories add", r".*verified.* - fresh.*", least=5.0),
    Bar("solvers", "what placebo memories add", r".*placebo.* - fresh.*", least=-0.5, most=0.5),
    Bar("solvers", "poisoned memories, 10 % hostile", r".*10 ?% hostile.*success.*", most=5.0),
    Bar("solvers", "poisoned memories, 20 % hostile", r".*20 ?% hostile.*success.*", most=10.0),
    Bar("solvers", "poisoned memories, 30 % hostile", r".*30 ?% hostile.*success.*", most=20.0),
    Bar("solvers", "what poison costs the honest", r".*hostile.*honest loss.*", most=2.0),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A figure as it is shown."""

    dataset: str
    figure: str
    value: str
    interval: str
    n: str
    calls: str
    bar: str
    met: str  # met, missed, or nothing where there is no bar

    @property
    def cells(self) -> tuple[str, ...]:
        """In the order of the columns, without the dataset."""
        return self.figure, self.value, self.interval, self.n, self.calls, self.bar, self.met


COLUMNS: Final = ("figure", "value", "interval", "n", "calls", "bar", "")


def row(figure: Mapping[str, Any]) -> Row:
    """How a figure is shown, with its bar."""
    bar = next((one for one in BARS if one.fits(figure)), None)
    value, low, high = figure["value"], figure["low"], figure["high"]
    fine = 3 if figure["figure"].startswith(FINE) else 2
    known = value is not None
    name = figure["figure"] + (f" (p {figure['p']:.3f})" if figure.get("p") is not None else "")
    return Row(
        dataset=figure["dataset"],
        figure=name + (f" [{figure['note']}]" if figure.get("note") else ""),
        value=f"{value:.{fine}f}" if known else "not measured",
        interval=f"{low:.{fine}f} to {high:.{fine}f}" if known and low is not None else "",
        n=f"{figure['n']:,}",
        calls=f"{figure['calls']:.2f}" if figure["calls"] is not None else "",
        bar=bar.said(figure["dataset"]) if bar is not None else "",
        met="" if bar is None or not known else ("met" if bar.met(figure) else "missed"),
    )


def _number(value: float) -> str:
    return f"{value:+g}" if value < 0 else f"{value:g}"


# The document.


def block(layer: str, result: Mapping[str, Any]) -> str:
    """What stands between the markers of a layer: its bars first, then all else by dataset."""
    lines = [
        f"<!-- figures:{layer} -->",
        f"Measured with `{result['command']}` in {result['took_s'] / 60:.0f} minutes on "
        f"{result['cpus']} cores. An interval is of 95 %.",
        "",
        f"![Differences between rules, with their intervals](evidence-{layer}.svg)",
        "",
    ]
    # Layers are never mixed in one table, nor are kinds of evidence within one.
    missing = [
        f"No figure yet for: {bar.about} ({bar.said('')})." for bar in unmeasured(layer, result)
    ]
    lines += ["\n".join(missing), ""] if missing else []
    for name in dict.fromkeys(one["layer"] for one in result["figures"]):
        figures = [one for one in result["figures"] if one["layer"] == name]
        rows = [row(one) for one in figures]
        barred = [one for one in rows if one.bar]
        if barred:
            lines += [f"Figures of the {name} with a bar to reach:", ""]
            lines += _table(("dataset", *COLUMNS), [(one.dataset, *one.cells) for one in barred])
        for dataset in dict.fromkeys(one.dataset for one in rows):
            rest = [one for one in rows if one.dataset == dataset and not one.bar]
            if rest:
                lines += [
                    f"<details><summary>All other figures of the {name} on {dataset}</summary>"
                ]
                lines += ["", *_table(COLUMNS[:5], [one.cells[:5] for one in rest])]
                lines += ["</details>", ""]
    return "\n".join([*lines, f"<!-- /figures:{layer} -->"])


def unmeasured(layer: str, result: Mapping[str, Any]) -> list[Bar]:
    """Bars of a layer that no figure is held against."""
    return [
        bar
        for bar in BARS
        if bar.layer == layer
        and not any(bar.fits(one) and one["value"] is not None for one in result["figures"])
    ]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, and an empty line."""
    cells = [[cell.replace("|", "\\|") for cell in one] for one in (headings, *rows)]
    lines = ["| " + " | ".join(one) + " |" for one in cells]
    return [lines[0], "|" + "---|" * len(headings), *lines[1:], ""]


def placed(document: str, layer: str, text: str) -> str:
    """The document with a layer's block in its place; a new heading at the end if it has none."""
    marked = re.compile(rf"<!-- figures:{layer} -->.*?<!-- /figures:{layer} -->", re.DOTALL)
    if marked.search(document):
        return marked.sub(lambda _: text, document, count=1)
    return f"{document.rstrip()}\n\n## {HEADINGS[layer]}\n\n{text}\n"


# The picture.


def picture(layer: str, figures: Sequence[Mapping[str, Any]]) -> str:
    """Differences with their intervals, in points, a row each: what is right of zero helped."""
    shown = [
        one
        for one in figures
        if one["layer"] == layer
        and one["low"] is not None
        and " - " in one["figure"]
        and "any member" not in one["figure"]  # a bound, not a rule
    ]
    widest = max([1.0, *(abs(end) for one in shown for end in (one["low"], one["high"]))])
    apart = next(one for one in (0.5, 1, 2, 5, 10, 20, 50) if 3 * one >= widest)
    edge = apart * math.ceil(widest / apart)
    height = 60 + 22 * len(shown)
    drawn = Picture(900, height, f"Differences in points, with 95 % intervals, of the {layer}")
    across = Scale(-edge, edge, 520, 880)
    drawn.text(20, 28, f"{layer}: difference in points, 95 % interval", size=15)
    for number in range(round(-edge / apart), round(edge / apart) + 1):
        at = across(number * apart)
        drawn.line(at, 46, at, height - 8, of="grid" if number else "axis")
        said = f"{number * apart:+g}" if number else "0"
        drawn.text(at, 40, said, of="quiet", anchor="middle", size=11)
    for number, one in enumerate(shown):
        at = 64 + 22 * number
        tone = "a" if one["low"] > 0 else ("c" if one["high"] < 0 else "d")
        drawn.text(20, at + 4, f"{one['dataset']}: {one['figure']}", size=12)
        drawn.line(across(one["low"]), at, across(one["high"]), at, of=f"{tone} line")
        drawn.dot(across(one["value"]), at, of=tone)
    return drawn.svg()


# The run.


def measured(layer: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run a layer as `synapse bench answers` does, showing each figure as it comes."""
    from benchmarks.answers.__main__ import PROGRAM, figures_of  # it imports us for its tables

    began = time.monotonic()
    figures = []
    for figure in figures_of(["--layer", layer, *arguments]):
        shown = row(figure)
        print(f"{layer}: {shown.dataset}: {shown.figure}: {shown.value} {shown.met}", flush=True)
        figures.append(figure)
    commands = dict.fromkeys(figure["command"] for figure in figures)
    return {
        "command": "; ".join(filter(None, commands)) or f"{PROGRAM} --layer {layer}",
        "took_s": round(time.monotonic() - began),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "figures": figures,
    }


def results(path: Path) -> dict[str, Any]:
    """What was measured before, by layer."""
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def missed(layer: str, result: Mapping[str, Any]) -> Iterator[str]:
    """The bars that are not reached, in words."""
    for one in map(row, result["figures"]):
        if one.met == "missed":
            yield f"{layer}: missed: {one.dataset}: {one.figure}: {one.value}, wanted {one.bar}"
    for bar in unmeasured(layer, result):
        yield f"{layer}: not measured: {bar.about}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, keep, and write the tables anew."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layers", default="replay,solvers", help="which to measure")
    parser.add_argument("--data", help="recorded answers, for the replay")
    parser.add_argument("--seeds", help="fewer draws are quicker, and less sure")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    parser.add_argument("--tables-only", action="store_true", help="measure nothing anew")
    chosen = parser.parse_args(arguments)
    layers = [layer for layer in chosen.layers.split(",") if layer in HEADINGS]
    kept = results(chosen.results)
    if not chosen.tables_only:
        more = {"--seeds": chosen.seeds}
        for layer in layers:
            its = {**more, "--data": chosen.data} if layer == "replay" else more
            options = [part for name, value in its.items() if value for part in (name, value)]
            try:
                kept[layer] = measured(layer, options)
            except FileNotFoundError as error:  # the other layer is worth having all the same
                print(f"{layer}: {error}")
                continue
            chosen.results.parent.mkdir(parents=True, exist_ok=True)
            chosen.results.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    document = chosen.document.read_text("utf-8")
    for layer in (one for one in layers if one in kept):
        document = placed(document, layer, block(layer, kept[layer]))
        drawn = chosen.document.with_name(f"evidence-{layer}.svg")
        drawn.write_text(picture(layer, kept[layer]["figures"]), "utf-8")
    chosen.document.write_text(document, "utf-8")
    for layer in (one for one in layers if one in kept):
        print("\n".join(missed(layer, kept[layer])) or f"{layer}: every bar is met")


if __name__ == "__main__":
    main()
