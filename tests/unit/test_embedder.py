"""Memories get vectors in the background, questions in passing, and nobody waits for either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from synapse.core.memory.memory import Memory, PrivateMemory
from synapse.core.memory.record import Record
from synapse.core.reasoning.cooling import DAY_MS, MINUTE_MS
from synapse.core.wall.release import Wall
from synapse.driver import embedder as embedding
from synapse.driver.allowance import Allowance
from synapse.driver.embedder import Embedder
from synapse.ports import Hits
from synapse.providers.embeddings import TEXTS_MAX, EmbeddingEndpoint
from synapse.providers.endpoint import Endpoint
from synapse.retrieval.scan import ScanIndex
from synapse.retrieval.semantic.column import Column
from synapse.storage.memory_log import MemoryLog
from synapse.storage.sqlite_log import SqliteLog
from tests.driving import until
from tests.latent import READING, Latent, Server, reply, serving
from tests.making import identity, made_up_id, memory_record, record

pytestmark = pytest.mark.anyio

NOON_MS = 20_000 * DAY_MS + DAY_MS // 2
PLENTY = 10**9  # calls a day, so that none has to wait for its share of it
QUESTION = "the doctor's visit"
MEANT = "The physician moved the visit of the patient to Tuesday, at the clinic."
NOT_MEANT = "A visit of a minister."
OTHER = "Doctor is the name of an automobile, with an engine and wheels."


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_breath(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps follow each other at once, and tasks are looked for often."""
    monkeypatch.setattr(embedding, "BREATH_S", 0.0)
    monkeypatch.setattr(embedding, "LOOK_AGAIN_S", 0.001)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as one:
        yield one


@dataclass
class Place:
    """A data folder and its log; what is put there survives whoever works in it."""

    folder: Path
    url: str
    log: MemoryLog | SqliteLog = field(default_factory=MemoryLog)
    index: ScanIndex = field(default_factory=ScanIndex)
    now_ms: int = NOON_MS
    busy: bool = False
    seq: int = 0

    def remember(self, *texts: str) -> list[Record]:
        records = []
        for text in texts:
            self.seq += 1
            records.append(memory_record(text, seq=self.seq))
        self.log.stage(records)
        self.log.commit()
        self.index.add(list(self.log.memories()))
        return records

    def retract(self, *records: Record) -> None:
        self.log.stage((), erased=[each.id for each in records])
        self.log.commit()

    def search(self, query: str) -> Hits:
        return self.index.search(query, limit=100)

    def texts(self, hits: Hits) -> list[str]:
        found = [self.log.memory(hit.id) for hit in hits]
        return [memory.text for memory in found if isinstance(memory, Memory)]

    def lacking(self, *records: Record) -> list[bytes]:
        """Those of these that have no vector on the disk."""
        column = Column(self.folder, model="latent")
        column.open()
        lacking = column.missing([each.id for each in records])
        column.close()
        return lacking

    @asynccontextmanager
    async def working(
        self,
        *,
        calls: int = PLENTY,
        deadline_ms: int = 5_000,
        url: str | None = None,
        transport: Any = None,
        secrets: tuple[str, ...] = (),
    ) -> AsyncIterator[Embedder]:
        client = httpx.AsyncClient(trust_env=False, transport=transport)
        source = EmbeddingEndpoint(
            Endpoint(url or self.url, "latent"), client, now_ms=lambda: self.now_ms
        )
        kept = Column(self.folder, model="latent")
        one = Embedder(
            source,
            kept,
            self.log,
            Allowance(self.folder / "calls.json", calls_per_day=calls),
            clock=lambda: self.now_ms,
            busy=lambda: self.busy,
            deadline_ms=deadline_ms,
            withheld=lambda text: Wall(secrets).credential_in(text) is not None,
        )
        running = asyncio.create_task(one.run())
        try:
            yield one
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await one.close()
            await client.aclose()


@pytest.fixture
def place(tmp_path: Path, server: Server) -> Place:
    return Place(tmp_path, server.url)


async def reranked(one: Embedder, query: str, hits: Hits, *, private: bool = False) -> Hits:
    """The hits as a recall would have them."""
    meaning = await one.meaning(query, private=private)
    return hits if meaning is None else meaning.rerank(hits)


async def given(one: Embedder, vectors: int) -> None:
    await until(lambda: one.status().vectors == vectors)


# Filling


async def test_the_newest_memories_get_vectors_first(place, server):
    texts = [f"memory {number}" for number in range(2 * TEXTS_MAX + 5)]
    place.remember(*texts)
    async with place.working() as one:
        await given(one, len(texts))
    assert server.texts == texts[::-1]
    assert [len(asked) for asked in server.asked] == [TEXTS_MAX, TEXTS_MAX, 5]


