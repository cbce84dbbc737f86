"""Vectors of texts, from any OpenAI-style `/embeddings`: one HTTP call, vectors or a typed error.

It is spoken to as models are (`openai_compatible`): the same classes of failure, limits and care
for keys. What comes back is a stranger's: only vectors of one length, of finite numbers, one for
each text, are taken, and each is brought to length 1.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import httpx
import numpy as np
import numpy.typing as npt

from synapse.core.errors import ProviderError
from synapse.providers.endpoint import Endpoint
from synapse.providers.openai_compatible import OpenAiCompatible, within

TEXTS_MAX: Final = 32  # of one call: of 1,536 numbers each, the reply is 1 MB, and read in 15 ms
DIMENSIONS_MAX: Final = 4_096  # the longest vectors that embedding models give

Vectors = npt.NDArray[np.float32]
"""A row of length 1 for each text."""


class Embeddings(Protocol):
    """A model that says where a text lies in meaning."""

    @property
    def model(self) -> str:
        """Vectors compare with those of the same model only."""

    @property
    def dimensions(self) -> int | None:
        """How many numbers the model is asked for; None: as many as it has."""

    @property
    def loopback(self) -> bool:
        """Whether what is asked stays on this machine."""

    async def embed(self, texts: Sequence[str], *, timeout_ms: int) -> Vectors:
        """The vectors of at most `TEXTS_MAX` texts. Raises ProviderError."""

    async def close(self) -> None:
        """Let go of connections."""


class EmbeddingEndpoint:
    """One model behind one endpoint. `now_ms` is the wall clock, because some waits are dates."""

    def __init__(
        self,
        endpoint: Endpoint,
        client: httpx.AsyncClient | None = None,
        *,
        dimensions: int | None = None,
        now_ms: Callable[[], int],
    ) -> None:
        """`dimensions` is sent along, for models that can give shorter vectors than they have."""
        assert endpoint.model is not None, "vectors of a model without a name compare with nothing"
        self.model = endpoint.model
        self.dimensions = dimensions
        self.loopback = _is_loopback(endpoint.base_url)
        self._endpoint = endpoint
        self._api = OpenAiCompatible({}, client, now_ms=now_ms)

    async def embed(self, texts: Sequence[str], *, timeout_ms: int) -> Vectors:
        """The vectors of at most `TEXTS_MAX` texts. Raises ProviderError."""
        assert 0 < len(texts) <= TEXTS_MAX
        asked: dict[str, Any] = {"model": self.model, "input": list(texts)}
        if self.dimensions is not None:
            asked["dimensions"] = self.dimensions
        payload = json.dumps(asked).encode()
        async with within(timeout_ms, self._endpoint.secret):
            document, _ = await self._api.fetch(self._endpoint, "POST", "embeddings", payload)
            vectors = await asyncio.to_thread(vectors_in, document, len(texts))
        if self.dimensions not in (None, vectors.shape[1]):
            raise ProviderError(
                "bad_reply",
                f"vectors of {vectors.shape[1]} numbers, where {self.dimensions} were asked for",
            )
        return vectors

    async def close(self) -> None:
        """Let go of connections."""
        await self._api.close()


def vectors_in(document: Mapping[str, Any], count: int) -> Vectors:
    """The vectors of a reply, by their numbers or else as they come, each of length 1.

    Raises ProviderError (`bad_reply`) unless there is one for each text, and all are proper.
    """
    entries = document.get("data")
    if not isinstance(entries, list) or len(entries) != count:
        raise ProviderError("bad_reply", f"the reply does not hold {count} vectors")
    placed: dict[int, list[float]] = {}
    for nth, entry in enumerate(entries):
        entry = entry if isinstance(entry, dict) else {}
        index: Any = entry.get("index", nth)
        numbers: Any = entry.get("embedding")
        if isinstance(index, bool) or not isinstance(index, int) or not _numbers(numbers):
            raise ProviderError("bad_reply", "an entry of the reply holds no vector of numbers")
        placed[index] = numbers
    rows = [placed[index] for index in sorted(placed)]
    if sorted(placed) != list(range(count)) or len({len(row) for row in rows}) != 1:
        raise ProviderError("bad_reply", "the vectors differ in length, or two have one number")
    return of_length_one(rows)


def of_length_one(rows: Sequence[Sequence[float]]) -> Vectors:
    """The rows, divided by their lengths. Raises ProviderError where that cannot be done."""
    try:
        vectors = np.array(rows, dtype=np.float64)
    except (OverflowError, ValueError, TypeError):  # a number past all that 64 bits hold
        raise ProviderError("bad_reply", "a vector holds what is no number") from None
    if not np.isfinite(vectors).all():
        raise ProviderError("bad_reply", "a vector holds what is no finite number")
    greatest = np.abs(vectors).max(axis=1, keepdims=True)
    if not greatest.all():
        raise ProviderError("bad_reply", "a vector is zero, which points nowhere")
    with np.errstate(under="ignore"):
        vectors /= greatest  # so that no square is too large, or vanishes
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def _numbers(value: Any) -> bool:
    if not isinstance(value, list) or not 0 < len(value) <= DIMENSIONS_MAX:
        return False
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)


def _is_loopback(url: str) -> bool:
    """Whether an address leads to this machine and nowhere else."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
