"""The lattices of `core/crdt`: against the library's own types, and against plain sets and dicts.

A replica's state may only grow, and joining two of them must not depend on order, grouping or
repetition. Everything else that converges here follows from that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import requires, version
from typing import Any

import pytest
from crdt_merge import GCounter, ORSet, VectorClock
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement

from synapse.core.crdt.add_only_set import AddOnlySet
from synapse.core.crdt.frontier import Frontier
from synapse.core.crdt.observed_remove_set import ObservedRemoveSet
from synapse.core.crdt.retractions import Retractions
from synapse.core.crdt.trust_counts import BUCKET_MS, Mark, TrustCounts

WORD_OF = ["ash", "birch", "cedar"]
WORDS = st.sampled_from(WORD_OF)
TAGS = st.integers(0, 5).map(str)
TAGGED = st.lists(st.tuples(WORDS, TAGS), max_size=8)
GRADES = st.lists(st.tuples(WORDS, st.integers(0, 30), st.none() | st.booleans()), max_size=12)
TAKEN_BACK = st.lists(st.tuples(st.sampled_from([b"a", b"b"]), WORDS, TAGS), max_size=8)
CLOCKS = st.dictionaries(WORDS, st.integers(0, 4), max_size=3)

Tagged = list[tuple[str, str]]
Grades = list[tuple[str, int, bool | None]]
"""(observer, number of the grade, right or wrong; None takes it back)"""


def add_only_set(tagged: Tagged) -> AddOnlySet:
    made = AddOnlySet()
    for element, tag in tagged:
        made.insert(element, tag)
    return made


def library_set(tagged: Tagged) -> ORSet:
    elements: dict[str, list[str]] = {}
    for element, tag in tagged:
        elements.setdefault(element, []).append(tag)
    return ORSet.from_dict({"type": "or_set", "elements": elements})


def observed_remove_set(steps: list[tuple[str, str | None]]) -> ObservedRemoveSet:
    made = ObservedRemoveSet()
    for element, tag in steps:
        if tag is None:
            made.remove(element)
        else:
            made.add(element, tag=tag)
    return made


def retractions(taken_back: list[tuple[bytes, str, str]]) -> Retractions:
    made = Retractions()
    for operator, dot, tag in taken_back:
        made.add(operator, dot, tag=tag)
    return made


def mark(observer: str, number: int) -> Mark:
    """The one grade of this number: what it says follows from who gave it and the number."""
    return Mark(
        tag=f"{observer} {number}",
        observer=observer,
        about=str(number % 4),
        subjects=((WORD_OF[number % 3], observer), (WORD_OF[number % 2], "")),
        kind=str(number % 2),
        right=number % 5 > 1,
        at_ms=number % 7 * BUCKET_MS // 3,
    )


def trust_counts(grades: Grades) -> TrustCounts:
    made = TrustCounts()
    for observer, number, right in grades:
        one = mark(observer, number)
        if right is None:
            made.take_back(one.tag)
        else:
            made.add(one)
    return made


def counter(raised: list[str]) -> GCounter:
    made = GCounter()
    for slot in raised:
        made.increment(slot)
    return made


def absorbed(*states: Any) -> Any:
    """The join of states that merge in place, in this order."""
    joined = type(states[0])()
    for state in states:
        joined.absorb(state)
    return joined


def merged(one: Any, other: Any) -> Any:
    return one.merge(other)


def plainly_standing(grades: Grades) -> list[Mark]:
    """The same from plain sets: of each observer's grades of a position the last that stands."""
    back = {(observer, number) for observer, number, right in grades if right is None}
    given = {(observer, number) for observer, number, right in grades if right is not None} - back
    last: dict[tuple[str, str], Mark] = {}
    for observer, number in sorted(given):
        one = mark(observer, number)
        before = last.get((observer, one.about))
        if before is None or (before.at_ms, before.tag) < (one.at_ms, one.tag):
            last[observer, one.about] = one
    return [last[slot] for slot in sorted(last)]


def form(state: Any) -> Any:
    """What of a state is compared: itself, where it can be."""
    match state:
        case GCounter():
            return state.to_dict()
        case ORSet() if not isinstance(state, AddOnlySet):
            return {element: set(tags) for element, tags in state.to_dict()["elements"].items()}
        case TrustCounts():
            return deepcopy(state.__dict__)
        case _:
            return state


@dataclass(frozen=True)
class Lattice:
    """A type, how its states come about, and its join."""

    states: st.SearchStrategy[Any]
    join: Callable[[Any, Any], Any]


