"""The column of vectors: what is kept, what a crash or a bad disk takes, and what must go."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import numpy as np
import pytest

from synapse.core.errors import StorageError
from synapse.retrieval.semantic import column as columns
from synapse.retrieval.semantic.column import HEADER_BYTES, Column, quantised
from tests.making import made_up_id

DIMENSIONS = 24
CHUNK = 12  # bytes before the rows of a chunk
ROW = 32 + 4 + DIMENSIONS


def ids(*numbers: int) -> list[bytes]:
    return [made_up_id(number) for number in numbers]


def vectors(*numbers: int, dimensions: int = DIMENSIONS) -> np.ndarray:
    """Vectors of length 1, each with a number."""
    rows = np.array([np.random.default_rng(n).normal(size=dimensions) for n in numbers])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def opened(folder: Path, model: str = "model-one", dimensions: int | None = None) -> Column:
    one = Column(folder, model=model, dimensions=dimensions)
    one.open()
    return one


def filled(folder: Path, *chunks: tuple[int, ...]) -> Path:
    """A closed column with these memories, batch after batch; its file."""
    one = opened(folder)
    for numbers in chunks:
        one.append(ids(*numbers), vectors(*numbers))
    one.close()
    return one.path


def kept(one: Column, upto: int = 20) -> list[int]:
    lacking = set(one.missing(ids(*range(upto))))
    return [number for number in range(upto) if made_up_id(number) not in lacking]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


# What is kept


def test_a_cosine_is_that_of_the_vectors_within_a_hundredth(tmp_path):
    one = opened(tmp_path)
    many = vectors(*range(300))
    one.append(ids(*range(300)), many)
    question = vectors(1_000)[0]
    assert one.cosines(ids(*range(300)), question) == pytest.approx(many @ question, abs=0.01)


def test_a_vector_is_its_own_nearest_and_nothing_is_beyond_one(tmp_path):
    one = opened(tmp_path)
    many = vectors(*range(100))
    one.append(ids(*range(100)), many)
    for number in range(100):
        cosines = one.cosines(ids(*range(100)), many[number])
        assert int(cosines.argmax()) == number
        assert 0.999 < cosines[number] <= 1.0


def test_what_was_kept_is_there_after_a_restart(tmp_path):
    filled(tmp_path, (1, 2, 3), (4,))
    one = opened(tmp_path)
    assert (len(one), one.dimensions, kept(one)) == (4, DIMENSIONS, [1, 2, 3, 4])
    assert one.cosines(ids(2), vectors(2)[0]) == pytest.approx([1.0], abs=0.001)
    one.append(ids(5), vectors(5))
    assert (kept(one), one.damaged) == ([1, 2, 3, 4, 5], 0)


def test_a_memory_has_one_vector_however_often_it_is_given(tmp_path):
    one = opened(tmp_path)
    one.append(ids(1, 2, 2), vectors(1, 2, 3))
    one.append(ids(2, 1), vectors(7, 8))
    assert len(one) == 2
    assert one.cosines(ids(1), vectors(1)[0]) == pytest.approx([1.0], abs=0.001)


def test_a_memory_without_a_vector_has_no_cosine(tmp_path):
    one = opened(tmp_path)
    assert np.isnan(one.cosines(ids(1), vectors(1)[0])).all()
    one.append(ids(1), vectors(1))
    assert np.isnan(one.cosines(ids(2, 1), vectors(1)[0])).tolist() == [True, False]


def test_a_question_of_other_dimensions_says_nothing(tmp_path):
    one = opened(tmp_path)
    one.append(ids(1), vectors(1))
    assert np.isnan(one.cosines(ids(1), vectors(1, dimensions=7)[0])).all()


def test_a_memory_takes_its_dimensions_and_thirty_six_bytes(tmp_path):
    path = filled(tmp_path, tuple(range(20)))
    assert path.stat().st_size == HEADER_BYTES + CHUNK + 20 * (DIMENSIONS + 36)


def test_ids_with_one_hash_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "mixed", lambda joined: np.zeros(len(joined) // 32, np.uint64))
    one = opened(tmp_path)
    one.append(ids(*range(9)), vectors(*range(9)))
    for number in range(9):
        assert one.cosines(ids(number), vectors(number)[0])[0] > 0.99
    assert one.missing(ids(3, 30)) == ids(30)


def test_eight_bits_hold_vectors_of_any_shape():
    lone = np.zeros((1, 5), np.float32)
    lone[0, 3] = 1.0
    small, scales = quantised(lone)
    assert (small.tolist(), scales.tolist()) == ([[0, 0, 0, 127, 0]], [pytest.approx(1 / 127)])


# Models


def test_another_model_is_another_column_and_the_old_one_goes(tmp_path):
    filled(tmp_path, (1, 2))
    other = opened(tmp_path, "model-two")
    assert (len(other), other.dimensions) == (0, None)
    other.append(ids(1), vectors(1, dimensions=5))
    assert other.dimensions == 5
    assert [path.name for path in tmp_path.iterdir()] == [other.path.name]


def test_one_model_cut_to_other_dimensions_is_another_column(tmp_path):
    filled(tmp_path, (1, 2))
    assert len(opened(tmp_path, dimensions=DIMENSIONS)) == 0


def test_vectors_of_other_dimensions_are_refused(tmp_path):
    one = opened(tmp_path)
    one.append(ids(1), vectors(1))
    with pytest.raises(ValueError, match="5 dimensions, where 24"):
        one.append(ids(2), vectors(2, dimensions=5))
    assert kept(one) == [1]


# Crashes and bad disks


@pytest.mark.parametrize("left", [1, CHUNK - 1, CHUNK, CHUNK + 5, CHUNK + ROW, CHUNK + 2 * ROW - 1])
def test_what_a_crash_cut_off_is_cut_away(tmp_path, left):
    path = filled(tmp_path, (1, 2, 3), (4, 5))
    os.truncate(path, path.stat().st_size - CHUNK - 2 * ROW + left)
    one = opened(tmp_path)
    assert (kept(one), one.damaged) == ([1, 2, 3], 0)
    one.append(ids(4), vectors(4))
    one.close()
    assert kept(opened(tmp_path)) == [1, 2, 3, 4]


def test_a_damaged_chunk_alone_is_lost(tmp_path):
    path = filled(tmp_path, (1, 2), (3, 4), (5, 6))
    flip(path, HEADER_BYTES + (CHUNK + 2 * ROW) + CHUNK + ROW + 40)
    one = opened(tmp_path)
    assert (kept(one), one.damaged) == ([1, 2, 5, 6], 1)
    assert one.cosines(ids(6), vectors(6)[0])[0] > 0.99
    one.append(ids(3, 4), vectors(3, 4))
    one.close()
    again = opened(tmp_path)
    assert (kept(again), again.damaged) == ([1, 2, 3, 4, 5, 6], 0)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_what_follows_a_length_that_cannot_be_believed_is_lost(tmp_path):
    path = filled(tmp_path, (1, 2), (3, 4), (5, 6))
    flip(path, HEADER_BYTES + CHUNK + 2 * ROW)
    one = opened(tmp_path)
    assert (kept(one), one.damaged) == ([1, 2], 1)


def test_a_damaged_header_costs_everything_and_nothing_more(tmp_path):
    path = filled(tmp_path, (1, 2))
    flip(path, 9)
    one = opened(tmp_path)
    assert (len(one), one.dimensions, one.damaged) == (0, None, 1)
    one.append(ids(1), vectors(1))
    one.close()
    assert kept(opened(tmp_path)) == [1]


def test_any_single_flipped_bit_is_survived_and_never_believed(tmp_path):
    whole = filled(tmp_path, (1, 2), (3, 4), (5, 6)).read_bytes()
    random = Random("flips")
    places = [random.randrange(len(whole)) for _ in range(150)]
    for at in [*range(20), *places]:
        (tmp_path / next(tmp_path.iterdir()).name).write_bytes(whole)
        flip(next(tmp_path.iterdir()), at)
        one = opened(tmp_path)
        for number in kept(one):
            assert one.cosines(ids(number), vectors(number)[0])[0] > 0.99
        assert len(one) in (6, 4, 2, 0)
        one.close()


@pytest.mark.parametrize("junk", [b"", b"x", b"x" * 5_000, bytes(5_000)])
def test_a_file_that_is_none_of_ours_is_begun_anew(tmp_path, junk):
    path = filled(tmp_path, (1,))
    path.write_bytes(junk)
    one = opened(tmp_path)
    assert len(one) == 0
    one.append(ids(1), vectors(1))
    assert kept(one) == [1]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot open the vectors"):
        opened(tmp_path / "file")


def test_a_column_that_was_closed_answers_nothing_and_keeps_nothing(tmp_path):
    one = opened(tmp_path)
    one.append(ids(1), vectors(1))
    one.close()
    assert np.isnan(one.cosines(ids(1), vectors(1)[0])).all()
    with pytest.raises(StorageError):
        one.append(ids(2), vectors(2))


# What must go


def test_what_is_forgotten_is_nowhere_in_the_file(tmp_path):
    one = opened(tmp_path)
    one.append(ids(1, 2, 3), vectors(1, 2, 3))
    one.append(ids(4), vectors(4))
    secret = quantised(vectors(2))[0].tobytes()
    assert secret in one.path.read_bytes()
    assert one.forget(ids(2, 9)) == 1
    assert secret not in one.path.read_bytes()
    assert made_up_id(2) not in one.path.read_bytes()
    assert kept(one) == [1, 3, 4]
    one.close()
    again = opened(tmp_path)
    assert (kept(again), again.damaged) == ([1, 3, 4], 0)
    assert again.cosines(ids(3), vectors(3)[0])[0] > 0.99


def test_a_crash_in_the_middle_of_forgetting_forgets(tmp_path):
    path = filled(tmp_path, (1, 2, 3), (4,))
    data = bytearray(path.read_bytes())
    at = HEADER_BYTES + CHUNK + ROW
    data[at : at + ROW] = bytes(ROW)  # the checksum was not written any more
    path.write_bytes(data)
    one = opened(tmp_path)
    assert (kept(one), one.damaged) == ([4], 1)
    assert quantised(vectors(2))[0].tobytes() not in path.read_bytes()


def test_readers_keep_what_they_began_with_while_others_write(tmp_path):
    one = opened(tmp_path)
    twin: dict[int, np.ndarray] = {}
    random = Random("writers")
    for _ in range(200):
        number = random.randrange(60)
        if random.random() < 0.3:
            one.forget(ids(number))
            twin.pop(number, None)
        else:
            batch = [number, random.randrange(60)]
            one.append(ids(*batch), vectors(*batch))
            twin |= {each: vectors(each)[0] for each in batch}
        assert kept(one, 60) == sorted(twin)
        question = vectors(random.randrange(1_000))[0]
        cosines = one.cosines(ids(*twin), question)
        assert cosines == pytest.approx([v @ question for v in twin.values()], abs=0.02)
