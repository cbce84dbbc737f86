"""The files of an index: what a crash leaves behind, and what damage costs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from synapse.core.errors import StorageError
from synapse.core.memory.memory import Memory
from synapse.retrieval import analysis, folder, layout
from synapse.retrieval.folder import MANIFEST
from synapse.retrieval.inverted import InvertedIndex
from synapse.retrieval.residency import Residency
from synapse.retrieval.scan import ScanIndex

COUNT = 60
REMOVED_AT = {20: 3, 41: 17, 55: 50}  # position in the log: the memory that it takes back


def memory(number: int) -> Memory:
    text = f"apple {'pie ' * (number % 4)} word{number % 7} own{number}"
    return Memory(number.to_bytes(32, "big"), text, "note", (), "ada", number * 1000, True)


def feed(index: InvertedIndex, upto: int, *, live: bool = False) -> None:
    """Give the index what it lacks of the log: one memory a position, and what was removed.

    `live`: the log is just being written, so that it still has what later positions take back.
    """
    for after, end in index.missing(upto):
        for first in range(after, end, 4):
            last = min(first + 4, end)
            numbers = range(first + 1, last + 1)
            gone = [memory(REMOVED_AT[n]).id for n in numbers if n in REMOVED_AT]
            index.remove(gone)
            living = [n for n in numbers if n not in taken_back(last if live else upto)]
            index.add([memory(n) for n in living], covers=(first, last))
            index.maintain()


def taken_back(upto: int) -> list[int]:
    """What the log holds no more: its memories are read without these."""
    return [number for position, number in REMOVED_AT.items() if position <= upto]


def assert_whole(index: InvertedIndex, upto: int = COUNT) -> None:
    scan = ScanIndex()
    scan.add([memory(n) for n in range(1, upto + 1) if n not in taken_back(upto)])
    assert list(index.missing(upto)) == []
    for query in ("apple pie", "word3", "own8 own31 own50"):
        assert index.search(query, limit=COUNT) == scan.search(query, limit=COUNT)
    assert len(index) == len(scan)


def opened(path: Path) -> InvertedIndex:
    return InvertedIndex(path, head_rows=4)


def filled(path: Path) -> InvertedIndex:
    index = opened(path)
    feed(index, COUNT, live=True)
    index.checkpoint()
    return index


def test_after_a_checkpoint_nothing_is_fed_again(tmp_path: Path) -> None:
    filled(tmp_path).close()
    assert_whole(opened(tmp_path))


def test_without_a_checkpoint_only_the_tail_is_fed_again(tmp_path: Path) -> None:
    feed(opened(tmp_path), COUNT, live=True)
    index = opened(tmp_path)
    ((after, upto),) = index.missing(COUNT)
    assert (after > COUNT - 12, upto) == (True, COUNT)
    feed(index, COUNT)
    assert_whole(index)


def test_a_crash_at_any_step_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each file appears or goes, the folder is copied as a crash would leave it."""
    crashes: list[Path] = []

    def copying(original: Callable[..., None]) -> Callable[..., None]:
        def step(path: Path, *args: object, **kwargs: object) -> None:
            if path.is_relative_to(tmp_path / "live"):
                crashes.append(tmp_path / f"crash{len(crashes)}")
                shutil.copytree(tmp_path / "live", crashes[-1])
            original(path, *args, **kwargs)

        return step

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", copying(Path.replace))
        patched.setattr(Path, "unlink", copying(Path.unlink))
        index = opened(tmp_path / "live")
        feed(index, COUNT, live=True)
        while index.maintain():
            pass
        index.checkpoint()
    assert len(crashes) > 40
    for nth, crash in enumerate(crashes):
        for unfinished in sorted(crash.glob("*.tmp")):
            size = unfinished.stat().st_size * (nth % 3) // 2  # nothing of it, half or all
            unfinished.write_bytes(unfinished.read_bytes()[:size])
        index = opened(crash)
        assert index.damage == []
        feed(index, COUNT)
        assert_whole(index)
        assert sorted(crash.glob("*.tmp")) == []


