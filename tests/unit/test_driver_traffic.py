"""What waits in the driver: a full inbox, queues to slow peers, polls held open."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from synapse.core.errors import Busy
from synapse.core.events import Remember
from synapse.core.messages import Message, Poll, Push
from synapse.core.text import SharedText
from synapse.driver import turn
from synapse.driver.driver import INBOX_MAX
from synapse.driver.queues import QUEUE_BYTES_MAX, Mailboxes, MessageQueue
from synapse.transport.in_process import Endpoint, Neighbourhood
from tests.driving import CALLER, NOTHING, introduction, running, spore, turns
from tests.making import identity, memory_chain, memory_record

pytestmark = pytest.mark.anyio

NOTE = SharedText("note")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# Bounds


@pytest.mark.promise("bounded")
async def test_a_full_inbox_says_busy() -> None:
    one = spore()  # it does not run, so nothing is taken out
    waiting = [
        asyncio.create_task(one.driver.submit(lambda token: Remember(token, NOTE, NOTE)))
        for _ in range(INBOX_MAX)
    ]
    await turns(3)
    with pytest.raises(Busy) as error:
        await one.driver.submit(lambda token: Remember(token, NOTE, NOTE))
    assert error.value.retry_after_ms > 0
    with pytest.raises(Busy):
        await one.driver.exchange(CALLER.key, [NOTHING])
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.promise("bounded")
def test_a_queue_keeps_to_its_bytes_and_drops_what_comes_last() -> None:
    queue = MessageQueue()
    kept = [queue.put(Push((memory_record("x" * 50_000, seq=seq),))) for seq in range(1, 200)]
    assert kept.count(True) < 199
    assert queue.bytes <= QUEUE_BYTES_MAX
    [first, *_] = queue.take()
    assert isinstance(first, Push)
    assert first.records[0].header.seq == 1
    assert queue.bytes < QUEUE_BYTES_MAX


def test_pushes_that_wait_together_travel_together() -> None:
    queue = MessageQueue()
    for each in memory_chain(50):
        queue.put(Push((each,)))
    [push] = queue.take()
    assert isinstance(push, Push)
    assert list(push.records) == memory_chain(50)
    assert not queue


@pytest.mark.promise("bounded")
def test_mailboxes_of_peers_that_never_come_are_dropped() -> None:
    boxes = Mailboxes()
    big = [Push((memory_record("x" * 60_000, seq=seq),)) for seq in range(1, 61)]
    for number in range(2, 30):
        for push in big:
            boxes.put(identity(number).key, push)
    assert not boxes.waiting(identity(2).key)
    assert boxes.waiting(identity(29).key)


async def test_an_outbox_joins_what_is_pushed_while_a_peer_is_slow() -> None:
    near, gate = Neighbourhood(), asyncio.Event()
    heard: list[list[Push]] = []

    async def listen(peer: bytes, messages: Any) -> list[Message]:
        heard.append([one for one in messages if isinstance(one, Push)])
        await gate.wait()
        return []

    near.endpoints["http://two"] = Endpoint(CALLER.key, listen, introduction)
    one = spore(neighbourhood=near, seeds=["http://two"])
    async with running(one):
        await one.told("peer")
        await turns()
        for number in range(40):
            await one.operations.remember(f"memory {number}")
        gate.set()
        for _ in range(1_000):
            pushed = [each for pushes in heard for push in pushes for each in push.records]
            if len([each for each in pushed if each.kind == "memory"]) == 40:
                break
            await turns(1)
        assert len(heard) <= 4
        assert len([each for each in pushed if each.kind == "memory"]) == 40


# The event loop


async def test_others_get_the_loop_between_the_messages_of_a_long_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn, "HOLD_S", 0.0)  # as if each message took long
    one, held = spore(), []

    async def others() -> None:
        while True:
            held.append(len(one.driver.node.ledger.records))
            await asyncio.sleep(0)

    async with running(one):
        chain = memory_chain(40)
        beside = asyncio.create_task(others())
        await one.driver.exchange(
            CALLER.key, [Push(tuple(chain[n : n + 4])) for n in range(0, 40, 4)]
        )
        beside.cancel()
        assert len(set(held)) > 10, "they saw the records of each message come in"
        assert all(record in one.driver.node.ledger.records for record in chain)


async def test_a_commit_does_not_wait_for_the_threads_that_others_keep_busy() -> None:
    one, done = spore(), threading.Event()
    async with running(one):
        others = [asyncio.create_task(asyncio.to_thread(done.wait, 30)) for _ in range(64)]
        await turns()
        try:
            async with asyncio.timeout(10):
                await one.driver.submit(lambda token: Remember(token, NOTE, NOTE))
        finally:
            done.set()
            await asyncio.gather(*others)


# Polls


async def test_a_poll_is_answered_at_once_when_news_arrives() -> None:
    one = spore()
    async with running(one):
        await one.driver.exchange(CALLER.key, [Push((introduction(),)), Poll(0)])
        poll = asyncio.create_task(one.driver.exchange(CALLER.key, [Poll(25_000)]))
        await turns()
        assert not poll.done()
        await one.operations.remember("news")
        async with asyncio.timeout(5):
            [push] = await poll
        assert isinstance(push, Push)


async def test_a_poll_without_news_is_answered_with_nothing_in_time() -> None:
    one = spore()
    async with running(one):
        await one.driver.exchange(CALLER.key, [Push((introduction(),))])
        async with asyncio.timeout(5):
            assert await one.driver.exchange(CALLER.key, [Poll(5)]) == []


async def test_news_that_came_before_the_poll_is_there_at_once() -> None:
    one = spore()
    async with running(one):
        await one.driver.exchange(CALLER.key, [Push((introduction(),)), Poll(0)])
        ids = [(await one.operations.remember(f"news {n}")).id for n in range(30)]
        async with asyncio.timeout(5):
            [push] = await one.driver.exchange(CALLER.key, [Poll(25_000)])
        assert isinstance(push, Push)
        assert [each.id.hex() for each in push.records] == ids


async def test_a_second_poll_hears_of_news_after_the_first_has_ended() -> None:
    one = spore()
    async with running(one):
        await one.driver.exchange(CALLER.key, [Push((introduction(),)), Poll(0)])
        short = asyncio.create_task(one.driver.exchange(CALLER.key, [Poll(5)]))
        long = asyncio.create_task(one.driver.exchange(CALLER.key, [Poll(25_000)]))
        assert await short == []
        await one.operations.remember("news")
        async with asyncio.timeout(5):
            assert await long


async def test_whoever_polls_is_sent_home_when_the_spore_stops() -> None:
    one = spore()
    async with running(one):
        poll = asyncio.create_task(one.driver.exchange(CALLER.key, [Poll(25_000)]))
        await turns()
        one.driver.stop_waiting()
        async with asyncio.timeout(5):
            assert await poll == []
