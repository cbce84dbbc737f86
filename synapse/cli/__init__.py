"""The `synapse` command: parse, call one function, print. `--json` prints what a program can read.

Each module of this package registers its commands here. Those that talk to a spore use its REST
API; only the commands of `running` and `store` touch a data folder.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from rich.markup import escape

from synapse.cli import asking, bench, cortex, running, store, trust
from synapse.cli.parts import err
from synapse.core.errors import SynapseError

cli = typer.Typer(
    name="synapse",
    help="Spores: small web services that remember, reason and share, with no centre.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _module in (running, asking, trust, store, cortex, bench):
    _module.register(cli)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Errors that have a name are printed without a traceback."""
    try:
        cli(args=list(arguments) if arguments is not None else None)
    except SynapseError as error:
        err.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        sys.exit(1)