STEPS_ALONE = st.lists(st.tuples(WORDS, st.none() | TAGS), max_size=8)
LATTICES = {
    "AddOnlySet": Lattice(TAGGED.map(add_only_set), absorbed),
    "ObservedRemoveSet": Lattice(STEPS_ALONE.map(observed_remove_set), absorbed),
    "Retractions": Lattice(TAKEN_BACK.map(retractions), absorbed),
    "TrustCounts": Lattice(GRADES.map(trust_counts), absorbed),
    "the library's ORSet, add-only": Lattice(TAGGED.map(library_set), merged),
    "the library's VectorClock": Lattice(CLOCKS.map(VectorClock), merged),
    "the library's GCounter": Lattice(st.lists(WORDS, max_size=8).map(counter), merged),
}
each_lattice = pytest.mark.parametrize("name", LATTICES)


# Laws


@pytest.mark.promise("convergent")
@each_lattice
@given(data=st.data())
def test_a_join_does_not_depend_on_order_grouping_or_repetition(
    name: str, data: st.DataObject
) -> None:
    states, join = LATTICES[name].states, LATTICES[name].join
    a, b, c = (data.draw(states) for _ in range(3))
    assert form(join(a, b)) == form(join(b, a))
    assert form(join(join(a, b), c)) == form(join(a, join(b, c)))
    assert form(join(a, a)) == form(a)
    assert form(join(join(a, b), b)) == form(join(a, b))


@each_lattice
@given(data=st.data())
def test_a_join_changes_neither_side_and_shares_nothing_with_them(
    name: str, data: st.DataObject
) -> None:
    states, join = LATTICES[name].states, LATTICES[name].join
    a, b, c = (data.draw(states) for _ in range(3))
    before = deepcopy((form(a), form(b)))
    joined = join(a, b)
    if hasattr(joined, "absorb"):
        joined.absorb(c)
    assert (form(a), form(b)) == before


@given(TAGGED, TAGGED)
def test_an_add_only_set_is_the_librarys_set_and_a_plain_one(mine: Tagged, theirs: Tagged) -> None:
    ours = absorbed(add_only_set(mine), add_only_set(theirs))
    library = library_set(mine).merge(library_set(theirs))
    plain = {*mine, *theirs}
    assert ours.items() == sorted(plain)
    assert ours.value == library.value == {element for element, _ in plain}
    assert form(ORSet.from_dict(ours.to_dict())) == form(library)
    assert len(ours) == len(ours.value)
    for element in ("ash", "birch", "cedar", "oak"):
        assert ours.contains(element) == library.contains(element)
        assert ours.tags(element) == {tag for other, tag in plain if other == element}


@given(TAGGED)
def test_an_insertion_is_new_once(tagged: Tagged) -> None:
    made = AddOnlySet()
    assert sum(made.insert(element, tag) for element, tag in tagged) == len(set(tagged))


# A set from which elements can be removed


class Replica:
    """An observed-remove set beside the sets of tags that a textbook would keep."""

    def __init__(self) -> None:
        self.ours = ObservedRemoveSet()
        self.added: set[tuple[str, str]] = set()
        self.removed: set[tuple[str, str]] = set()

    def absorb(self, other: Replica) -> None:
        self.ours.absorb(other.ours)
        self.added |= other.added
        self.removed |= other.removed

    def present(self) -> list[str]:
        return sorted({element for element, _ in self.added - self.removed})


Step = tuple[int, str, str]
"""(replica, what it does, to which element); `meet` absorbs the whole of the next replica."""

STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["add", "remove", "meet"]), WORDS), max_size=20
)


def played(steps: list[Step]) -> tuple[list[Replica], list[ObservedRemoveSet]]:
    """Three replicas after these steps, and every delta they made."""
    replicas = [Replica() for _ in range(3)]
    deltas = []
    for number, (who, what, element) in enumerate(steps):
        one = replicas[who]
        if what == "add":
            deltas.append(one.ours.add(element, tag=f"{who}/{number}"))
            one.added.add((element, f"{who}/{number}"))
        elif what == "remove":
            deltas.append(one.ours.remove(element))
            one.removed |= {pair for pair in one.added if pair[0] == element}
        else:
            one.absorb(replicas[(who + 1) % 3])
    return replicas, deltas


@pytest.mark.promise("never_forgets")
@settings(max_examples=300)
@given(STEPS)
def test_a_removal_reaches_exactly_the_additions_its_author_had_seen(steps: list[Step]) -> None:
    for one in played(steps)[0]:
        assert one.ours.elements() == one.present()
        for element in ("ash", "birch", "cedar", "oak"):
            assert (element in one.ours) == (element in one.present())


@pytest.mark.promise("convergent")
@settings(max_examples=200)
@given(st.data(), STEPS)
def test_deltas_converge_in_any_order_however_often_they_come(
    data: st.DataObject, steps: list[Step]
) -> None:
    replicas, deltas = played(steps)
    everything = Replica()
    for one in replicas:
        everything.absorb(one)
    for one in [*replicas, Replica()]:
        again = data.draw(st.lists(st.sampled_from(deltas), max_size=4)) if deltas else []
        for delta in data.draw(st.permutations([*deltas, *again])):
            one.ours.absorb(delta)
        assert one.ours == everything.ours
        assert one.ours.elements() == everything.present()


