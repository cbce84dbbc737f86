"""A log on a real disk under a real driver: what is damaged heals, and a full disk stops intake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from synapse.core.errors import StorageError, StorageFull
from synapse.core.memory.memory import from_record
from synapse.core.memory.record import Record
from synapse.driver import driver
from synapse.storage import views
from synapse.storage.sqlite_log import SqliteLog
from synapse.storage.views import snapshot_path
from synapse.transport.in_process import Neighbourhood
from tests.driving import Driven, running, spore, until
from tests.unit.storage.logs import damage

URLS = ("http://127.0.0.1:7001", "http://127.0.0.1:7002")


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "LOOK_S", 0.001)
    monkeypatch.setattr(driver, "STORAGE_RETRY_S", 0.001)


def pair(folder: Path) -> tuple[Driven, Driven]:
    """Two spores with logs of their own; the second knows the first."""
    near = Neighbourhood()
    logs = [SqliteLog(folder / name / "log.db") for name in ("one", "two")]
    return (
        spore(1, url=URLS[0], neighbourhood=near, log=logs[0]),
        spore(2, url=URLS[1], neighbourhood=near, log=logs[1], seeds=[URLS[0]]),
    )


def equal(one: Driven, two: Driven) -> Callable[[], bool]:
    """Whether both hold the same records."""

    def holds() -> bool:
        sets = [each.node.ledger.records for each in (one, two)]
        return len(sets[0]) > 0 and sets[0].fingerprint() == sets[1].fingerprint()

    return holds


def closed(*spores: Driven) -> None:
    for each in spores:
        each.log.close()


def damaged(one: Driven) -> int:
    assert isinstance(one.log, SqliteLog)
    return one.log.damaged


def save_snapshot(one: Driven) -> None:
    assert isinstance(one.log, SqliteLog)
    taken = views.Views(one.log, one.node.ledger.records).look(tail=1)
    assert taken is not None
    views.save(one.log, taken)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@pytest.mark.promise("convergent")
@pytest.mark.parametrize("column", ["header", "body", "signature"])
@pytest.mark.parametrize("snapshot", [True, False])
def test_a_flipped_bit_does_not_stop_the_start_and_heals_from_a_peer(
    tmp_path: Path, column: str, snapshot: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    async def share() -> bytes:
        one, two = pair(tmp_path)
        async with running(one, two):
            wanted = await one.operations.remember("the bees dance on the comb")
            await until(equal(one, two))
        if snapshot:
            save_snapshot(one)
        closed(one, two)
        return bytes.fromhex(wanted.id)

    async def heal(wanted: bytes) -> None:
        one, two = pair(tmp_path)
        async with running(one):
            await until(lambda: damaged(one) == 1)
            assert one.log.memory(wanted) is None
            async with running(two):
                await until(lambda: one.log.memory(wanted) is not None)
                await until(equal(one, two))
                await until(lambda: damaged(one) == 0)
                await until(lambda: not one.node.ledger.records.equivocations)
        closed(one, two)

    wanted = asyncio.run(share())
    damage(tmp_path / "one" / "log.db", column, wanted)
    run(heal(wanted))
    told = capsys.readouterr().out
    assert "log_row_damaged" in told and wanted.hex() in told
    with closing(SqliteLog(tmp_path / "one" / "log.db")) as log:
        assert log.read([wanted])[0].body is not None
        assert log.damaged == 0


@pytest.mark.promise("durable")
def test_a_full_disk_stops_intake_until_there_is_room_and_loses_nothing(tmp_path: Path) -> None:
    async def fill_up() -> tuple[list[str], list[str]]:
        one = spore(1, log=SqliteLog(tmp_path / "log.db"))
        assert isinstance(one.log, SqliteLog)
        acknowledged, refused = [], []
        async with running(one):
            [pages] = one.log._writer.execute("PRAGMA page_count").fetchone()
            one.log._writer.execute(f"PRAGMA max_page_count = {pages + 20}")
            while not refused:
                text = f"memory {len(acknowledged)} " + "that fills a page " * 200
                try:
                    stored = await one.operations.remember(text, scope="private")
                    acknowledged.append(stored.id)
                except StorageFull as error:
                    assert "free some space" in str(error)
                    refused.append(text)
            with pytest.raises(StorageFull):
                await one.operations.remember("one more")
            for wanted in acknowledged:  # reads go on
                assert one.log.memory(bytes.fromhex(wanted)) is not None
            assert one.driver.stalled is not None

            one.log._writer.execute("PRAGMA max_page_count = 100000")
            await until(lambda: one.driver.stalled is None)
            acknowledged.append((await one.operations.remember("there is room again")).id)
        closed(one)
        return acknowledged, refused

    acknowledged, _ = asyncio.run(fill_up())
    assert len(acknowledged) > 3
    with closing(SqliteLog(tmp_path / "log.db")) as log:
        assert all(log.memory(bytes.fromhex(one)) is not None for one in acknowledged)


def test_a_spore_starts_from_what_it_left_and_goes_on_with_its_clock(tmp_path: Path) -> None:
    async def first_life() -> Record:
        one = spore(1, log=SqliteLog(tmp_path / "log.db"))
        async with running(one):
            texts = [f"memory {number}" for number in range(30)]
            for text in texts:
                last = await one.operations.remember(text)
        save_snapshot(one)
        [newest] = one.log.read([bytes.fromhex(last.id)])
        closed(one)
        return newest

    async def second_life(newest: Record) -> None:
        stopped = newest.header.hlc.ms - 1_000_000  # the clock was set back meanwhile
        one = spore(1, log=SqliteLog(tmp_path / "log.db"), clock=lambda: stopped)
        async with running(one):
            again = await one.operations.remember("after the start")
            [written] = one.log.read([bytes.fromhex(again.id)])
            assert written.header.hlc > newest.header.hlc
            assert written.header.epoch > newest.header.epoch
            assert not one.node.ledger.records.equivocations
            found = from_record(written)
            assert found is not None and found.text == "after the start"
        closed(one)

    newest = asyncio.run(first_life())
    assert snapshot_path(tmp_path / "log.db").exists()
    run(second_life(newest))


def test_a_disk_that_fails_while_the_log_is_read_is_said_and_not_hidden(tmp_path: Path) -> None:
    async def start() -> None:
        one = spore(1, log=SqliteLog(tmp_path / "log.db"))
        one.log.close()
        with pytest.raises(StorageError, match="is closed"):
            await one.driver.restore()
        await until(lambda: True)

    run(start())
