"""Any model behind an OpenAI-style `/chat/completions`: one HTTP call, a reply or a typed error.

Nothing is retried, cooled or chosen here: the chain in the core does that. All that is remembered
is what an endpoint itself taught us: the model it lists first, and the fields it refuses. Keys
never reach a log: they live in a `SecretStr` and are cut out of whatever a provider says.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
from pydantic import SecretStr

from synapse.core.effects import ModelRequest
from synapse.core.errors import ConfigError, ProviderError
from synapse.ports import ModelReply
from synapse.providers.catalogue import family_of
from synapse.providers.failures import error_part, provider_error, redacted, sanitised

BODY_BYTES_MAX: Final = 4 * 1024 * 1024  # a long answer is 40 KB, a broker's list of models 1 MB
CONNECT_TIMEOUT_S: Final = 3.0  # a host that is slower to accept will not answer in time either

# The first that fits decides; what is not here never reached the other side.
_TRANSPORT_FAILURES: Final[tuple[tuple[type[httpx.HTTPError], str], ...]] = (
    (httpx.ConnectTimeout, "unreachable"),
    (httpx.TimeoutException, "slow"),
    (httpx.ConnectError, "unreachable"),
    (httpx.NetworkError, "overloaded"),  # the connection was reset
    (httpx.RemoteProtocolError, "overloaded"),  # it closed in the middle of a reply
)
_FINISH_FAILURES: Final = {"error": "bad_reply", "content_filter": "refused"}
_SUBSTITUTES: Final[Mapping[str, str | None]] = {  # what is sent for a field once it was refused
    "temperature": None,
    "max_tokens": "max_completion_tokens",
}
_REFUSAL: Final = re.compile(r"unsupported|not support|unrecogni[sz]ed|deprecated", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is. `model` None: the first it lists. `family` None: read off the name.

    `refuses` names fields known not to be taken; those that are not known are learned.
    """

    base_url: str
    model: str | None = None
    family: str | None = None
    api_key: SecretStr | None = None
    refuses: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what would only fail later, in an error that might quote the key."""
        try:
            url = httpx.URL(self.base_url)
        except httpx.InvalidURL as error:
            raise ConfigError(f"base_url is no address: {error}") from None
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise ConfigError("base_url must be http(s)://host/path, with no user or password")
        if self.secret and not (self.secret.isascii() and self.secret.isprintable()):
            raise ConfigError("api_key holds characters no header can carry; is it two lines?")

    @property
    def secret(self) -> str | None:
        """The key in the clear."""
        return self.api_key.get_secret_value() if self.api_key else None


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
    ) -> None:
        self._endpoints = dict(endpoints)
        self._client = client or httpx.AsyncClient(trust_env=False)
        self._client_is_ours = client is None
        self._now_ms = now_ms
        self._listed: dict[str, str] = {}
        self._refused_fields = {name: set(one.refuses) for name, one in endpoints.items()}

    async def complete(self, target: str, request: ModelRequest, *, timeout_ms: int) -> ModelReply:
        """Ask the target once. Raises ProviderError.

        A `request` failure with `retry_after_ms` 0 came of a field that this endpoint does not
        take: the next call leaves it out, so it is worth making.
        """
        endpoint = self._endpoints[target]
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                model = endpoint.model or await self._first_listed(target, endpoint)
                payload = self._payload(target, model, request)
                response = await self._fetch(endpoint, "POST", "chat/completions", payload)
            return self._reply(endpoint, model, response)
        except TimeoutError:
            raise ProviderError("slow", f"no answer within {timeout_ms} ms") from None
        except httpx.HTTPError as error:
            failures = (to for kind, to in _TRANSPORT_FAILURES if isinstance(error, kind))
            message = redacted(f"{type(error).__name__}: {error}", endpoint.secret)
            raise ProviderError(next(failures, "unreachable"), message) from None
        except ProviderError as error:
            raise self._learned(target, error) from None

    async def close(self) -> None:
        """Let go of connections."""
        if self._client_is_ours:
            await self._client.aclose()

    async def _first_listed(self, target: str, endpoint: Endpoint) -> str:
        """The model listed first: asked for on first use, and again after it was gone."""
        if target not in self._listed:
            models = await self._fetch(endpoint, "GET", "models")
            model = _first(models.get("data")).get("id")
            if not isinstance(model, str) or not model:
                raise ProviderError("gone", "no model is listed; load one, or name one")
            self._listed[target] = model
        return self._listed[target]

    def _payload(self, target: str, model: str, request: ModelRequest) -> dict[str, Any]:
        wanted = {"temperature": request.temperature, "max_tokens": request.tokens_max}
        refused = self._refused_fields[target]
        fields = {_SUBSTITUTES[k] if k in refused else k: value for k, value in wanted.items()}
        return {
            "model": model,
            "messages": [
                {"role": "system", "content": request.system},
                {"role": "user", "content": request.user},
            ],
            **{name: value for name, value in fields.items() if name},
        }

    async def _fetch(
        self, endpoint: Endpoint, method: str, path: str, payload: Any = None
    ) -> dict[str, Any]:
        """The JSON object of one successful response. Raises ProviderError, httpx.HTTPError.

        No compressed response is asked for or read: a few bytes of it can hold gigabytes.
        """
        key = {"authorization": f"Bearer {endpoint.secret}"} if endpoint.secret else {}
        async with self._client.stream(
            method,
            f"{endpoint.base_url.rstrip('/')}/{path}",
            json=payload,
            headers={"accept": "application/json", "accept-encoding": "identity", **key},
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            follow_redirects=False,
        ) as response:
            document = _json(await _body(response))
        if isinstance(document, dict) and response.is_success and not error_part(document):
            return document
        raise self._error(endpoint, document, response.status_code, response.headers)

    def _error(
        self, endpoint: Endpoint, document: Any, status: int, headers: Mapping[str, str]
    ) -> ProviderError:
        return provider_error(
            status, dict(headers), document, secret=endpoint.secret, now_ms=self._now_ms()
        )

    def _reply(self, endpoint: Endpoint, asked: str, response: Mapping[str, Any]) -> ModelReply:
        """What a successful response says. Raises ProviderError when that is nothing."""
        choice = _first(response.get("choices"))
        if error_part(choice):
            raise self._error(endpoint, choice, 200, {})
        finish = str(choice.get("finish_reason"))
        if finish in _FINISH_FAILURES:
            raise ProviderError(_FINISH_FAILURES[finish], f"the model stopped: {finish}")
        message = choice.get("message")
        message = message if isinstance(message, dict) else {}
        text = sanitised(_answer(message.get("content")), endpoint.secret)
        if not text:
            failure = "refused" if message.get("refusal") else "bad_reply"
            reason = message.get("refusal") or f"no answer in the reply (finish_reason {finish})"
            raise ProviderError(failure, redacted(str(reason), endpoint.secret))
        served = _model_name(response.get("model") or asked, endpoint.secret)
        usage = response.get("usage")
        return ModelReply(
            text=text,
            model=served,
            family=_family(endpoint, asked, served),
            tokens_in=_count(usage, "prompt_tokens"),
            tokens_out=_count(usage, "completion_tokens"),
        )

    def _learned(self, target: str, error: ProviderError) -> ProviderError:
        """The same error, once what it teaches about the endpoint is noted."""
        if error.failure == "gone":
            self._listed.pop(target, None)
        if error.failure != "request" or not _REFUSAL.search(str(error)):
            return error
        named = {field for field in _SUBSTITUTES if re.search(rf"\b{field}\b", str(error))}
        news = named - self._refused_fields[target]
        if not news:
            return error
        self._refused_fields[target] |= news
        hint = f"{error} (the next call does without {' and '.join(sorted(news))})"
        return ProviderError("request", hint, retry_after_ms=0)


async def _body(response: httpx.Response) -> bytes:
    """The body, empty when it is compressed. Raises ProviderError when it is too long."""
    if response.headers.get("content-encoding", "identity") != "identity":
        return b""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise ProviderError("bad_reply", f"the reply is longer than {BODY_BYTES_MAX} bytes")
    return bytes(body)


def _json(body: bytes) -> Any:
    """The document in `body`; None when it is not JSON, or nested beyond all reason."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _first(entries: Any) -> dict[str, Any]:
    """The first object of a list, empty when there is none."""
    first = entries[0] if isinstance(entries, list) and entries else None
    return first if isinstance(first, dict) else {}


def _answer(content: Any) -> str:
    """The text of a message without its thoughts, which are never the answer.

    Content is a text or a list of typed parts (Mistral). Thoughts come first, so the answer is what
    follows the last `</think>`; one that is cut off inside its thoughts holds no answer.
    """
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(str(part.get("text") or "") for part in parts)
    if not isinstance(content, str):
        return ""
    return content.rpartition("</think>")[2].partition("<think>")[0].strip()


def _model_name(model: Any, secret: str | None) -> str:
    """The name of a model. llama.cpp names the path of its file; others get the last part only."""
    name = str(model)
    return redacted(re.split(r"[/\\]", name)[-1] if name.endswith(".gguf") else name, secret)


def _family(endpoint: Endpoint, asked: str, served: str) -> str:
    """The declared family, unless a model of another family than the one asked for served."""
    family = family_of(served)
    return endpoint.family if endpoint.family and family == family_of(asked) else family


def _count(usage: Any, name: str) -> int:
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count > 0 else 0
