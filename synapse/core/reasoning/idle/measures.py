"""How new a text is here, what belongs to one subject, and how many independent people say it.

Likeness is of content words, as far as words can show it: it sees no meaning, costs microseconds,
and gives every spore the same figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from synapse.core.text import words

TEXT_CHARACTERS_MAX: Final = 1_200  # what a prompt quotes of a memory; likeness looks no further
LETTERS_MIN: Final = 4  # of a word that carries content; the most common ones are shorter
STEM_CHARACTERS: Final = 6  # stand for a word and its inflections; no source for the number
SUBJECT_MIN: Final = 0.2  # likeness of two memories of one subject; no source
SAME_MIN: Final = 0.5  # likeness from which two texts say the same, as for answers in prose
COPY_MIN: Final = 0.95  # likeness from which a memory says nothing beside another

Marks = frozenset[str]


def marks(text: str) -> Marks:
    """What a text is about: its longer words cut to stems, and its numbers."""
    every = words(text[:TEXT_CHARACTERS_MAX])
    long = [word for word in every if len(word) >= LETTERS_MIN or word.isdigit()]
    return frozenset(word[:STEM_CHARACTERS] for word in long or every)


def alike(one: Marks, other: Marks) -> float:
    """Jaccard index, 0.0 (nothing shared) to 1.0 (the same)."""
    union = len(one | other)
    return len(one & other) / union if union else 1.0


def novelty(text: Marks, others: Sequence[Marks]) -> float:
    """1 less the largest likeness to any of the others: 1.0 where there are none."""
    return 1.0 - max((alike(text, other) for other in others), default=0.0)


@dataclass(frozen=True, slots=True)
class Voice:
    """One text and who stands for it. `family` is the model that found it; empty for a person."""

    id: bytes
    operator: bytes
    text: str
    family: str
    at_ms: int
    refs: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Corroboration:
    """How many say the same, independently: operators, and model families among what they found.
    `copies` is how many said it in another's words or from another's record, and did not count."""

    operators: int
    families: int
    copies: int


def corroboration(text: str, voices: Sequence[Voice]) -> Corroboration:
    """Count who says what `text` says.

    The first to say something in these words is its source; who repeats the words, or cites a
    record that says it, only passes it on. An operator counts once, whatever it runs.
    """
    wanted = marks(text)
    told = sorted(voices, key=lambda one: (one.at_ms, one.id))
    agreeing = [one for one in told if alike(wanted, marks(one.text)) >= SAME_MIN]
    known = {one.id for one in agreeing}
    sources: dict[tuple[str, ...], Voice] = {}
    for one in agreeing:
        if not any(ref in known for ref in one.refs):
            sources.setdefault(tuple(words(one.text)), one)
    return Corroboration(
        operators=len({one.operator for one in sources.values()}),
        families=len({one.family for one in sources.values() if one.family}),
        copies=len(agreeing) - len(sources),
    )
