"""Text, Markdown or plain, as sentences. Pure, and linear in the text: what is read is hostile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from synapse.core.text import shortened

_FENCE: Final = re.compile(r"^[ \t]*(?:```|~~~).*$", re.MULTILINE)
_MARKS: Final = (  # what stands before the words of a line, and what takes its place
    (re.compile(r"^[ \t]*(?:>[ \t]?)+", re.MULTILINE), ""),  # a quotation
    (re.compile(r"^[ \t]*#{1,6}[ \t]+(.*)$", re.MULTILINE), r"\n\1\n"),  # a heading
    (re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+", re.MULTILINE), r"\n"),  # a list item
    (re.compile(r"\*\*(?=\S)([^*\n]{1,200})(?<=\S)\*\*"), r"\1"),  # emphasis
)
_BLANK_LINE: Final = re.compile(r"\n\s*\n")
_END: Final = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+\s++"  # scripts that have spaces put one after the mark
    r"|(?<![。！？।؟])[。！？।؟]++[」』”’]*+\s*+"
)
_ABBREVIATION: Final = re.compile(
    r"(?:^|[\s(])(?:[^\W\d_]|Dr|Mrs?|Ms|Prof|St|No|Nr|vs|e\.g|i\.e)\.\s$"
)
_ABBREVIATION_CHARACTERS_MAX: Final = 7  # the longest, and what stands on both sides of it


def sentences(text: str, *, characters_max: int) -> Iterator[str]:
    """The sentences of `text` in order, each on one line and cut at `characters_max`.

    Headings and list items stand alone and lose their marks. What is inside a code fence is one
    sentence, and keeps its lines.
    """
    for index, block in enumerate(_FENCE.split(text)):
        if index % 2:  # fences alternate: prose, code, prose, …
            code = block.strip()
            cut = code if len(code) <= characters_max else code[: characters_max - 1] + "…"
            yield from filter(None, (cut,))
            continue
        for paragraph in _paragraphs(block):
            for sentence in _split(paragraph):
                yield shortened(sentence, characters_max=characters_max)


def _paragraphs(prose: str) -> Iterator[str]:
    for pattern, replacement in _MARKS:
        prose = pattern.sub(replacement, prose)
    for paragraph in _BLANK_LINE.split(prose):
        yield " ".join(paragraph.split())


def _split(paragraph: str) -> Iterator[str]:
    """A mark ends a sentence unless a small letter or an abbreviation says that it goes on."""
    start = 0
    for mark in _END.finditer(paragraph):
        end = mark.end()
        tail = paragraph[max(start, end - _ABBREVIATION_CHARACTERS_MAX) : end]
        if not paragraph[end : end + 1].islower() and not _ABBREVIATION.search(tail):
            yield paragraph[start:end].strip()
            start = end
    if start < len(paragraph):
        yield paragraph[start:]