def test_an_addition_wins_over_a_removal_that_did_not_see_it() -> None:
    here, there = ObservedRemoveSet(), ObservedRemoveSet()
    first = here.add("birch", tag="1")
    there.absorb(first)
    removal, addition = here.remove("birch"), there.add("birch", tag="2")
    assert "birch" not in here
    assert "birch" in absorbed(first, removal, addition)
    assert "birch" in absorbed(addition, removal, first)


def test_a_removed_element_does_not_return_from_a_stale_replica() -> None:
    here = ObservedRemoveSet()
    stale = absorbed(here.add("birch", tag="1"))
    here.remove("birch")
    assert absorbed(here, stale).elements() == absorbed(stale, here).elements() == []


def test_why_the_librarys_own_remove_is_never_called() -> None:
    """What was removed returns from any stale replica (docs/decisions/0003-crdt-merge.md): `remove`
    forgets the tags instead of noting that they are gone.

    When this fails, an upgrade has changed what `remove` does: read its notes, then decide anew.
    """
    here = ORSet()
    here.add("birch")
    stale = ORSet.from_dict(here.to_dict())
    here.remove("birch")
    assert not here.contains("birch")
    assert here.merge(stale).contains("birch")


# Retractions, frontiers, trust


@given(TAKEN_BACK, TAKEN_BACK)
def test_retractions_cover_what_their_own_operator_named(
    mine: list[tuple[bytes, str, str]], theirs: list[tuple[bytes, str, str]]
) -> None:
    joined = absorbed(retractions(mine), retractions(theirs))
    plain = {(operator, dot) for operator, dot, _ in [*mine, *theirs]}
    for operator in (b"a", b"b", b"c"):
        for dot in ("ash", "birch", "cedar", "oak"):
            assert joined.covers(operator, dot) == ((operator, dot) in plain)


Numbers = list[tuple[str, int]]
NUMBERS = st.lists(st.tuples(WORDS, st.integers(1, 9)), max_size=30)


def frontier(numbers: Numbers) -> tuple[Frontier, Counter[tuple[str, int]]]:
    """A frontier that met these, and which of them it said it had met before."""
    made = Frontier()
    return made, Counter(one for one in numbers if not made.add(*one))


@given(st.data(), NUMBERS)
def test_a_frontier_is_the_clock_of_contiguous_numbers_whatever_the_order(
    data: st.DataObject, numbers: Numbers
) -> None:
    made, reused = frontier(data.draw(st.permutations(numbers)))
    met = set(numbers)
    plain = {
        log: next(seq for seq in range(11) if (log, seq + 1) not in met)
        for log in ("ash", "birch", "cedar")
    }
    assert made.clock() == VectorClock(plain)
    assert {log: made.reached(log) for log in plain} == plain
    assert made.gaps() == len({log for log, seq in met if seq > plain[log]})
    assert reused == Counter(numbers) - Counter(met), "each reuse is flagged, and no first use"


@given(NUMBERS, NUMBERS)
def test_whoever_holds_both_has_reached_at_least_what_either_had(
    mine: Numbers, theirs: Numbers
) -> None:
    together = frontier([*mine, *theirs])[0].clock()
    apart = frontier(mine)[0].clock().merge(frontier(theirs)[0].clock())
    assert together.merge(apart) == together


@given(GRADES, GRADES)
def test_trust_is_counted_as_if_all_grades_had_come_to_one_place(
    mine: Grades, theirs: Grades
) -> None:
    joined = absorbed(trust_counts(mine), trust_counts(theirs))
    assert joined == trust_counts([*mine, *theirs]) == trust_counts([*theirs, *mine])
    standing = plainly_standing([*mine, *theirs])
    assert list(joined.standing()) == standing
    assert [joined.stands(one.observer, one.about) for one in standing] == standing
    assert len(joined) == len(standing)


@given(st.data(), GRADES)
def test_the_order_of_grades_and_their_retractions_means_nothing(
    data: st.DataObject, grades: Grades
) -> None:
    shuffled = trust_counts(data.draw(st.permutations(grades)))
    assert form(shuffled) == form(trust_counts(grades))


# The dependency


def test_the_installed_library_is_one_whose_insides_we_have_read() -> None:
    [pin] = [
        wanted
        for wanted in map(Requirement, requires("synapse-spore") or ())
        if wanted.name == "crdt-merge"
    ]
    assert pin.specifier.contains(version("crdt-merge"))
    assert not pin.specifier.contains("0.12"), "AddOnlySet reads `ORSet._elements`"
