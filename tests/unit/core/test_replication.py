"""What one node says to its peers, and when it stops."""

from __future__ import annotations

from random import Random

import pytest

from synapse.core import events
from synapse.core.clock import Timestamp
from synapse.core.gossip import FOLLOW_UPS_MAX
from synapse.core.memory.record import NODE
from synapse.core.messages import (
    PROTOCOL,
    Have,
    Poll,
    Prune,
    Push,
    Ranges,
    Summary,
    Supply,
    Table,
    TableRow,
    Want,
)
from synapse.core.replication.push import (
    LINKS_MAX,
    LINKS_MIN,
    NEWS_MS,
    PRUNE_ABOVE,
    EagerPush,
)
from synapse.core.text import SharedText
from tests.making import START_MS, identity, made_up_id, memory_record, record
from tests.unit.core import nodes
from tests.unit.core.nodes import sent

PEERS = [made_up_id(number) for number in range(50)]
NEWS = memory_record("news", hlc=Timestamp(START_MS, 0))


def pushing() -> EagerPush:
    return EagerPush(lambda ids: [], Random(1))


def spread(push: EagerPush, *, source: bytes | None = None, at_ms: int = START_MS) -> list[bytes]:
    """Who gets a new record at once."""
    outgoing = push.spread([NEWS], reachable=PEERS, source=source, now_ms=at_ms)
    return [peer for peer, message in outgoing if isinstance(message, Push)]


def node_with_peers(count: int, **settings: object) -> nodes.Table:
    node = nodes.Table(sync_interval_ms=5_000, **settings)
    for number in range(2, count + 2):
        introduce(node, number)
    node.effects.clear()
    return node


def introduce(node: nodes.Table, number: int) -> None:
    url = f"https://peer-{number}.example"
    said = {"name": "peer", "url": url, "protocol": PROTOCOL, "software": "x", "families": []}
    node.tell(events.AddPeer(0, url))
    node.tell(events.Introduced(url, record(said, kind=NODE, writer=identity(number))))


# Eager push.


@pytest.mark.promise("flat")
def test_a_record_goes_to_a_few_links_however_many_peers_there_are() -> None:
    push = pushing()
    assert len(spread(push)) == LINKS_MIN
    for peer in PEERS:
        push.on_push(peer, new=1, known=0)
    assert len(spread(push)) == LINKS_MAX == len(push.links)


def test_a_record_does_not_go_back_to_where_it_came_from() -> None:
    push = pushing()
    first = spread(push)[0]
    assert first not in spread(push, source=first)


def test_a_pruned_link_gets_ids_until_it_asks_for_one() -> None:
    push = pushing()
    peer = spread(push)[0]
    push.on_prune(peer)
    assert peer not in spread(push)
    assert push.announce() == [(peer, Have((NEWS.id,)))]
    push.on_want(peer, Want((NEWS.id,)))
    assert peer in spread(push)


def test_whoever_brings_news_becomes_a_link_and_whoever_brings_none_a_lazy_one() -> None:
    push = pushing()
    one, other, *more = PEERS[: PRUNE_ABOVE + 1]
    for peer in (one, *more):
        assert push.on_push(peer, new=1, known=0) == []
    assert push.on_push(other, new=0, known=1) == [Prune()]
    assert push.links == {**dict.fromkeys((one, *more), True), other: False}


def test_among_a_few_nobody_is_pruned() -> None:
    push = pushing()
    assert push.on_push(PEERS[0], new=0, known=1) == []


def test_history_is_not_passed_on() -> None:
    assert spread(pushing(), at_ms=START_MS + NEWS_MS + 1) == []


def test_links_move_on_from_where_they_began() -> None:
    push = pushing()
    first = spread(push)
    for peer in first:
        push.on_prune(peer)
    for _ in range(100):
        push.renew(PEERS)
        spread(push)
    assert len(push.links) == LINKS_MIN
    assert not set(push.links) & set(first)


def test_announcements_are_made_under_a_steady_flow_of_records() -> None:
    node = node_with_peers(2)
    for _ in range(100):
        node.remember("something new every 50 ms")
        node.hear(Prune(), peer=2)
        node.wait(50)
    assert len(sent(node.effects, Have)) >= 5


