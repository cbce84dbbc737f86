"""What every `RecordLog` promises, asked of each implementation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from synapse.core.memory.memory import from_private, from_record
from synapse.core.memory.record import GRADE, MEMORY, TASK, Record
from synapse.ports import RecordLog
from synapse.storage.memory_log import MemoryLog
from synapse.storage.sqlite_log import PAGE_ROWS, SqliteLog
from tests.making import made_up_id, memory_chain, memory_record, private, record


class InMemory:
    def __init__(self, _: Path) -> None:
        self.log = MemoryLog()

    def crash(self) -> None:
        self.log.crash()


class OnDisk:
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "first"
        self.log = SqliteLog(self._folder / "log.db")

    def crash(self) -> None:
        """Go on from a copy of the files as they are now, which is all that a crash leaves."""
        copy = self._folder.with_name(f"{self._folder.name} again")
        shutil.copytree(self._folder, copy)
        self.log.close()
        self._folder = copy
        self.log = SqliteLog(copy / "log.db")


Place = InMemory | OnDisk


@pytest.fixture(params=[InMemory, OnDisk])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    made: Place = request.param(tmp_path)
    yield made
    made.log.close()


@pytest.fixture
def log(place: Place) -> RecordLog:
    return place.log


def fill(log: RecordLog, records: Sequence[Record], *, committed: int) -> None:
    """Stage all of them one by one, and commit after so many."""
    for number, each in enumerate(records):
        if number == committed:
            log.commit()
        log.stage([each])
    if committed == len(records):
        log.commit()


# Reads must not care where the line between the staged and the durable runs.
wherever_the_line_is = pytest.mark.parametrize("committed", [0, 3, 6])


@wherever_the_line_is
def test_a_scan_gives_every_record_in_the_order_of_arrival(log: RecordLog, committed: int) -> None:
    records = memory_chain(6)[::-1]
    fill(log, records, committed=committed)
    assert list(log.scan()) == records


@wherever_the_line_is
def test_a_scan_leaves_out_the_bodies_nobody_asked_for(log: RecordLog, committed: int) -> None:
    kinds = [MEMORY, TASK, GRADE, MEMORY, TASK, GRADE]
    records = [record({"of": kind}, kind=kind, seq=n) for n, kind in enumerate(kinds, start=1)]
    fill(log, records, committed=committed)

    kept = [each if each.kind in (TASK, GRADE) else each.without_body() for each in records]
    assert list(log.scan(bodies_of=(TASK, GRADE))) == kept
    assert list(log.scan(bodies_of=())) == [each.without_body() for each in records]


@wherever_the_line_is
def test_records_are_read_in_the_order_asked_for(log: RecordLog, committed: int) -> None:
    records = memory_chain(6)
    fill(log, records, committed=committed)

    wanted = [records[5], records[0], records[3], records[0]]
    ids = [each.id for each in wanted]
    assert log.read([made_up_id(1), *ids, made_up_id(2)]) == wanted
    assert log.read([]) == []


@wherever_the_line_is
def test_the_latest_of_a_kind_come_page_by_page(log: RecordLog, committed: int) -> None:
    kinds = [TASK, MEMORY, TASK, TASK, MEMORY, TASK]
    records = [record({}, kind=kind, seq=n) for n, kind in enumerate(kinds, start=1)]
    fill(log, records, committed=committed)
    tasks = [each for each in reversed(records) if each.kind == TASK]

    found: list[Record] = []
    before = None
    while page := log.latest(TASK, limit=3, before=before):
        found += [each for _, each in page]
        before = page[-1][0]
    assert found == tasks
    assert log.latest("unheard_of", limit=3) == []


@wherever_the_line_is
def test_counts_are_of_records_and_of_private_memories(log: RecordLog, committed: int) -> None:
    fill(log, memory_chain(6), committed=committed)
    log.stage([], private=[private("a key under the mat")])
    assert log.counts() == (6, 1)
    log.commit()
    assert log.counts() == (6, 1)


def test_what_is_staged_is_seen_at_once(log: RecordLog) -> None:
    shared, own = memory_record("bees dance"), private("the key is under the mat")
    log.stage([shared], private=[own])

    assert log.read([shared.id]) == [shared]
    assert log.memory(shared.id) == from_record(shared)
    assert log.memory(own.id) == from_private(own)
    assert [each for _, each in log.latest(MEMORY, limit=1)] == [shared]


def test_many_memories_are_found_at_once(log: RecordLog) -> None:
    chain, own = memory_chain(30), private("mine")
    task = record({"text": "a task is not a memory"}, kind=TASK)
    ids = {made_up_id(1): 4, task.id: 21, own.id: 0} | {each.id: 0 for each in chain}
    expected = {own.id: from_private(own)} | {each.id: from_record(each) for each in chain}
    log.stage([*chain[:20], task], private=[own])
    log.commit()
    log.stage(chain[20:])
    for _ in ("partly staged", "durable"):
        assert log.memories_with(ids) == expected
        assert log.memories_with({}) == {}
        log.commit()
    placed, _ = log.memories_after(0, limit=100)
    right = {each.id: each.position for each in placed}
    assert sorted(right.values()) == [*range(1, 21), *range(22, 33)]
    assert log.memories_with(right) == expected
    wrong = dict(zip(right, reversed(right.values()), strict=True))
    assert log.memories_with(wrong) == expected, "a position is a hint"


def test_a_crash_takes_what_was_staged_and_leaves_what_was_committed(place: Place) -> None:
    durable, lost = memory_chain(2)
    own = private("kept")
    place.log.stage([durable], private=[own])
    place.log.commit()
    place.log.stage([lost], private=[private("lost", number=2)], erased=[durable.id])

    place.crash()

    assert list(place.log.scan()) == [durable]
    assert list(place.log.memories()) == [from_record(durable), from_private(own)]
    assert place.log.counts() == (1, 1)


def test_positions_stay_the_same_when_records_become_durable(place: Place) -> None:
    place.log.stage(memory_chain(3), private=[private("between")])
    place.log.stage([memory_record("later", seq=4)])
    staged = place.log.latest(MEMORY, limit=9)
    place.log.commit()
    assert place.log.latest(MEMORY, limit=9) == staged

    place.crash()

    assert place.log.latest(MEMORY, limit=9) == staged
    place.log.stage([memory_record("last", seq=5)])
    assert place.log.latest(MEMORY, limit=1)[0][0] > staged[0][0]


def test_memories_come_in_the_order_of_arrival_shared_and_private(log: RecordLog) -> None:
    first, second, third = memory_chain(3)
    one, two = private("one", tags=["a", "b"]), private("two", number=2, kind="fact")
    log.stage([first], private=[one])
    log.stage([record({"title": "not a memory"}, kind=TASK, seq=9), second])
    log.commit()
    log.stage([], private=[two])
    log.stage([third])

    expected = [
        from_record(first), from_private(one), from_record(second), from_private(two),
        from_record(third),
    ]  # fmt: skip
    assert list(log.memories()) == expected
    log.commit()
    assert list(log.memories()) == expected


@wherever_the_line_is
def test_memories_past_a_position_come_in_pages_that_say_how_far_they_reach(
    log: RecordLog, committed: int
) -> None:
    assert isinstance(log, MemoryLog | SqliteLog)
    kinds = [TASK, MEMORY, MEMORY, TASK, MEMORY, TASK]
    records = [record({"text": "x"}, kind=kind, seq=n) for n, kind in enumerate(kinds, start=1)]
    fill(log, records, committed=committed)
    own = private("own")
    log.stage([], private=[own], erased=[records[2].id])
    expected = [records[1].id, records[4].id, own.id]

    for limit in (1, 2, 3, 9):
        after, found = 0, list[bytes]()
        while after < log.last_position:
            page, reached = log.memories_after(after, limit=limit)
            assert len(page) <= limit
            assert reached > after
            found += [each.id for each in page]
            after = reached
        assert found == expected
        assert log.memories_after(after, limit=limit) == ([], after)


def test_a_private_memory_is_never_a_record(log: RecordLog) -> None:
    own = private("nobody else's business")
    log.stage([], private=[own])
    for _ in ("staged", "durable"):
        assert list(log.scan()) == []
        assert log.read([own.id]) == []
        assert log.latest(MEMORY, limit=9) == []
        log.commit()


@pytest.mark.parametrize("committed", [True, False])
def test_an_erased_body_is_gone_and_its_header_stays(log: RecordLog, committed: bool) -> None:
    shared, other = memory_chain(2)
    own = private("forget me")
    log.stage([shared, other], private=[own])
    if committed:
        log.commit()
    log.stage([], erased=[shared.id, own.id])

    for _ in ("staged", "durable"):
        assert log.read([shared.id, other.id]) == [shared.without_body(), other]
        assert list(log.scan()) == [shared.without_body(), other]
        assert [each for _, each in log.latest(MEMORY, limit=9)] == [other, shared.without_body()]
        assert log.memory(shared.id) is None
        assert log.memory(own.id) is None
        assert log.memories_with({shared.id: 1, own.id: 3, other.id: 2}) == {
            other.id: from_record(other)
        }
        assert list(log.memories()) == [from_record(other)]
        assert log.counts() == (2, 1)
        log.commit()


def test_a_record_can_arrive_and_be_erased_in_one_call(log: RecordLog) -> None:
    shared = memory_record("said too much")
    log.stage([shared], erased=[shared.id, made_up_id(1)])
    assert log.read([shared.id]) == [shared.without_body()]
    log.commit()
    assert log.read([shared.id]) == [shared.without_body()]


def test_a_record_without_a_body_is_kept_as_it_is(log: RecordLog) -> None:
    header_only = memory_record("retracted elsewhere").without_body()
    log.stage([header_only])
    log.commit()
    assert list(log.scan()) == [header_only]
    assert list(log.memories()) == []


def test_a_record_that_is_there_already_changes_nothing(log: RecordLog) -> None:
    shared = memory_record("once")
    for _ in range(2):
        log.stage([shared, shared])
        log.commit()
    assert list(log.scan()) == [shared]
    assert log.counts() == (1, 0)


@pytest.mark.parametrize("committed", [True, False])
def test_a_record_that_comes_again_does_not_bring_its_body_back(
    log: RecordLog, committed: bool
) -> None:
    shared = memory_record("once")
    log.stage([shared])
    log.stage([], erased=[shared.id])
    if committed:
        log.commit()
    log.stage([shared])
    log.commit()
    assert list(log.scan()) == [shared.without_body()]


def test_a_log_that_nobody_damaged_says_so(log: RecordLog) -> None:
    assert isinstance(log, MemoryLog | SqliteLog)
    log.stage(memory_chain(3), private=[private("own")])
    log.commit()
    assert log.damaged == 0


def test_an_unknown_memory_is_none(log: RecordLog) -> None:
    task = record({"text": "a task is not a memory"}, kind=TASK)
    log.stage([task])
    for _ in ("staged", "durable"):
        assert log.memory(made_up_id(1)) is None
        assert log.memory(task.id) is None
        log.commit()


def test_an_iteration_goes_on_while_others_write(log: RecordLog) -> None:
    records = memory_chain(2 * PAGE_ROWS + 10)
    log.stage(records[:-5])
    log.commit()
    log.stage(records[-5:-1])

    seen = []
    for each in log.scan():
        seen.append(each)
        if len(seen) == PAGE_ROWS:
            log.commit()
            log.stage(records[-1:])
            log.commit()

    assert seen[: len(records) - 1] == records[:-1]  # and what came meanwhile may follow
    assert list(log.scan()) == records


def test_readers_miss_nothing_while_a_commit_runs(log: RecordLog) -> None:
    records = memory_chain(240)
    staged: list[Record] = []  # grows after each stage, so all in it must be readable
    finished = Event()

    def check_what_is_staged() -> None:
        while not finished.is_set():
            known = list(staged)
            assert log.read([each.id for each in known]) == known
            assert list(log.scan())[: len(known)] == known
            assert [each.id for each in log.memories()][: len(known)] == [each.id for each in known]
            newest = [each.header.seq for _, each in log.latest(MEMORY, limit=999)]
            assert newest == list(range(len(newest), 0, -1)) and len(newest) >= len(known)
            assert log.counts()[0] >= len(known)

    with ThreadPoolExecutor(max_workers=4) as threads:
        readers = [threads.submit(check_what_is_staged) for _ in range(3)]
        commit = threads.submit(log.commit)
        for each in records:
            log.stage([each])
            staged.append(each)
            if commit.done():
                commit.result()
                commit = threads.submit(log.commit)
        finished.set()
        for done in (*readers, commit):
            done.result()

    log.commit()
    assert list(log.scan()) == records


def test_an_erasure_during_a_commit_is_not_undone_by_it(log: RecordLog) -> None:
    records = memory_chain(60)
    with ThreadPoolExecutor(max_workers=1) as thread:
        for each in records:
            log.stage([each])
            commit = thread.submit(log.commit)
            log.stage([], erased=[each.id])
            assert log.read([each.id]) == [each.without_body()]
            commit.result()
            assert log.read([each.id]) == [each.without_body()]
    log.commit()
    assert all(each.body is None for each in log.scan())


@pytest.mark.parametrize("text", ["short", "a long and repetitive text " * 2_000, "ünïcödé ✓ 蜂"])
def test_texts_of_any_length_and_script_come_back(place: Place, text: str) -> None:
    shared, own = memory_record(text, tags=["a", "ж"]), private(text, tags=["a", "ж"])
    place.log.stage([shared], private=[own])
    place.log.commit()
    place.crash()
    assert list(place.log.scan()) == [shared]
    assert place.log.memory(own.id) == replace(from_private(own), text=text)
