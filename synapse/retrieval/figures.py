"""What a text states exactly: its numbers and its denials, in order.

Two texts may share every other word and still say opposite things: "5 of 50 failed" and "50 of 50
failed", "it is safe" and "it is not safe". Wherever likeness of words decides that two texts say
the same, these have to be equal too. Denials are known in English only; elsewhere likeness of words
decides alone.
"""

from __future__ import annotations

import re
from typing import Final

# Each branch begins with a letter or a digit, which lets the engine skip quickly; the look-behind
# says that no word goes on to the left.
_FIGURES: Final = re.compile(
    r"[0-9]+(?:[.,:/-][0-9]+)*"
    r"|n(?:[’']t|(?<!\wn)(?:o(?:t|ne|thing|body|r)?|ever|either))\b"
    r"|w(?<!\ww)ithout\b|c(?<!\wc)annot\b"
)


def figures(text: str) -> tuple[str, ...]:
    """Every number and denial of a text."""
    return tuple(_FIGURES.findall(text.lower()))
