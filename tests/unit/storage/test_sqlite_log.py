"""What only a log on a real disk can get wrong."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import cbor2
import pytest
import zstandard

from synapse.core.errors import StorageError, StorageFull
from synapse.core.memory.memory import from_private, from_record
from synapse.core.memory.record import MEMORY, Record, body_hash
from synapse.storage.queries import QUERIES
from synapse.storage.rows import RowWriter
from synapse.storage.sqlite_file import APPLICATION_ID, FIRST_SCHEMA, SCHEMA_VERSION
from synapse.storage.sqlite_log import PAGE_ROWS, SqliteLog
from tests.making import identity, memory_chain, memory_record, private
from tests.unit.storage.logs import damage, flipped

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    opened = SqliteLog(path)
    yield opened
    opened.close()


def on_disk(path: Path) -> bytes:
    """Everything in the data folder, the write-ahead log included."""
    return b"".join(each.read_bytes() for each in sorted(path.parent.iterdir()))


def change(path: Path, statement: str, *values: object) -> None:
    """Do to the closed file what this log would never do."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def whole_database(path: Path) -> bool:
    """Whether SQLite finds nothing wrong with the file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# Opening


def test_a_second_opener_is_refused_and_told_which_folder_is_taken(path: Path) -> None:
    first = SqliteLog(path)
    with pytest.raises(StorageError, match=rf"{path.parent}; stop it, or give"):
        SqliteLog(path)
    first.close()
    SqliteLog(path).close()


def test_a_file_of_a_newer_synapse_is_refused_and_left_alone(path: Path) -> None:
    SqliteLog(path).close()
    change(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = on_disk(path)
    with pytest.raises(StorageError, match=rf"{path} was written by a newer Synapse.*upgrade"):
        SqliteLog(path)
    assert on_disk(path) == before


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    change(path, "CREATE TABLE recipes (name TEXT)")
    before = on_disk(path)
    with pytest.raises(StorageError, match=rf"{path} is some other program's database"):
        SqliteLog(path)
    assert on_disk(path) == before


@pytest.mark.parametrize("garbage", [b"hello", b"not a database at all " * 999, bytes(8_192)])
def test_a_file_of_garbage_is_refused_and_left_alone(path: Path, garbage: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(garbage)
    with pytest.raises(StorageError, match=rf"{path} is damaged.*restore a backup"):
        SqliteLog(path)
    assert on_disk(path) == garbage


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot use"):
        SqliteLog(tmp_path / "file" / "log.db")


def test_only_its_owner_may_read_the_file(log: SqliteLog, path: Path) -> None:
    assert {each.stat().st_mode & 0o077 for each in path.parent.iterdir()} == {0}


def test_a_commit_waits_for_the_disk_and_an_erasure_overwrites(log: SqliteLog) -> None:
    def setting(name: str) -> object:
        return log._writer.execute(f"PRAGMA {name}").fetchone()[0]

    assert (setting("journal_mode"), setting("synchronous")) == ("wal", 2)
    assert setting("secure_delete") == 1


# Closing and dying


def test_closing_commits_and_a_closed_log_says_so(path: Path) -> None:
    log = SqliteLog(path)
    [shared] = memory_chain(1)
    log.stage([shared])
    log.close()
    log.close()
    with pytest.raises(StorageError, match="is closed"):
        log.read([shared.id])
    with closing(SqliteLog(path)) as again:
        assert list(again.scan()) == [shared]


def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    script = """
import sys
from pathlib import Path
from synapse.storage.sqlite_log import SqliteLog
from tests.making import memory_chain
log = SqliteLog(Path(sys.argv[1]))
for each in memory_chain(1_000):
    log.stage([each])
    log.commit()
    print(each.header.seq, flush=True)
