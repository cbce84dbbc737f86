"""A model of embeddings in a file of the operator's choice, run inside this process by llama.cpp.

One thread of its own loads the model when it is first asked, and reads one text at a time: a
question waits for the text that is being read and for no whole batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np

from synapse.core.errors import ProviderError
from synapse.providers import gguf
from synapse.providers.embeddings import TEXTS_MAX, Vectors, of_length_one
from synapse.providers.free_memory import free_memory_bytes
from synapse.providers.gguf import ModelFacts, ModelFileError
from synapse.providers.llama_engine import (
    LIBRARY,
    LOAD_ERRORS,
    NOT_INSTALLED,
    imported,
    installed,
)
from synapse.providers.local_llama import LOAD_RETRY_MS, MEMORY_RETRY_MS, processors

CONTEXT_TOKENS: Final = 1_024  # of a text; 2,000 characters of most languages are fewer


class LocalEmbeddings:
    """One model. Its vectors never leave this process, and neither do the texts."""

    loopback: Final = True
    dimensions: Final = None

    def __init__(
        self,
        file: Path,
        *,
        threads: int | None = None,
        library: str = LIBRARY,
        free_bytes: Callable[[], int | None] = free_memory_bytes,
    ) -> None:
        """Nothing is loaded yet. Raises ModelFileError: the file is none, or the library is not
        there. `threads` None: half of the processors."""
        self._file = file
        self._facts: ModelFacts = gguf.read(file)
        if not installed(library):
            raise ModelFileError(NOT_INSTALLED)
        # A file of another size under the same name is another model, whose vectors do not compare.
        self.model = f"{file.name} {self._facts.size_bytes}"
        self._threads = threads or max(1, processors() // 2)
        self._library = library
        self._free_bytes = free_bytes
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedding")
        self._loaded: Any = None
        self._loading = False

    async def embed(self, texts: Sequence[str], *, timeout_ms: int) -> Vectors:
        """The vectors of at most `TEXTS_MAX` texts. Raises ProviderError."""
        assert 0 < len(texts) <= TEXTS_MAX
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                rows = [await self._read(text) for text in texts]
        except TimeoutError:
            if self._loading:
                raise ProviderError(
                    "overloaded", "the model is being loaded", retry_after_ms=LOAD_RETRY_MS
                ) from None
            raise ProviderError("slow", f"no vector within {timeout_ms} ms") from None
        return of_length_one(rows)

    async def _read(self, text: str) -> list[float]:
        return await asyncio.wrap_future(self._thread.submit(self._vector, text))

    async def close(self) -> None:
        """Wait for the thread to end, and free the memory."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.close()

    # What follows runs in the thread.

    def _vector(self, text: str) -> list[float]:
        model = self._loaded or self._load()
        try:
            numbers = np.asarray(model.embed(text, truncate=True), dtype=np.float64)
        except LOAD_ERRORS as error:
            raise ProviderError(
                "bad_reply", f"{self._file.name} reads no such text: {error}"
            ) from None
        if numbers.ndim == 2:  # the file asks for a vector of every token
            numbers = numbers.mean(axis=0)
        vector: list[float] = numbers.tolist()
        return vector

    def _load(self) -> Any:
        needed, free = self._facts.memory_bytes(CONTEXT_TOKENS), self._free_bytes()
        if free is not None and needed > free:
            raise ProviderError(
                "overloaded",
                f"{self._file.name} needs {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB "
                "are free: use a smaller file",
                retry_after_ms=MEMORY_RETRY_MS,
            )
        self._loading = True
        tokens = min(CONTEXT_TOKENS, self._facts.context_tokens or CONTEXT_TOKENS)
        try:
            self._loaded = imported(self._library).Llama(
                str(self._file),
                embedding=True,
                n_ctx=tokens,
                n_batch=tokens,  # a text is read in one go, as models of embeddings must
                n_ubatch=tokens,
                n_threads=self._threads,
                n_threads_batch=self._threads,
                verbose=False,
            )
        except LOAD_ERRORS as error:
            raise ProviderError("gone", f"{self._file.name} cannot be loaded: {error}") from None
        finally:
            self._loading = False
        return self._loaded
