"""Any model behind an OpenAI-style `/chat/completions`: one HTTP call, a reply or a typed error.

Nothing is retried, cooled or chosen here: the chain in the core does that. All that is remembered
is what an endpoint itself taught us: the model it lists first, the fields it refuses, and which of
its models are gone. Keys never reach a log: they live in a `SecretStr` and are cut out of whatever
a provider says.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import httpx

from synapse.core.effects import ModelRequest
from synapse.core.errors import ProviderError
from synapse.core.events import Limit
from synapse.ports import ModelReply
from synapse.providers.endpoint import Endpoint
from synapse.providers.failures import error_part, provider_error, redacted
from synapse.providers.limits import free_day_in, limits_in
from synapse.providers.replies import reply_in
from synapse.providers.streams import STALL_S, collected

BODY_BYTES_MAX: Final = 4 * 1024 * 1024  # a long answer is 40 KB, a broker's list of models 1 MB
CONNECT_TIMEOUT_S: Final = 3.0  # a host that is slower to accept will not answer in time either
MODELS_MAX: Final = 5_000  # read of a list; the longest we know of has about a thousand

# The first that fits decides; what is not here never reached the other side.
_TRANSPORT_FAILURES: Final[tuple[tuple[type[httpx.HTTPError], str], ...]] = (
    (httpx.ConnectTimeout, "unreachable"),
    (httpx.TimeoutException, "slow"),
    (httpx.ConnectError, "unreachable"),
    (httpx.NetworkError, "overloaded"),  # the connection was reset
    (httpx.RemoteProtocolError, "overloaded"),  # it closed in the middle of a reply
)
# Fields that some endpoint refuses: how its complaint names them, and what is sent instead.
_REFUSABLE: Final[Mapping[str, tuple[str, str | None]]] = {
    "temperature": (r"\btemperature\b", None),
    "max_tokens": (r"\bmax_tokens\b", "max_completion_tokens"),
    "response_format": (r"response[ _]format|json[ _]schema|structured output", None),
    "stream": (r"\bstream\b|\bstreaming\b", None),
    "stream_options": (r"\bstream_options\b", None),
}
_COMPLAINT: Final = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|deprecated|not permitted|not allowed"
    r"|unknown (?:name|field|param)|invalid (?:json )?schema|to stream this model",
    re.IGNORECASE,
)
_NO_CHAT: Final = re.compile(r"embed|rerank|whisper|\btts\b|\bbge\b|moderation", re.IGNORECASE)

Listing = Literal["listed", "unlisted", "unknown"]
"""Whether a list has a model. "unlisted": the list may be partial; "unknown": there is none."""


class OpenAiCompatible:
    """Endpoints by target name. `now_ms` is the wall clock, because some waits are dates.

    Without a `client` one is made, which reads no proxy and no netrc from the environment. A client
    that was handed in is left open by `close`.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        client: httpx.AsyncClient | None = None,
        *,
        now_ms: Callable[[], int],
        stall_s: float = STALL_S,
    ) -> None:
        self._endpoints = dict(endpoints)
        self._client = client or httpx.AsyncClient(trust_env=False)
        self._client_is_ours = client is None
        self._now_ms = now_ms
        self._stall_s = stall_s
        self._listed: dict[str, str] = {}
        self._gone: set[str] = set()
        self._refused_fields = {name: set(one.refuses) for name, one in endpoints.items()}

    async def complete(self, target: str, request: ModelRequest, *, timeout_ms: int) -> ModelReply:
        """Ask the target once. Raises ProviderError.

        A `request` failure with `retry_after_ms` 0 came of a field that this endpoint does not
        take: the next call leaves it out, so it is worth making.
        """
        endpoint = self._endpoints[target]
        try:
            async with within(timeout_ms, endpoint.secret):
                if target in self._gone:
                    await self._look_up(target, endpoint)
                model = endpoint.model or await self._first_listed(target, endpoint)
                payload = self._payload(target, model, request)
                document, headers = await self.fetch(endpoint, "POST", "chat/completions", payload)
            now_ms = self._now_ms()
            limits = limits_in(headers, endpoint.windows_ms, now_ms=now_ms)
            return reply_in(document, endpoint, asked=model, limits=limits, now_ms=now_ms)
        except ProviderError as error:
            raise self._learned(target, error) from None

    async def check(self, target: str, *, timeout_ms: int) -> Listing:
        """See whether the target's model is still there, by the list its endpoint gives.

        Raises ProviderError. It is `gone` when an endpoint that lists all it has does not list it;
        from then on calls fail so without being sent, until a later list has it again.
        """
        endpoint = self._endpoints[target]
        async with within(timeout_ms, endpoint.secret):
            if endpoint.model is not None:
                return await self._look_up(target, endpoint)
            await self._first_listed(target, endpoint)
            return "listed"

    async def free_day(self, target: str, *, timeout_ms: int) -> tuple[Limit, ...]:
        """What its service says is left of the account's day; nothing where it does not say so.

        Raises ProviderError. It costs no request of the quota it tells of.
        """
        endpoint = self._endpoints[target]
        if not endpoint.quota_path:
            return ()
        async with within(timeout_ms, endpoint.secret):
            document, _ = await self.fetch(endpoint, "GET", endpoint.quota_path)
        return free_day_in(document)

    async def close(self) -> None:
        """Let go of connections."""
        if self._client_is_ours:
            await self._client.aclose()

    async def _look_up(self, target: str, endpoint: Endpoint) -> Listing:
        self._gone.discard(target)
        try:
            names, complete = await self._models(endpoint)
        except ProviderError as error:
            if error.failure == "gone":  # it has no list
                return "unknown"
            raise
        asked = str(endpoint.model)
        if endpoint.lists_all and not asked.endswith(":free"):
            asked = asked.partition(":")[0]  # brokers take "model:fastest", and list "model"
        if any(_same_model(name, asked) for name in names):
            return "listed"
        if not (complete and endpoint.lists_all):
            return "unlisted"
        self._gone.add(target)
        raise ProviderError("gone", f"{endpoint.model} is not among the {len(names)} models listed")

    async def _first_listed(self, target: str, endpoint: Endpoint) -> str:
        """The model listed first: asked for on first use, and again after it was gone."""
        if target not in self._listed:
            names, _ = await self._models(endpoint)
            model = first_that_talks(names)
            if model is None:
                raise ProviderError("gone", "no model is listed; load one, or name one")
            self._listed[target] = model
        return self._listed[target]

    async def _models(self, endpoint: Endpoint) -> tuple[list[str], bool]:
        """The models that are listed, aliases among them, and whether that is all of them."""
        document, _ = await self.fetch(endpoint, "GET", "models")
        names = names_in(document)
        return names, bool(names) and not document.get("has_more") and len(names) < MODELS_MAX

    def _payload(self, target: str, model: str, request: ModelRequest) -> bytes:
        wanted: dict[str, Any] = {
            "temperature": request.temperature,
            "max_tokens": request.tokens_max,
        }
        if request.schema is not None:
            schema = {
                "name": "reply",
                "strict": _closed(request.schema),
                "schema": request.schema,
            }
            wanted["response_format"] = {"type": "json_schema", "json_schema": schema}
        if self._endpoints[target].stream:
            wanted |= {"stream": True, "stream_options": {"include_usage": True}}
        refused = self._refused_fields[target]
        if "stream" in refused:
            wanted.pop("stream_options", None)
        fields = {_REFUSABLE[k][1] if k in refused else k: value for k, value in wanted.items()}
        payload = {
            "model": model,
            "messages": [
                {"role": "system", "content": request.system},
                {"role": "user", "content": request.user},
            ],
            **{name: value for name, value in fields.items() if name},
        }
        return json.dumps(payload, default=dict).encode()  # a schema may be any kind of mapping

    async def fetch(
        self, endpoint: Endpoint, method: str, path: str, payload: bytes | None = None
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        """The JSON object of one successful response, and its headers with lower-case names.

        Raises ProviderError, httpx.HTTPError. No compressed response is asked for or read: a few
        bytes of it can hold gigabytes.
        """
        key = {"authorization": f"Bearer {endpoint.secret}"} if endpoint.secret else {}
        kind = {"content-type": "application/json"} if payload is not None else {}
        accept = "text/event-stream, application/json" if endpoint.stream else "application/json"
        async with self._client.stream(
            method,
            f"{endpoint.base_url.rstrip('/')}/{path}",
            content=payload,
            headers={"accept": accept, "accept-encoding": "identity", **kind, **key},
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            follow_redirects=False,
        ) as response:
            document = await self._document(response)
        headers = dict(response.headers)
        if isinstance(document, dict) and response.is_success and not error_part(document):
            return document, headers
        raise provider_error(
            response.status_code, headers, document, secret=endpoint.secret, now_ms=self._now_ms()
        )

    async def _document(self, response: httpx.Response) -> Any:
        """What a response holds, in one piece or in many; None when that is not JSON."""
        if response.headers.get("content-encoding", "identity") != "identity":
            return None
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        chunks = response.aiter_bytes()
        if response.is_success and kind == "text/event-stream":
            return await collected(chunks, bytes_max=BODY_BYTES_MAX, stall_s=self._stall_s)
        body = bytearray()
        async for chunk in chunks:
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise ProviderError("bad_reply", f"the reply is longer than {BODY_BYTES_MAX} bytes")
        return _json(bytes(body))

    def _learned(self, target: str, error: ProviderError) -> ProviderError:
        """The same error, once what it teaches about the endpoint is noted."""
        if error.failure == "gone":
            self._listed.pop(target, None)
        if error.failure != "request" or not _COMPLAINT.search(str(error)):
            return error
        named = {
            field
            for field, (pattern, _) in _REFUSABLE.items()
            if re.search(pattern, str(error), re.IGNORECASE)
        }
        news = named - self._refused_fields[target]
        if not news:
            return error
        self._refused_fields[target] |= news
        hint = f"{error} (the next call does without {' and '.join(sorted(news))})"
        return ProviderError("request", hint, retry_after_ms=0)


def names_in(models: Mapping[str, Any]) -> list[str]:
    """The names in a list of models, in its order, each followed by its aliases (Mistral, xAI)."""
    entries = models.get("data")
    names: list[Any] = []
    for entry in entries[:MODELS_MAX] if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            aliases = entry.get("aliases")
            names += [entry.get("id"), *(aliases if isinstance(aliases, list) else ())]
    return [name for name in names if isinstance(name, str) and name]


def first_that_talks(names: Sequence[str]) -> str | None:
    """The first model that is not, by its name, for something else than conversation."""
    return next((name for name in names if not _NO_CHAT.search(name)), None)


def _closed(schema: Any) -> bool:
    """Whether every object in a schema names all it may hold, and none of it is optional: what
    OpenAI demands of a schema that is to be kept strictly, and refuses otherwise."""
    if isinstance(schema, list | tuple):
        return all(map(_closed, schema))
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object":
        fields = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required", ())) != set(fields):
            return False
    return all(map(_closed, schema.values()))


def _same_model(listed: str, asked: str) -> bool:
    """Whether a listed name is that of the model asked for. Google lists "models/gemini-…", and
    Ollama "qwen3:latest" for "qwen3"."""
    return asked in (listed, listed.removeprefix("models/"), listed.removesuffix(":latest"))


@asynccontextmanager
async def within(timeout_ms: int, secret: str | None) -> AsyncIterator[None]:
    """So long and no longer; every way in which a transport fails becomes a ProviderError."""
    try:
        async with asyncio.timeout(timeout_ms / 1_000):
            yield
    except TimeoutError:
        raise ProviderError("slow", f"no answer within {timeout_ms} ms") from None
    except httpx.HTTPError as error:
        failures = (to for kind, to in _TRANSPORT_FAILURES if isinstance(error, kind))
        message = redacted(f"{type(error).__name__}: {error}", secret)
        raise ProviderError(next(failures, "unreachable"), message) from None


def _json(body: bytes) -> Any:
    """The document in `body`; None when it is not JSON, or nested beyond all reason."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
