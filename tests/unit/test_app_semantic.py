"""Recall by meaning in a whole spore: off unless it is set up, and never more than an order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from synapse import config
from synapse.app import keys, semantic
from synapse.app.assembly import Spore, assemble
from synapse.config import Settings
from synapse.core.errors import ConfigError
from synapse.core.wall.release import Wall
from synapse.operations.recalling import Sought
from synapse.storage.memory_log import MemoryLog
from tests import gguf
from tests.driving import spore, until
from tests.latent import READING, Server, serving

KEY = "sk-canary-0123456789"
NAMED = {
    "SYNAPSE_EMBEDDING_ENDPOINT": "http://127.0.0.1:9/v1",
    "SYNAPSE_EMBEDDING_MODEL": "small",
}

Make = Callable[..., Settings]


@pytest.fixture
def settings(tmp_path: Path) -> Make:
    return lambda **environ: config.load({"data_dir": tmp_path}, environ, tmp_path)


def built(of: Settings) -> semantic.Embedder | None:
    return semantic.embedder(of, spore().node, MemoryLog(), Wall(), lambda: 0)


def test_without_an_endpoint_there_is_nothing(settings, tmp_path):
    assert built(settings()) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(NAMED))
def test_an_endpoint_without_a_model_or_the_other_way_round_is_refused(settings, name):
    with pytest.raises(ConfigError, match="embedding_endpoint and embedding_model"):
        built(settings(**{name: NAMED[name]}))


@pytest.mark.parametrize("name", [*sorted(NAMED), "SYNAPSE_EMBEDDING_DIMENSIONS"])
def test_a_file_is_a_model_by_itself(settings, name, tmp_path):
    file = gguf.write(tmp_path / "small.gguf")
    beside = {**NAMED, "SYNAPSE_EMBEDDING_DIMENSIONS": "384"}[name]
    with pytest.raises(ConfigError, match="embedding_file is a model by itself"):
        built(settings(SYNAPSE_EMBEDDING_FILE=str(file), **{name: beside}))


def test_a_file_that_is_none_is_refused_with_its_name(settings, tmp_path):
    with pytest.raises(ConfigError, match=r"embedding_file: .*missing\.gguf"):
        built(settings(SYNAPSE_EMBEDDING_FILE=str(tmp_path / "missing.gguf")))


def test_a_file_without_the_library_says_what_to_install(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("synapse.providers.local_embeddings.installed", lambda library: False)
    file = gguf.write(tmp_path / "small.gguf")
    with pytest.raises(ConfigError, match="synapse-spore"):
        built(settings(SYNAPSE_EMBEDDING_FILE=str(file)))


def test_a_file_is_the_model_of_the_column(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("synapse.providers.local_embeddings.installed", lambda library: True)
    file = gguf.write(tmp_path / "small.gguf")
    one = built(settings(SYNAPSE_EMBEDDING_FILE=str(file)))
    assert one is not None and one.status().model.startswith("small.gguf")


def test_nothing_is_asked_or_made_before_it_runs(settings, tmp_path):
    one = built(settings(**NAMED))
    assert one is not None
    assert (one.status().model, one.status().vectors, one.status().calls) == ("small", 0, 0)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_the_key_is_one_of_the_secrets_that_no_memory_may_hold(settings):
    of = settings(**NAMED, SYNAPSE_EMBEDDING_API_KEY=KEY)
    assert KEY in keys.secrets_of(of, None)
    assert KEY not in repr(of)


# The whole of it

QUESTION = "the doctor's visit"
MEANT = "The physician moved the visit of the patient to Tuesday, at the clinic."
NOT_MEANT = "A visit of a minister."


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as one:
        yield one


@asynccontextmanager
async def running(of: Settings) -> AsyncIterator[Spore]:
    one = assemble(of)
    driving = asyncio.create_task(one.driver.run())
    try:
        yield one
    finally:
        driving.cancel()
        with suppress(asyncio.CancelledError):
            await driving
        await one.close()


def vectors(one: Spore) -> int:
    embedder = one.driver.recaller.embedder
    assert embedder is not None
    return embedder.status().vectors


@pytest.mark.anyio
async def test_a_spore_recalls_by_meaning_and_without_the_endpoint_by_words(settings, server):
    of = settings(
        SYNAPSE_EMBEDDING_ENDPOINT=server.url,
        SYNAPSE_EMBEDDING_MODEL="latent",
        SYNAPSE_EMBEDDING_CALLS_PER_DAY="1000000000",
        SYNAPSE_EMBEDDING_DEADLINE_MS="10000",
    )
    texts = [*READING, MEANT, NOT_MEANT]
    async with running(of) as one:
        for text in texts:
            await one.operations.remember(text)
        await one.operations.remember("A private visit to the doctor.", scope="private")
        await one.driver.indexer.settled(within_s=10)
        await until(lambda: vectors(one) == len(texts))
        found = await one.operations.recall(QUESTION, Sought(why=True))
        order = [result.text for result in found.results]
        assert found.reranked
        assert order.index(MEANT) < order.index(NOT_MEANT)
        for result in found.results:
            assert (result.why.cosine is None) == (result.scope == "private")
    assert sorted(server.texts) == sorted([*texts, QUESTION])

    server.answers = lambda _: (503, {})
    async with running(of) as one:
        await until(lambda: vectors(one) == len(texts))
        await until(lambda: one.driver.indexer.filled)
        other = await one.operations.recall(QUESTION, Sought(why=True))
        order = [result.text for result in other.results]
        assert not other.reranked
        assert order.index(NOT_MEANT) < order.index(MEANT)
        assert {result.why.cosine for result in other.results} == {None}
        assert {one.id for one in other.results} == {one.id for one in found.results}


@pytest.mark.anyio
@pytest.mark.promise("private")
async def test_what_is_forgotten_is_forgotten_by_its_vector_too(settings, server):
    of = settings(SYNAPSE_EMBEDDING_ENDPOINT=server.url, SYNAPSE_EMBEDDING_MODEL="latent")
    async with running(of) as one:
        kept = await one.operations.remember(MEANT)
        await until(lambda: vectors(one) == 1)
        await one.operations.forget(kept.id)
        await until(lambda: vectors(one) == 0)
        (path,) = (of.data_dir / "semantic").glob("*.vectors")
        assert bytes.fromhex(kept.id) not in path.read_bytes()
