"""Commands for the local model: fetch a file for it, and see how it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from synapse.cli.parts import AsJson, ConfigFile, DataDir, err, out, print_json, settings

if TYPE_CHECKING:
    from synapse.app.cortex import Report, Source

NOT_CHECKED = "none known: nothing will say whether it is the file that was meant"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="The local model, which needs no network.", no_args_is_help=True)
    group.command("get")(get)
    group.command("status")(status)
    app.add_typer(group, name="cortex")


def get(
    url: Annotated[str, typer.Argument(help="Address of a .gguf file, https only.")],
    sha256: Annotated[str | None, typer.Option(help="The hash the file must have.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a model's file: shows what would come, asks, and goes on with what had come before."""
    from synapse.app import cortex  # loads the web stack, which help does not need

    with cortex.source(settings(None, None, data_dir, None, None, config_file), url) as source:
        _show(source, sha256)
        if not yes:
            typer.confirm("Fetch it?", abort=True, err=True)  # no, and no answer, fetch nothing
        with _progress(source.offer.name) as progress:
            path = source.fetch(sha256, progress)
    if as_json:
        print_json({"file": str(path), "size_bytes": source.offer.size_bytes})
        return
    out.print(f"cortex_model: {path}", highlight=False, markup=False, soft_wrap=True)
    err.print("put this line into config.yaml to use it, and start the spore anew")


def status(
    config_file: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Show what is set and what it would need; /api/cortex tells of a running one."""
    from synapse.app import cortex  # loads the web stack, which help does not need

    report = cortex.report(settings(None, None, data_dir, None, None, config_file))
    if as_json:
        print_json(
            {
                "model": _plain(asdict(report.status)) if report.status else None,
                "installed": report.installed,
                "memory_needed_bytes": report.memory_needed_bytes,
                "memory_free_bytes": report.memory_free_bytes,
                "files": [str(path) for path in report.files],
            }
        )
        return
    for name, value in _rows(report):
        out.print(f"{name:<18}{value}", highlight=False, markup=False, soft_wrap=True)


def _show(source: Source, sha256: str | None) -> None:
    """Everything a person should know before saying yes."""
    offer = source.offer
    promised = f"{offer.promised_sha256} (the source's own word)" if offer.promised_sha256 else None
    rows = [
        ("source", offer.source),
        ("sent by", offer.host),
        ("file", str(source.folder / offer.name)),
        ("size", _size(offer.size_bytes)),
        ("there already", _size(source.begun_bytes)),
        ("free on disk", _size(source.free_disk_bytes)),
        ("SHA-256", sha256 or promised or NOT_CHECKED),
    ]
    for name, value in rows:  # whole, however long: nobody can agree to half an address
        err.print(f"{name:<15}{value}", highlight=False, markup=False, soft_wrap=True)


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    status = report.status
    yield "llama-cpp-python", "installed" if report.installed else "not installed"
    if status is None:
        yield "model", "none is set: cortex_model"
    else:
        yield "file", str(status.file)
        yield "name", f"{status.name or 'unknown'}, of the family {status.family or 'unknown'}"
        yield "size", _size(status.size_bytes)
        yield "SHA-256", status.sha256 or "unknown: it was not fetched by `synapse cortex get`"
        yield "memory needed", f"{_size(report.memory_needed_bytes)} at least"
        yield "problem", status.load_error or "none seen"
    yield "memory free", _size(report.memory_free_bytes)
    for path in report.files:
        yield "fetched", str(path)


def _size(count: int | None) -> str:
    if count is None:
        return "unknown"
    return f"{count / 1e9:.2f} GB" if count >= 1e7 else f"{count:,} bytes"


def _plain(fields: dict[str, object]) -> dict[str, object]:
    return {**fields, "file": str(fields["file"])}


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(escape(label), total=None)
        yield lambda done, size: bar.update(task, completed=done, total=size)
