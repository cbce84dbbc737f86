"""HTML from templates, escaped by default.

Memories, tasks and names are written by strangers. A value put into a template is escaped unless
it is `Html`, and only `render` and `joined` make `Html`: forgetting to escape is not possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Final

from synapse import __version__

_FOLDER: Final = Path(__file__).with_name("templates")
_TEMPLATES: Final[Mapping[str, Template]] = {
    path.stem: Template(path.read_text(encoding="utf-8")) for path in sorted(_FOLDER.glob("*.html"))
}


class Html(str):
    """Text that is HTML already, made from templates of ours."""

    __slots__ = ()


NOTHING: Final = Html()


def render(name: str, /, **values: str | int) -> Html:
    """The template of this name with its `${places}` filled. Raises KeyError when one is left."""
    filled = {place: _escaped(value) for place, value in values.items()}
    return Html(_TEMPLATES[name].substitute(filled))


def joined(parts: Iterable[Html], *, otherwise: Html = NOTHING) -> Html:
    """The parts one after the other; `otherwise` when there are none."""
    return Html("".join(parts)) or otherwise


def page(title: str, main: Html, *, refresh_s: int | None = None) -> Html:
    """A whole page. One that shows something unfinished asks to be loaded again."""
    refresh = NOTHING if refresh_s is None else render("refresh", seconds=refresh_s)
    return render("page", title=title, main=main, refresh=refresh, version=__version__)


def _escaped(value: str | int) -> str:
    return value if isinstance(value, Html) else escape(str(value))
