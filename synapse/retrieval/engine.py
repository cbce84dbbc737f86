"""The hot loops: the compiled ones where they were built, else their numpy twins."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from synapse.retrieval import twin, twin_heads, twin_search
from synapse.retrieval.twin import Buffer, Counts, Factors, Hit

try:
    from synapse.retrieval import _kernel
except ImportError:  # no compiler was there
    _kernel = None  # type: ignore[assignment]  # the one place that has to know


class Words(Protocol):
    """Cuts text into terms."""

    def keys(self, text: str, /) -> list[int] | None:
        """The keys of a text, in order; None for one that is left to the analysis."""

    def pairs(
        self,
        texts: list[str],
        keys_of: Callable[[str], array[int]],
        k1: float,
        b: float,
        reference: float,
        /,
    ) -> bytes:
        """Packed postings, row after row."""


Located = tuple[int, Any]  # the living holders of a term, and its places


class Heads(Protocol):
    """The greatest impacts of a term, copied."""

    def __len__(self) -> int:
        """In bytes."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One set of loops. A block and places mean something only to the engine that made them."""

    name: str
    words: Callable[[tuple[str, ...]], Words]
    block: Callable[
        [Buffer, Buffer | None, Buffer | None, Buffer | None, Buffer | None],
        Any,
    ]
    build: Callable[[tuple[Buffer, ...], int], tuple[bytes, ...]]
    unpack: Callable[[Any, Buffer], bytes]
    find: Callable[[tuple[Any, ...], bytes], list[int]]
    locate: Callable[[tuple[Any, ...], Buffer], list[Located]]
    heads: Callable[[tuple[Any, ...], Any, int], Heads]
    search: Callable[
        [
            tuple[Any, ...],  # blocks
            tuple[list[Located], ...],  # by part of the blocks, by term
            tuple[list[Any], ...] | None,  # heads, the same; None without a budget
            Buffer,  # weights
            int,  # limit
            int,  # least rank
            Buffer | None,  # decay
            int,  # now_s
            int,  # step_s
            int,  # since_s
            int,  # until_s
            tuple[Factors, ...] | None,
            int,  # budget: while all postings are no more, all of them are read
            int,  # else so many
            int,  # rows totalled at most, when the budget cuts
        ],
        tuple[list[Hit], Counts],
    ]


NUMPY: Final = Engine(
    "numpy",
    twin.Words,
    twin.Block,
    twin.build,
    twin.unpack,
    twin.find,
    twin.locate,
    twin_heads.heads,
    twin_search.search,
)
COMPILED: Final = (
    None
    if _kernel is None
    else Engine(
        "compiled",
        _kernel.Words,
        _kernel.Block,
        _kernel.build,
        _kernel.unpack,
        _kernel.find,
        _kernel.locate,
        _kernel.heads,
        _kernel.search,
    )
)
BEST: Final = NUMPY if COMPILED is None else COMPILED
