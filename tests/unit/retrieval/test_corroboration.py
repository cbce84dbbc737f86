"""Who else said so: groups, counted by operator, that outlast restarts and damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from synapse.core.errors import StorageError
from synapse.core.memory.memory import Memory
from synapse.retrieval.corroboration import (
    DATABASE,
    OTHERS_MAX,
    REMEMBERED_FILE,
    Corroboration,
)

TIDES = "The tides follow the moon around the whole turning earth."
SALT = "Bread without any salt tastes of very little."
_positions = count(1)


def memory(name: str, text: str = TIDES, *, operator: str = "ada") -> Memory:
    made = sha256(name.encode()).digest()
    return Memory(made, text, "note", (), f"a spore of {operator}", 0, True, operator)


def add(said: Corroboration, *memories: Memory) -> None:
    said.add(memories, reached=next(_positions))


def operators(said: Corroboration, one: Memory) -> int:
    kin = said.kin([one.id]).get(one.id)
    return 0 if kin is None else kin.operators


@pytest.fixture(params=["in memory", "on disk"])
def said(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Corroboration]:
    folder = tmp_path / "index" if request.param == "on disk" else None
    with closing(Corroboration(folder, remembered=256)) as opened:
        yield opened


def test_another_operators_same_text_corroborates(said: Corroboration) -> None:
    first, second = memory("1"), memory("2", operator="bob")
    add(said, first, memory("3", SALT), second)
    assert [operators(said, one) for one in (first, second)] == [2, 2]
    assert said.others(said.kin([first.id])[first.id]) == [second.id]
    assert said.others(said.kin([second.id])[second.id]) == [first.id]
    assert said.kin([memory("3").id, memory("unheard").id]) == {}


def test_a_thousand_repetitions_of_one_operator_count_once(said: Corroboration) -> None:
    first = memory("first", operator="ada")
    add(said, first)
    for nth in range(10):
        add(said, *(memory(f"{nth} {n}", operator="bob") for n in range(100)))
    kin = said.kin([first.id])[first.id]
    assert (kin.operators, len(said.others(kin)), len(said)) == (2, 1, 1_001)


def test_repeating_oneself_is_no_corroboration(said: Corroboration) -> None:
    first = memory("1")
    add(said, first, memory("2"))
    assert operators(said, first) == 1
    assert said.others(said.kin([first.id])[first.id]) == []


def test_only_some_of_many_are_named(said: Corroboration) -> None:
    first = memory("first")
    add(said, first, *(memory(f"{n}", operator=f"operator {n}") for n in range(50)))
    kin = said.kin([first.id])[first.id]
    assert (kin.operators, len(set(said.others(kin)))) == (51, OTHERS_MAX)


def test_nearly_the_same_text_corroborates_and_a_changed_number_does_not(
    said: Corroboration,
) -> None:
    tail = " ".join(f"{a}{b}mp" for a in "bcdfglmnprst" for b in "aeiou")
    first = memory("1", f"the gateway failed 5 times {tail}")
    near = memory("2", f"the gateway failed 5 times yesterday {tail}", operator="bob")
    other = memory("3", f"the gateway failed 9 times {tail}", operator="cyd")
    add(said, first, near, other)
    assert [operators(said, one) for one in (first, near, other)] == [2, 2, 0]


def test_a_chain_of_small_changes_does_not_lead_away_from_what_was_said_first(
    said: Corroboration,
) -> None:
    words = [f"{a}{b}mp" for a in "bcdfghlmnprst" for b in "aeiou"]
    first = memory("first", " ".join(words))
    add(said, first)
    for nth in range(len(words)):
        words[nth] = f"other{words[nth]}"
        add(said, memory(f"{nth}", " ".join(words), operator=f"operator {nth}"))
    group = said.kin([first.id])[first.id].group
    last = said.kin([memory(f"{len(words) - 1}").id]).values()
    assert all(kin.group != group for kin in last)
    assert operators(said, first) < len(words) / 2


def test_private_memories_are_never_counted(said: Corroboration) -> None:
    first = memory("1")
    add(said, first, replace(memory("2"), shared=False, operator="", author=""))
    assert operators(said, first) == 0


def test_what_is_taken_back_says_nothing_any_more(said: Corroboration) -> None:
    first, second, again = memory("1"), memory("2", operator="bob"), memory("3", operator="bob")
    add(said, first, second, again)
    said.remove([second.id, memory("unheard").id])
    assert operators(said, first) == 2  # bob said it twice
    said.remove([again.id, again.id])
    assert operators(said, first) == 1
    add(said, memory("4", operator="cyd"))
    assert operators(said, first) in (1, 2)  # it may meet the first one, and no other


def test_adding_again_changes_nothing(said: Corroboration) -> None:
    told = [memory("1"), memory("2", operator="bob"), memory("3", operator="cyd")]
    add(said, *told)
    before = {one.id: operators(said, one) for one in told}
    add(said, *told)
    assert {one.id: operators(said, one) for one in told} == before


def test_it_goes_on_after_a_restart_where_it_was_saved(tmp_path: Path) -> None:
    first, second, third = memory("1"), memory("2", operator="bob"), memory("3", operator="cyd")
    with closing(Corroboration(tmp_path)) as said:
        said.add([first, second], reached=7)
    with closing(Corroboration(tmp_path)) as said:
        assert (said.position, operators(said, first)) == (7, 2)
        said.add([third], reached=8)
        assert operators(said, first) == 3


def test_after_a_crash_what_was_not_saved_is_compared_again(tmp_path: Path) -> None:
    first, second, third = memory("1"), memory("2", operator="bob"), memory("3", operator="cyd")
    said = Corroboration(tmp_path)
    said.add([first], reached=1)
    said.save()
    said.add([second], reached=2)
    with closing(Corroboration(tmp_path)) as again:
        assert (again.position, operators(again, first)) == (1, 2)
        again.add([second], reached=2)
        again.add([third], reached=3)
        assert operators(again, first) == 3


@pytest.mark.parametrize("name", [DATABASE, REMEMBERED_FILE])
@pytest.mark.parametrize("damage", [b"", b"nonsense " * 1_000])
def test_what_is_damaged_is_begun_anew(tmp_path: Path, name: str, damage: bytes) -> None:
    first, second = memory("1"), memory("2", operator="bob")
    with closing(Corroboration(tmp_path)) as said:
        said.add([first, second], reached=2)
    (tmp_path / name).write_bytes(damage)
    with closing(Corroboration(tmp_path)) as said:
        assert said.position == 0
        said.add([first, second], reached=2)
        assert operators(said, first) == 2


def test_what_a_failing_disk_did_not_take_is_kept_the_next_time(tmp_path: Path) -> None:
    first, second = memory("1"), memory("2", operator="bob")
    with closing(Corroboration(tmp_path)) as said:
        with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as other:
            said._rows("PRAGMA busy_timeout = 1")
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageError):
                said.add([first, second], reached=2)
            other.execute("ROLLBACK")
        said.add([], reached=3)
        assert (said.position, operators(said, first)) == (3, 2)


def test_asking_when_nothing_was_ever_said_twice_needs_no_database() -> None:
    said = Corroboration()
    add(said, memory("1"), memory("2", SALT))
    assert (said.kin([memory("1").id]), len(said)) == ({}, 0)
