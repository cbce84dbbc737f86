"""Recall as users ask for it: narrowed, explained, packed, folded, and beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from synapse.core.clock import Timestamp
from synapse.core.errors import Busy, Refused, StorageError
from synapse.core.memory.record import Identity
from synapse.core.messages import Push
from synapse.driver import recall
from synapse.driver.searches import LATELY_S, STEADY, Searches
from synapse.operations.recalling import RESULTS_MAX, TOKENS_MAX, Sought, moment_ms
from synapse.replies import Recall
from tests.driving import Driven, running, spore, until
from tests.making import START_MS, identity, made_up_id, record
from tests.unit.core.test_trust import grade

pytestmark = pytest.mark.anyio

BOB, CYD = identity(2), identity(3)
TIDES = "The tides follow the moon around the whole turning earth."
DAY_MS = 86_400_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["here", "in a thread"])
async def one(request: pytest.FixtureRequest) -> AsyncIterator[Driven]:
    made = spore()
    made.driver.recaller.here_max = recall.HERE_MAX if request.param == "here" else 0
    async with running(made):
        yield made


async def told(one: Driven, text: str, by: Identity = BOB, **fields: Any) -> str:
    """Another spore's memory comes in; its id, once it was compared with all others."""
    seq = fields.pop("seq", None) or one.log.counts()[0] + 1
    made = record(
        {"text": text, "kind": "note", "tags": [], **fields.pop("content", {})},
        writer=by,
        seq=seq,
        **fields,
    )
    await one.driver.exchange(by.key, [Push((made,))])
    await compared(one)
    return made.id.hex()


async def remembered(one: Driven, text: str, **options: Any) -> str:
    memory = await one.operations.remember(text, **options)
    await compared(one)
    return memory.id


async def compared(one: Driven) -> None:
    indexer = one.driver.indexer
    await indexer.settled(within_s=10)
    await until(lambda: indexer.said.position >= one.log.last_position)


async def ask(one: Driven, query: str = "tides", **options: Any) -> Recall:
    return await one.operations.recall(query, Sought(**options))


async def found(one: Driven, query: str = "tides", **options: Any) -> list[str]:
    return [result.id for result in (await ask(one, query, **options)).results]


# Filters


async def test_recall_is_narrowed_by_who_and_what_and_when(one: Driven) -> None:
    own = await remembered(one, "the tides, by us")
    theirs = await told(one, "the tides, by a model", content={"family": "qwen"})
    finding = await told(
        one, "the tides, found out", content={"kind": "finding"}, refs=[made_up_id(7)]
    )
    old = await told(one, "the tides, long ago", hlc=Timestamp(START_MS - 9 * DAY_MS, 0))

    assert await found(one, operator=one.identity.key.hex()) == [own]
    assert own not in await found(one, operator=BOB.key.hex().upper())
    assert await found(one, author=BOB.key.hex(), family="qwen") == [theirs]
    assert await found(one, task=made_up_id(7).hex()) == [finding]
    assert await found(one, until=str(START_MS)) == [old]
    assert sorted(await found(one, since="2023-11-14", until="2024-01-01")) == sorted(
        [theirs, finding]
    )
    [result] = (await ask(one, family="qwen")).results
    assert (result.operator, result.author, result.family) == (
        BOB.key.hex(),
        BOB.key.hex(),
        "qwen",
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"author": "ada"}, "filter"), ({"operator": "0" * 63}, "filter"), ({"task": ""}, "filter"),
        ({"kind": ""}, "filter"), ({"tag": "x" * 65}, "filter"), ({"family": "x" * 65}, "filter"),
        ({"min_score": -1.0}, "filter"), ({"min_score": float("nan")}, "filter"),
        ({"min_score": float("inf")}, "filter"),
        ({"tokens": 0}, "filter"), ({"tokens": TOKENS_MAX + 1}, "filter"),
        ({"since": "yesterday"}, "moment"), ({"since": "2026-13-01"}, "moment"),
        ({"until": "2026-11-20T10:00"}, "moment"), ({"until": "-5"}, "moment"),
        ({"until": "1" * 30}, "moment"), ({"since": ""}, "moment"),
        ({"since": "2026-11-20", "until": "2026-11-20"}, "moment"),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_is_refused_with_a_reason(
    options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Refused) as error:
        await ask(spore(), **options)
    assert error.value.reason == reason


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("1700000000000", START_MS), (1_700_000_000_000, START_MS), ("0", 0),
        ("2023-11-14T22:13:20Z", START_MS), ("2023-11-14T23:13:20+01:00", START_MS),
        ("2023-11-14", START_MS - 80_000_000), ("20231114", START_MS - 80_000_000),
        ("2023-11-14T22:13:20.5Z", START_MS + 500), (None, None),
    ],
)  # fmt: skip
def test_moments_are_read_as_people_and_programs_write_them(
    written: str | int | None, ms: int | None
) -> None:
    assert moment_ms("since", written) == ms


