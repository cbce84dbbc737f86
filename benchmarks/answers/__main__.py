"""Measure answers: python -m benchmarks.answers --layer replay --data FILE [--json]."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.answers import replay
from benchmarks.answers.recorded import NAMES


def main(arguments: list[str]) -> None:
    """Print every figure of a layer, one a line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__)
    parser.add_argument("--layer", choices=[replay.LAYER], default=replay.LAYER)
    parser.add_argument("--data", help=f"recorded answers; else {replay.DATA_NAME} says where")
    parser.add_argument("--seeds", type=int, default=replay.TEAMS, help="teams drawn")
    parser.add_argument("--sets", default=",".join(NAMES), help="some of gsm,crux,math-l5")
    parser.add_argument("--json", action="store_true", help="one JSON object a figure")
    chosen = parser.parse_args(arguments)
    named = chosen.data or os.environ.get(replay.DATA_NAME)
    if named is None:
        sys.exit(f"which file holds the recorded answers? pass --data or set {replay.DATA_NAME}")
    command = f"python -m benchmarks.answers --layer {chosen.layer} --seeds {chosen.seeds}"
    try:
        figures = replay.run(
            chosen.layer,
            Path(named),
            chosen.seeds,
            sets=[one for one in chosen.sets.split(",") if one in NAMES],
            command=command,
        )
        for figure in figures:
            print(json.dumps(figure) if chosen.json else _line(figure), flush=True)
    except FileNotFoundError as error:
        sys.exit(str(error))


def _line(figure: Mapping[str, Any]) -> str:
    """A figure for people."""
    value = figure["value"]
    said = "not measured" if value is None else f"{value:.3f}"
    if figure["low"] is not None:
        said += f" [{figure['low']:.2f}, {figure['high']:.2f}]"
    said += f" in {figure['calls']:.2f} calls" if figure["calls"] is not None else ""
    said += f", p {figure['p']:.3f}" if figure["p"] is not None else ""
    note = f" ({figure['note']})" if figure["note"] else ""
    return f"{figure['layer']} | {figure['dataset']} | {figure['figure']}: {said}{note}"


if __name__ == "__main__":
    main(sys.argv[1:])
