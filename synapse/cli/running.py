"""Commands that run or examine a spore on this machine, or simulate many."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from synapse import __version__, config
from synapse.cli.parts import (
    AsJson,
    ConfigFile,
    DataDir,
    Host,
    Name,
    Peers,
    Port,
    bar,
    out,
    print_json,
    settings,
)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (serve, sim, doctor, version):
        app.command()(command)
    group = typer.Typer(help="Show settings, and where each came from.", no_args_is_help=True)
    group.command("show")(config_show)
    group.command("template")(config_template)
    app.add_typer(group, name="config")


def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    name: Name = None,
    peers: Peers = None,
    config_file: ConfigFile = None,
) -> None:
    """Run one spore until it is stopped."""
    from synapse import app  # everything else starts without loading the web stack

    chosen = settings(host, port, data_dir, name, peers, config_file)
    app.configure_logging(chosen)
    spore = app.assemble(chosen, local_servers=app.find_local(chosen))
    for line in app.greeting(spore):
        out.print(line, highlight=False, soft_wrap=True)
    asyncio.run(app.serve(spore))


def sim(
    nodes: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    seed: Annotated[int, typer.Option(help="Decides everything that happens.")] = 1,
    scenario: Annotated[str, typer.Option(help="What to simulate.")] = "partition",
    as_json: AsJson = False,
) -> None:
    """Simulate a swarm: the shipped core under a virtual clock, network and disks."""
    from synapse.sim import scenarios

    if scenario not in scenarios.SCENARIOS:
        known = ", ".join(sorted(scenarios.SCENARIOS))
        raise typer.BadParameter(f"there is no scenario {scenario!r}; there are {known}")
    with bar(f"simulating {scenario}") as advance:
        report = scenarios.run(scenario, nodes=nodes, seed=seed, progress=advance)
    if as_json:
        print_json(report.as_dict())
    else:
        out.print(report.render(), highlight=False, markup=False, soft_wrap=True)
    if report.failures:
        raise typer.Exit(1)


def doctor(
    config_file: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Check what a spore needs on this machine: settings, folder, port, clock and models."""
    from synapse import app

    chosen = settings(None, None, data_dir, None, None, config_file)
    findings = asyncio.run(app.examine(chosen))
    if as_json:
        print_json([{"check": f.check, "well": f.well, "detail": f.detail} for f in findings])
    else:
        for finding in findings:
            mark = "[green]ok[/green]  " if finding.well else "[red]mend[/red]"
            out.print(f"{mark} {finding.check}: {escape(finding.detail)}", highlight=False)
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


def version() -> None:
    """Print the version."""
    out.print(__version__, highlight=False)


def config_show(
    redacted: Annotated[
        bool, typer.Option(help="Secrets are hidden; there is no way to show them.")
    ] = True,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    name: Name = None,
    peers: Peers = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show every setting, its value, and where the value came from."""
    if not redacted:
        raise typer.BadParameter("secrets are never printed; look where the last column points")
    rows = config.describe(settings(host, port, data_dir, name, peers, config_file))
    if as_json:
        print_json([{"name": r.name, "value": r.value, "source": r.source} for r in rows])
        return
    table = Table("setting", "value", "from", box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(row.name, escape(row.value), escape(row.source))
    out.print(table)


def config_template() -> None:
    """Print a configuration file with every setting, commented out."""
    print(config.template(), end="")