# Explained, cut and packed


async def test_why_shows_what_a_score_is_made_of(one: Driven) -> None:
    await remembered(one, "the tides follow the moon")
    await told(one, "the tides follow nothing at all")
    plain = await ask(one, "moon tides tides")
    assert all(result.why is None for result in plain.results)
    for result in (await ask(one, "moon tides tides", why=True)).results:
        why = result.why
        assert why is not None
        assert sum(term.points for term in why.terms) == pytest.approx(why.relevance)
        assert result.score == pytest.approx(why.relevance * why.decay * why.trust, rel=1e-3)
        assert {term.term: term.asked for term in why.terms}["tide"] == 2


async def test_results_below_the_least_score_are_left_out(one: Driven) -> None:
    await remembered(one, "moon tides")
    await remembered(one, "tides " + "of something else altogether " * 9)
    best, worst = (result.score for result in (await ask(one, "moon tides")).results)
    assert len(await found(one, "moon tides", min_score=(best + worst) / 2)) == 1


async def test_a_token_budget_is_filled_with_things_that_differ(one: Driven) -> None:
    for text in ("the tides rise", "the tides rise!", "tides and salt", "tides " * 200):
        await remembered(one, text)
    recall = await ask(one, "tides rise", tokens=20)
    first, second = (result.text for result in recall.results)
    assert (first.rstrip("!"), second) == ("the tides rise", "tides and salt")
    assert recall.tokens is not None and 0 < recall.tokens <= 20
    assert (recall.crowded_out, len(recall.results[0].duplicates)) == (1, 1)
    assert (await ask(one, "tides rise")).tokens is None


async def test_a_budget_holds_more_than_ten_results_unless_fewer_are_asked_for(
    one: Driven,
) -> None:
    for number in range(30):
        await remembered(one, f"tides {number}")
    assert len(await found(one, tokens=TOKENS_MAX)) == 30
    assert len(await found(one, tokens=TOKENS_MAX, limit=3)) == 3
    assert len(await found(one)) == 10


async def test_a_search_that_was_not_cut_short_says_so(one: Driven) -> None:
    await remembered(one, TIDES)
    assert (await ask(one)).exact and (await ask(one, exact=True)).exact


async def test_above_a_million_memories_the_work_is_bounded_unless_all_of_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budgets: list[int | None] = []
    made = spore()
    search = made.index.search

    def noting(*query: Any, budget: int | None = None, **options: Any) -> Any:
        budgets.append(budget)
        return search(*query, budget=budget, **options)

    monkeypatch.setattr(made.index, "search", noting)
    monkeypatch.setattr(type(made.index), "__len__", lambda _: 2_000_000)
    async with running(made):
        await ask(made)
        await ask(made, exact=True)
    assert [budget is not None for budget in budgets] == [True, False]


# Who else says so


@pytest.mark.promise("bounded")
async def test_copies_are_shown_once_and_name_the_others(one: Driven) -> None:
    own = await remembered(one, TIDES)
    copies = [await told(one, TIDES, by=BOB), await told(one, TIDES, by=CYD)]
    other = await told(one, "the tides are something else, longer and about other things")

    recall = await ask(one, "tides moon earth")

    assert {result.id for result in recall.results} & {own, *copies} == {recall.results[0].id}
    assert [result.id for result in recall.results[1:]] == [other]
    shown = recall.results[0]
    assert {shown.id, *shown.duplicates} == {own, *copies}
    assert shown.corroborated_by == 2
    named = {one.id: one.operator for one in shown.corroborations}
    keys = {own: one.identity.key.hex(), copies[0]: BOB.key.hex(), copies[1]: CYD.key.hex()}
    assert named == {name: key for name, key in keys.items() if name != shown.id}
    assert recall.results[1].corroborated_by == 0


