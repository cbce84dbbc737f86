"""Commands for the log of a data folder: check it, copy it, take records out and in.

They work on files, not on a running spore: `verify`, `backup` and `export` may be used while one
runs, the others not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from synapse import config
from synapse.cli.parts import AsJson, ConfigFile, DataDir, err, out, print_json
from synapse.cli.parts import settings as load

File = Annotated[Path, typer.Argument(help="The file.", dir_okay=False)]
Rows = Annotated[Path, typer.Argument(help="A file ending in .jsonl or .parquet.", dir_okay=False)]


class Advance(Protocol):
    """Takes how much is done and how much there is."""

    def __call__(self, done: int, total: int, /) -> None:
        """Show it."""


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (verify, backup, restore, export):
        app.command()(command)
    app.command("import")(take_in)


def verify(
    anew: Annotated[
        bool, typer.Option("--anew", help="Begin again, not where the last one ended.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Set damaged rows aside; the spore must be stopped.")
    ] = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Check every hash and every signature of the log."""
    from synapse.app import store  # loads every part: only when one of these commands runs

    with _counting("checking") as advance:
        found = store.verify(
            _settings(data_dir, config_file), anew=anew, repair=repair, progress=advance
        )
    _tell(found, as_json=as_json)


def backup(
    file: File, data_dir: DataDir = None, config_file: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Copy the log to a new file. The spore may be running; its keys are not copied."""
    from synapse.app import store

    with _counting("copying") as advance:
        found = store.back_up(_settings(data_dir, config_file), file, progress=advance)
    _tell(found, as_json=as_json)


def restore(
    file: File,
    expect: Annotated[str | None, typer.Option(help="The fingerprint it must have.")] = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make the log of a data folder that has none from a backup, and prove it."""
    from synapse.app import store

    with _counting("restoring") as advance:
        found = store.restore(
            _settings(data_dir, config_file), file, expected=expect, progress=advance
        )
    _tell(found, as_json=as_json)


def export(
    file: Rows,
    private: Annotated[bool, typer.Option("--private", help="Private memories too.")] = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Write all records to a new file of rows. The spore may be running."""
    from synapse.app import store

    with _counting("exporting") as advance:
        found = store.export(
            _settings(data_dir, config_file), file, private=private, progress=advance
        )
    _tell(found, as_json=as_json)


def take_in(
    file: Rows, data_dir: DataDir = None, config_file: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Take in the records of a file, each verified like a peer's. The spore must be stopped."""
    from synapse.app import store

    with _counting("importing") as advance:
        found = store.take_in(_settings(data_dir, config_file), file, progress=advance)
    _tell(found, as_json=as_json)


def _settings(data_dir: Path | None, config_file: Path | None) -> config.Settings:
    """The settings; from now on warnings go to standard error, so that they never mix with JSON."""
    from synapse import app

    chosen = load(None, None, data_dir, None, None, config_file)
    app.configure_logging(chosen)
    return chosen


@contextmanager
def _counting(label: str) -> Iterator[Advance]:
    """A bar that counts, on a terminal; nothing elsewhere. A total of 0 is not known."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    """Print what it came to. Exit code 1 when something is not well."""
    if as_json:
        print_json(found)
    else:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for name, value in found.items():
            if name not in ("damaged_rows", "well", "advice") and value is not None:
                table.add_row(name.replace("_", " "), escape(_shown(value)))
        out.print(table)
        for row in found.get("damaged_rows", ()):
            what = "private memory" if row["private"] else "record"
            err.print(f"damaged: {what} {row['id']}: {escape(row['problem'])}", highlight=False)
        if found["advice"]:
            err.print(escape(found["advice"]), highlight=False, soft_wrap=True)
    if not found["well"]:
        raise typer.Exit(1)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items()) or "none"
    return str(value)
