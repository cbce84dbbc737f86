"""The verbs, as every face calls them: what they keep, find, take back and answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from synapse.core.errors import NotFound, Refused, TextError
from synapse.core.memory.memory import LABEL_CHARACTERS_MAX, TAGS_MAX, TEXT_BYTES_MAX
from synapse.core.messages import Push, Want
from synapse.core.reasoning.task import TASK_BYTES_MAX
from synapse.operations.recalling import QUERY_BYTES_MAX, RESULTS_MAX, Sought
from synapse.operations.verbs import PAGE_MAX
from synapse.transport.in_process import Neighbourhood
from tests.driving import Driven, running, spore, until
from tests.making import START_MS, identity, made_up_id, memory_record

pytestmark = pytest.mark.anyio

CALLER = identity(2)
KEY = "gsk_" + "a1" * 26


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def one() -> AsyncIterator[Driven]:
    made = spore()
    async with running(made):
        yield made


async def remembered(one: Driven, *texts: str, **options: Any) -> list[str]:
    """Remember these, until they can be found; their ids."""
    before = one.driver.indexer.indexed
    ids = [(await one.operations.remember(text, **options)).id for text in texts]
    await one.indexed(before + len(texts))
    return ids


async def found(one: Driven, query: str, **options: Any) -> list[str]:
    recall = await one.operations.recall(query, Sought(**options))
    return [result.id for result in recall.results]


# Remember, recall, forget


async def test_what_is_remembered_is_recalled(one: Driven) -> None:
    [moon, _] = await remembered(one, "The tides follow the moon.", "Bread needs salt.")
    recall = await one.operations.recall("moon tides")
    assert [result.id for result in recall.results] == [moon]
    [result] = recall.results
    assert (result.text, result.kind, result.scope) == (
        "The tides follow the moon.",
        "note",
        "shared",
    )
    assert (result.author, result.author_name) == (one.identity.key.hex(), "spore 1")
    assert result.score > 0
    assert (recall.searched, recall.complete) == (2, True)


async def test_a_memory_is_shown_with_its_kind_and_tags(one: Driven) -> None:
    [memory_id] = await remembered(one, "E\u0301tude ", kind="fact", tags=["sea", "v1.0"])
    view = one.operations.memory(memory_id)
    assert (view.text, view.kind, view.tags) == ("Étude", "fact", ["sea", "v1.0"])
    assert (view.record, view.retracted) == ("memory", False)
    assert view.writer == view.operator == one.identity.key.hex()


async def test_recall_is_filtered_inside_the_search(one: Driven) -> None:
    await remembered(one, *(f"the tides, note {n}" for n in range(12)))
    [fact] = await remembered(
        one, "the tides, a fact that is much longer", kind="fact", tags=["sea"]
    )
    [private] = await remembered(one, "the tides in private", scope="private")
    assert await found(one, "tides", kind="fact", limit=1) == [fact]
    assert await found(one, "tides", tag="sea", limit=1) == [fact]
    assert private not in await found(one, "tides", scope="shared", limit=50)
    assert await found(one, "tides", author="00" * 32) == []


async def test_what_is_forgotten_is_neither_found_nor_shown_but_its_header_stays(
    one: Driven,
) -> None:
    [memory_id] = await remembered(one, "a mistake about the tides")
    records = one.operations.health().records
    assert (await one.operations.forget(memory_id)).scope == "shared"

    assert await found(one, "tides") == []
    view = one.operations.memory(memory_id)
    assert (view.text, view.retracted) == (None, True)
    assert one.operations.health().records == records + 1  # the retraction; nothing left the set
    assert one.operations.memory_overview().recent == []


@pytest.mark.promise("never_forgets")
async def test_forgetting_twice_is_forgetting(one: Driven) -> None:
    [memory_id] = await remembered(one, "a mistake")
    await one.operations.forget(memory_id)
    await one.operations.forget(memory_id)
    assert one.operations.memory(memory_id).retracted


async def test_a_task_that_was_taken_back_is_shown_no_longer(one: Driven) -> None:
    task = await one.operations.submit_task("What is my neighbour's secret?")
    await one.operations.finished_task(task.task_id, wait_ms=5_000)
    await one.operations.forget(task.task_id)
    with pytest.raises(NotFound):
        one.operations.task(task.task_id)
    assert one.operations.memory(task.task_id).text is None


async def test_what_others_wrote_is_not_ours_to_take_back(one: Driven) -> None:
    theirs = memory_record("theirs", writer=CALLER)
    await one.driver.exchange(CALLER.key, [Push((theirs,))])
    with pytest.raises(Refused, match="take it back"):
        await one.operations.forget(theirs.id.hex())
    assert one.operations.memory(theirs.id.hex()).text == "theirs"


# Private


@pytest.mark.promise("private")
async def test_a_private_memory_is_in_no_record_and_in_no_message(one: Driven) -> None:
    [memory_id] = await remembered(one, "my secret garden", scope="private", tags=["hidden"])
    secret = b"secret garden"

    assert await found(one, "garden") == [memory_id]
    assert not [each for each in one.log.scan() if secret in each.header_data + (each.body or b"")]
    assert one.log.read([bytes.fromhex(memory_id)]) == []
    replies = await one.driver.exchange(CALLER.key, [Want((bytes.fromhex(memory_id),))])
    assert [each for reply in replies for each in getattr(reply, "records", ())] == []
    assert one.operations.health().memories_private == 1
    assert one.operations.memory(memory_id).scope == "private"
    assert [
        result.id for result in (await one.operations.collective_knowledge("garden")).results
    ] == []
    assert one.operations.memory_overview().recent == []


@pytest.mark.promise("private")
async def test_a_private_memory_is_never_quoted_to_a_model_or_cited() -> None:
    asked = []

    def says(request: Any) -> str:
        asked.append(request)
        return '{"answer": "I do not know."}'

    one = spore(scripts={"polar": says})
    async with running(one):
        await remembered(one, "the secret garden is behind the house", scope="private")
        await remembered(one, "the public garden is in front of it")
        task = await one.operations.submit_task("Where is the garden?")
        await one.operations.finished_task(task.task_id, wait_ms=5_000)
    [request] = asked
    assert [quote.text for quote in request.quotes] == ["the public garden is in front of it"]
    assert "secret" not in request.user + request.system


async def test_a_forgotten_private_memory_leaves_nothing_behind(one: Driven) -> None:
    [memory_id] = await remembered(one, "my secret garden", scope="private")
    records = one.operations.health().records
    assert (await one.operations.forget(memory_id)).scope == "private"
    with pytest.raises(NotFound):
        one.operations.memory(memory_id)
    with pytest.raises(NotFound):
        await one.operations.forget(memory_id)
    assert await found(one, "garden") == []
    assert one.operations.health().records == records


@pytest.mark.promise("private")
async def test_a_credential_is_refused_counted_and_never_shown(one: Driven) -> None:
    for attempt in (
        lambda: one.operations.remember(f"the key is {KEY}"),
        lambda: one.operations.remember("a note", tags=[KEY]),
        lambda: one.operations.submit_task(f"What opens {KEY}?"),
    ):
        with pytest.raises(Refused) as error:
            await attempt()
        assert KEY not in str(error.value)
    wall = one.operations.wall()
    assert wall.wall.blocks >= 2
    assert KEY not in wall.model_dump_json()
    assert [entry.reason for entry in wall.recent_audit][:1] == ["credential"]

    kept = await one.operations.remember(f"the key is {KEY}", scope="private")
    assert KEY in (one.operations.memory(kept.id).text or "")


# Tasks


async def test_a_task_is_answered_from_memory_with_citations(one: Driven) -> None:
    [moon] = await remembered(one, "The tides follow the moon.")
    submitted = await one.operations.submit_task("What do the tides follow?")
    view = await one.operations.finished_task(submitted.task_id, wait_ms=5_000)
    assert (view.status, view.stop_reason) == ("answered", "extract")
    assert [(cited.id, cited.text) for cited in view.citations] == [
        (moon, "The tides follow the moon.")
    ]
    assert view.models == []
    assert view.contributors == [one.identity.key.hex()]
    assert one.operations.task(submitted.task_id) == view


@pytest.mark.promise("no_failure_is_an_answer")
async def test_a_task_that_nothing_bears_on_is_unanswered(one: Driven) -> None:
    submitted = await one.operations.submit_task("What is the airspeed of a swallow?")
    view = await one.operations.finished_task(submitted.task_id, wait_ms=5_000)
    assert (view.status, view.final_answer, view.stop_reason) == (
        "unanswered",
        None,
        "nothing_recalled",
    )


async def test_a_cited_memory_that_was_taken_back_is_cited_no_longer(one: Driven) -> None:
    [moon] = await remembered(one, "The tides follow the moon.")
    submitted = await one.operations.submit_task("What do the tides follow?")
    await one.operations.finished_task(submitted.task_id, wait_ms=5_000)
    await one.operations.forget(moon)
    assert one.operations.task(submitted.task_id).citations == []


# Pages


async def test_the_newest_memories_come_page_by_page(one: Driven) -> None:
    ids = [(await one.operations.remember(f"memory {n}")).id for n in range(7)]
    seen, cursor = [], None
    for _ in range(10):
        page = one.operations.memory_overview(limit=3, cursor=cursor)
        seen += [memory.id for memory in page.recent]
        await one.operations.remember("and one more meanwhile")
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == ids[::-1]


async def test_tasks_come_page_by_page_and_new_ones_move_nothing() -> None:
    one = spore(clock=count(START_MS).__next__)  # no two tasks in one millisecond
    async with running(one):
        await tasks_page_by_page(one)


async def tasks_page_by_page(one: Driven) -> None:
    ids = [(await one.operations.submit_task(f"question {n}?")).task_id for n in range(7)]
    everything = [task.task_id for task in one.operations.tasks(limit=50).tasks]
    assert sorted(everything) == sorted(ids)
    seen, cursor = [], None
    for _ in range(10):
        page = one.operations.tasks(limit=3, cursor=cursor)
        seen += [task.task_id for task in page.tasks]
        await one.operations.submit_task("and one more meanwhile?")
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == everything


@pytest.mark.parametrize(
    "cursor", ["", "x", "-1", "1.5", "٣", "9" * 30, "1-", "1-2-3", " 1", "1\n"]
)
async def test_a_cursor_that_was_never_given_out_is_refused(one: Driven, cursor: str) -> None:
    for list_page in (one.operations.memory_overview, one.operations.tasks):
        with pytest.raises(Refused) as error:
            list_page(cursor=cursor)
        assert error.value.reason == "cursor"


# Ids


MALFORMED = ["", "x", "00", "0" * 63, "0" * 65, "zz" * 32, "٠" * 64, "0x" + "0" * 62, "../" * 10]


@pytest.mark.parametrize("bad", [*MALFORMED, made_up_id(1).hex()])
async def test_an_id_of_nothing_is_not_found(one: Driven, bad: str) -> None:
    lookups: list[Callable[[str], object]] = [one.operations.memory, one.operations.task]
    for lookup in lookups:
        with pytest.raises(NotFound):
            lookup(bad)
    with pytest.raises(NotFound):
        await one.operations.forget(bad)
    with pytest.raises(NotFound):
        await one.operations.finished_task(bad, wait_ms=0)


async def test_a_memory_is_no_task(one: Driven) -> None:
    [memory_id] = await remembered(one, "a memory")
    with pytest.raises(NotFound):
        one.operations.task(memory_id)


# Limits


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("scope", ["shared", "private"])
async def test_what_is_too_long_or_cannot_be_stored_is_refused(one: Driven, scope: Any) -> None:
    for text in ("", "  ", "a\x00b", "a\ud800", "x" * (TEXT_BYTES_MAX + 1)):
        with pytest.raises(TextError):
            await one.operations.remember(text, scope=scope)
    with pytest.raises(TextError, match="tags"):
        await one.operations.remember("x", tags=["t"] * (TAGS_MAX + 1), scope=scope)
    for label in ("", "x" * (LABEL_CHARACTERS_MAX + 1), "a\x00b"):
        with pytest.raises((TextError, Refused)):
            await one.operations.remember("x", kind=label, scope=scope)
        with pytest.raises((TextError, Refused)):
            await one.operations.remember("x", tags=[label], scope=scope)
    assert one.operations.health().memories == 0


async def test_the_longest_memory_and_the_longest_task_fit(one: Driven) -> None:
    tags = ["t" * LABEL_CHARACTERS_MAX] * TAGS_MAX
    kept = await one.operations.remember("x" * TEXT_BYTES_MAX, kind="k" * 64, tags=tags)
    assert len(one.operations.memory(kept.id).text or "") == TEXT_BYTES_MAX
    task = await one.operations.submit_task("y" * TASK_BYTES_MAX)
    assert len(one.operations.task(task.task_id).description) == TASK_BYTES_MAX
    with pytest.raises(TextError):
        await one.operations.submit_task("y" * (TASK_BYTES_MAX + 1))


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("limit", [-5, 0, 1, 10**9])
async def test_any_limit_is_kept_within_bounds(one: Driven, limit: int) -> None:
    await remembered(one, *(f"the tides {n}" for n in range(3)))
    await one.operations.submit_task("tides?")
    most = max(1, limit)
    assert 1 <= len(await found(one, "tides", limit=limit)) <= min(most, RESULTS_MAX)
    assert 1 <= len(one.operations.memory_overview(limit=limit).recent) <= min(most, PAGE_MAX)
    assert len(one.operations.tasks(limit=limit).tasks) == 1
    assert 1 <= len((await one.operations.collective_knowledge(limit=limit)).results) <= most
    assert (
        1 <= len((await one.operations.collective_knowledge("tides", limit=limit)).results) <= most
    )


@pytest.mark.parametrize("query", ["", " ", "a\x00", "x" * (QUERY_BYTES_MAX + 1)])
async def test_a_query_that_asks_nothing_is_refused(one: Driven, query: str) -> None:
    with pytest.raises(TextError):
        await one.operations.recall(query)


@pytest.mark.parametrize("url", ["", "spore.example", "ftp://a.example", "http://u:p@a.example"])
async def test_only_an_address_is_joined(one: Driven, url: str) -> None:
    with pytest.raises(Refused) as error:
        await one.operations.join(url)
    assert error.value.reason == "address"


# Health


@pytest.mark.promise("honest")
async def test_health_counts_what_there_is(one: Driven) -> None:
    empty = one.operations.health()
    assert (empty.records, empty.records_by_kind, empty.memories) == (1, {"node": 1}, 0)
    assert (empty.confidence, empty.peers_alive, empty.last_model) == (0.0, 0, "")

    await remembered(one, "a memory")
    await remembered(one, "a secret", scope="private")
    theirs = memory_record("theirs", writer=CALLER)
    await one.driver.exchange(CALLER.key, [Push((theirs,))])
    await one.indexed(3)
    health = one.operations.health()
    assert health.records == sum(health.records_by_kind.values()) == len(list(one.log.scan())) == 3
    assert (health.memories, health.memories_private, health.memories_collective) == (3, 1, 2)
    assert (health.deltas_produced, health.deltas_received) == (2, 1)
    assert health.index.memories == 3
    assert health.status == "ok"


@pytest.mark.promise("honest")
async def test_what_is_off_says_so(one: Driven) -> None:
    cognition = one.operations.cognition()
    assert (cognition.enabled, cognition.state, bool(cognition.reason)) == (False, "off", True)
    assert not one.operations.cortex().enabled
    assert one.operations.providers().note.startswith("no model is configured")


@pytest.mark.promise("honest")
async def test_a_mechanism_that_is_switched_off_is_shown_as_off() -> None:
    made = spore()
    quantum = made.node.thinking.deliberations.quantum
    made.node.thinking.deliberations.quantum = replace(quantum, entanglement=False)
    shown = dict(made.operations.quantum())
    assert [name for name, one in shown.items() if not one.enabled] == ["entanglement"]


@pytest.mark.promise("convergent")
async def test_spores_that_meet_end_with_equal_fingerprints() -> None:
    near = Neighbourhood()
    seed = spore(1, url="http://one", neighbourhood=near)
    laptop = spore(2, neighbourhood=near, seeds=["http://one"])  # nobody can dial it
    await_equal = [each.operations.health for each in (seed, laptop)]
    async with running(seed, laptop):
        await seed.operations.remember("from the seed")
        await laptop.operations.remember("from the laptop")
        await until(lambda: len({health().fingerprint for health in await_equal}) == 1)
        await until(lambda: min(health().records for health in await_equal) == 4)
        assert sorted(one.id for one in seed.log.scan()) == sorted(
            one.id for one in laptop.log.scan()
        )
