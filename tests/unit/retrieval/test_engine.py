"""The compiled loops against their numpy twins, one function at a time."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.retrieval import bm25, layout
from synapse.retrieval.analysis import STOP_WORDS, keys
from synapse.retrieval.engine import COMPILED, NUMPY, Engine
from synapse.retrieval.layout import Profile, Rows
from synapse.retrieval.snapshot import words_of
from synapse.retrieval.twin import Factors, Hit

pytestmark = pytest.mark.skipif(COMPILED is None, reason="no compiler was there")
BM25 = (bm25.K1, bm25.B, bm25.REFERENCE_LENGTH)


def compiled() -> Engine:
    assert COMPILED is not None
    return COMPILED


def postings(seed: int, rows: int, *, terms: int) -> bytes:
    """Packed postings as they come in: row after row."""
    random, packed = Random(seed), []
    for row in range(rows):
        held = {int(random.paretovariate(0.4)) % terms for _ in range(random.randint(0, 40))}
        spread = sorted(key * 2654435761 % (1 << 32) for key in held)
        packed += [key << 24 | random.choice([0, 3, 100, 254]) << 16 | row for key in spread]
    return np.array(packed, dtype="<u8").tobytes()


def segment(engine: Engine, packed: bytes, rows: int) -> bytes:
    ids = b"".join(Random(row).randbytes(32) for row in range(rows))
    zeros = np.zeros(rows, dtype=np.uint32)
    label = Profile("note", "ada", "ada", "", "", (), True)
    return layout.assemble(
        engine.build((packed,), rows),
        Rows(ids, zeros, zeros, zeros.astype(np.uint16), zeros, (label,)),
    )


@given(st.lists(st.text(), max_size=4))
def test_any_text_is_cut_alike(texts: list[str]) -> None:
    pairs = [words_of(engine).pairs(texts, keys, *BM25) for engine in (compiled(), NUMPY)]
    assert pairs[0] == pairs[1]


ENDINGS = ["ing", "ed", "eedly", "ation", "fulness", "ously", "logi", "li", "e", "ll", "y", "ies"]
SYLLABLES = st.sampled_from([*"aeioubdlsty", "gener", "ab", "izat", "bl", "ss", "1", *ENDINGS])


@given(st.lists(SYLLABLES, min_size=1, max_size=6).map("".join))
def test_any_word_has_the_same_stem(word: str) -> None:
    assert words_of(compiled()).keys(word) == keys(word).tolist()


def test_stop_words_are_the_same() -> None:
    assert words_of(compiled()).keys(" ".join(sorted(STOP_WORDS))) == []


@given(st.integers(1, 300), st.integers(1, 3000))
def test_impacts_round_alike(count: int, others: int) -> None:
    text = "apple " * count + "pear " * others
    pairs = [words_of(engine).pairs([text], keys, *BM25) for engine in (compiled(), NUMPY)]
    assert pairs[0] == pairs[1]


@pytest.mark.parametrize("rows", [0, 1, 7, 300, 3000])
@pytest.mark.parametrize("terms", [1, 30, 100_000])
def test_both_build_the_same_bytes_and_take_them_apart_again(rows: int, terms: int) -> None:
    packed = postings(rows, rows, terms=terms)
    assert compiled().build((packed,), rows) == NUMPY.build((packed,), rows)
    data = segment(compiled(), packed, rows)
    kept = np.where(np.arange(rows) % 3 == 1, -1, np.arange(rows)).astype("<i4").tobytes()
    unpacked = [
        engine.unpack(engine.block(data, None, None, None, None), kept)
        for engine in (compiled(), NUMPY)
    ]
    assert unpacked[0] == unpacked[1]
    numbers = np.frombuffer(packed, dtype="<u8")
    living = numbers[(numbers & np.uint64(0xFFFF)) % np.uint64(3) != 1]
    assert sorted(np.frombuffer(unpacked[0], dtype="<u8")) == sorted(living)


def test_a_term_of_more_postings_than_a_run_holds_is_built_alike() -> None:
    packed = np.array([5 << 24 | 7 << 16 | row for row in range(1000)], dtype="<u8").tobytes()
    assert compiled().build((packed,), 1000) == NUMPY.build((packed,), 1000)


def test_more_terms_than_ranks_leave_the_rarest_without_a_list() -> None:
    rows = 2 * 70_000
    two_each = [key << 24 | key % 65_536 for key in range(70_000) for _ in (0, 1)]
    three = [80_000 << 24 | row for row in range(3)]
    packed = np.array(two_each + three, dtype="<u8").tobytes()
    built = compiled().build((packed,), 65_536)
    assert built == NUMPY.build((packed,), 65_536)
    assert (len(built[0]) // 4, len(built[4]) // 4) == (1, rows)


def test_a_posting_of_a_row_that_is_not_there_is_refused() -> None:
    for engine in (compiled(), NUMPY):
        with pytest.raises(ValueError, match="row"):
            engine.build((np.array([7], dtype="<u8").tobytes(),), 7)


@pytest.mark.parametrize("most", [0, 30, 1000, 100_000])
def test_both_copy_the_same_heads_of_lists(most: int) -> None:
    packed = postings(1, 3000, terms=40)
    data = segment(compiled(), packed, 3000)
    asked = np.unique(np.frombuffer(packed, dtype="<u8") >> np.uint64(24)).astype("<u4").tobytes()
    sizes = []
    for engine in (compiled(), NUMPY):
        blocks = tuple(engine.block(data, None, None, None, None) for _ in range(3))
        located = engine.locate(blocks, asked)
        sizes.append([len(engine.heads(blocks, places, most)) for _, places in located])
    header = sizes[0][0] - sizes[1][0]  # which the twin has no need of
    assert [size - header for size in sizes[0]] == sizes[1]


def search(engine: Engine, data: bytes, asked: bytes, factors: Factors) -> list[Hit]:
    blocks = (engine.block(data, None, None, None, None),)
    located = (engine.locate(blocks, asked),)
    weights = np.full(len(asked) // 4, 3000, dtype="<u4").tobytes()
    ever = (1 << 32) - 1
    found, _ = engine.search(
        blocks, located, None, weights, 10, 0, None, 0, 1, 0, ever, (factors,), 0, 0, 16
    )
    return found


def test_one_factor_of_all_is_the_same_factor_of_each() -> None:
    packed = postings(1, 300, terms=40)
    data = segment(compiled(), packed, 300)
    asked = np.unique(np.frombuffer(packed, dtype="<u8") >> np.uint64(24)).astype("<u4").tobytes()
    for engine in (compiled(), NUMPY):
        for factor in (0, 50_000, 1 << 16):
            each = np.array([factor], dtype="<u4").tobytes(), factor  # there is one profile
            found = search(engine, data, asked, factor)
            assert found == search(engine, data, asked, each)
            assert all(hit[2] == factor for hit in found) and bool(found) == bool(factor)
    for nonsense in (-1, (1 << 16) + 1):
        with pytest.raises((ValueError, OverflowError)):
            search(compiled(), data, asked, nonsense)


def test_that_nothing_was_missed_is_found_out_or_an_exact_search_follows() -> None:
    """With a budget that nothing exceeds: only so many rows are totalled where that is enough."""
    engine, ever, proven = compiled(), (1 << 32) - 1, 0
    for seed in range(60):
        random = Random(seed)
        packed = postings(seed, 3000, terms=40)
        blocks = tuple(
            engine.block(segment(engine, packed, 3000), None, None, None, None) for _ in range(2)
        )
        keys = np.unique(np.frombuffer(packed, dtype="<u8") >> np.uint64(24)).astype("<u4")
        asked = random.sample(keys.tolist(), random.randint(1, 6))
        weights = np.array([random.randint(1, 40_000) for _ in asked], dtype="<u4").tobytes()
        located = (engine.locate(blocks, np.array(asked, dtype="<u4").tobytes()),)
        whole = ([engine.heads(blocks, places, 1 << 20) for _, places in located[0]],)
        terms = weights, 5, 0, None, 0, 1, 0, ever, None
        found, counts = engine.search(blocks, located, whole, *terms, 1 << 20, 1 << 20, 40)
        expected, _ = engine.search(blocks, located, None, *terms, 0, 0, 40)
        assert found == expected and not counts[3]
        proven += counts[1] == 40
    assert 10 < proven < 60


@pytest.mark.parametrize("seed", range(30))
def test_no_damage_makes_the_compiled_search_read_beyond_a_segment(seed: int) -> None:
    """It may answer nonsense, or refuse; a crash would end the test run."""
    random, engine = Random(seed), compiled()
    packed = postings(seed, 400, terms=60)
    data = bytearray(segment(engine, packed, 400))
    asked = np.unique(np.frombuffer(packed, dtype="<u8") >> np.uint64(24)).astype("<u4")[:20]
    header = layout.HEADER_BYTES if seed % 3 else 0
    for _ in range(random.choice([1, 20, 2000])):
        data[random.randrange(header, len(data))] = random.randrange(256)
    try:
        block = engine.block(bytes(data), None, None, None, None)
    except ValueError:
        return
    located = engine.locate((block,), asked.tobytes())
    heads = [engine.heads((block,), places, 50) for _, places in located]
    weights = np.full(len(asked), 3000, dtype="<u4").tobytes()
    for budget in (0, 100):
        engine.search(
            (block,),
            (located,),
            (heads,) if budget else None,
            weights,
            10,
            0,
            None,
            0,
            1,
            0,
            (1 << 32) - 1,
            None,
            budget,
            budget,
            16,
        )
    engine.find((block,), bytes(320))
    rows = np.arange(int.from_bytes(data[16:20], "little"), dtype="<i4")
    engine.unpack(block, rows.tobytes())
