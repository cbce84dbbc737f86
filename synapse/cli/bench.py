"""Benchmarks, as commands. They live in the checkout beside this package, and not inside it: they
need its tests' helpers, and nobody who only runs a spore needs them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Final

import typer

import synapse
from synapse.core.errors import ConfigError

# Each command takes whatever its program takes, --help included.
AS_TYPED: Final[dict[str, Any]] = {
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
    "add_help_option": False,
}


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(
        help="Measure answers, retrieval and this machine. Needs a checkout of the source.",
        no_args_is_help=True,
    )
    for command in (answers, retrieval, quality, spore, store, chain, overhead):
        group.command(**AS_TYPED)(command)
    app.add_typer(group, name="bench")


def answers(context: typer.Context) -> None:
    """How good answers are: --layer replay|solvers|live, --json; see docs/evidence.md."""
    _run("answers", context)


def retrieval(context: typer.Context) -> None:
    """How fast recall is: --sizes 10000,1000000 --engines synapse,… --json; see docs/memory.md."""
    _run("retrieval", context)


def quality(context: typer.Context) -> None:
    """How good recall is: --corpus FILE --queries FILE --qrels FILE --engines … --json."""
    _run("quality", context)


def spore(context: typer.Context) -> None:
    """How quick a whole spore is: --memories 100000."""
    _run("spore", context)


def store(context: typer.Context) -> None:
    """How fast the store fills and starts, and what a memory costs: --records 100000."""
    _run("store", context)


def chain(context: typer.Context) -> None:
    """What a call to a model costs this process: --peers openai,litellm."""
    _run("chain", context)


def overhead(context: typer.Context) -> None:
    """What the protocol adds to a task, with models that answer at once: --tasks 200."""
    _run("overhead", context)


def _run(name: str, context: typer.Context) -> None:
    programs(Path(synapse.__file__).resolve().parents[1]).run(name, context.args)


def programs(checkout: Path) -> Any:
    """The benchmarks of a checkout. Raises ConfigError when there are none."""
    if not (checkout / "benchmarks" / "__main__.py").is_file():
        raise ConfigError(
            "benchmarks are part of the source, not of the installed package: get a checkout, run "
            "`make setup` there and then its .venv/bin/synapse bench (docs/evidence.md)"
        )
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))  # before other packages that may hold such a name
    return importlib.import_module("benchmarks.__main__")
