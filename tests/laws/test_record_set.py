"""The record set: what enters depends on the records, never on who brought them or in which order.

Checked against a dumb twin, which looks at everything offered again and again until nothing more
may enter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.core.memory.id_index import fingerprint
from synapse.core.memory.record import CERTIFICATE, MEMORY, RETRACTION, Record
from synapse.core.memory.record_set import (
    FUTURE_MS_MAX,
    PARKED_BYTES_MAX,
    PARKED_MAX,
    Admission,
    RecordSet,
    dot_text,
)
from tests.laws.strategies import ALICE, BOB, EARLY_MS, HAND, LATE_MS, STRAY, offers, signed
from tests.making import START_MS, memory_chain, memory_record, record
from tests.unit.core.nodes import Table

AS_ALICE, AS_BOB, HAND_OF_ALICE, STRAY_OF_ALICE, HAND_OF_BOB = range(5)


@dataclass
class Spore:
    """A record set with all that ever entered it, as its log would have kept it."""

    records: RecordSet = field(default_factory=RecordSet)
    log: list[Record] = field(default_factory=list)

    def offer(self, *offered: Record, now_ms: int = START_MS) -> Admission:
        for one in offered:
            admitted = self.records.admit(one, now_ms=now_ms)
            self.log += admitted.records
        return admitted.status

    def wait(self) -> None:
        self.log += self.records.due(now_ms=LATE_MS)

    def kept(self) -> dict[bytes, bytes | None]:
        """Every id with the body that may be kept."""
        return {one.id: self.records.current(one).body for one in self.log}

    def state(self) -> tuple[object, ...]:
        """Everything two spores with the same records must agree on."""
        held = self.records
        clock = held.frontier.clock()
        counts = (len(held), held.counts_by_kind, held.equivocations, held.operators())
        return held.fingerprint(), counts, clock, held.retractions, self.kept()


def twin(offered: Sequence[Record], *, now_ms: int) -> dict[bytes, Record]:
    """Which records enter, by the rules of `docs/protocol.md` read one by one."""
    held: dict[bytes, Record] = {}
    progress = True
    while progress:
        progress = False
        for one in offered:
            if one.id not in held and may_enter(one, held, now_ms=now_ms):
                held[one.id] = one
                progress = True
    return held


def may_enter(one: Record, held: dict[bytes, Record], *, now_ms: int) -> bool:
    header = one.header
    if header.hlc.ms > now_ms + 600_000:
        return False
    theirs = [other for other in held.values() if other.header.operator == header.operator]
    named = {
        key
        for other in theirs
        if other.kind == CERTIFICATE and other.header.writer == header.operator
        for key in other.header.refs
    }
    if header.writer != header.operator and header.writer not in named:
        return False
    if one.kind == RETRACTION:
        return bool(one.content().get("dots"))
    return one.body is not None or taken_back(one, theirs)


def taken_back(one: Record, held: Sequence[Record]) -> bool:
    return one.kind not in (CERTIFICATE, RETRACTION) and any(
        dot_text(one.header.dot) in other.content()["dots"]
        for other in held
        if other.kind == RETRACTION and other.header.operator == one.header.operator
    )


@st.composite
def arrivals(draw: st.DrawFn, offered: Sequence[Record]) -> tuple[list[Record], int]:
    """The same records in another order, some twice; and when in between an hour passes."""
    again = draw(st.lists(st.sampled_from(offered), max_size=4)) if offered else []
    order = draw(st.permutations([*offered, *again]))
    return order, draw(st.integers(0, len(order)))


def met(order: Sequence[Record], noon: int, *, tell_the_time: bool) -> Spore:
    """A spore that met these records, the first `noon` of them an hour before the others."""
    spore = Spore()
    for number, one in enumerate(order):
        if number == noon and tell_the_time:
            spore.wait()
        spore.offer(one, now_ms=START_MS if number < noon else LATE_MS)
    spore.wait()
    return spore


# The law


@pytest.mark.promise("convergent")
@given(st.data(), offers())
def test_spores_that_met_the_same_records_agree_on_everything(
    data: st.DataObject, offered: list[Record]
) -> None:
    one = met(*data.draw(arrivals(offered)), tell_the_time=True)
    other = met(*data.draw(arrivals(offered)), tell_the_time=False)
    assert one.state() == other.state()


@pytest.mark.promise("convergent")
@given(st.data(), offers())
def test_what_enters_is_what_the_rules_say(data: st.DataObject, offered: list[Record]) -> None:
    spore = met(*data.draw(arrivals(offered)), tell_the_time=True)
    expected = twin(offered, now_ms=LATE_MS)
    assert sorted(one.id for one in spore.log) == sorted(expected), "and nothing enters twice"
    dots = Counter(one.header.dot for one in expected.values())
    again = Counter[bytes]()
    for (writer, _, _), count in dots.items():
        again[writer] += count - 1
    assert spore.records.equivocations == dict(+again)
    assert spore.records.counts_by_kind == dict(Counter(one.kind for one in expected.values()))
    assert {one_id for one_id, body in spore.kept().items() if body is None} == {
        one.id for one in expected.values() if taken_back(one, list(expected.values()))
    }
    assert spore.records.fingerprint() == by_hand(list(expected.values()))


def by_hand(records: Sequence[Record]) -> bytes:
    """The fingerprint of everything, from the words of the protocol."""
    digest = sha256()
    for operator in sorted({one.header.operator for one in records}):
        ids = [int.from_bytes(one.id) for one in records if one.header.operator == operator]
        digest.update(operator + fingerprint(sum(ids), len(ids)))
    return digest.digest()[:16]


@pytest.mark.promise("never_forgets")
@given(offers())
def test_nothing_ever_leaves(offered: list[Record]) -> None:
    spore = Spore()
    for one in offered:
        spore.offer(one)
        assert all(before in spore.records for before in spore.log)
        assert len(spore.records) == len(spore.log)
    spore.wait()
    assert all(before in spore.records for before in spore.log)


@pytest.mark.promise("durable")
@given(offers())
def test_a_set_restored_from_its_log_is_the_set_that_wrote_it(offered: list[Record]) -> None:
    spore = met(offered, len(offered) // 2, tell_the_time=True)
    log = [spore.records.current(one) for one in spore.log]
    restored = RecordSet()
    restored.restore(log)
    restored.restore(log)
    assert Spore(restored, log).state() == spore.state()
    assert all(restored.admit(one, now_ms=LATE_MS).status is Admission.KNOWN for one in log), (
        "and knows what it holds"
    )


# Waiting


def test_an_early_record_enters_when_it_is_due_and_not_a_millisecond_before() -> None:
    spore, early = Spore(), signed(MEMORY, AS_ALICE, 1, 1, early=True)
    due_ms = early.header.hlc.ms - FUTURE_MS_MAX
    assert spore.offer(early, now_ms=due_ms - 1) is Admission.EARLY
    assert spore.records.due(now_ms=due_ms - 1) == ()
    assert (len(spore.records), spore.records.parked) == (0, 1)
    assert spore.records.due(now_ms=due_ms) == (early,)
    assert spore.records.due(now_ms=due_ms) == ()
    assert (len(spore.records), spore.records.parked) == (1, 0)


def test_an_early_record_that_comes_again_when_it_is_due_is_counted_once() -> None:
    spore, early = Spore(), signed(MEMORY, AS_ALICE, 1, 1, early=True)
    spore.offer(early)
    assert spore.offer(early, now_ms=EARLY_MS) is Admission.NEW
    spore.wait()
    assert (len(spore.records), spore.records.parked) == (1, 0)
    assert spore.records.equivocations == {}, "nobody lied"


def test_a_writer_waits_for_its_operators_certificate() -> None:
    spore = Spore()
    of_hand, of_stray = (signed(MEMORY, author, 1, 1) for author in (HAND_OF_ALICE, STRAY_OF_ALICE))
    self_made = signed(CERTIFICATE, HAND_OF_ALICE, 1, 2, refs=(HAND.key,))
    of_another = signed(CERTIFICATE, AS_BOB, 1, 1, refs=(HAND.key,))
    for one in (of_hand, of_stray, self_made):
        assert spore.offer(one) is Admission.UNCERTIFIED
    assert spore.offer(of_another) is Admission.NEW
    assert spore.log == [of_another], "one operator does not speak for another"
    certificate = signed(CERTIFICATE, AS_ALICE, 1, 1, refs=(HAND.key,))
    spore.offer(certificate)
    assert set(spore.kept()) == {one.id for one in (of_another, certificate, of_hand, self_made)}
    assert spore.offer(of_stray) is Admission.UNCERTIFIED


def test_a_certified_writer_cannot_certify_another() -> None:
    spore = Spore()
    spore.offer(signed(CERTIFICATE, AS_ALICE, 1, 1, refs=(HAND.key,)))
    assert spore.offer(signed(CERTIFICATE, HAND_OF_ALICE, 1, 1, refs=(STRAY.key,))) == "new"
    assert spore.offer(signed(MEMORY, STRAY_OF_ALICE, 1, 1)) is Admission.UNCERTIFIED


def test_a_stripped_header_does_not_enter_and_the_body_does_later() -> None:
    spore, whole = Spore(), memory_record("the tide turns")
    assert spore.offer(whole.without_body()) is Admission.BODILESS
    assert whole not in spore.records
    assert spore.offer(whole) is Admission.NEW
    assert spore.offer(whole.without_body()) is Admission.KNOWN
    assert spore.log == [whole]
    assert spore.records.parked == 0


def test_a_stripped_copy_does_not_replace_a_whole_one_that_waits() -> None:
    spore, early = Spore(), signed(MEMORY, AS_ALICE, 1, 1, early=True)
    spore.offer(early, early.without_body())
    spore.wait()
    assert spore.log == [early]


def test_a_stripped_header_that_waited_is_not_counted_again_once_it_is_taken_back() -> None:
    spore, whole = Spore(), signed(MEMORY, AS_ALICE, 1, 1)
    spore.offer(whole.without_body(), whole, taking_back(whole))
    assert len(spore.records) == 2
    assert spore.records.equivocations == {}


def test_a_stripped_retraction_waits_for_its_body() -> None:
    spore, retraction = Spore(), taking_back(signed(MEMORY, AS_ALICE, 1, 1))
    assert spore.offer(retraction.without_body()) is Admission.BODILESS
    assert spore.offer(retraction) is Admission.NEW


@pytest.mark.parametrize("dots", [(), ("x" * 129,), tuple("123456789")])
def test_a_retraction_that_does_not_say_what_it_takes_back_is_refused(
    dots: tuple[str, ...],
) -> None:
    spore = Spore()
    assert spore.offer(signed(RETRACTION, AS_ALICE, 1, 1, dots=dots)) is Admission.BAD_RETRACTION
    assert (len(spore.records), spore.records.parked) == (0, 0)


def test_a_bad_retraction_that_was_early_does_not_stay_parked() -> None:
    spore = Spore()
    assert spore.offer(signed(RETRACTION, AS_ALICE, 1, 1, early=True)) is Admission.EARLY
    spore.wait()
    assert (len(spore.records), spore.records.parked) == (0, 0)


@pytest.mark.promise("bounded")
def test_only_so_many_records_may_wait_and_the_oldest_gives_way() -> None:
    waiting = [one.without_body() for one in memory_chain(PARKED_MAX + 10)]
    spore = Spore()
    spore.offer(*waiting, waiting[-1])
    assert spore.records.parked == PARKED_MAX
    dots = [dot_text(one.header.dot) for one in (waiting[9], waiting[10])]
    spore.offer(record({"dots": dots}, kind=RETRACTION, seq=len(waiting) + 1))
    assert waiting[10] in spore.records
    assert waiting[9] not in spore.records
    assert spore.records.parked == PARKED_MAX - 1


@pytest.mark.promise("bounded")
def test_only_so_many_bytes_may_wait() -> None:
    text = "x" * 60_000
    waiting = [
        record({"text": text}, writer=STRAY, operator=ALICE, seq=seq)
        for seq in range(1, PARKED_BYTES_MAX // 60_000 + 10)
    ]
    spore = Spore()
    spore.offer(*waiting)
    parked = spore.records.parked
    assert size(waiting[-parked:]) <= PARKED_BYTES_MAX < size(waiting[-parked - 1 :])
    spore.offer(signed(CERTIFICATE, AS_ALICE, 1, 1, refs=(STRAY.key,)))
    assert waiting[-1] in spore.records
    assert spore.records.parked == 0


def size(records: Sequence[Record]) -> int:
    return sum(len(one.header_data) + len(one.body or b"") for one in records)


# Taking back


def taking_back(*records: Record, author: int = AS_ALICE, seq: int = 4) -> Record:
    dots = tuple(dot_text(one.header.dot) for one in records)
    refs = tuple(one.id for one in records)
    return signed(RETRACTION, author, 1, seq, dots=dots, refs=refs)


def test_a_retraction_erases_the_body_before_and_after_it_comes() -> None:
    whole = signed(MEMORY, AS_ALICE, 1, 1)
    retraction = taking_back(whole)
    before, after, never = Spore(), Spore(), Spore()
    before.offer(whole, retraction)
    after.offer(retraction, whole)
    never.offer(retraction, whole.without_body())
    assert after.log == never.log == [retraction, whole.without_body()]
    assert before.state() == after.state() == never.state()


@pytest.mark.promise("authored")
def test_a_retraction_reaches_only_the_records_of_its_own_operator() -> None:
    spore = Spore()
    of_alice, of_hand = signed(MEMORY, AS_ALICE, 1, 1), signed(MEMORY, HAND_OF_ALICE, 1, 1)
    spore.offer(signed(CERTIFICATE, AS_ALICE, 1, 2, refs=(HAND.key,)), of_alice, of_hand)
    spore.offer(taking_back(of_alice, of_hand, author=AS_BOB))
    assert all(spore.kept().values()), "Bob took back nothing of Alice's"
    spore.offer(taking_back(of_alice, of_hand, author=HAND_OF_ALICE))
    erased = {one_id for one_id, body in spore.kept().items() if body is None}
    assert erased == {of_alice.id, of_hand.id}


def test_retractions_and_certificates_cannot_be_taken_back() -> None:
    spore, whole = Spore(), signed(MEMORY, AS_ALICE, 1, 1)
    certificate = signed(CERTIFICATE, AS_ALICE, 1, 2, refs=(HAND.key,))
    retraction = taking_back(whole)
    spore.offer(whole, certificate, retraction, taking_back(retraction, certificate, seq=3))
    assert spore.kept()[retraction.id] is not None
    assert spore.kept()[certificate.id] is not None
    assert spore.kept()[whole.id] is None
    assert spore.offer(signed(MEMORY, HAND_OF_ALICE, 1, 1)) is Admission.NEW


@pytest.mark.promise("never_forgets")
def test_a_new_addition_wins_over_a_retraction_of_the_old() -> None:
    first, again = (signed(MEMORY, AS_ALICE, 1, seq, word="tide") for seq in (1, 2))
    spore = Spore()
    spore.offer(taking_back(first), again, first)
    assert spore.kept()[first.id] is None
    assert spore.kept()[again.id] is not None


@pytest.mark.promise("authored")
def test_both_records_of_an_equivocating_pair_enter_and_are_evidence() -> None:
    pair = [signed(MEMORY, AS_BOB, 1, 1, word=word) for word in ("tide", "moon")]
    honest = signed(MEMORY, AS_BOB, 2, 1, word="tide")
    for order in (pair, pair[::-1]):
        spore = Spore()
        spore.offer(honest, *order, *order)
        assert set(spore.kept()) == {one.id for one in (honest, *pair)}
        assert spore.records.equivocations == {BOB.key: 1}


# What a node makes of it


def body_on_disk(node: Table, held: Record) -> bytes | None:
    [found] = node.log.read((held.id,))
    return found.body


def test_a_retraction_that_was_early_erases_the_body_on_disk_when_it_is_due() -> None:
    node, whole = Table(), signed(MEMORY, AS_BOB, 1, 1)
    dots = (dot_text(whole.header.dot),)
    node.hear_records(
        whole, signed(RETRACTION, AS_BOB, 1, 2, dots=dots, refs=(whole.id,), early=True)
    )
    node.wait(LATE_MS - START_MS)
    assert body_on_disk(node, whole) is None


def test_a_retraction_that_waited_for_its_writer_erases_the_body_on_disk() -> None:
    node, whole = Table(), signed(MEMORY, AS_BOB, 1, 1)
    node.hear_records(whole, taking_back(whole, author=HAND_OF_BOB))
    assert body_on_disk(node, whole) is not None
    node.hear_records(signed(CERTIFICATE, AS_BOB, 1, 2, refs=(HAND.key,)))
    assert body_on_disk(node, whole) is None


def test_a_retraction_that_is_taken_back_keeps_its_body_on_disk() -> None:
    node, whole = Table(), signed(MEMORY, AS_BOB, 1, 1)
    retraction = taking_back(whole, author=AS_BOB)
    for one in (whole, retraction, taking_back(retraction, author=AS_BOB, seq=3)):
        node.hear_records(one)
    assert body_on_disk(node, whole) is None
    assert body_on_disk(node, retraction) is not None, "or no joiner would ever let it in"