async def test_a_text_repeated_a_thousand_times_counts_once_and_takes_one_place(
    one: Driven,
) -> None:
    own = await remembered(one, TIDES)
    repeated = tuple(
        record({"text": TIDES, "kind": "note", "tags": []}, writer=BOB, seq=seq)
        for seq in range(1, 301)
    )
    await one.driver.exchange(BOB.key, [Push(repeated)])
    other = await told(one, "the tides " + "and much else that nobody asked about " * 9, by=CYD)

    recall = await ask(one, "tides moon", limit=5)

    assert [result.id for result in recall.results[1:]] == [other]
    assert recall.results[0].corroborated_by == 1
    assert own in await found(one, "tides moon", operator=one.identity.key.hex())


async def test_what_is_taken_back_corroborates_nothing(one: Driven) -> None:
    theirs = await told(one, TIDES)
    own = await remembered(one, TIDES)
    await one.operations.forget(own)
    [result] = (await ask(one)).results  # at once, whatever else is still to be done
    assert (result.id, result.duplicates) == (theirs, [])
    assert own not in [other.id for other in result.corroborations]
    said, memory = one.driver.indexer.said, bytes.fromhex(theirs)
    await until(lambda: said.kin([memory])[memory].operators == 1)
    assert (await ask(one)).results[0].corroborated_by == 0


@pytest.mark.promise("private")
async def test_a_private_copy_is_not_counted(one: Driven) -> None:
    theirs = await told(one, TIDES)
    await remembered(one, TIDES, scope="private")
    [result] = (await ask(one, scope="shared")).results
    assert (result.id, result.corroborated_by) == (theirs, 0)


