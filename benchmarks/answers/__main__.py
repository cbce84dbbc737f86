"""Measure answers: synapse bench answers --layer replay|solvers|live [--json].

Layers are different evidence and are never mixed: replay counts recorded answers of real models
again, solvers sends small programs' answers through real spores, live asks real models. With
--json one object a figure, as soon as it is known; without, a table.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.answers import live, live_figures, replay, report
from benchmarks.answers.recorded import NAMES
from synapse.core.errors import ConfigError

Figures = Iterator[dict[str, Any]]

PROGRAM: Final = "synapse bench answers"
SOLVERS: Final = "solvers"
KEY_VARIABLE: Final = "LLM_API_KEY"
CASSETTE: Final = Path("live-cassette.jsonl")


def main(arguments: Sequence[str]) -> None:
    """Print every figure of a layer."""
    chosen = _parsed(arguments)
    try:
        figures = _measured(chosen)
        if chosen.json:
            for figure in figures:
                print(json.dumps(figure), flush=True)
        else:
            Console().print(table(chosen.layer, list(figures)))
    except (FileNotFoundError, ConfigError, live.LiveError) as error:
        sys.exit(str(error))


def figures_of(arguments: Sequence[str]) -> Figures:
    """Every figure of a layer, as soon as it is known."""
    return _measured(_parsed(arguments))


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__.split("\n\n")[1])
    parser.add_argument("--layer", choices=list(LAYERS), default=replay.LAYER)
    parser.add_argument("--json", action="store_true", help="one JSON object a figure")
    parser.add_argument("--seed", type=int, default=replay.SEED, help="decides every draw")
    for layer in LAYERS.values():
        layer.options(parser)
    return parser.parse_args(arguments)


def _measured(chosen: argparse.Namespace) -> Figures:
    return LAYERS[chosen.layer].figures(chosen)


def table(layer: str, figures: Sequence[Mapping[str, Any]]) -> Table:
    """The figures for people; whether each reaches its bar, where it has one."""
    shown = Table("figure", title=layer, box=None, padding=(0, 2, 0, 0))
    for heading in ("value", "interval", "n", "calls", "bar", ""):
        shown.add_column(heading, justify="right" if heading in ("value", "n", "calls") else "left")
    dataset = None
    for row in map(report.row, figures):
        if row.dataset != dataset:
            dataset = row.dataset
            shown.add_row(f"[bold]{dataset}[/]")
        mark = {"met": "[green]met[/]", "missed": "[red]missed[/]"}.get(row.met, "")
        shown.add_row(row.figure, row.value, row.interval, row.n, row.calls, row.bar, mark)
    return shown


# Layers.


@dataclass(frozen=True, slots=True)
class Layer:
    """What may be said of a layer, and how it is run."""

    options: Callable[[argparse.ArgumentParser], None]
    figures: Callable[[argparse.Namespace], Figures]


def _options_of_replay(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("replay")
    group.add_argument("--data", help=f"recorded answers; else {replay.DATA_NAME} says where")
    group.add_argument("--seeds", type=int, help="teams, or swarms, drawn")
    group.add_argument("--sets", default=",".join(NAMES), help="some of gsm,crux,math-l5")


def _replay(chosen: argparse.Namespace) -> Figures:
    named = chosen.data or os.environ.get(replay.DATA_NAME)
    if named is None:
        raise FileNotFoundError(
            f"which file holds the recorded answers? pass --data or set {replay.DATA_NAME}"
        )
    teams = chosen.seeds or replay.TEAMS
    return replay.run(
        replay.LAYER,
        Path(named),
        teams,
        sets=[one for one in chosen.sets.split(",") if one in NAMES],
        seed=chosen.seed,
        command=f"{PROGRAM} --layer {replay.LAYER} --seeds {teams} --sets {chosen.sets}",
    )


def _no_options(parser: argparse.ArgumentParser) -> None:
    """`--seeds` and `--seed` say it all."""


def _solvers(chosen: argparse.Namespace) -> Figures:
    run = getattr(importlib.import_module("benchmarks.answers.through_nodes"), "run", None)
    if run is None:
        raise FileNotFoundError("the solvers are not wired up in this checkout")
    figures: Figures = run(
        seeds=chosen.seeds, seed=chosen.seed, command=f"{PROGRAM} --layer {SOLVERS}"
    )
    return figures


def _options_of_live(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("live")
    group.add_argument("--endpoint", help="base address of any OpenAI-compatible API")
    group.add_argument("--models", help="names with commas between them, best first")
    group.add_argument("--items", type=int, default=200, help="questions, generated from the seed")
    group.add_argument("--budget", type=int, help="requests that may be sent; not one more is")
    group.add_argument("--cassette", type=Path, default=CASSETTE, help="what models say is kept")
    group.add_argument(
        "--cassette-mode", choices=("record", "replay", "replay-or-fail"), default="replay"
    )
    group.add_argument("--key-env", default=KEY_VARIABLE, help="variable that holds the key")
    group.add_argument(
        "--no-samples", action="store_true", help="spare the calls of self-consistency"
    )


def _live(chosen: argparse.Namespace) -> Figures:
    missing = [name for name in ("endpoint", "models", "budget") if not getattr(chosen, name)]
    if missing:
        raise live.LiveError(
            f"the live layer needs {' and '.join(f'--{name}' for name in missing)}"
        )
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    key = os.environ.get(chosen.key_env)
    plan = live.Plan(
        endpoint=chosen.endpoint,
        models=tuple(one.strip() for one in chosen.models.split(",") if one.strip()),
        items=chosen.items,
        budget=chosen.budget,
        cassette=chosen.cassette,
        mode=chosen.cassette_mode,
        key=SecretStr(key) if key else None,
        seed=chosen.seed,
        sampling=not chosen.no_samples,
        command=f"{PROGRAM} --layer {live.LAYER} --endpoint {chosen.endpoint} --models "
        f"{chosen.models} --items {chosen.items} --budget {chosen.budget}",
    )
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal
    ) as bars:
        asking = bars.add_task("0 calls", total=plan.items)

        def show(done: int, sent: int) -> None:
            bars.update(asking, completed=done, description=f"{sent} calls")

        yield from live_figures.run(plan, show)


LAYERS: Final[Mapping[str, Layer]] = {
    replay.LAYER: Layer(_options_of_replay, _replay),
    SOLVERS: Layer(_no_options, _solvers),
    live.LAYER: Layer(_options_of_live, _live),
}


if __name__ == "__main__":
    main(sys.argv[1:])
