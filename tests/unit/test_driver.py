"""The driver: durable before acknowledged, one commit for many, and nothing lost when it hurts."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

import pytest

from synapse.core.errors import Busy, NotFound, Refused, StorageFull
from synapse.core.memory.memory import Memory
from synapse.core.messages import Message, Push
from synapse.driver import driver as driving
from synapse.driver.clock import MonotonicClock
from synapse.replies import Health
from synapse.retrieval.scan import ScanIndex
from synapse.storage.memory_log import MemoryLog
from synapse.transport.in_process import Endpoint, Neighbourhood
from tests.driving import (
    CALLER,
    NOTHING,
    CountingLog,
    Driven,
    introduction,
    running,
    spore,
    turns,
    until,
)
from tests.making import memory_chain, memory_record

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def log() -> AsyncIterator[CountingLog]:
    made = CountingLog()
    yield made
    made.gate.set()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is tried again at once."""
    monkeypatch.setattr(driving, "STORAGE_RETRY_S", 0.001)


def durable(log: MemoryLog) -> list[str]:
    """The texts that a power cut would leave."""
    log.crash()
    return [memory.text for memory in log.memories()]


# Durable before acknowledged


@pytest.mark.promise("durable")
async def test_nothing_is_acknowledged_before_the_commit_returns(log: CountingLog) -> None:
    one = spore(log=log)
    async with running(one):
        await turns()
        log.shut()
        asked = [
            asyncio.create_task(one.operations.remember("shared")),
            asyncio.create_task(one.operations.remember("private", scope="private")),
            asyncio.create_task(one.operations.submit_task("What is known?")),
            asyncio.create_task(
                one.driver.exchange(CALLER.key, [Push((memory_record("theirs"),))])
            ),
        ]
        await log.knocked()
        await turns()
        assert not any(one.done() for one in asked)

        log.gate.set()
        await asyncio.gather(*asked)
        assert set(durable(log)) == {"shared", "private", "theirs"}


@pytest.mark.promise("durable")
async def test_nothing_is_sent_or_published_before_it_is_durable(log: CountingLog) -> None:
    near = Neighbourhood()
    heard: list[Message] = []

    async def listen(peer: bytes, messages: Any) -> list[Message]:
        heard.extend(messages)
        return []

    near.endpoints["http://two"] = Endpoint(CALLER.key, listen, introduction)
    one = spore(log=log, neighbourhood=near, seeds=["http://two"])
    async with running(one):
        await one.told("peer")
        await turns()
        heard.clear()
        seen = one.driver.news.latest_number()
        log.shut()
        asked = asyncio.create_task(one.operations.remember("shared"))
        await log.knocked()
        await turns()
        assert not any(isinstance(message, Push) for message in heard)
        assert one.driver.news.latest_number() == seen

        log.gate.set()
        await asked
        await turns()
        assert any(isinstance(message, Push) for message in heard)


async def test_many_writes_share_a_commit(log: CountingLog) -> None:
    one = spore(log=log)
    async with running(one):
        before = log.commits
        await asyncio.gather(*(one.operations.remember(f"memory {n}") for n in range(1_000)))
        assert log.commits - before <= 20
        assert len(durable(log)) == 1_000


# A disk that fails


@pytest.mark.promise("durable")
async def test_a_full_disk_stalls_intake_and_loses_nothing(
    log: CountingLog, impatient: None
) -> None:
    one = spore(log=log)
    async with running(one):
        await one.operations.remember("before")
        log.full = True
        with pytest.raises(StorageFull):
            await one.operations.remember("during")
        assert isinstance(one.driver.stalled, StorageFull)
        assert one.operations.health().status == "stalled"
        for attempt in (
            one.operations.remember("refused"),
            one.operations.submit_task("refused"),
            one.driver.exchange(CALLER.key, [Push((memory_record("theirs"),))]),
        ):
            with pytest.raises(StorageFull):
                await attempt

        log.full = False
        await recovered(one)
        await one.operations.remember("after")
        assert durable(log) == ["before", "during", "after"]  # staged is staged: late, not lost


