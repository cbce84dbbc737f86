"""Small pictures as self-contained SVG: no fonts, scripts or styles from elsewhere.

A `Picture` gathers marks; a `Scale` turns a value into a place. Colours follow the reader's light
or dark mode, and are told apart by lightness and dash as well as by hue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

# Hues are of Okabe and Ito's palette, which most colour-blind people can tell apart.
_STYLE: Final = """\
text { fill: #1d2b24 } .quiet { fill: #55635b } .grid { stroke: #d9dfdb } .axis { stroke: #6b776f }
.good { fill: #00734f } .bad { fill: #b3401c }
.a { stroke: #00734f; fill: #00734f } .b { stroke: #0062a3; fill: #0062a3 }
.c { stroke: #b3401c; fill: #b3401c } .d { stroke: #1d2b24; fill: #1d2b24 }
.line { fill: none; stroke-width: 2; stroke-linejoin: round } .dashed { stroke-dasharray: 5 4 }
.bold { stroke-width: 3.2 } .page { fill: #ffffff }
text.a, text.b, text.c, text.d { stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e4efe9 } .quiet { fill: #a9bcb1 }
  .grid { stroke: #34413a } .axis { stroke: #8b9a91 }
  .good { fill: #5fc79d } .bad { fill: #f0916b }
  .a { stroke: #5fc79d; fill: #5fc79d } .b { stroke: #6cb8ee; fill: #6cb8ee }
  .c { stroke: #f0916b; fill: #f0916b } .d { stroke: #e4efe9; fill: #e4efe9 }
  .page { fill: #141a17 }
}"""


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high`, along `begin` to `end` in the picture's units."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value is; what is outside is drawn at the edge."""
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)


@dataclass(slots=True)
class Picture:
    """Marks in the order they are drawn."""

    width: int
    height: int
    says: str  # what it shows, for those who cannot see it
    marks: list[str] = field(default_factory=list)

    def text(
        self, x: float, y: float, said: str, *, of: str = "", anchor: str = "start", size: int = 13
    ) -> None:
        """Words; `y` is their base line."""
        self.marks.append(
            f'<text x="{x}" y="{y}" class="{of}" text-anchor="{anchor}" font-size="{size}">'
            f"{escape(said)}</text>"
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, *, of: str = "axis") -> None:
        """A straight one."""
        self.marks.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{of}"/>')

    def curve(self, points: Iterable[tuple[float, float]], *, of: str) -> None:
        """A line through points."""
        path = " ".join(f"{x},{y}" for x, y in points)
        self.marks.append(f'<polyline points="{path}" class="{of} line" style="fill:none"/>')

    def dot(self, x: float, y: float, *, of: str, radius: float = 4) -> None:
        """A point."""
        self.marks.append(f'<circle cx="{x}" cy="{y}" r="{radius}" class="{of}"/>')

    def svg(self) -> str:
        """The file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'font-family="system-ui, sans-serif" role="img" aria-label="{escape(self.says)}">'
        )
        page = f'<rect class="page" width="{self.width}" height="{self.height}"/>'
        return "\n".join([head, f"<style>\n{_STYLE}\n</style>", page, *self.marks, "</svg>\n"])


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot; its values are one apart, and None leaves a gap at the start."""

    name: str
    values: Sequence[float | None]
    of: str  # a class of the style, such as "a", or "b dashed"


def plot(
    picture: Picture,
    curves: Sequence[Curve],
    *,
    top: float,
    bottom: float,
    title: str,
    below: str,
    ticks: Sequence[float],
    first: int = 1,
) -> None:
    """Curves between two heights of the picture, from the place `first`; each named at its end."""
    left, right = 56.0, picture.width - 190.0
    last = first + max(2, *(len(curve.values) for curve in curves)) - 1
    across = Scale(first, last, left, right)
    up = Scale(min(ticks), max(ticks), bottom, top)
    picture.text(left, top - 14, title, size=15)
    for tick in ticks:
        picture.line(left, up(tick), right, up(tick), of="grid")
        picture.text(left - 8, up(tick) + 4, f"{tick:g}", of="quiet", anchor="end", size=12)
    for place in range(first, last + 1):
        if place % 10:
            continue
        picture.text(across(place), bottom + 18, str(place), of="quiet", anchor="middle", size=12)
    picture.text((left + right) / 2, bottom + 36, below, of="quiet", anchor="middle", size=12)
    names: list[tuple[float, Curve]] = []
    for curve in curves:
        known = [(n, one) for n, one in enumerate(curve.values, start=first) if one is not None]
        if known:
            picture.curve([(across(n), up(one)) for n, one in known], of=curve.of)
            names.append((up(known[-1][1]), curve))
    at = -100.0
    for height, curve in sorted(names, key=lambda one: (one[0], one[1].name)):
        at = max(height + 4, at + 16)  # names are a line apart
        picture.text(right + 10, at, curve.name, of=curve.of.split()[0], size=13)
