"""Commands about who is right: grading answers, looking at trust, and the models asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from rich.markup import escape
from rich.table import Table

from synapse.cli.parts import DEFAULT_URL, AsJson, Key, Url, client, err, out, print_json

GRADES_SHOWN: Final = 20
CALLS_SHOWN: Final = 10


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (grade, trust, providers):
        app.command()(command)


def grade(
    task: Annotated[str, typer.Argument(help="The id of the task.")],
    right_answer: Annotated[str | None, typer.Option(help="What the right answer is.")] = None,
    position: Annotated[str | None, typer.Option(help="The id of one position, instead.")] = None,
    right: Annotated[bool | None, typer.Option("--right/--wrong", help="Whether it is.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Say who was right: trust follows from grades, and from nothing else."""
    said = {"right_answer": right_answer, "position": position, "right": right}
    body = {name: value for name, value in said.items() if value is not None}
    with client(url, key) as spore:
        graded = spore.post(f"/api/task/{quote(task, safe='')}/grade", body)
    if as_json:
        print_json(graded)
        return
    out.print(f"{graded['grades']} grades", highlight=False)
    for family, change in graded["trust"].items():
        out.print(
            f"  {escape(family)}: {change['before']:.2f} -> {change['after']:.2f}", highlight=False
        )


def trust(
    subject: Annotated[
        str | None, typer.Argument(help="A family, or operator:KEY; all when left out.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind of task.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show how far families and operators are trusted, down to the grades."""
    with client(url, key) as spore:
        if subject is not None:
            told = spore.get(f"/api/trust/{quote(subject, safe='')}", kind=kind)
        else:
            told = spore.get("/api/trust")
    if as_json:
        print_json(told)
        return
    if subject is None:
        _print_everybody(told)
    else:
        _print_one(told)


def _print_everybody(told: dict[str, Any]) -> None:
    table = Table("family", "chance", "nine in ten", "right", "wrong", "vote, nats", box=None)
    for name, view in told.items():
        table.add_row(
            escape(name),
            f"{view['overall']:.2f}",
            f"{view['low']:.2f} to {view['high']:.2f}",
            str(view["right"]),
            str(view["wrong"]),
            f"{view['weight']:.2f}",
        )
    out.print(table)


def _print_one(told: dict[str, Any]) -> None:
    for one in told["kinds"]:
        out.print(
            f"[bold]{escape(one['kind'])}[/bold]  {one['probability']:.3f} "
            f"({one['low']:.2f} to {one['high']:.2f}), vote {one['weight']:.2f} nats",
            highlight=False,
        )
        for portion in one["portions"]:
            out.print(
                f"  {portion['origin']}: {portion['right']:.1f} right, {portion['wrong']:.1f} "
                f"wrong, counted x {portion['factor']:.2f}",
                highlight=False,
            )
        if one["right_elsewhere"] + one["wrong_elsewhere"]:
            out.print(
                f"  other kinds of task: {one['right_elsewhere']:.1f} right, "
                f"{one['wrong_elsewhere']:.1f} wrong",
                highlight=False,
            )
    for one in told["grades"][:GRADES_SHOWN]:
        mark = "right" if one["right"] else "wrong"
        day = datetime.fromtimestamp(one["at_ms"] / 1_000, UTC).date()
        whose = "" if one["own"] else f" of {one['observer'][:16]}"
        out.print(
            f"  [dim]{one['id'][:16]} {day} {escape(one['kind'])} {mark} by "
            f"{escape(one['source'])}{whose}, task {one['task'][:16]}[/dim]",
            highlight=False,
            soft_wrap=True,
        )


def providers(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show every model a spore may ask: state, why it rests, quota left."""
    with client(url, key) as spore:
        told = spore.get("/api/providers")
    if as_json:
        print_json(told)
        return
    table = Table(
        "target", "family", "state", "why", "calls", "replies", "ms", "quota left", box=None
    )
    for one in told["targets"]:
        quota = ", ".join(
            f"{row['left']}/{row['limit']} {row['unit']}" for row in one["quota"] if row["limit"]
        )
        until = f", until {_clock(one['until_ms'])}" if one["until_ms"] else ""
        table.add_row(
            escape(one["name"]),
            escape(one["family"]),
            one["state"],
            escape(f"{one['note'] or one['reason']}{until}"),
            str(one["calls"]),
            str(one["replies"]),
            str(one["latency_ms"]) if one["replies"] else "",
            quota,
        )
    out.print(table)
    for one in told["attempts"][:CALLS_SHOWN]:
        out.print(
            f"  [dim]{_clock(one['at_ms'])} {escape(one['target'])} {escape(one['purpose'])}: "
            f"{escape(one['outcome'])} after {one['took_ms']} ms, {one['tokens_in']} tokens in, "
            f"{one['tokens_out']} out[/dim]",
            highlight=False,
            soft_wrap=True,
        )
    err.print(f"[dim]{escape(told['note'])}[/dim]")


def _clock(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