async def recovered(one: Driven) -> None:
    await until(lambda: one.driver.stalled is None)


async def test_a_peer_whose_push_meets_a_full_disk_is_told_and_its_records_are_kept(
    log: CountingLog, impatient: None
) -> None:
    one = spore(log=log)
    theirs = memory_chain(3, writer=CALLER)
    async with running(one):
        log.full = True
        with pytest.raises(StorageFull):
            await one.driver.exchange(CALLER.key, [Push(tuple(theirs))])
        log.full = False
        await recovered(one)
        assert await one.driver.exchange(CALLER.key, [NOTHING])
        assert log.read([each.id for each in theirs]) == theirs


async def test_commands_behind_the_one_that_met_a_full_disk_are_told_and_not_done(
    log: CountingLog, impatient: None
) -> None:
    one = spore(log=log)
    async with running(one):
        await turns()
        log.shut()
        first = asyncio.create_task(one.operations.remember("first"))
        await log.knocked()
        behind = [asyncio.create_task(one.operations.remember(f"{n}")) for n in range(10)]
        await turns()
        log.full = True
        log.gate.set()
        for refused in await asyncio.gather(first, *behind, return_exceptions=True):
            assert isinstance(refused, StorageFull)
        log.full = False
        await recovered(one)
        await one.operations.remember("last")
        assert durable(log) == ["first", "last"]


@pytest.mark.promise("bounded")
async def test_being_refused_again_and_again_costs_no_memory(log: CountingLog) -> None:
    one = spore(log=log)
    async with running(one):
        log.full = True
        with pytest.raises(StorageFull):
            await one.operations.remember("first")
        depths = []
        for _ in range(50):
            with pytest.raises(StorageFull) as error:
                await one.operations.remember("refused")
            depths.append(len(traceback.extract_tb(error.value.__traceback__)))
        assert depths[0] == depths[-1]
        log.full = False


async def test_whoever_waits_when_the_spore_stops_is_told(log: CountingLog) -> None:
    one = spore(log=log)
    async with running(one):
        await turns()
        log.shut()
        waiting: list[Awaitable[object]] = [
            asyncio.create_task(one.operations.remember("late")),
            asyncio.create_task(one.driver.exchange(CALLER.key, [NOTHING])),
        ]
        await log.knocked()
        await turns()
    log.gate.set()
    for told in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(told, Busy)
    with pytest.raises(Busy, match="stopping"):
        await one.operations.remember("later")


# The index


class SlowIndex(ScanIndex):
    """Takes memories in only while its gate is open."""

    def __init__(self, log: CountingLog) -> None:
        super().__init__()
        self._log = log

    def add(self, memories: Sequence[Memory], **more: Any) -> None:
        assert self._log.gate.wait(10)
        super().add(memories, **more)


async def test_what_was_erased_on_its_way_into_the_index_is_not_found() -> None:
    door = CountingLog()  # only its gate is used
    index = SlowIndex(door)
    one = spore(index=index)
    async with running(one):
        door.gate.clear()
        gone = await one.operations.remember("a mistake about the tides")
        kept = await one.operations.remember("the tides follow the moon")
        await one.operations.forget(gone.id)
        door.gate.set()
        await one.indexed(2)
        assert [found.id for found in (await one.operations.recall("tides")).results] == [kept.id]
        assert len(index) == 1


async def test_what_was_erased_while_the_index_was_filled_is_not_found() -> None:
    log, door = MemoryLog(), CountingLog()
    first = spore(log=log)
    async with running(first):
        gone = await first.operations.remember("a mistake about the tides")
        kept = await first.operations.remember("the tides follow the moon")

    again = spore(log=log, index=SlowIndex(door))
    door.gate.clear()
    run = asyncio.create_task(again.driver.run())
    await turns()
    await again.operations.forget(gone.id)
    door.gate.set()
    await again.told("ready")
    await turns()
    assert [found.id for found in (await again.operations.recall("tides")).results] == [kept.id]
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


