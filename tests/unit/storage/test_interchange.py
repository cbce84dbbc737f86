"""What goes out as rows comes in again, verified; what was altered does not."""

from __future__ import annotations

import json
import resource
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from synapse.core.errors import StorageError
from synapse.core.memory.memory import from_private
from synapse.core.memory.record import CERTIFICATE, RETRACTION
from synapse.storage import interchange
from synapse.storage.interchange import Imported, Shape
from synapse.storage.json_lines import LINE_BYTES_MAX, JsonLines
from synapse.storage.parquet import Parquet
from synapse.storage.sqlite_log import SqliteLog
from tests.making import START_MS, memory_record, private
from tests.unit.storage.logs import PRIVATE, all_of, damage, filled, flipped

NOW_MS = START_MS + 1_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spore" / "log.db"


@pytest.fixture
def again(tmp_path: Path) -> Path:
    return tmp_path / "again" / "log.db"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


@pytest.fixture(params=["json lines", "parquet"])
def shape(request: pytest.FixtureRequest) -> Shape:
    if request.param == "json lines":
        return JsonLines()
    pytest.importorskip("pyarrow", reason="the extra [parquet] is not installed")
    return Parquet()


def silent(done: int, total: int) -> None:
    pass


def export(path: Path, target: Path, shape: Shape, *, private: bool = True) -> interchange.Exported:
    return interchange.export(path, shape, target, private=private, progress=silent)


def take_in(
    path: Path, source: Path, shape: Shape | None = None, *, now_ms: int = NOW_MS
) -> Imported:
    return interchange.take_in(path, shape or JsonLines(), source, now_ms=now_ms, progress=silent)


