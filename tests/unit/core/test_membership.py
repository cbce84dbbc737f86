"""Who the peers are: what they say of themselves counts, what we see of them decides."""

from __future__ import annotations

from random import Random

import pytest

from synapse.core import events
from synapse.core.clock import Timestamp
from synapse.core.effects import Introduce
from synapse.core.membership import failure_detector, peer_table
from synapse.core.membership.failure_detector import (
    BACKOFF_MS,
    BACKOFF_MS_MAX,
    CUT_OFF_MS_MAX,
    SILENT_MS,
    Health,
    State,
)
from synapse.core.membership.handshake import url_valid
from synapse.core.membership.peer_table import (
    GROUP_MAX,
    SEED_RETRY_MS_MAX,
    Peer,
    PeerTable,
    is_private,
    network_group,
)
from synapse.core.memory.record import MEMORY, NODE, Identity, Record
from synapse.core.messages import PROTOCOL
from tests.making import START_MS, identity, record
from tests.unit.core.nodes import Table

NOW_MS = START_MS + 1_000_000
SEED = "https://seed.example"


def table(*, private_addresses: bool = False, seeds: tuple[str, ...] = ()) -> PeerTable:
    peers = PeerTable(own_key=identity(1).key, rng=Random(1), private_addresses=private_addresses)
    for url in seeds:
        peers.add_seed(url)
    return peers


def says(
    number: int | Identity,
    url: str | None = None,
    *,
    at: Timestamp | None = None,
    kind: str = NODE,
    **fields: object,
) -> Record:
    writer = number if isinstance(number, Identity) else identity(number)
    said = {"name": "two", "url": url, "protocol": PROTOCOL, "software": "x", "families": []}
    return record({**said, **fields}, kind=kind, writer=writer, hlc=at)


def described(peers: PeerTable, record: Record) -> Peer:
    peer = peers.describe(record)
    assert peer is not None
    return peer


# The failure detector


def test_a_peer_never_heard_of_is_down_and_one_that_spoke_is_alive() -> None:
    health = Health()
    assert health.untried
    assert health.state(now_ms=NOW_MS, dialable=True) is State.DOWN
    health.heard(now_ms=NOW_MS)
    assert health.state(now_ms=NOW_MS + 10**9, dialable=True) is State.ALIVE


def test_one_miss_makes_a_suspect_and_three_in_a_row_are_down() -> None:
    health = Health()
    health.heard(now_ms=NOW_MS)
    states = []
    for _ in range(3):
        health.failed(now_ms=NOW_MS)
        states.append(health.state(now_ms=NOW_MS, dialable=True))
    assert states == [State.SUSPECT, State.SUSPECT, State.DOWN]
    health.heard(now_ms=NOW_MS)
    assert health.state(now_ms=NOW_MS, dialable=True) is State.ALIVE
    assert health.retry_ms == 0


def test_each_miss_doubles_the_wait_up_to_an_hour() -> None:
    health = Health()
    waits = []
    for _ in range(20):
        health.failed(now_ms=NOW_MS)
        waits.append(health.retry_ms - NOW_MS)
    assert waits[:4] == [BACKOFF_MS, 2 * BACKOFF_MS, 4 * BACKOFF_MS, 8 * BACKOFF_MS]
    assert waits == sorted(waits)
    assert waits[-1] == BACKOFF_MS_MAX


def test_while_we_are_cut_off_nobody_is_put_off_for_long() -> None:
    health = Health()
    for _ in range(20):
        health.failed(now_ms=NOW_MS, cut_off=True)
    assert health.retry_ms - NOW_MS == CUT_OFF_MS_MAX


def test_a_spore_nobody_can_dial_is_alive_while_it_polls() -> None:
    health = Health()
    health.heard(now_ms=NOW_MS)
    assert health.state(now_ms=NOW_MS + SILENT_MS, dialable=False) is State.ALIVE
    assert health.state(now_ms=NOW_MS + SILENT_MS + 1, dialable=False) is State.DOWN


@pytest.mark.parametrize(("failing", "cut_off"), [(0, False), (3, False), (4, True), (9, True)])
def test_when_over_a_third_fail_it_is_probably_us(failing: int, cut_off: bool) -> None:
    peers = table()
    for number in range(2, 11):
        peer = described(peers, says(number, f"https://spore.example{number}"))
        peer.health.heard(now_ms=NOW_MS)
        if number < 2 + failing:
            peer.health.failed(now_ms=NOW_MS)
    assert peers.cut_off() is cut_off


# Descriptions


def test_the_newest_description_counts_whatever_came_first() -> None:
    old = says(2, "https://old.example", at=Timestamp(NOW_MS, 1))
    new = says(2, "https://new.example", at=Timestamp(NOW_MS, 2))
    for order in ([old, new], [new, old], [old, new, old]):
        peers = table()
        for one in order:
            peers.describe(one)
        [peer] = peers
        assert peer.url == "https://new.example"