class BrokenIndex(ScanIndex):
    """Cannot take anything in."""

    def add(self, memories: Sequence[Memory], **more: Any) -> None:
        raise RuntimeError("the index is broken")


@pytest.mark.promise("honest")
async def test_an_index_that_fails_stops_the_spore() -> None:
    one = spore(index=BrokenIndex())
    run = asyncio.create_task(one.driver.run())
    await one.operations.remember("a memory")
    with pytest.raises(RuntimeError, match="broken"):
        async with asyncio.timeout(5):
            await run


# Restarts


def steady(health: Health) -> dict[str, object]:
    """What a restart must not change."""
    moving = {"uptime", "uptime_ms", "peers_alive", "refused", "parked", "sce"}
    return {name: value for name, value in health if name not in moving}


@pytest.mark.promise("durable")
async def test_a_restart_rebuilds_every_view() -> None:
    log = MemoryLog()
    first = spore(log=log, scripts={"polar": ['{"answer": "The moon.", "cites": ["m1"]}']})
    async with running(first):
        kept = await first.operations.remember("The tides follow the moon.", tags=["sea"])
        gone = await first.operations.remember("a mistake")
        await first.operations.remember("a secret", scope="private")
        await first.driver.exchange(
            CALLER.key, [Push((introduction(), memory_record("theirs", writer=CALLER, seq=2)))]
        )
        await first.operations.forget(gone.id)
        await first.indexed(3)
        task = await first.operations.submit_task("What do the tides follow?")
        await first.operations.finished_task(task.task_id, wait_ms=5_000)
        before = (
            steady(first.operations.health()),
            first.operations.task(task.task_id),
            first.operations.memory(gone.id),
            first.operations.memory_overview(),
            first.operations.trust(),
            first.operations.federation_nodes(),
        )

    log.crash()
    again = spore(log=log, scripts={"polar": []})
    async with running(again):
        after = (
            steady(again.operations.health()),
            again.operations.task(task.task_id),
            again.operations.memory(gone.id),
            again.operations.memory_overview(),
            again.operations.trust(),
            again.operations.federation_nodes(),
        )
        assert after[1:3] == before[1:3]
        assert after[4] == before[4]
        assert after[0] == before[0]
        assert after[3].total_memories == before[3].total_memories
        assert after[1].final_answer == "The moon."
        assert [found.id for found in (await again.operations.recall("moon")).results] == [kept.id]


class SetClock(MonotonicClock):
    """A wall clock that somebody may set."""

    def __init__(self, start_ms: int) -> None:
        super().__init__()
        self._start_ms = start_ms


@pytest.mark.promise("durable")
async def test_after_a_restart_with_the_clock_set_back_records_go_on_in_order() -> None:
    log = MemoryLog()
    stamps = []
    for start_ms in (1_800_000_000_000, 1_700_000_000_000, 1_600_000_000_000):
        one = spore(log=log, clock=SetClock(start_ms).now_ms)
        async with running(one):
            for _ in range(3):
                kept = await one.operations.remember("a memory")
                header = log.read([bytes.fromhex(kept.id)])[0].header
                stamps.append((header.epoch, header.seq, header.hlc))
    assert stamps == sorted(stamps)
    assert len({hlc for _, _, hlc in stamps}) == len({stamp[:2] for stamp in stamps}) == 9


def test_the_clock_never_goes_backwards() -> None:
    clock = MonotonicClock()
    times = [clock.now_ms() for _ in range(10_000)]
    assert times == sorted(times)


# Errors of commands


async def test_what_the_node_refuses_is_an_error_of_the_right_kind() -> None:
    one = spore()
    async with running(one):
        await one.driver.exchange(CALLER.key, [Push((memory_record("theirs", writer=CALLER),))])
        theirs = memory_record("theirs", writer=CALLER).id.hex()
        with pytest.raises(Refused) as error:
            await one.operations.forget(theirs)
        assert error.value.reason == "not_yours"
        with pytest.raises(NotFound):
            await one.operations.forget("00" * 32)