@pytest.mark.parametrize("on_disk", [False, True])
async def test_a_walk_over_many_pages_leaves_nobody_out(place, server, monkeypatch, on_disk):
    monkeypatch.setattr(embedding, "PAGE", 7)
    if on_disk:
        place.log = SqliteLog(place.folder / "log.db")
    texts = [f"memory {number}" for number in range(100)]
    for start in range(0, 100, 3):
        place.remember(*texts[start : start + 3])
        place.log.stage([record({"text": "?"}, kind="task", writer=identity(5), seq=start + 1)])
    place.retract(*place.remember("taken back"))
    async with place.working() as one:
        await given(one, 100)
    assert sorted(server.texts) == sorted(texts)
    place.log.close()


async def test_news_come_before_what_is_old(place, server):
    place.remember(*(f"old {number}" for number in range(3 * TEXTS_MAX)))
    server.open.clear()
    async with place.working() as one:
        await until(lambda: len(server.asked) == 1)
        place.remember(*(f"new {number}" for number in range(TEXTS_MAX)))
        one.want()
        server.open.set()
        await given(one, 4 * TEXTS_MAX)
    assert all(text.startswith("new") for text in server.asked[1])


async def test_a_trickle_of_news_does_not_spend_the_day(place, server):
    place.remember("the first")
    async with place.working(calls=96) as one:  # 72 to fill: one in twenty minutes
        await given(one, 1)
        for number in range(10):
            place.remember(f"news {number}")
            one.want()
        await asyncio.to_thread(lambda: None)
        assert len(server.asked) == 1
        place.now_ms += 20 * MINUTE_MS
        one.want()
        await given(one, 11)
    assert len(server.asked) == 2


async def test_a_long_text_is_cut(place, server):
    place.remember("word " * 5_000)
    async with place.working() as one:
        await given(one, 1)
    assert len(server.texts[0]) == embedding.CHARACTERS_MAX


async def test_after_a_restart_nothing_is_asked_twice(place, server):
    place.remember("one", "two")
    async with place.working() as one:
        await given(one, 2)
    place.remember("three")
    async with place.working() as one:
        await given(one, 3)
    assert server.asked == [["two", "one"], ["three"]]


async def test_what_a_bad_disk_took_is_asked_again_and_nothing_else(place, server):
    texts = [f"memory {number}" for number in range(3 * TEXTS_MAX)]
    place.remember(*texts)
    async with place.working() as one:
        await given(one, len(texts))
    (path,) = place.folder.glob("*.vectors")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    before = len(server.asked)
    async with place.working() as one:
        await given(one, len(texts))
        assert one.status().damaged == 1
    assert server.asked[before:] == [server.asked[1]]


async def test_tasks_go_first(place, server):
    place.remember("one")
    place.busy = True
    async with place.working() as one:
        await asyncio.sleep(0)
        for _ in range(20):
            one.want()
            await asyncio.sleep(0)
        assert server.asked == []
        place.busy = False
        await given(one, 1)


async def test_filling_stops_when_its_part_of_the_day_is_spent_and_goes_on_the_next(place, server):
    place.remember(*(f"memory {number}" for number in range(5 * TEXTS_MAX)))
    async with place.working(calls=4) as one:
        await given(one, 3 * TEXTS_MAX)
        assert one.status().rests_ms == DAY_MS // 2
    async with place.working(calls=4) as one:  # a restart does not give the day back
        one.want()
        assert one.status().rests_ms == DAY_MS // 2
        place.now_ms += DAY_MS // 2
        one.want()
        await given(one, 5 * TEXTS_MAX)


async def test_a_spent_quota_is_left_alone_until_the_next_day(place, server):
    place.remember("one")
    server.answers = lambda texts: (429, {"error": {"message": "limit reached: requests per day"}})
    async with place.working() as one:
        await until(lambda: one.status().failure == "quota_day")
        one.want()
        assert one.status().rests_ms == DAY_MS // 2
        server.answers = lambda texts: reply(server.model.vectors(texts))
        place.now_ms += DAY_MS // 2
        one.want()
        await given(one, 1)
        assert one.status().failure is None
    assert len(server.asked) == 2


async def test_one_text_that_is_refused_does_not_stop_the_others(place, server):
    place.remember(*(f"memory {number}" for number in range(10)), "poison", "the newest")

    def answers(texts: list[str]) -> Any:
        if "poison" in texts:
            return 400, {"error": {"message": "this input is not taken"}}
        return reply(server.model.vectors(texts))

    server.answers = answers
    async with place.working() as one:
        await given(one, 11)
        calls = len(server.asked)
        one.want()
        await asyncio.to_thread(lambda: None)
    assert len(server.asked) == calls
    assert server.asked.count(["poison"]) == 1