async def test_recall_goes_on_when_the_groups_cannot_be_read(
    one: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> None:
        raise StorageError("the disk is gone")

    own = await remembered(one, TIDES)
    monkeypatch.setattr(one.driver.indexer.said, "kin", unreadable)
    assert await found(one) == [own]


async def test_who_said_the_same_is_known_again_after_a_restart(one: Driven) -> None:
    await told(one, TIDES)
    await remembered(one, TIDES)
    again = spore(log=one.log)  # its groups were in memory: all is compared again
    async with running(again):
        await compared(again)
        [result] = (await ask(again)).results
    assert result.corroborated_by == 1


# Quarantine


async def found_wrong(one: Driven, operator: int, times: int = 8) -> None:
    """Our own grades find the operator's answers wrong."""
    now_ms = one.driver.clock()
    for seq in range(1, times + 1):
        one.node.ledger.evidence.absorb(grade(False, seq=seq, by=operator, at_ms=now_ms))


async def test_who_was_found_wrong_too_often_is_left_out_unless_asked_for(one: Driven) -> None:
    theirs = await told(one, "the tides, they say", by=BOB)
    assert await found(one) == [theirs]
    await found_wrong(one, 2)
    assert await found(one) == []
    assert await found(one, operator=BOB.key.hex()) == []
    assert await found(one, quarantined=True) == [theirs]
    assert one.driver.recaller.for_prompts("tides", 5, known=False) == []


async def test_one_wrong_answer_quarantines_nobody(one: Driven) -> None:
    theirs = await told(one, "the tides, they say", by=BOB)
    await found_wrong(one, 2, times=1)
    assert await found(one) == [theirs]


async def test_our_own_memories_are_never_left_out(one: Driven) -> None:
    own = await remembered(one, "the tides, we say")
    private = await remembered(one, "the tides, I say", scope="private")
    await found_wrong(one, 1)
    assert sorted(await found(one)) == sorted([own, private])


# Beside the event loop


class Gate:
    """An index whose searches wait to be let through."""

    def __init__(self, index: Any) -> None:
        self.open = threading.Event()
        self.searching = 0
        self._search = index.search

    def search(self, *query: Any, **options: Any) -> Any:
        self.searching += 1
        assert self.open.wait(10), "a test left its gate shut"
        return self._search(*query, **options)


async def gated(monkeypatch: pytest.MonkeyPatch) -> tuple[Driven, Gate]:
    made = spore()
    made.driver.recaller.here_max = 0
    gate = Gate(made.index)
    monkeypatch.setattr(made.index, "search", gate.search)
    return made, gate


async def test_a_slow_search_does_not_hold_up_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, gate = await gated(monkeypatch)
    async with running(made):
        await remembered(made, TIDES)
        asked = asyncio.create_task(ask(made))
        await until(lambda: gate.searching == 1)
        second = await made.operations.remember("written meanwhile")
        assert made.operations.memory(second.id).text == "written meanwhile"
        gate.open.set()
        assert len((await asked).results) == 1


@pytest.mark.promise("bounded")
async def test_more_searches_than_may_wait_are_refused_and_say_when_to_come_back() -> None:
    searches, door = Searches(at_once=1, waiting_max=2), threading.Event()

    def work() -> bool:
        return door.wait(10)

    waiting = [asyncio.create_task(searches.run(work)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Busy) as error:
        await searches.run(work)
    assert error.value.retry_after_ms > 0
    door.set()
    assert await asyncio.gather(*waiting) == [True] * 3
    assert await searches.run(work)
    searches.close()


async def test_whoever_goes_away_frees_no_place_before_the_work_is_done() -> None:
    searches, door, begun = Searches(at_once=1, waiting_max=0), threading.Event(), []

    def work() -> None:
        begun.append(1)
        door.wait(10)
        raise StorageError("nobody hears this")

    gone = asyncio.create_task(searches.run(work))
    await until(lambda: bool(begun))
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    with pytest.raises(Busy):
        await searches.run(work)
    door.set()
    result = await eventually(lambda: searches.run(lambda: "there is room again"))
    assert result == "there is room again"
    searches.close()
    with pytest.raises(Busy, match="stopping"):
        await searches.run(work)


async def test_searches_that_take_next_to_nothing_are_made_where_they_are_asked_for() -> None:
    clock, loop = [0.0], threading.get_ident()
    searches = Searches(clock=lambda: clock[0])

    def taking(seconds: float) -> Callable[[], int]:
        def work() -> int:
            clock[0] += seconds
            return threading.get_ident()

        return work

    for _ in range(STEADY):
        assert await searches.run(taking(0.001), brief=True) != loop
    assert await searches.run(taking(0.001), brief=True) == loop
    assert await searches.run(taking(0.001)) != loop  # nobody said that it would be brief
    assert await searches.run(taking(1.0), brief=True) == loop  # wrong once
    for _ in range(STEADY - 1):
        assert await searches.run(taking(0.001), brief=True) != loop
    for _ in range(STEADY):
        assert await searches.run(taking(0.001), brief=True) == loop
    assert await searches.run(taking(1.0), brief=True) == loop  # one of many, which changes nothing
    assert await searches.run(taking(1.0), brief=True) == loop  # and another soon after it
    assert await searches.run(taking(0.001), brief=True) != loop
    clock[0] += LATELY_S + 1
    assert await searches.run(taking(0.001), brief=True) != loop
    searches.close()
    with pytest.raises(Busy, match="stopping"):
        await searches.run(taking(0.001), brief=True)


async def test_a_search_that_fails_where_it_is_asked_for_fails_there() -> None:
    searches = Searches()
    for _ in range(STEADY):
        await searches.run(lambda: None, brief=True)

    def work() -> None:
        raise StorageError("the disk is gone")

    with pytest.raises(StorageError, match="gone"):
        await searches.run(work, brief=True)
    searches.close()


async def eventually(attempt: Callable[[], Any]) -> Any:
    async with asyncio.timeout(10):
        while True:
            try:
                return await attempt()
            except Busy:
                await asyncio.sleep(0.001)


async def test_what_a_task_needs_is_looked_up_before_the_node_handles_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = spore()
    recaller = made.driver.recaller
    recaller.here_max = 0
    loop = threading.get_ident()
    searched: list[int] = []
    search = made.index.search

    def noting(*query: Any, **options: Any) -> Any:
        searched.append(threading.get_ident())
        return search(*query, **options)

    made.node.thinking.deliberations._search = lambda text, limit: recaller.for_prompts(
        text, limit, known=False
    )
    monkeypatch.setattr(made.index, "search", noting)
    async with running(made):
        await remembered(made, TIDES)
        task = await made.operations.submit_task("What do the tides follow?")
        view = await made.operations.finished_task(task.task_id, wait_ms=10_000)
    assert [cited.text for cited in view.citations] == [TIDES]
    assert searched and loop not in searched


async def test_prompts_are_answered_even_when_nothing_was_looked_up(one: Driven) -> None:
    await remembered(one, TIDES)
    offered = one.driver.recaller.for_prompts("tides", 5, known=True)
    assert [memory.text for memory in offered] == [TIDES]


async def test_the_end_of_a_long_finding_is_offered(one: Driven) -> None:
    """Its answer stands there."""
    await remembered(one, "Do the tides follow " + "the moon and " * 150 + "the sun?\nBoth.")
    [offered] = one.driver.recaller.for_prompts("tides", 5, known=True)
    assert offered.text.startswith("Do the tides follow")
    assert offered.text.endswith("the sun?\nBoth.")


def test_limits_are_what_the_faces_say() -> None:
    assert (RESULTS_MAX, TOKENS_MAX) == (100, 100_000)