@pytest.mark.parametrize(
    "nonsense",
    [
        says(1),
        says(2, name=7),
        says(2, protocol="1"),
        says(2, protocol=True),
        says(2, protocol=PROTOCOL + 1),
        says(2, kind=MEMORY),
        says(2).without_body(),
    ],
    ids=["our own key", "name", "protocol", "true", "another protocol", "another kind", "erased"],
)
def test_what_describes_no_other_spore_is_ignored(nonsense: Record) -> None:
    peers = table()
    assert peers.describe(nonsense) is None
    assert len(peers) == 0


@pytest.mark.promise("hostile_text")
def test_nonsense_in_a_description_is_read_as_nothing() -> None:
    peers = table()
    wild = says(2, name="n" * 999, url=7, software=[1], families=["a" * 999, 7, None, *"b" * 99])  # type: ignore[arg-type]  # nonsense on purpose
    said = described(peers, wild).said
    assert (len(said.name), said.url, said.software) == (64, None, "")
    assert len(said.families) == 32 - 2
    assert max(map(len, said.families)) == 64


URLS = [
    "http://127.0.0.1:7860", "https://spore.example", "https://spore.example/path", "http://[::1]:80",
    "https://xn--bcher-kva.example", "HTTPS://SPORE.EXAMPLE",
]  # fmt: skip
NOT_URLS = [
    "", "spore.example", "ftp://spore.example", "https://", "https://user@spore.example",
    "https://user:secret@spore.example", "https://spore.example?a=1", "https://spore.example?",
    "https://spore.example#a", "https://spore.example#", "https://spore.example:0",
    "https://spore.example:99999", "https://spore.example:x", "https://[::1", "https://a b",
    "https://a\nb", "https://a\tb", "https://a\x00b", "https://a\\b", "https://a\u2028b",
    "https://bücher.example", "https://" + "a" * 300, "javascript:alert(1)", "file:///etc/passwd",
    "//spore.example", "https:spore.example",
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_these_are_addresses(url: str) -> None:
    assert url_valid(url)


@pytest.mark.parametrize("url", NOT_URLS)
def test_these_are_none(url: str) -> None:
    assert not url_valid(url)
    assert described(table(private_addresses=True), says(2, url)).url is None


@pytest.mark.parametrize(
    "url",
    ["http://spore.example", "https://127.0.0.1", "https://10.0.0.5", "https://localhost",
     "https://[::1]", "https://router", "https://nas.local", "https://169.254.169.254"],
)  # fmt: skip
def test_the_private_addresses_of_strangers_are_dialled_only_when_that_is_allowed(url: str) -> None:
    assert described(table(), says(2, url)).url is None
    assert described(table(private_addresses=True), says(2, url)).url == url
    assert described(table(), says(2, "https://spore.example")).url is not None


@pytest.mark.parametrize(
    ("url", "group"),
    [
        ("https://203.0.113.7", "203.0.0.0/16"),
        ("https://[2001:db8::1]", "2001:db8::/32"),
        ("https://a.b.example.org", "example.org"),
        ("http://127.0.0.1:7860", ""),
        ("http://[::1]:7860", ""),
        ("http://localhost:7860", ""),
        (None, ""),
    ],
)
def test_addresses_belong_to_neighbourhoods(url: str | None, group: str) -> None:
    assert network_group(url) == group


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("10.1.2.3", True),
        ("8.8.8.8", False),
        ("::1", True),
        ("printer", True),
        ("a.internal", True),
        ("a.example", False),
    ],
)
def test_a_host_is_private_by_its_looks(host: str, private: bool) -> None:
    assert is_private(host) is private


# Room


@pytest.mark.promise("bounded")
def test_one_neighbourhood_takes_a_few_places_and_not_the_table() -> None:
    peers = table()
    for number in range(2, 2 + 3 * GROUP_MAX):
        peers.describe(says(number, f"https://s{number}.sybil.example"))
    assert len(peers) == GROUP_MAX
    assert peers.describe(says(999, "https://honest.example.org")) is not None


@pytest.mark.promise("bounded")
def test_nobody_slips_into_a_full_neighbourhood_by_moving_there() -> None:
    peers = table()
    for number in range(2, 2 + 3 * GROUP_MAX):
        peers.describe(says(number))
        peers.describe(says(number, f"https://s{number}.sybil.example", at=Timestamp(NOW_MS, 0)))
    assert sum(peer.url is not None for peer in peers) == GROUP_MAX


@pytest.mark.promise("bounded")
def test_a_full_table_gives_up_the_quietest_of_those_that_never_answered_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peer_table, "PEERS_MAX", 3)
    peers = table(seeds=(SEED,))
    assert peers.introduced(SEED, says(2)) is not None
    described(peers, says(3)).health.heard(now_ms=NOW_MS)
    described(peers, says(4))
    described(peers, says(5))
    assert {peer.key for peer in peers} == {identity(number).key for number in (2, 3, 5)}

    for peer in peers:
        peer.health.answered_ms = NOW_MS
    assert peers.describe(says(6)) is None
    assert len(peers) == 3