# What must not be sent, or kept


@pytest.mark.promise("private")
async def test_private_memories_are_never_sent_even_to_this_machine(place, server):
    place.log.stage((), private=[PrivateMemory(made_up_id(1), "my diary", "note", (), NOON_MS)])
    place.remember("shared one", "shared two")
    place.log.stage(
        (), private=[PrivateMemory(made_up_id(2), "my other diary", "note", (), NOON_MS)]
    )
    place.log.commit()
    async with place.working() as one:
        await given(one, 2)
        one.want()
        await asyncio.to_thread(lambda: None)
    assert sorted(server.texts) == ["shared one", "shared two"]


@pytest.mark.promise("private")
async def test_a_private_question_leaves_this_machine_for_nobody(place, server):
    place.remember(MEANT, NOT_MEANT)
    async with place.working() as one:
        await given(one, 2)
    sent: list[httpx.Request] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json=reply(Latent().vectors([QUESTION])))

    async with place.working(
        url="https://vectors.example/v1", transport=httpx.MockTransport(elsewhere)
    ) as one:
        await given(one, 2)
        hits = place.search(QUESTION)
        assert await reranked(one, QUESTION, hits, private=True) == hits
        assert sent == []
        assert (await reranked(one, QUESTION, hits)).reranked
    async with place.working() as one:  # on this machine it may be asked
        await given(one, 2)
        assert (await reranked(one, QUESTION, hits, private=True)).reranked


async def test_a_question_with_a_key_in_it_is_not_sent(place, server):
    place.remember(MEANT)
    async with place.working(secrets=("sk-canary-0123",)) as one:
        await given(one, 1)
        query = "visit sk-canary-0123"
        assert not (await reranked(one, query, place.search(query))).reranked
    assert server.texts == [MEANT]


async def test_the_vector_of_what_was_taken_back_goes(place, server):
    kept, taken = place.remember("kept", "taken back")
    async with place.working() as one:
        await given(one, 2)
        place.retract(taken)
        one.want(erased=[taken.id])
        await given(one, 1)
    assert place.lacking(kept, taken) == [taken.id]


async def test_what_was_taken_back_while_it_was_asked_about_is_not_kept(place, server):
    kept, taken = place.remember("kept", "taken back")
    server.open.clear()
    async with place.working() as one:
        await until(lambda: bool(server.asked))
        place.retract(taken)
        one.want(erased=[taken.id])
        server.open.set()
        await given(one, 1)
    assert place.lacking(kept, taken) == [taken.id]


async def test_what_was_taken_back_while_this_was_off_goes_with_the_next_walk(place, server):
    kept, taken = place.remember("kept", "taken back")
    async with place.working() as one:
        await given(one, 2)
    place.retract(taken)
    async with place.working() as one:
        await given(one, 1)
    assert place.lacking(kept, taken) == [taken.id]


async def test_a_folder_that_cannot_be_used_costs_nothing_but_the_order(place, server, monkeypatch):
    monkeypatch.setattr(embedding, "PAUSE_S_MAX", 0.001)
    place.remember(MEANT)
    place.folder /= "semantic"
    place.folder.write_text("this is a file")
    async with place.working() as one:
        hits = place.search(QUESTION)
        assert not (await reranked(one, QUESTION, hits)).reranked
        assert server.asked == []
        place.folder.unlink()  # somebody mends it
        await given(one, 1)
        assert (await reranked(one, QUESTION, hits)).reranked


# Reranking


async def test_a_memory_of_other_words_and_the_same_meaning_climbs(place, server):
    place.remember(*READING, MEANT, NOT_MEANT, OTHER)
    before = place.search(QUESTION)
    lexical = place.texts(before)
    async with place.working() as one:
        await given(one, len(READING) + 3)
        after = await reranked(one, QUESTION, before)
    semantic = place.texts(after)
    assert after.reranked
    assert semantic.index(MEANT) < semantic.index(NOT_MEANT) < len(lexical)
    assert lexical.index(NOT_MEANT) < lexical.index(MEANT)
    assert sorted(semantic) == sorted(lexical)


async def test_the_order_is_that_of_the_formula_computed_by_hand(place, server):
    place.remember(*READING, MEANT, NOT_MEANT, OTHER)
    hits = place.search(QUESTION)
    async with place.working() as one:
        await given(one, len(READING) + 3)
        found = await reranked(one, QUESTION, hits)
    best = max(hit.score for hit in hits)

    def by_hand(memory_id: bytes, score: float) -> float:
        memory = place.log.memory(memory_id)
        assert memory is not None
        one, other = Latent().vectors([QUESTION, memory.text])
        cosine = float(one @ other / ((one @ one) * (other @ other)) ** 0.5)
        return 0.5 * score / best + 0.5 * max(0.0, cosine)

    expected = sorted(hits, key=lambda hit: -by_hand(hit.id, hit.score))
    assert [hit.id for hit in found] == [hit.id for hit in expected]
    assert [hit.score for hit in found] == pytest.approx(
        [by_hand(hit.id, hit.score) for hit in expected], abs=0.01
    )


