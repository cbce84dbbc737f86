"""The compiled loops (`native/`), with the signatures of their numpy twins."""

from array import array
from collections.abc import Callable

from synapse.retrieval.twin import Buffer, Counts, Factors, Hit

class Block:
    def __init__(
        self,
        segment: Buffer,
        dead: Buffer | None,
        verified: Buffer | None,
        gone_keys: Buffer | None,
        gone_counts: Buffer | None,
        /,
    ) -> None: ...

class Words:
    def __init__(self, stop_words: tuple[str, ...], /) -> None: ...
    def keys(self, text: str, /) -> list[int] | None: ...
    def pairs(
        self,
        texts: list[str],
        keys_of: Callable[[str], array[int]],
        k1: float,
        b: float,
        reference: float,
        /,
    ) -> bytes: ...

def build(parts: tuple[Buffer, ...], rows: int, /) -> tuple[bytes, ...]: ...
def unpack(block: Block, rows: Buffer, /) -> bytes: ...
def find(blocks: tuple[Block, ...], ids: bytes, /) -> list[int]: ...
def locate(blocks: tuple[Block, ...], keys: Buffer, /) -> list[tuple[int, bytes]]: ...
def heads(blocks: tuple[Block, ...], places: bytes, most: int, /) -> bytes: ...
def search(
    blocks: tuple[Block, ...],
    located: tuple[list[tuple[int, bytes]], ...],
    heads: tuple[list[bytes], ...] | None,
    weights: Buffer,
    limit: int,
    floor: int,
    decay: Buffer | None,
    now_s: int,
    step_s: int,
    since_s: int,
    until_s: int,
    factors: tuple[Factors, ...] | None,
    budget: int,
    reading: int,
    kept: int,
    /,
) -> tuple[list[Hit], Counts]: ...
