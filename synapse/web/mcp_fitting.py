"""Making a result fit an agent's context, and quoting what others wrote so that it stays quoted.

A result says everything twice, as structured content and as text, because clients differ in which
of the two they put before their model. Both are made from one shape, and the budget counts both.
"""

from __future__ import annotations

import json
import textwrap
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel, ConfigDict

from synapse.core.text import shortened

TOKENS_DEFAULT: Final = 2_000
TOKENS_MIN: Final = 500  # a short answer, or one short memory
TOKENS_MAX: Final = 4_096  # clients warn at 10,000 or cut at 25,000; an agent calls more than once
BYTES_PER_TOKEN: Final = 4  # the usual estimate for English; of bytes, so that no script costs more
CUT_MIN: Final = 80  # characters; less of a text is of no use
ELLIPSIS: Final = "…"
WORD_MAX: Final = 64  # characters of a name, a kind, a model: as many as a label may have


class Part(BaseModel):
    """Base of what shapes are made of."""

    model_config = ConfigDict(frozen=True)


class Shape(BaseModel):
    """What a tool returns."""

    model_config = ConfigDict(frozen=True)

    @abstractmethod
    def lines(self) -> Iterator[str]:
        """The same for reading, line by line."""


def result(shape: Shape) -> CallToolResult:
    """A shape in both forms."""
    text = "\n".join(shape.lines()).strip("\n")
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=shape.model_dump(mode="json"),
    )


def fitted(
    make: Callable[[int, int], Shape], *, rows: int, max_tokens: int = TOKENS_DEFAULT
) -> CallToolResult:
    """The most that fits into `max_tokens` of what `make(rows, cut)` returns.

    `rows` bounds each of its lists and `cut` the characters of each text. Texts are cut first, all
    at the same length; rows are left out when not even texts of CUT_MIN characters fit. Whole texts
    may need less room than cut ones, for whose sake a note is added: they are tried by themselves.
    """
    room = max_tokens * BYTES_PER_TOKEN

    def size(rows: int, cut: int) -> int:
        shape = make(rows, cut)
        structured = json.dumps(shape.model_dump(mode="json"), ensure_ascii=False)
        return len(structured.encode()) + sum(len(line.encode()) + 1 for line in shape.lines())

    def least(rows: int) -> int:
        return min(size(rows, CUT_MIN), size(rows, room))

    rows = bisect_right(range(1, rows + 1), room, key=least)
    if size(rows, room) <= room:
        return result(make(rows, room))
    longer = bisect_right(range(CUT_MIN + 1, room), room, key=lambda cut: size(rows, cut))
    return result(make(rows, CUT_MIN + longer))


def cut_to(text: str, characters_max: int) -> str:
    """`text` as it is, or its beginning and an ellipsis.

    The ellipsis takes the place of as many characters as it has bytes: a cut text never needs more
    room than one cut later, nor than the whole, which `fitted` relies on.
    """
    if len(text) <= characters_max:
        return text
    return text[: max(0, characters_max - len(ELLIPSIS.encode()))].rstrip() + ELLIPSIS


def word(text: str, characters_max: int = WORD_MAX) -> str:
    """A short text of somebody else's, on one line."""
    return shortened(text, characters_max=characters_max)


def quoted(text: str, characters_max: int = WORD_MAX) -> str:
    """A short text of somebody else's inside a line of ours."""
    return json.dumps(word(text, characters_max), ensure_ascii=False)


def quotation(text: str) -> str:
    """A text of somebody else's: no line of it can be taken for one of ours."""
    return textwrap.indent(text, "> ", lambda _: True)


def ending(note: str, cursor: str | None = None) -> Iterator[str]:
    """The last lines of a result: what to know of it, and where it goes on."""
    if note:
        yield f"\n{note}"
    if cursor is not None:
        yield f"\nThere is more: call again with cursor {cursor}."


def day(at_ms: int) -> str:
    """The date of a moment, in UTC."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).date().isoformat()


def clock_time(at_ms: int) -> str:
    """The time of day of a moment."""
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%H:%M:%S} UTC"