async def test_a_question_is_asked_once_however_often_it_comes(place, server):
    place.remember(MEANT, NOT_MEANT)
    async with place.working() as one:
        await given(one, 2)
        hits = place.search(QUESTION)
        orders = await asyncio.gather(*(reranked(one, QUESTION, hits) for _ in range(5)))
        assert await reranked(one, QUESTION, hits) == orders[0]
    assert server.texts.count(QUESTION) == 1


async def test_a_late_vector_leaves_the_order_of_words_and_serves_the_next(place, server):
    place.remember(MEANT, NOT_MEANT)
    async with place.working(deadline_ms=20) as one:
        await given(one, 2)
        server.open.clear()
        hits = place.search(QUESTION)
        late = await reranked(one, QUESTION, hits)
        assert (late, late.reranked) == (hits, False)
        server.open.set()
        await until(lambda: QUESTION in one._asked)
        assert (await reranked(one, QUESTION, hits)).reranked


async def test_only_a_few_questions_wait_for_a_server_that_hangs(place, server):
    place.remember(MEANT, NOT_MEANT)
    async with place.working(deadline_ms=1) as one:
        await given(one, 2)
        server.open.clear()
        hits = place.search(QUESTION)
        for number in range(20):
            assert not (await reranked(one, f"{QUESTION} {number}", hits)).reranked
        await until(lambda: len(server.asked) == 1 + embedding.QUESTIONS_AT_ONCE)
        server.open.set()
    assert len(server.asked) == 1 + embedding.QUESTIONS_AT_ONCE


LIES = {
    "other dimensions": lambda texts: reply([[1.0, 2.0, 3.0]] * len(texts)),
    "no numbers": lambda texts: reply([[float("nan")] * 6] * len(texts)),
    "zero": lambda texts: reply([[0.0] * 6] * len(texts)),
    "enormous": lambda texts: reply([[1.0] * 100_000] * len(texts)),
    "endless": lambda texts: b'{"data": [' + b"[0]," * 2_000_000,
    "too many": lambda texts: reply([[1.0] * 6] * 1_000),
    "no JSON": lambda texts: b"<html>",
    "an error": lambda texts: (500, {"error": "broken"}),
    "no such model": lambda texts: (404, {"error": "no such model"}),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_an_endpoint_that_lies_or_fails_changes_nothing(place, server, lie):
    place.remember(MEANT, NOT_MEANT)
    async with place.working() as one:
        await given(one, 2)
        (path,) = place.folder.glob("*.vectors")
        whole = path.read_bytes()
        server.answers = lie
        hits = place.search(QUESTION)
        found = await reranked(one, QUESTION, hits)
        assert (found, found.reranked) == (hits, False)
        place.remember(*(f"memory {number}" for number in range(TEXTS_MAX)))
        one.want()
        assert one.status().failure is not None
        assert path.read_bytes() == whole
        calls = len(server.asked)
        again = await reranked(one, f"{QUESTION} tomorrow", hits)  # it rests: nobody waits for it
        assert (again.reranked, len(server.asked)) == (False, calls)


async def test_a_server_that_is_not_there_costs_nothing_but_the_order(place):
    place.remember(MEANT, NOT_MEANT)
    with serving() as gone:
        url = gone.url
    async with place.working(url=url) as one:
        await until(lambda: one.status().failure == "unreachable")
        assert not (await reranked(one, QUESTION, place.search(QUESTION))).reranked


async def test_questions_to_a_paid_endpoint_stop_with_the_day_too(place, server):
    place.remember(MEANT)
    async with place.working() as one:
        await given(one, 1)
    sent: list[httpx.Request] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json=reply(Latent().vectors([QUESTION])))

    async with place.working(
        url="https://vectors.example/v1", transport=httpx.MockTransport(elsewhere), calls=3
    ) as one:
        await given(one, 1)
        hits = place.search("visit")
        found = [(await reranked(one, f"{QUESTION} {n}", hits)).reranked for n in range(5)]
    assert found == [True, True, False, False, False]  # one was spent on the memory


async def test_without_any_vector_no_question_is_asked(place, server):
    place.busy = True
    place.remember(MEANT)
    async with place.working() as one:
        assert not (await reranked(one, QUESTION, place.search(QUESTION))).reranked
    assert server.asked == []
