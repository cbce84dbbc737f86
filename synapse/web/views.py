"""The pages' templates: the words and filters they use, and how they are rendered.

Memories, tasks and names are written by strangers. Every value put into a template is escaped, and
a name that has no value is an error, not an empty place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from synapse import __version__
from synapse.core.text import shortened
from synapse.replies import Citation

BRIEF_CHARACTERS_MAX: Final = 280  # of one text in a list: four lines on a telephone
MARK_CHARACTERS: Final = 8  # of an id, as the extractor cites it

_MARK: Final = re.compile(r"\[([0-9a-f]{8})\]")

STATES: Final = {
    "ok": "ready",
    "starting": "filling its index",
    "stalled": "not taking writes",
}
STATUSES: Final = {
    "open": "being answered",
    "waiting": "waiting for a model",
    "answered": "answered",
    "unanswered": "no answer",
}
STOP_REASONS: Final = {
    "extract": "no model took part: these are sentences of memory that bear on the question",
    "decided": "the models agreed enough to decide",
    "one_family": "only one family of models took part, and one voice decides nothing more",
    "cycles_spent": "the models still differed after the last cycle",
    "deadline": "the time for it was up",
    "settled": "asking more models would hardly have changed the answer",
    "stable": "another cycle changed nothing",
    "budget": "the calls it may take were spent",
    "refuted": "the leading answer failed a check, and no other was found",
    "nothing_recalled": "nothing that is remembered here bears on it",
    "no_model_answered": "no model answered, however often it was tried",
}


KINDS_OF_ANSWER: Final = {
    "number": "a number",
    "choice": "a choice",
    "set": "a set",
    "code": "code",
    "plan": "a plan",
    "free": "free text",
}
ORIGINS: Final = {
    "own": "your own",
    "own of strangers": "your own, of operators little known",
    "advisers": "of operators whose grades proved right",
    "unknown": "of operators that nothing is known of",
}


def page(name: str, /, **values: object) -> str:
    """The page of this name. Raises UndefinedError for a value that its template misses."""
    return _ENVIRONMENT.get_template(f"{name}.html").render(values)


def lasted(elapsed_ms: int) -> str:
    """A time as people tell it: less than a minute, 5 min, 3 h, 2 d."""
    minutes = elapsed_ms // 60_000
    if minutes < 1:
        return "less than a minute"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2_880 else f"{minutes // 1_440} d"


def ago(elapsed_ms: int) -> str:
    """How long ago: just now, 5 min ago, 3 h ago, 2 d ago."""
    return f"{lasted(elapsed_ms)} ago" if elapsed_ms >= 60_000 else "just now"


def exact(at_ms: int) -> str:
    """A moment to the second, as browsers read it."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="seconds")


def counted(number: int, one: str, many: str) -> str:
    """A number and its noun."""
    return f"{number:,} {one if number == 1 else many}"


def brief(text: str, characters_max: int = BRIEF_CHARACTERS_MAX) -> str:
    """A text for a list: on one line, and cut where it is long."""
    return shortened(text, characters_max=characters_max)


def marked(answer: str, citations: Sequence[Citation]) -> Iterator[tuple[str, str | None]]:
    """The pieces of an answer; a mark like [9f2c4d1e] with the id of the memory it stands for."""
    ids = {one.id[:MARK_CHARACTERS]: one.id for one in citations}
    for number, piece in enumerate(_MARK.split(answer)):  # text, mark, text, mark, …, text
        yield (f"[{piece}]", ids.get(piece)) if number % 2 else (piece, None)


def percent(share: float) -> str:
    """A share in percent. What is not quite nothing or all is not rounded to it."""
    if 0 < share <= 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def _full(share: float) -> str:
    """A share of a bar, as SVG writes it; what lies outside ends at the bar's end."""
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("synapse.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "ago": ago,
        "as_json": _as_json,
        "brief": brief,
        "counted": counted,
        "exact": exact,
        "full": _full,
        "lasted": lasted,
        "marked": marked,
        "percent": percent,
    }
    environment.globals |= {
        "kinds_of_answer": KINDS_OF_ANSWER,
        "mark_characters": MARK_CHARACTERS,
        "origins": ORIGINS,
        "states": STATES,
        "statuses": STATUSES,
        "stop_reasons": STOP_REASONS,
        "version": __version__,
    }
    return environment


_ENVIRONMENT: Final = _environment()
