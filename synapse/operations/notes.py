"""Notes to memories: folders of Markdown and plain text, cut where their authors cut them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PASSAGE_CHARACTERS: Final = 1_000  # about 200 words: what a search can find and a prompt can hold
FILE_BYTES_MAX: Final = 16 << 20  # a larger text file is data, not notes
SUFFIXES: Final = (".md", ".txt")

_HEADING: Final = re.compile(r"#{1,6}\s+(.+?)\s*#*\s*")
_FENCE: Final = re.compile(r"\s*(```|~~~)")


@dataclass(frozen=True, slots=True)
class Passage:
    """One memory's worth of a note. `text` starts with the headings it stood under."""

    text: str
    source: str  # the file, relative to the folder


def files(folder: Path) -> list[Path]:
    """The notes below `folder`, or the one file that it is, in a fixed order."""
    if folder.is_file():
        return [folder]
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    visible = (
        path
        for path in found
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    return sorted(visible)


def passages(path: Path, *, below: Path) -> Iterator[Passage]:
    """The passages of one file. What is not text, or too large to be a note, has none."""
    if path.stat().st_size > FILE_BYTES_MAX:
        return
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    source = path.name if path == below else path.relative_to(below).as_posix()
    for passage in split(text):
        yield Passage(passage, source)


def split(text: str) -> Iterator[str]:
    """Cut at headings and paragraphs, joining short ones up to a passage's length."""
    headings: list[tuple[int, str]] = []
    gathered: list[str] = []
    for block in _blocks(text):
        heading = _HEADING.fullmatch(block)
        size = sum(map(len, gathered)) + len(block)
        if gathered and (heading is not None or size > PASSAGE_CHARACTERS):
            yield _under(headings, gathered)
            gathered = []
        if heading is None:
            gathered.append(block)
        else:
            level = len(block) - len(block.lstrip("#"))
            headings = [one for one in headings if one[0] < level] + [(level, heading[1])]
    if gathered:
        yield _under(headings, gathered)


def _under(headings: list[tuple[int, str]], blocks: list[str]) -> str:
    title = " › ".join(name for _, name in headings)
    body = "\n\n".join(blocks)
    return f"{title}\n\n{body}" if title else body


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs, headings and fenced code, each whole."""
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        starts_anew = not fenced and _HEADING.fullmatch(line) is not None
        if lines and not fenced and (not line.strip() or starts_anew):
            yield "\n".join(lines)
            lines = []
        if starts_anew:
            yield line.strip()
        elif line.strip() or fenced:
            lines.append(line.rstrip())
    if lines:
        yield "\n".join(lines)
