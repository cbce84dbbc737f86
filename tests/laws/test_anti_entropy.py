"""Two spores end with the same records, whatever each of them can and cannot let in."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from synapse.core.clock import Timestamp
from synapse.core.codec import decode, encode, sendable
from synapse.core.memory.record import CERTIFICATE, RETRACTION, Record
from synapse.core.memory.record_set import RecordSet, dot_text
from synapse.core.messages import (
    IDS_MAX,
    ROWS_MAX,
    Message,
    Ranges,
    Summary,
    Supply,
    Table,
    Want,
)
from synapse.core.replication.anti_entropy import OPERATORS_A_ROUND, AntiEntropy
from synapse.core.replication.push import EagerPush
from tests.making import START_MS, identity, made_up_id, memory_chain, record
from tests.unit.core.nodes import Table as Node
from tests.unit.core.nodes import sent

PEER = made_up_id(0)


class Spore:
    """A record set with its log, and what `core/node` makes of a comparison's messages."""

    def __init__(self, *records: Record, now_ms: int = START_MS + 1_000_000) -> None:
        self.records = RecordSet()
        self.now_ms = now_ms
        self._log: dict[bytes, Record] = {}
        self.anti_entropy = AntiEntropy(self.records, self._read)
        self._push = EagerPush(self.anti_entropy.explained, Random(1))
        self._take_in(records)

    def hear(self, message: Message, *, driving: bool) -> list[Message]:
        match message:
            case Summary():
                return self.anti_entropy.on_summary(PEER, message, driving=driving)
            case Table():
                return self.anti_entropy.on_table(message, driving=driving)
            case Ranges():
                return self.anti_entropy.on_ranges(message)
            case Want():
                return self._push.on_want(PEER, message)
            case Supply(records):
                self._take_in(records)
        return []

    def _take_in(self, records: Iterable[Record]) -> None:
        for offered in records:
            for one in self.records.admit(offered, now_ms=self.now_ms).records:
                self._log[one.id] = one

    def _read(self, ids: Iterable[bytes]) -> list[Record]:
        held = [self._log[one] for one in ids if one in self._log]
        return [self.records.current(one) for one in held]


def exchanges(driver: Spore, answerer: Spore) -> int:
    """One comparison; how many requests it took."""
    requests = 0
    request: list[Message] = [driver.anti_entropy.summary()]
    while request:
        requests += 1
        reply = [said for one in carried(request) for said in answerer.hear(one, driving=False)]
        request = [said for one in carried(reply) for said in driver.hear(one, driving=True)]
    return requests


def carried(messages: list[Message]) -> list[Message]:
    now, later = sendable(messages)
    assert not later
    return decode(encode(now))


def synchronise(driver: Spore, answerer: Spore, *, comparisons_max: int) -> None:
    for _ in range(comparisons_max):
        if driver.records.fingerprint() == answerer.records.fingerprint():
            return
        exchanges(driver, answerer)
    assert driver.records.fingerprint() == answerer.records.fingerprint()


def memories_of(*numbers: int, count: int = 1) -> list[Record]:
    return [one for n in numbers for one in memory_chain(count, writer=identity(n))]


@pytest.mark.promise("convergent")
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [(0, 0), (0, 1), (1, 0), (2_000, 0), (0, 2_000), (1_300, 2_000)],
    ids=str,
)
def test_two_spores_end_with_the_same_records(mine: int, theirs: int) -> None:
    chain = memories_of(1, count=2_000)
    driver = Spore(*chain[:mine], *memories_of(2, count=50))
    answerer = Spore(*chain[:theirs][::-1], *memories_of(3, count=50))
    synchronise(driver, answerer, comparisons_max=3)
    assert len(driver.records) == max(mine, theirs) + 100


def test_equal_spores_exchange_one_message_each() -> None:
    records = memories_of(1, 2, 3, count=3)
    assert exchanges(Spore(*records), Spore(*records[::-1])) == 1


def test_more_operators_than_a_table_has_rows_are_compared_page_by_page() -> None:
    records = memories_of(*range(1, ROWS_MAX + 10))
    records.sort(key=lambda one: one.header.operator)
    driver, answerer = Spore(*records[:-1]), Spore(*records[1:])
    synchronise(driver, answerer, comparisons_max=2)
    assert len(driver.records) == len(records)


def erased(count: int, *, number: int) -> list[Record]:
    """So many memories, and the retractions that took them back later."""
    chain = memories_of(number, count=count)
    taken_back = [
        record(
            {"dots": [dot_text(one.header.dot) for one in chain[at : at + 8]]},
            kind=RETRACTION,
            writer=identity(number),
            seq=count + 1 + at // 8,
            refs=[one.id for one in chain[at : at + 8]],
        )
        for at in range(0, count, 8)
    ]
    return [*chain, *taken_back]


@pytest.mark.promise("convergent")
def test_a_joiner_gets_past_any_number_of_erased_records() -> None:
    """Their headers enter only with their retractions, which are younger."""
    answerer = Spore(*erased(IDS_MAX + 100, number=1))
    joiner = Spore()
    synchronise(joiner, answerer, comparisons_max=4)
    assert len(joiner.records) == len(answerer.records) > IDS_MAX


@pytest.mark.promise("convergent")
def test_a_joiner_gets_past_any_number_of_records_that_were_certified_later() -> None:
    hand = identity(2)
    certificate = record({}, kind=CERTIFICATE, seq=1_000_000, refs=[hand.key])
    chain = [
        record({"text": "by hand"}, writer=hand, operator=identity(1), seq=seq)
        for seq in range(1, IDS_MAX + 100)
    ]
    joiner = Spore()
    synchronise(joiner, Spore(certificate, *chain), comparisons_max=3)
    assert len(joiner.records) == 1 + len(chain)


def test_a_wanted_record_comes_after_what_it_cannot_enter_without() -> None:
    hand = identity(2)
    certificate = record({}, kind=CERTIFICATE, seq=9, refs=[hand.key, identity(1).key])
    [whole] = memories_of(1)
    retraction = record(
        {"dots": [dot_text(whole.header.dot)]}, kind=RETRACTION, writer=hand, operator=identity(1)
    )
    spore = Spore(certificate, whole, retraction)
    [supply] = spore.hear(Want((whole.id, certificate.id)), driving=False)
    assert supply == Supply((certificate, retraction, whole.without_body()))


def test_a_node_explains_what_it_is_asked_for() -> None:
    node = Node()
    chain = erased(8, number=2)
    for one in chain:
        node.hear_records(one)
    effects = node.hear(Want((chain[0].id,)))
    [reply] = sent(effects, Supply)
    assert reply.message == Supply((chain[-1], chain[0].without_body()))


@pytest.mark.promise("convergent")
def test_operators_that_cannot_become_equal_do_not_keep_others_from_it() -> None:
    ahead = [
        record({"text": "tomorrow"}, writer=identity(n), hlc=Timestamp(START_MS + 10_000_000, 0))
        for n in range(1, 3 * OPERATORS_A_ROUND)
    ]
    late = max(memories_of(*range(100, 120)), key=lambda one: one.header.operator)
    driver = Spore()
    answerer = Spore(*ahead, late, now_ms=START_MS + 20_000_000)
    for _ in range(4):
        exchanges(driver, answerer)
    assert late in driver.records
