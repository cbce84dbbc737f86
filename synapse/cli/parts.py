"""What commands share: options, the client, progress and printing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from synapse import config
from synapse.transport.client import SporeClient

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the log and the identity.")]
Name = Annotated[str | None, typer.Option(help="What people call this spore.")]
Peers = Annotated[
    list[str] | None, typer.Option(help="Spores to share with: URL[,URL…]; may be repeated.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="The configuration file.")]
Url = Annotated[
    str, typer.Option(help="The spore to talk to.", envvar="SYNAPSE_URL", show_default=True)
]
Key = Annotated[
    str | None, typer.Option(help="The spore's key, if it wants one.", envvar="SYNAPSE_API_KEY")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

DEFAULT_URL: Final = "http://127.0.0.1:7860"
out = Console()
err = Console(stderr=True)


def settings(
    host: str | None,
    port: int | None,
    data_dir: Path | None,
    name: str | None,
    peers: list[str] | None,
    config_file: Path | None,
) -> config.Settings:
    """Settings from these options, the environment and the file. Raises ConfigError."""
    return config.load(
        {
            "host": host,
            "port": port,
            "data_dir": str(data_dir) if data_dir is not None else None,
            "name": name,
            "peers": peers,
            "config": str(config_file) if config_file is not None else None,
        }
    )


@contextmanager
def client(url: str, key: str | None) -> Iterator[SporeClient]:
    """A client of the spore at `url`, closed in the end."""
    spore = SporeClient(url, key=key)
    try:
        yield spore
    finally:
        spore.close()


@contextmanager
def bar(label: str) -> Iterator[Any]:
    """A progress bar on a terminal, nothing elsewhere; the value it yields takes 0.0 to 1.0."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(label, total=1.0)
        yield lambda share: progress.update(task, completed=share)


def print_json(value: Any) -> None:
    """Print for programs: nothing else goes to stdout then."""
    print(json.dumps(value, ensure_ascii=False, indent=1))