def test_an_announced_record_is_fetched_once_and_then_passed_on() -> None:
    node = node_with_peers(2)
    wanted = sent(node.hear(Have((NEWS.id,)), peer=2), Want)
    assert [one.message for one in wanted] == [Want((NEWS.id,))]
    effects = node.hear(Supply((NEWS,)), peer=2)
    assert [one.peer for one in sent(effects, Push)] == [identity(3).key]
    assert sent(node.hear(Have((NEWS.id,)), peer=3), Want) == []


# Comparing.


def test_equal_sets_cost_one_message() -> None:
    node = node_with_peers(1)
    equal = Summary(node.node.ledger.records.fingerprint(), len(node.node.ledger.records))
    assert [one.message for one in sent(node.hear(equal), Summary)] == [equal]
    assert sent(node.hear(equal), Table) == []


def test_a_comparison_that_moved_much_is_repeated_at_once() -> None:
    node = node_with_peers(1)
    node.hear(Summary(b"\x01" * 16, 9), reply=True)
    many = tuple(memory_record(f"memory {seq}", seq=seq) for seq in range(1, 10))
    node.hear(Supply(many), reply=True)
    node.effects.clear()
    node.wait(100)
    assert [one.peer for one in sent(node.effects, Summary)] == [identity(2).key]


@pytest.mark.promise("bounded")
def test_a_comparison_is_not_repeated_with_a_peer_that_takes_nothing() -> None:
    node = node_with_peers(1)
    ids = tuple(node.remember(f"memory {number}") for number in range(20))
    node.effects.clear()
    for _ in range(100):  # half a second each: it always wants what it was given
        node.hear(Summary(b"\x01" * 16, 0), reply=True)
        node.hear(Want(ids), reply=True)
        node.wait(500)
    assert len(sent(node.effects, Summary)) <= 20  # the regular ones, every 5 s


@pytest.mark.promise("bounded")
def test_a_peer_that_brings_nothing_cannot_keep_us_talking() -> None:
    node = node_with_peers(2)
    wanted = (node.remember("memory"),)
    node.effects.clear()
    for number in range(1_000):
        node.hear(Summary(number.to_bytes(16, "big"), 0), reply=True)
        node.hear(Want(wanted), reply=True)
    assert len(sent(node.effects, Supply)) == FOLLOW_UPS_MAX
    node.effects.clear()
    node.wait(60_000)
    compared = {one.peer for one in sent(node.effects, Summary)}
    assert compared == {identity(2).key, identity(3).key}


def test_what_a_peer_parks_is_not_offered_without_pause() -> None:
    """A spore whose clock is an hour ahead holds records that nobody takes yet."""
    node = node_with_peers(1)
    for number in range(20):
        node.remember(f"memory {number}")
    node.effects.clear()
    rows = (TableRow(made_up_id(1), 1, b"\x02" * 16),)
    for _ in range(20):
        node.hear(Summary(b"\x01" * 16, 1), reply=True)
        node.hear(Table(b"", rows, complete=True), reply=True)
        node.wait(100)
    assert len(sent(node.effects, Summary)) <= 3
    assert sent(node.effects, Ranges)


# Polling.


def test_spores_that_nobody_can_dial_do_not_all_poll_the_same_two() -> None:
    polled = set()
    for number in range(20, 30):
        node = node_with_peers(8, number=number, url=None)
        node.wait(60_000)
        polled |= {one.peer for one in sent(node.effects, Poll)}
    assert len(polled) > 4


def test_a_peer_that_polls_hears_news_at_once() -> None:
    node = nodes.Table()
    node.hear(Poll(25_000), peer=2)
    said = {"name": "laptop", "url": None, "protocol": PROTOCOL, "software": "x", "families": []}
    node.hear(Push((record(said, kind=NODE, writer=identity(2)),)), peer=2)
    effects = node.tell(events.Remember(1, SharedText("news"), SharedText("note")))
    assert [one.peer for one in sent(effects, Push)] == [identity(2).key]