def damaged(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    match how:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "flipped":
            data[min(layout.HEADER_BYTES, 2 * len(data) // 3)] ^= 4
            path.write_bytes(data)
        case "header":
            data[9] ^= 1
            path.write_bytes(data)
        case "foreign":
            path.write_bytes(bytes(len(data)))


@pytest.mark.parametrize("how", ["missing", "empty", "cut", "flipped", "header", "foreign"])
def test_any_damaged_file_is_reported_and_made_good_from_the_log(tmp_path: Path, how: str) -> None:
    filled(tmp_path / "good")
    names = sorted(path.name for path in (tmp_path / "good").iterdir())
    assert {Path(name).suffix for name in names} == {".seg", ".changes", ".json"}
    for name in names:
        shutil.copytree(tmp_path / "good", tmp_path / name)
        damaged(tmp_path / name / name, how)
        index = opened(tmp_path / name)
        if (name, how) != (MANIFEST, "missing"):  # then it is a new index
            assert len(index.damage) == 1
        assert list(index.missing(COUNT)) != []
        again = opened(tmp_path / name)  # what has to be fed is not forgotten meanwhile
        assert (again.damage, again.missing(COUNT)) == ([], index.missing(COUNT))
        feed(again, COUNT)
        assert_whole(again)


def test_only_what_a_damaged_segment_held_is_fed_again(tmp_path: Path) -> None:
    index = filled(tmp_path)
    index.close()
    oldest = min(tmp_path.glob("*.seg"), key=lambda path: path.stat().st_size)
    oldest.unlink()
    assert sum(upto - after for after, upto in opened(tmp_path).missing(COUNT)) < COUNT


def test_damage_that_opening_does_not_look_for_is_found_by_upkeep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path).close()
    damaged(max(tmp_path.glob("*.seg"), key=lambda path: path.stat().st_size), "flipped")
    monkeypatch.setattr(folder, "VERIFIED_AT_OPEN_BYTES", 0)
    index = opened(tmp_path)
    assert index.damage == []
    while index.maintain():
        pass
    assert len(index.damage) == 1
    feed(index, COUNT)
    assert_whole(index)


def test_damage_to_what_was_fed_without_positions_costs_everything(tmp_path: Path) -> None:
    index = opened(tmp_path)
    index.add([memory(1)])
    index.add([memory(2)], covers=(1, 2))
    index.checkpoint()
    index.add([memory(3)], covers=(2, 3))
    index.close()
    min(tmp_path.glob("*.seg")).unlink()
    assert list(opened(tmp_path).missing(3)) != []


def test_an_index_of_another_version_is_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path).close()
    monkeypatch.setattr(folder, "ANALYSER_VERSION", analysis.ANALYSER_VERSION + 1)
    index = opened(tmp_path)
    assert (index.damage, list(index.missing(COUNT)), len(index)) == ([], [(0, COUNT)], 0)
    assert list(tmp_path.glob("*.seg")) == []


def test_removed_memories_leave_the_disk_when_there_are_many(tmp_path: Path) -> None:
    index = filled(tmp_path)
    before = sum(path.stat().st_size for path in tmp_path.iterdir())
    index.remove([memory(n).id for n in range(1, COUNT)])
    while index.maintain():
        pass
    index.checkpoint()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < before / 4
    assert list(index.missing(COUNT)) == []
    assert len(opened(tmp_path)) == 1


def test_segments_stay_few(tmp_path: Path) -> None:
    index = InvertedIndex(tmp_path, head_rows=4)
    for number in range(1, 400):
        index.add([memory(number)], covers=(number - 1, number))
        index.maintain()
    assert len(list(tmp_path.glob("*.seg"))) <= 16


def test_without_a_word_from_outside_upkeep_still_happens(tmp_path: Path) -> None:
    index = InvertedIndex(tmp_path, head_rows=4)
    for number in range(1, 400):
        index.add([memory(number)])
    assert len(list(tmp_path.glob("*.seg"))) >= 1


def test_pages_that_were_let_go_come_back(tmp_path: Path) -> None:
    filled(tmp_path).close()
    index = InvertedIndex(tmp_path, head_rows=4, residency=Residency(0))
    while index.maintain():
        pass
    for _ in range(2):
        assert_whole(index)
        index.maintain()
    assert_whole(index)


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot open the index"):
        InvertedIndex(tmp_path / "file")