def changed(rows: Path, number: int, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter one line of a file."""
    lines = rows.read_text("utf-8").splitlines()
    fields = json.loads(lines[number])
    change(fields)
    lines[number] = json.dumps(fields)
    rows.write_text("\n".join(lines) + "\n", "utf-8")


def test_everything_comes_back_and_proves_it(
    path: Path, again: Path, rows: Path, shape: Shape
) -> None:
    records = filled(path)
    out = export(path, rows, shape)
    came = take_in(again, rows, shape)
    assert came.whole
    assert came.proof == came.promised == out.proof
    assert came.fingerprint == out.proof.fingerprint
    assert (came.entered, came.private_memories) == (len(records), len(PRIVATE))
    assert all_of(again) == all_of(path)
    with closing(SqliteLog(again)) as log:
        assert log.memory(PRIVATE[0].id) == from_private(PRIVATE[0])


def test_what_comes_twice_changes_nothing(path: Path, again: Path, rows: Path) -> None:
    records = filled(path)
    export(path, rows, JsonLines())
    take_in(again, rows)
    came = take_in(again, rows)
    assert (came.entered, came.known, came.whole) == (0, len(records), True)
    assert all_of(again) == all_of(path)


@pytest.mark.promise("private")
def test_private_memories_stay_unless_they_are_asked_for(
    path: Path, again: Path, rows: Path, shape: Shape
) -> None:
    filled(path)
    assert export(path, rows, shape, private=False).proof.private_memories == 0
    assert all(one.text.encode() not in rows.read_bytes() for one in PRIVATE[:1])
    take_in(again, rows, shape)
    with closing(SqliteLog(again)) as log:
        assert log.counts()[1] == 0


def test_what_lets_others_in_comes_first(path: Path, rows: Path) -> None:
    filled(path)
    export(path, rows, JsonLines())
    kinds = [json.loads(line).get("kind") for line in rows.read_text("utf-8").splitlines()]
    assert kinds[:2] == [CERTIFICATE, RETRACTION]
    assert CERTIFICATE not in kinds[2:] and RETRACTION not in kinds[2:]


def test_a_row_can_be_read_by_people(path: Path, rows: Path) -> None:
    with closing(SqliteLog(path)) as log:
        log.stage([memory_record("bees dance 蜂", kind="fact", tags=["a"])])
    export(path, rows, JsonLines())
    line, proof = rows.read_text("utf-8").splitlines()
    assert '"text":"bees dance 蜂"' in line
    fields = json.loads(line)
    assert (fields["kind"], fields["tags"], fields["created_ms"]) == ("memory", ["a"], START_MS + 1)
    assert json.loads(proof)["proof"]["records"] == 1


@pytest.mark.promise("authored")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda fields: fields.update(signature=b64encode(bytes(64)).decode()), "signature"),
        (lambda fields: fields.update(body=b64encode(b"other").decode()), "body_size"),
        (lambda fields: fields.update(header=fields["header"][:-8]), "not_canonical"),
        (lambda fields: fields.update(header="not base64"), "row"),
        (lambda fields: fields.update(header=7), "row"),
        (lambda fields: fields.update(body=["x"]), "row"),
        (lambda fields: fields.pop("signature"), "row"),
        (lambda fields: fields.clear(), "row"),
    ],
)  # fmt: skip
def test_an_altered_row_is_refused_and_the_others_enter(
    path: Path, again: Path, rows: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    records = filled(path)
    export(path, rows, JsonLines())
    changed(rows, 5, change)
    came = take_in(again, rows)
    assert came.refused == {reason: 1}
    assert came.entered == len(records) - 1
    assert not came.whole


def test_readable_fields_are_not_believed(path: Path, again: Path, rows: Path) -> None:
    filled(path)
    export(path, rows, JsonLines())
    changed(rows, 5, lambda fields: fields.update(text="forged", id="00" * 32, author="11" * 32))
    assert take_in(again, rows).whole
    assert all_of(again) == all_of(path)


@pytest.mark.parametrize(
    "line",
    ["", "nonsense", "[]", "null", "7", '"x"', "[" * 5_000, '{"id": 7}', '{"proof": 7}', "{   "],
)  # fmt: skip
def test_a_line_of_nonsense_is_refused(path: Path, again: Path, rows: Path, line: str) -> None:
    records = filled(path)
    export(path, rows, JsonLines())
    rows.write_text(line + "\n" + rows.read_text("utf-8"), "utf-8")
    came = take_in(again, rows)
    assert came.refused == {"row": 1}
    assert came.entered == len(records)


@pytest.mark.promise("bounded")
def test_a_line_without_end_is_refused_and_the_next_one_read(
    path: Path, again: Path, rows: Path
) -> None:
    records = filled(path)
    export(path, rows, JsonLines())
    rows.write_text("x" * (3 * LINE_BYTES_MAX + 5) + "\n" + rows.read_text("utf-8"), "utf-8")
    came = take_in(again, rows)
    assert (came.refused, came.entered) == ({"row": 1}, len(records))


def test_the_largest_memory_fits_a_line(path: Path, again: Path, rows: Path) -> None:
    with closing(SqliteLog(path)) as log:
        log.stage([memory_record("\x01" * 60_000)], private=[private("\x01" * 60_000)])
    export(path, rows, JsonLines())
    assert take_in(again, rows).whole


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.update(id="00"),
        lambda fields: fields.update(text=""),
        lambda fields: fields.update(text="\ud800"),
        lambda fields: fields.update(text="x" * 70_000),
        lambda fields: fields.update(tags="x"),
        lambda fields: fields.update(tags=["x" * 100]),
        lambda fields: fields.update(kind=None),
        lambda fields: fields.update(created_ms=-1),
        lambda fields: fields.update(created_ms=True),
        lambda fields: fields.pop("id"),
    ],
)
def test_a_private_memory_that_is_none_is_refused(
    path: Path, again: Path, rows: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    filled(path)
    export(path, rows, JsonLines())
    changed(rows, -2, change)
    came = take_in(again, rows)
    assert (came.refused, came.private_memories) == ({"row": 1}, len(PRIVATE) - 1)


def test_a_file_that_was_cut_is_not_whole(path: Path, again: Path, rows: Path) -> None:
    records = filled(path)
    export(path, rows, JsonLines())
    lines = rows.read_text("utf-8").splitlines(keepends=True)
    rows.write_text("".join(lines[:-5]), "utf-8")
    came = take_in(again, rows)
    assert (came.promised, came.refused, came.whole) == (None, {}, False)
    assert came.entered < len(records) + len(PRIVATE)
    rows.write_text("".join([*lines[:5], *lines[6:]]), "utf-8")
    assert not take_in(again.with_name("third.db"), rows).whole


def test_a_record_of_the_future_waits_outside(path: Path, again: Path, rows: Path) -> None:
    filled(path)
    export(path, rows, JsonLines())
    came = take_in(again, rows, now_ms=START_MS - 10_000_000)
    assert came.entered == 0
    assert came.waiting > 0
    assert not came.whole


def test_a_retraction_erases_what_is_there_already(path: Path, again: Path, rows: Path) -> None:
    filled(path)
    body = memory_record("said too much", seq=7)
    with closing(SqliteLog(again)) as log:
        log.stage([body])
    export(path, rows, JsonLines())
    take_in(again, rows)
    with closing(SqliteLog(again)) as log:
        assert log.read([body.id]) == [body.without_body()]


def test_damage_is_told_and_left_out(path: Path, again: Path, rows: Path) -> None:
    records = filled(path)
    damaged = next(one for one in records if one.kind == CERTIFICATE), records[0]
    for one in damaged:
        damage(path, "body", one.id)
    out = export(path, rows, JsonLines())
    assert {flaw.id for flaw in out.flaws} == {one.id.hex() for one in damaged}
    assert len(out.flaws) == 2
    assert out.proof.records == len(records) - 2


def test_nothing_is_overwritten_and_a_missing_file_is_an_error(
    path: Path, again: Path, rows: Path
) -> None:
    filled(path)
    with pytest.raises(StorageError, match="there is no file"):
        take_in(again, rows)
    assert not again.exists()
    rows.write_text("precious")
    with pytest.raises(StorageError, match="exists"):
        export(path, rows, JsonLines())
    assert rows.read_text() == "precious"


@pytest.mark.promise("durable")
def test_a_disk_without_room_leaves_no_half_of_a_file(path: Path, rows: Path, shape: Shape) -> None:
    filled(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(StorageError):
            export(path, rows, shape)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [each.name for each in rows.parent.iterdir()] == ["spore"]


def test_a_parquet_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra [parquet] is not installed")
    garbage = tmp_path / "rows.parquet"
    garbage.write_bytes(flipped(b"PAR1" * 99))
    with pytest.raises(StorageError, match="no Parquet file"):
        take_in(tmp_path / "log.db", garbage, Parquet())


def test_without_pyarrow_parquet_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(StorageError, match=r"synapse-spore\[parquet\]"):
        Parquet()
