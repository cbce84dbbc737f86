"""How much of mapped segments stays in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from synapse.retrieval import residency
from synapse.retrieval.residency import LARGE, LOOK_EVERY, Residency

BYTES = 100  # of a segment here


@dataclass
class Pages:
    """Segments whose pages are all mapped once they are read."""

    mapped: set[int] = field(default_factory=set)
    looks: int = 0

    def segments(self, count: int) -> Any:
        return tuple(_Segment(_Contents(self, nth)) for nth in range(count))

    def read(self, *numbers: int) -> None:
        self.mapped.update(numbers)

    def bytes(self) -> int:
        self.looks += 1
        return 1_000 + BYTES * len(self.mapped)  # with the program itself


@dataclass
class _Contents:
    pages: Pages
    number: int
    data: bytes = bytes(BYTES)

    def release(self) -> None:
        self.pages.mapped.discard(self.number)


@dataclass
class _Segment:
    contents: _Contents


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    pages = Pages()
    monkeypatch.setattr(residency, "mapped_bytes", pages.bytes)
    return pages


def a_residency(pages: Pages, at_rest: int, at_once: int, most: int = 0) -> Residency:
    return Residency(at_rest, at_once, most, _before=pages.bytes())


def test_after_upkeep_no_more_stays_than_may_and_all_take_turns(pages: Pages) -> None:
    its, segments = a_residency(pages, 200, 400), pages.segments(4)
    left = []
    for _ in range(4):
        pages.read(0, 1, 2, 3)
        its.rest(segments)
        left.append(frozenset(pages.mapped))
    assert [len(each) for each in left] == [2, 2, 2, 2]
    assert frozenset.intersection(*left) == frozenset()


def test_searches_look_once_in_a_while_and_leave_more(pages: Pages) -> None:
    its, segments = a_residency(pages, 100, 300), pages.segments(4)
    before = pages.looks
    for _ in range(LOOK_EVERY - 1):
        pages.read(0, 1, 2, 3)
        its.searched(segments)
    assert (pages.looks, len(pages.mapped)) == (before, 4)
    its.searched(segments)
    assert len(pages.mapped) == 3


def test_what_is_much_larger_may_keep_more(pages: Pages) -> None:
    count = 1 + LARGE
    its, segments = a_residency(pages, BYTES, BYTES, most=300), pages.segments(count)
    pages.read(*range(count))
    its.rest(segments)
    assert len(pages.mapped) == 3
    its.rest(segments[:LARGE])
    assert len(pages.mapped) == 1


def test_without_a_limit_nothing_is_looked_at(pages: Pages) -> None:
    its, segments = Residency(), pages.segments(2)
    before = pages.looks
    pages.read(0, 1)
    its.rest(segments)
    for _ in range(2 * LOOK_EVERY):
        its.searched(segments)
    assert (pages.looks, len(pages.mapped)) == (before, 2)


def test_the_system_says_how_much_is_mapped() -> None:
    tells = Path("/proc/self/statm").exists()
    assert (residency.mapped_bytes() > 1 << 20) == tells, "the interpreter alone is larger"
