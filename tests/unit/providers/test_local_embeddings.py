"""Vectors of a model in a file. A stand-in speaks as much of llama_cpp as is used; the test at the
end runs the real library, where it is installed, on a model that is made up on the spot."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import threading
from collections.abc import Awaitable, Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from synapse.core.errors import ProviderError
from synapse.providers.gguf import ModelFileError
from synapse.providers.local_embeddings import CONTEXT_TOKENS, LocalEmbeddings
from tests import gguf

LONG_MS = 60_000


class StandIn:
    """The vector of a text is how often it has each of three letters."""

    def __init__(self, *, by_token: bool = False) -> None:
        self.loads: list[dict[str, Any]] = []
        self.texts: list[str] = []
        self.threads: set[int] = set()
        self.error: Exception | None = None
        self.load_error: Exception | None = None
        self.gate: threading.Event | None = None
        self.closed = False
        self.began = threading.Event()
        self._by_token = by_token

    def install(self) -> str:
        module = ModuleType(f"stand_in_embeddings_{id(self)}")
        module.__spec__ = ModuleSpec(module.__name__, None)
        vars(module)["Llama"] = self._load
        sys.modules[module.__name__] = module
        return module.__name__

    def _load(self, path: str, **options: Any) -> StandIn:
        self.loads.append({"path": path, **options})
        if self.load_error is not None:
            raise self.load_error
        return self

    def embed(self, text: str, *, truncate: bool) -> list[Any]:
        assert truncate
        self.texts.append(text)
        self.threads.add(threading.get_ident())
        self.began.set()
        if self.gate is not None:
            self.gate.wait(10)
        if self.error is not None:
            raise self.error
        if self._by_token:
            return [[float(letter == one) for one in "abc"] for letter in text]
        return [float(text.count(one)) for one in "abc"]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return gguf.write(tmp_path / "small.gguf", llama__context_length=256)


def made(file: Path, library: StandIn, **options: Any) -> LocalEmbeddings:
    return LocalEmbeddings(file, library=library.install(), **options)


def run(source: LocalEmbeddings, *asking: Callable[[], Awaitable[Any]]) -> list[Any]:
    async def go() -> list[Any]:
        try:
            return [await one() for one in asking]
        finally:
            await source.close()

    return asyncio.run(go())


@pytest.mark.parametrize("by_token", [False, True])
def test_each_text_has_a_vector_of_length_one(file: Path, by_token: bool) -> None:
    library = StandIn(by_token=by_token)
    source = made(file, library, threads=3)
    assert library.loads == [], "nothing is loaded before it is asked"
    (vectors,) = run(source, lambda: source.embed(["aab", "c"], timeout_ms=LONG_MS))
    assert np.allclose(vectors, [[2 / 5**0.5, 1 / 5**0.5, 0], [0, 0, 1]])
    assert vectors.dtype == np.float32
    [load] = library.loads
    assert (load["n_threads"], load["embedding"]) == (3, True)
    assert load["n_ctx"] == load["n_batch"] == load["n_ubatch"] == 256 < CONTEXT_TOKENS
    assert threading.get_ident() not in library.threads
    assert library.closed


def test_it_is_loaded_once_and_stays_on_this_machine(file: Path) -> None:
    library = StandIn()
    source = made(file, library)
    run(source, *[lambda: source.embed(["a"], timeout_ms=LONG_MS)] * 3)
    assert len(library.loads) == 1
    assert source.loopback and source.dimensions is None


def test_another_file_of_the_same_name_is_another_model(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = gguf.write(tmp_path / "other" / "small.gguf", general__name="A longer name than that")
    assert made(file, StandIn()).model != made(other, StandIn()).model


def test_a_question_waits_for_one_text_and_not_for_a_batch(file: Path) -> None:
    library = StandIn()
    source = made(file, library)

    async def go() -> None:
        library.gate = threading.Event()
        batch = asyncio.create_task(source.embed(["a"] * 8, timeout_ms=LONG_MS))
        assert await asyncio.to_thread(library.began.wait, 10)
        question = asyncio.create_task(source.embed(["b"], timeout_ms=LONG_MS))
        await asyncio.sleep(0)
        library.gate.set()
        await asyncio.gather(batch, question)
        assert library.texts.index("b") <= 2
        await source.close()

    asyncio.run(go())


def test_what_takes_too_long_is_given_up(file: Path) -> None:
    library = StandIn()
    library.gate = threading.Event()
    source = made(file, library)

    async def go() -> None:
        with pytest.raises(ProviderError, match="no vector within 20 ms") as told:
            await source.embed(["a", "b"], timeout_ms=20)
        assert told.value.failure == "slow"
        assert library.gate is not None
        library.gate.set()
        await source.close()
        assert library.texts == ["a"], "and the rest is not begun"

    asyncio.run(go())


@pytest.mark.parametrize(
    ("broken", "failure"),
    [("load_error", "gone"), ("error", "bad_reply")],
)
def test_what_the_library_raises_is_a_failure_of_the_model(
    file: Path, broken: str, failure: str
) -> None:
    library = StandIn()
    setattr(library, broken, RuntimeError("it is broken"))
    source = made(file, library)

    async def go() -> None:
        with pytest.raises(ProviderError, match=r"small\.gguf.*it is broken") as told:
            await source.embed(["a"], timeout_ms=LONG_MS)
        assert told.value.failure == failure
        await source.close()

    asyncio.run(go())


def test_a_model_that_does_not_fit_into_memory_is_not_loaded(file: Path) -> None:
    library = StandIn()
    source = made(file, library, free_bytes=lambda: 1_000)

    async def go() -> None:
        with pytest.raises(ProviderError, match="use a smaller file"):
            await source.embed(["a"], timeout_ms=LONG_MS)
        await source.close()

    asyncio.run(go())
    assert library.loads == []


def test_a_file_that_is_none_and_a_library_that_is_missing_are_known_at_once(
    file: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match="missing"):
        made(tmp_path / "missing.gguf", StandIn())
    with pytest.raises(ModelFileError, match="synapse-spore"):
        LocalEmbeddings(file, library="no_such_llama")


@pytest.mark.skipif(
    importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed"
)
def test_the_real_library_gives_the_mean_of_what_its_tokens_mean(tmp_path: Path) -> None:
    source = LocalEmbeddings(gguf.write(tmp_path / "tiny.gguf"), threads=1)
    texts = ["the tides follow the moon", "bees dance", "x " * 3_000]
    first, again = run(source, *[lambda: source.embed(texts, timeout_ms=LONG_MS)] * 2)
    assert first.shape[0] == 3 and first.shape[1] > 8
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    assert np.array_equal(first, again)
    assert not np.allclose(first[0], first[1])