@pytest.mark.promise("bounded")
def test_claiming_a_seeds_address_buys_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_table, "PEERS_MAX", 3)
    peers = table(seeds=(SEED,))
    for number in range(2, 12):
        peer = peers.describe(says(number, SEED))
        if peer is not None:
            peer.health.heard(now_ms=NOW_MS)
    assert len(peers) == 3


def test_for_an_operators_seed_there_is_always_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_table, "PEERS_MAX", 1)
    peers = table(seeds=(SEED,))
    described(peers, says(2)).health.heard(now_ms=NOW_MS)
    peer = peers.introduced(SEED, says(3, "https://its.own.name.example"))
    assert peer is not None
    assert (peer.seed, peer.url) == (True, SEED)


# Seeds


def test_a_seed_that_does_not_answer_is_tried_again_ever_more_rarely() -> None:
    peers = table(seeds=(SEED,))
    now_ms, waits = NOW_MS, []
    for _ in range(10):
        assert peers.unmet_seeds(now_ms=now_ms) == [SEED]
        peers.introduction_failed(SEED, "unreachable", now_ms=now_ms)
        assert peers.unmet_seeds(now_ms=now_ms) == []
        waits.append(peers.seeds[SEED].retry_ms - now_ms)
        now_ms = peers.seeds[SEED].retry_ms
    assert waits[:3] == [1_000, 2_000, 4_000]
    assert waits[-1] == SEED_RETRY_MS_MAX
    assert peers.seeds[SEED].problem == "unreachable"


def test_a_seed_is_dialled_where_the_operator_said_not_where_it_says() -> None:
    peers = table(seeds=("http://10.0.0.5:7860",))
    peer = peers.introduced("http://10.0.0.5:7860", says(2, "https://elsewhere.example"))
    assert peer is not None
    assert peer.url == "http://10.0.0.5:7860"
    peers.describe(says(2, "https://again.example", at=Timestamp(NOW_MS, 0)))
    assert peer.url == "http://10.0.0.5:7860"
    assert peers.unmet_seeds(now_ms=NOW_MS) == []


def test_our_own_address_among_the_seeds_is_met_once() -> None:
    peers = table(seeds=(SEED,))
    assert peers.introduced(SEED, says(1, SEED)) is None
    assert peers.unmet_seeds(now_ms=NOW_MS + 10**9) == []


def test_when_another_spore_answers_at_a_seeds_address_it_is_met() -> None:
    peers = table(seeds=(SEED,))
    first = peers.introduced(SEED, says(2, SEED))
    peers.moved(identity(2).key, now_ms=NOW_MS)
    assert peers.unmet_seeds(now_ms=NOW_MS) == [SEED]
    second = peers.introduced(SEED, says(3, SEED))
    assert first is not None
    assert second is not None
    assert (first.url, second.url) == (None, SEED)

    peers.describe(says(2, "https://new.example", at=Timestamp(NOW_MS, 0)))
    assert first.url == "https://new.example"


def test_a_seed_that_speaks_another_protocol_is_asked_again_later() -> None:
    node = Table(seeds=(SEED,))
    node.tell(events.Introduced(SEED, says(2, SEED, protocol=PROTOCOL + 1)))
    seed = node.node.peers.seeds[SEED]
    assert (seed.key, seed.problem) == (None, "protocol")
    assert seed.retry_ms > node.now_ms
    node.wait(SEED_RETRY_MS_MAX)
    asked = [one for one in node.effects if isinstance(one, Introduce)]
    assert len(asked) > 1
    assert all(one.trusted for one in asked)


def test_comparisons_are_with_peers_that_can_be_dialled_and_are_due() -> None:
    peers = table()
    described(peers, says(2))
    assert peers.to_compare_with(now_ms=NOW_MS) is None
    resting = described(peers, says(3, "https://resting.example"))
    resting.health.failed(now_ms=NOW_MS)
    assert peers.to_compare_with(now_ms=NOW_MS) is None
    assert peers.to_compare_with(now_ms=resting.health.retry_ms) is resting


def test_peers_are_reachable_until_they_are_down() -> None:
    peers = table()
    dialled = described(peers, says(2, "https://two.example"))
    described(peers, says(3))  # cannot be dialled, and never spoke
    assert peers.reachable(now_ms=NOW_MS) == [dialled.key]
    for _ in range(failure_detector.FAILURES_MAX):
        dialled.health.failed(now_ms=NOW_MS)
    assert peers.reachable(now_ms=NOW_MS) == []
    assert peers.alive(now_ms=NOW_MS) == []