"""
    acknowledged = 0
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as spore:
        assert spore.stdout
        while acknowledged < 20:
            acknowledged = int(spore.stdout.readline())
        spore.kill()

    with closing(SqliteLog(path)) as log:
        found = list(log.scan())
    assert found == memory_chain(len(found))
    assert len(found) >= acknowledged


# Errors while writing


def test_a_full_disk_loses_nothing(log: SqliteLog, path: Path) -> None:
    first, *others = memory_chain(100)
    log.stage([first])
    log.commit()
    log._writer.execute("PRAGMA max_page_count = 10")
    own = private("staged")
    log.stage(others, private=[own], erased=[first.id])

    with pytest.raises(StorageFull, match=rf"no room to write {path}.*free some space"):
        log.commit()
    everything = [first.without_body(), *others]
    assert list(log.scan()) == everything
    assert log.counts() == (100, 1)

    log._writer.execute("PRAGMA max_page_count = 10000")
    log.commit()
    log.close()
    with closing(SqliteLog(path)) as again:
        assert list(again.scan()) == everything
        assert again.memory(own.id) == from_private(own)


def test_a_write_that_fails_is_not_called_a_full_disk(log: SqliteLog) -> None:
    records = memory_chain(100)
    log.stage(records)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="can be written") as caught:
            log.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not isinstance(caught.value, StorageFull)
    log.commit()
    assert list(log.scan()) == records


def test_a_slow_iteration_does_not_hold_up_a_checkpoint(log: SqliteLog) -> None:
    log.stage(memory_chain(PAGE_ROWS + 1))
    log.commit()
    iteration = log.scan()
    next(iteration)
    busy, *_ = log._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy


# Erasure and damage


def test_erased_text_leaves_the_disk(log: SqliteLog, path: Path) -> None:
    secrets = [memory_record(f"secret {seq:04}", seq=seq) for seq in range(1, 200)]
    log.stage(secrets)
    log.commit()
    log.stage(memory_chain(200)[199:])
    log.commit()
    assert on_disk(path).count(b"secret") > 0

    log.stage([], erased=[each.id for each in secrets])
    log.commit()

    assert on_disk(path).count(b"secret") == 0
    assert on_disk(path).count(b"memory 200") == 1


@pytest.mark.parametrize("column", ["header", "signature", "body"])
@pytest.mark.parametrize("text", ["stored as it is", "stored in less space " * 100])
def test_a_record_with_a_flipped_bit_is_left_out_and_counted(
    path: Path, column: str, text: str
) -> None:
    good, bad = memory_record("good", seq=1), memory_record(text, seq=2)
    with closing(SqliteLog(path)) as log:
        log.stage([good, bad])
    damage(path, column, bad.id)

    with closing(SqliteLog(path)) as log:
        assert log.damaged == 0
        for _ in ("noticed", "set aside"):
            assert log.read([bad.id, good.id]) == [good]
            assert list(log.scan()) == [good]
            assert log.latest(MEMORY, limit=1) == [(1, good)]
            assert list(log.memories()) == [from_record(good)]
            assert log.memory(bad.id) is None
            assert log.damaged == 1
            log.commit()
        assert log.counts() == (1, 0)
    with closing(SqliteLog(path)) as log:
        assert (log.damaged, log.counts()) == (1, (1, 0))


@pytest.mark.parametrize("column", ["header", "body"])
def test_a_memory_with_a_flipped_bit_is_not_found_and_noticed(path: Path, column: str) -> None:
    good, bad = memory_record("good", seq=1), memory_record("bad", seq=2)
    with closing(SqliteLog(path)) as log:
        log.stage([good, bad])
    damage(path, column, bad.id)
    with closing(SqliteLog(path)) as log:
        for at in (0, 1):
            assert log.memories_with({bad.id: 0, good.id: at}) == {good.id: from_record(good)}
            assert log.damaged == 1
            log.commit()


def test_a_damaged_record_that_comes_again_is_whole(path: Path) -> None:
    good, bad = memory_chain(2)
    with closing(SqliteLog(path)) as log:
        log.stage([good, bad])
    damage(path, "body", bad.id)

    with closing(SqliteLog(path)) as log:
        before = log.lineage
        assert log.read([bad.id]) == []
        [told] = log.new_damage()
        assert (told.id, told.kind, told.ms) == (bad.id, MEMORY, bad.header.hlc.ms)
        log.stage([bad])
        log.commit()
        assert log.damaged == 0
        assert log.lineage != before, "what was derived from the log as it was is worth nothing"
        assert log.read([bad.id]) == [bad]
        assert list(log.scan()) == [good, bad]
    with closing(SqliteLog(path)) as log:
        assert (list(log.scan()), log.damaged, log.counts()) == ([good, bad], 0, (2, 0))


def test_a_row_whose_id_is_damaged_can_be_replaced(path: Path) -> None:
    good, bad = memory_chain(2)
    with closing(SqliteLog(path)) as log:
        log.stage([good, bad])
    whole = path.read_bytes()
    flipped_id = flipped(bad.id)
    in_the_table = whole.rindex(bad.id + b"memory")  # the index of ids has it too, and rightly
    path.write_bytes(whole[:in_the_table] + flipped_id + whole[in_the_table + 32 :])

    with closing(SqliteLog(path)) as log:
        assert list(log.scan()) == [good]
        assert [one.id for one in log.new_damage()] == [bad.id], "the signed header knows its id"
        log.commit()
        log.stage([bad])
        log.commit()
        assert (list(log.scan()), log.damaged) == ([good, bad], 0)
    assert whole_database(path)


@pytest.mark.parametrize("committed", [True, False])
def test_a_retracted_body_does_not_stay_among_the_damaged(path: Path, committed: bool) -> None:
    bad = memory_record("words to be erased " * 9)
    with closing(SqliteLog(path)) as log:
        log.stage([bad])
    damage(path, "header", bad.id)
    with closing(SqliteLog(path)) as log:
        assert list(log.scan()) == []
        if committed:
            log.commit()
        log.stage([], erased=[bad.id])
        log.commit()
        [body] = log._writer.execute("SELECT body FROM damaged").fetchone()
        assert body is None


def test_a_private_memory_with_a_flipped_bit_is_left_out_and_counted(path: Path) -> None:
    own, other = private("the key is under the mat"), private("another", number=2)
    with closing(SqliteLog(path)) as log:
        log.stage([], private=[own, other])
    damage(path, "body", own.id, table="private_memories")
    with closing(SqliteLog(path)) as log:
        for _ in ("noticed", "set aside"):
            assert log.memory(own.id) is None
            assert list(log.memories()) == [from_private(other)]
            assert log.damaged == 1
            log.commit()
        assert log.counts() == (0, 1)


@pytest.mark.promise("durable")
def test_no_flipped_bit_anywhere_passes_for_what_was_written(path: Path) -> None:
    rng = Random(4)
    records = [memory_record(f"memory {n} " * rng.randint(1, 60), seq=n) for n in range(1, 60)]
    with closing(SqliteLog(path)) as log:
        log.stage(records, private=[private("own")])
    written, memories = set(records), {each.id: from_record(each) for each in records}
    whole = path.read_bytes()
    refused = lost = 0
    for _ in range(300):
        at = rng.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :])
        try:
            with closing(SqliteLog(path)) as log:
                found = list(log.scan())
                assert all(log.read([each.id]) in ([each], []) for each in found)
                places = {each.id: nth for nth, each in enumerate(records)}  # the first is unknown
                remembered = log.memories_with(places)
                assert all(remembered[each] == memories[each] for each in remembered)
                list(log.memories())
                log.commit()
                assert written.issuperset(found)
                lost += len(found) < len(records)
        except StorageError:
            refused += 1  # the file itself is broken, not a row
        for each in path.parent.iterdir():
            each.unlink()
    assert lost > 100
    assert refused < 100


def test_a_file_cut_short_is_refused(path: Path) -> None:
    with closing(SqliteLog(path)) as log:
        log.stage(memory_chain(100))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError, match=rf"{path} is damaged"), closing(SqliteLog(path)) as log:
        list(log.scan())


def test_a_body_that_would_unpack_without_end_is_refused(path: Path) -> None:
    shared = memory_record("small " * 100)
    with closing(SqliteLog(path)) as log:
        log.stage([shared])
    bomb = zstandard.ZstdCompressor().compress(bytes(100_000_000))
    change(path, "UPDATE records SET body = ?", bomb)
    with closing(SqliteLog(path)) as log:
        assert log.read([shared.id]) == []
        assert "larger than 65536" in log.new_damage()[0].problem


# Growing old and growing large


def test_a_file_of_the_first_schema_is_brought_up_to_date(path: Path) -> None:
    records, own = memory_chain(3), private("own")
    rows = RowWriter()
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as old:
        old.executescript(FIRST_SCHEMA)
        for position, each in enumerate(records, start=1):
            row = rows.record(position, each)
            old.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row[:6] + row[7:])
        old.execute("INSERT INTO private_memories VALUES (?, ?, ?, ?)", rows.private(4, own))
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        old.execute("PRAGMA user_version = 1")
        old.commit()

    for _ in range(2):
        with closing(SqliteLog(path)) as log:
            assert list(log.scan()) == records
            assert log.memory(own.id) == from_private(own)
            assert log.counts() == (3, 1)
    with closing(SqliteLog(path)) as log:
        log.stage([memory_record("new", seq=4)])
        log.commit()
        assert log.counts() == (4, 1)


@pytest.mark.promise("flat")
@pytest.mark.parametrize("query", QUERIES)
def test_every_query_finds_its_rows_by_an_index_and_sorts_nothing(
    log: SqliteLog, query: str
) -> None:
    names = ("id", "kind", "after", "base", "limit", "below", "position")
    plan = log._writer.execute(f"EXPLAIN QUERY PLAN {query}", dict.fromkeys(names, 1)).fetchall()
    steps = [step for *_, step in plan]
    reading = [step for step in steps if step.startswith(("SCAN", "SEARCH"))]
    assert reading and all(step.startswith("SEARCH") for step in reading), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps


def test_a_page_costs_the_same_steps_however_long_the_log_is(log: SqliteLog) -> None:
    """Counted in tens of steps of SQLite's machine, which are the same on every run."""

    def steps(query: str) -> int:
        taken = 0

        def step() -> int:
            nonlocal taken
            taken += 1
            return 0

        arguments = {"kind": MEMORY, "after": 100, "base": 1 << 60, "below": 200, "limit": 10}
        log._writer.set_progress_handler(step, 10)
        log._writer.execute(query, {**arguments, "id": bytes(32), "position": 5}).fetchall()
        log._writer.set_progress_handler(None, 0)
        return taken

    chain = memory_chain(4_000)
    log.stage(chain[:400])
    log.commit()
    before = [steps(query) for query in QUERIES]
    log.stage(chain[400:])
    log.commit()
    after = [steps(query) for query in QUERIES]
    assert all(now <= then + 1 for now, then in zip(after, before, strict=True)), (before, after)


def test_what_stands_at_a_position_that_is_out_of_date_is_left_alone(path: Path) -> None:
    writer = identity(1)
    good = memory_record("good", seq=1, writer=writer)
    strange = [
        Record.composed(
            writer,
            replace(good.header, seq=2, previous=good.id, body_hash=body_hash(body)),
            body,
        )
        for body in (b"\xff", cbor2.dumps([1]))
    ]
    for each in strange:
        with closing(SqliteLog(path)) as log:
            log.stage([good, each])
            log.commit()
            assert log.memories_with({good.id: 2}) == {good.id: from_record(good)}
            assert log.memories_with({each.id: 2}) == {}
            assert log.damaged == 0, "its author wrote nonsense; the disk did not"
        path.unlink()
