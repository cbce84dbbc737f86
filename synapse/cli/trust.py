"""Commands about who is right: grading answers, looking at trust, and the models asked."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from synapse.cli.parts import DEFAULT_URL, AsJson, Key, Url, client, err, out, print_json


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
        graded = spore.post(f"/api/task/{task}/grade", body)
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
            told = spore.get(f"/api/trust/{subject}", kind=kind)
        else:
            told = spore.get("/api/trust")
    if as_json:
        print_json(told)
        return
    if subject is None:
        table = Table("family", "chance", "right", "wrong", "vote, nats", box=None)
        for name, view in told.items():
            table.add_row(
                escape(name),
                f"{view['overall']:.2f}",
                str(view["right"]),
                str(view["wrong"]),
                f"{view['weight']:.2f}",
            )
        out.print(table)
        return
    for one in told["kinds"]:
        out.print(f"[bold]{one['kind']}[/bold]  {one['probability']:.3f}", highlight=False)
        for portion in one["portions"]:
            out.print(
                f"  {portion['origin']}: {portion['right']:.1f} right, {portion['wrong']:.1f} "
                f"wrong, counted x {portion['factor']:.2f}",
                highlight=False,
            )
    for one in told["grades"][:20]:
        mark = "right" if one["right"] else "wrong"
        out.print(f"  [dim]{one['id'][:16]} {one['kind']} {mark} by {one['source']}[/dim]")


def providers(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show every model a spore may ask: state, why it rests, quota left."""
    with client(url, key) as spore:
        told = spore.get("/api/providers")
    if as_json:
        print_json(told)
        return
    table = Table("target", "family", "state", "why", "calls", "replies", "quota left", box=None)
    for one in told["targets"]:
        quota = ", ".join(
            f"{row['left']}/{row['limit']} {row['unit']}" for row in one["quota"] if row["limit"]
        )
        table.add_row(
            escape(one["name"]),
            escape(one["family"]),
            one["state"],
            escape(one["note"] or one["reason"]),
            str(one["calls"]),
            str(one["replies"]),
            quota,
        )
    out.print(table)
    err.print(f"[dim]{escape(told['note'])}[/dim]")
