"""Requests to ask providers, and the servers that answer them, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
from pydantic import SecretStr

from synapse.core.effects import ModelRequest, Quote
from synapse.providers.endpoint import Endpoint
from synapse.providers.openai_compatible import OpenAiCompatible
from tests.making import made_up_id

KEY = "sk-canary-0123456789abcdef"
NOW_MS = 1_795_219_200_000  # Sat, 21 Nov 2026 00:00:00 GMT
URL = "https://models.example/v1"


def request(question: str = "Who cast the bell?", memories: Sequence[str] = ()) -> ModelRequest:
    """A request. Memory number i has the id `made_up_id(i)`."""
    quotes = tuple(Quote(made_up_id(i), text, "ana") for i, text in enumerate(memories))
    return ModelRequest("Be brief.", question, question, quotes, temperature=0.5, tokens_max=64)


def saying(content: Any, **more: Any) -> dict[str, Any]:
    """The body of a successful reply."""
    message = {"role": "assistant", "content": content}
    return {"choices": [{"message": message, "finish_reason": "stop"}], **more}


def response(
    body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """A response holding JSON, or bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers=headers)


def provider(
    handler: Callable[[httpx.Request], httpx.Response] | httpx.AsyncBaseTransport,
    *,
    url: str = URL,
    model: str | None = "llama-3.3-70b",
    family: str | None = None,
    key: str = KEY,
) -> OpenAiCompatible:
    """A provider with one target, "there", whose server is `handler`."""
    transport = (
        handler if isinstance(handler, httpx.AsyncBaseTransport) else httpx.MockTransport(handler)
    )
    endpoint = Endpoint(url, model, family, SecretStr(key))
    client = httpx.AsyncClient(transport=transport)
    return OpenAiCompatible({"there": endpoint}, client, now_ms=lambda: NOW_MS)
