"""What hypothesis draws from: records that agree and records that quarrel, messages, set states.

Everything is drawn from small alphabets, so that dots collide, retractions reach something and
certificates name somebody. Records are signed once and kept, since a signature costs more than
everything else an example does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from hypothesis import strategies as st

from synapse.core.clock import MS_MAX, Timestamp
from synapse.core.memory.record import (
    CERTIFICATE,
    HEADER_BYTES_MAX,
    MEMORY,
    RETRACTION,
    TASK,
    UINT_MAX,
    Record,
)
from synapse.core.memory.record_set import dot_text
from synapse.core.messages import (
    WAIT_MS_MAX,
    Have,
    Message,
    Poll,
    Prune,
    Push,
    Range,
    Ranges,
    Summary,
    Supply,
    Table,
    TableRow,
    Want,
)
from tests.making import START_MS, identity, made_up_id, record

ALICE, BOB, HAND, STRAY = (identity(number) for number in range(1, 5))
AUTHORS = [(ALICE, ALICE), (BOB, BOB), (HAND, ALICE), (STRAY, ALICE), (HAND, BOB)]
"""(writer, operator): two operators, and two writers who speak for one if it says so."""

EARLY_MS = START_MS + 3_600_000  # the time of records that are not due at `START_MS`
LATE_MS = EARLY_MS + 1  # when everything is due

SEQS = st.integers(1, 4)
EPOCHS = st.integers(1, 2)
AUTHOR_NUMBERS = st.integers(0, len(AUTHORS) - 1)
DOTS = st.builds(
    lambda writer, epoch, seq: dot_text((writer.key, epoch, seq)),
    st.sampled_from([ALICE, BOB, HAND]),
    EPOCHS,
    SEQS,
)


# Records


@cache
def signed(
    kind: str,
    author: int,
    epoch: int,
    seq: int,
    *,
    word: str = "",
    dots: Sequence[str] = (),
    refs: Sequence[bytes] = (),
    early: bool = False,
) -> Record:
    """One record by the author with this number."""
    writer, operator = AUTHORS[author]
    return record(
        {"dots": list(dots)} if kind == RETRACTION else {"text": word},
        kind=kind,
        writer=writer,
        operator=operator,
        epoch=epoch,
        seq=seq,
        hlc=Timestamp((EARLY_MS if early else START_MS) + seq, 0),
        refs=tuple(refs),
    )


def memories(*, early: st.SearchStrategy[bool]) -> st.SearchStrategy[Record]:
    """Memories and tasks. Two with one dot and different words are an equivocation."""
    return st.builds(
        signed,
        st.sampled_from([MEMORY, MEMORY, TASK]),
        AUTHOR_NUMBERS,
        EPOCHS,
        SEQS,
        word=st.sampled_from(["tide", "moon"]),
        early=early,
    )


def retractions() -> st.SearchStrategy[Record]:
    """Retractions of up to two dots; without any they are refused."""
    return st.builds(
        signed,
        st.just(RETRACTION),
        AUTHOR_NUMBERS,
        EPOCHS,
        SEQS,
        dots=st.lists(DOTS, max_size=2).map(tuple),
        early=st.booleans(),
    )


def certificates() -> st.SearchStrategy[Record]:
    """Certificates for the two writers; those that a writer gives itself say nothing."""
    return st.builds(
        signed,
        st.just(CERTIFICATE),
        AUTHOR_NUMBERS,
        EPOCHS,
        SEQS,
        refs=st.lists(st.sampled_from([HAND.key, STRAY.key]), max_size=2).map(tuple),
        early=st.booleans(),
    )


def records() -> st.SearchStrategy[Record]:
    """Anything genuine."""
    return st.one_of(
        memories(early=st.booleans()), memories(early=st.just(False)), retractions(), certificates()
    )


def offers() -> st.SearchStrategy[list[Record]]:
    """What may arrive at a spore: genuine records, some stripped of their bodies."""
    stripped = records().map(Record.without_body)
    return st.lists(st.one_of(records(), records(), records(), stripped), max_size=16)


# Messages

HASHES = st.integers(0, 40).map(made_up_id)
FINGERPRINTS = st.binary(min_size=16, max_size=16)
COUNTS = st.one_of(st.integers(0, 30), st.integers(0, UINT_MAX))
BOUNDS = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.integers(0, MS_MAX).map(lambda ms: ms.to_bytes(8, "big")),
)


def wire_records() -> st.SearchStrategy[tuple[Record, ...]]:
    """Records as they travel: erased ones among them."""
    each = st.one_of(records(), records().map(Record.without_body))
    return st.lists(each, max_size=5).map(tuple)


def ranges() -> st.SearchStrategy[tuple[Range, ...]]:
    """Ranges in order, of every payload; the last may be open."""

    @st.composite
    def some(draw: st.DrawFn) -> tuple[Range, ...]:
        uppers = sorted(draw(st.sets(BOUNDS, max_size=6)))
        if draw(st.booleans()):
            uppers.append(b"")
        payloads = st.one_of(
            st.builds(dict),
            st.builds(dict, fingerprint=FINGERPRINTS),
            st.builds(dict, ids=st.lists(HASHES, max_size=4).map(tuple)),
        )
        return tuple(Range(upper, **draw(payloads)) for upper in uppers)

    return some()


def tables() -> st.SearchStrategy[Table]:
    """Rows of the operators that follow another."""

    @st.composite
    def some(draw: st.DrawFn) -> Table:
        operators = sorted(draw(st.sets(HASHES, max_size=6)))
        after = draw(st.sampled_from([b"", *operators]))
        rows = [
            TableRow(operator, draw(COUNTS), draw(FINGERPRINTS))
            for operator in operators
            if operator > after
        ]
        return Table(after, tuple(rows), draw(st.booleans()))

    return some()


def messages() -> st.SearchStrategy[Message]:
    """Every kind of message."""
    ids = st.lists(HASHES, max_size=6).map(tuple)
    return st.one_of(
        st.builds(Summary, FINGERPRINTS, COUNTS),
        tables(),
        st.builds(Ranges, HASHES, ranges()),
        st.builds(Push, wire_records()),
        st.builds(Supply, wire_records()),
        st.just(Prune()),
        st.builds(Have, ids),
        st.builds(Want, ids),
        st.builds(Poll, st.integers(0, WAIT_MS_MAX)),
    )


def widest_record(body_bytes: int | None) -> Record:
    """A record of the greatest size, for measuring only: nobody signed it."""
    some = signed(MEMORY, 0, 1, 1, word="tide")
    body = None if body_bytes is None else bytes(body_bytes)
    return Record(some.id, some.header, bytes(HEADER_BYTES_MAX), bytes(64), body)
