"""Range-based set reconciliation (Meyer 2022, arXiv 2212.13567), as pure functions.

Two spores compare fingerprints of ranges of their sorted keys; a range that differs is split
sixteen ways by the *local* count, so neither skewed times nor mined ids unbalance it; a small one
is listed. Neither side keeps state between messages, and every message is bounded: what does not
fit is left for the next round, which always finds fewer differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from synapse.core.memory.id_index import IdIndex
from synapse.core.messages import IDS_MAX, RANGES_MAX, Range

SPLIT: Final = 16  # three round trips reach one record among ten million
LIST_MAX: Final = 32  # a list of so many ids costs less than two more round trips


@dataclass(frozen=True, slots=True)
class Step:
    """One side's answer: what to ask next, and what was found."""

    ranges: tuple[Range, ...]
    wanted: tuple[bytes, ...]  # ids the other side holds and we do not
    surplus: tuple[bytes, ...]  # ids we hold and the other side does not


def opening(index: IdIndex) -> tuple[Range, ...]:
    """The first message about a set that is known to differ."""
    return tuple(_describe(index, 0, len(index), b""))


def respond(index: IdIndex, ranges: tuple[Range, ...]) -> Step:
    """Answer the other side's ranges."""
    reply: list[Range] = []
    wanted: list[bytes] = []
    surplus: list[bytes] = []
    start = 0
    for one in ranges:
        stop = index.position(one.upper) if one.upper else len(index)
        stop = max(start, stop)
        answer: list[Range] = []
        if one.ids is not None:
            _compare(index, start, stop, one.ids, wanted, surplus)
        elif one.fingerprint is not None and one.fingerprint != index.fingerprint(start, stop):
            answer = list(_describe(index, start, stop, one.upper))
        if len(reply) + max(1, len(answer)) >= RANGES_MAX:
            break  # the rest of the set waits for the next round
        reply += answer or [Range(one.upper)]
        start = stop
    return Step(_without_trailing_skips(reply), tuple(wanted), tuple(surplus))


def _describe(index: IdIndex, start: int, stop: int, upper: bytes) -> Iterator[Range]:
    """Our side of positions `start` to `stop`, which end at the bound `upper`."""
    count = stop - start
    if count <= LIST_MAX:
        yield Range(upper, ids=tuple(key[8:] for key in index.keys(start, stop)))
        return
    for part in range(SPLIT):
        low = start + count * part // SPLIT
        high = start + count * (part + 1) // SPLIT
        last = part == SPLIT - 1
        bound = upper if last else _between(index.key_at(high - 1), index.key_at(high))
        yield Range(bound, fingerprint=index.fingerprint(low, high))


def _compare(
    index: IdIndex,
    start: int,
    stop: int,
    theirs: tuple[bytes, ...],
    wanted: list[bytes],
    surplus: list[bytes],
) -> None:
    # Short lists over long ranges could make us walk ten million keys: look at no more than this
    # answer can still use, and call nothing missing from a range that was not walked to its end.
    end = min(stop, start + IDS_MAX - len(surplus) + len(theirs))
    missing = set(theirs)
    ours = []
    for key in index.keys(start, end):
        if key[8:] in missing:
            missing.discard(key[8:])
        else:
            ours.append(key[8:])
    surplus += ours[: IDS_MAX - len(surplus)]
    if end == stop:
        wanted += sorted(missing)[: IDS_MAX - len(wanted)]


def _between(low: bytes, high: bytes) -> bytes:
    """The shortest bound above `low` and not above `high`."""
    for length in range(1, len(high) + 1):
        if high[:length] > low:
            return high[:length]
    raise AssertionError("keys are distinct and sorted")


def _without_trailing_skips(ranges: list[Range]) -> tuple[Range, ...]:
    while ranges and ranges[-1].ids is None and ranges[-1].fingerprint is None:
        ranges.pop()
    return tuple(ranges)
