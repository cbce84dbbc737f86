"""One call to an OpenAI-style endpoint: what is sent, what is read, and every way it can fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from types import MappingProxyType

import httpx
import pytest
from pydantic import SecretStr

from synapse.core.errors import ConfigError, ProviderError
from synapse.core.events import Limit
from synapse.providers.endpoint import Endpoint
from synapse.providers.openai_compatible import BODY_BYTES_MAX, OpenAiCompatible
from tests.unit.providers.asking import KEY, NOW_MS, URL, provider, request, response, saying


class Server:
    """Answers with each response in turn, the last one for ever, and keeps what it was sent."""

    def __init__(self, *responses: httpx.Response | Exception) -> None:
        self._responses = list(responses)
        self.requests: list[httpx.Request] = []

    def __call__(self, sent: httpx.Request) -> httpx.Response:
        self.requests.append(sent)
        answer = self._responses.pop(0) if len(self._responses) > 1 else self._responses[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def body(self, index: int = -1) -> dict[str, object]:
        return json.loads(self.requests[index].content)


class Drip(httpx.AsyncByteStream):
    """A body that comes in chunks; counts those that were taken, and whether it was closed."""

    def __init__(self, chunk: bytes, count: int) -> None:
        self.taken, self.closed = 0, False
        self._chunk, self._count = chunk, count

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._count):
            self.taken += 1
            yield self._chunk

    async def aclose(self) -> None:
        self.closed = True


def ask(server, *, timeout_ms=5_000, **endpoint):
    return asyncio.run(
        provider(server, **endpoint).complete("there", request(), timeout_ms=timeout_ms)
    )


def failure(server, **endpoint):
    with pytest.raises(ProviderError) as caught:
        ask(server, **endpoint)
    return caught.value


def ask_again(asked, times):
    """The errors, or None for a reply, of asking one provider so many times."""

    async def run() -> list[ProviderError | None]:
        outcomes: list[ProviderError | None] = []
        for _ in range(times):
            try:
                await asked.complete("there", request(), timeout_ms=5_000)
                outcomes.append(None)
            except ProviderError as error:
                outcomes.append(error)
        return outcomes

    return asyncio.run(run())


# What is sent.


def test_a_question_is_one_post_with_the_key_and_both_prompts():
    server = Server(response(saying("Ana.")))
    ask(server, url=URL + "/")
    (sent,) = server.requests
    assert (sent.method, str(sent.url)) == ("POST", f"{URL}/chat/completions")
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert server.body() == {
        "model": "llama-3.3-70b",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Who cast the bell?"},
        ],
        "temperature": 0.5,
        "max_tokens": 64,
    }


def test_an_endpoint_without_a_key_is_sent_none():
    server = Server(response(saying("Ana.")))
    ask(server, key="")
    assert "authorization" not in server.requests[0].headers


def test_the_first_listed_model_is_asked_for_once_and_remembered():
    models = {"object": "list", "data": [{"id": "qwen3-4b"}, {"id": "other"}]}
    server = Server(response(models), response(saying("1")), response(saying("2")))
    assert ask_again(provider(server, model=None), 2) == [None, None]
    assert [sent.url.path for sent in server.requests] == [
        "/v1/models",
        "/v1/chat/completions",
        "/v1/chat/completions",
    ]
    assert server.body()["model"] == "qwen3-4b"


def test_models_are_listed_again_after_the_remembered_one_is_gone():
    def listing(model: str) -> httpx.Response:
        return response({"data": [{"id": model}]})

    gone = response({"error": {"message": "unloaded"}}, status=404)
    server = Server(listing("old"), gone, listing("new"), response(saying("yes")))
    first, second = ask_again(provider(server, model=None), 2)
    assert first is not None
    assert first.failure == "gone"
    assert second is None
    assert server.body()["model"] == "new"


@pytest.mark.parametrize("models", [{"data": []}, {"data": None}, {"data": [{}]}, {"data": [7]}])
def test_an_endpoint_that_lists_no_model_is_gone(models):
    assert failure(Server(response(models)), model=None).failure == "gone"


@pytest.mark.parametrize(
    ("complaint", "sent_next"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            {"temperature", "max_completion_tokens"},
        ),
        (
            "Unsupported value: 'temperature' does not support 0.5 with this model.",
            {"max_tokens"},
        ),
    ],
)
def test_a_field_that_is_refused_is_left_out_of_the_next_call(complaint, sent_next):
    refusal = response({"error": {"message": complaint}}, status=400)
    server = Server(refusal, response(saying("yes")))
    first, second = ask_again(provider(server), 2)
    assert first is not None
    assert (first.failure, first.retry_after_ms) == ("request", 0)
    assert "the next call does without" in str(first)
    assert second is None
    assert set(server.body()) - {"model", "messages"} == sent_next


def test_a_refusal_that_teaches_nothing_new_asks_for_no_repetition():
    refusal = {"error": {"message": "'max_tokens' is not supported, nor is its substitute"}}
    outcomes = ask_again(provider(Server(response(refusal, status=400))), 2)
    assert [error and error.retry_after_ms for error in outcomes] == [0, None]


def test_fields_known_to_be_refused_are_never_sent():
    server = Server(response(saying("yes")))
    endpoint = Endpoint(URL, "gpt-5.4-mini", refuses=frozenset({"temperature", "max_tokens"}))
    client = httpx.AsyncClient(transport=httpx.MockTransport(server))
    asked = OpenAiCompatible({"there": endpoint}, client, now_ms=lambda: NOW_MS)
    assert ask_again(asked, 1) == [None]
    assert set(server.body()) == {"model", "messages", "max_completion_tokens"}


SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}


OPTIONAL = {**SCHEMA, "required": []}
INSIDE = {**SCHEMA, "properties": {"answer": {"type": "array", "items": OPTIONAL}}}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (SCHEMA, True),
        ({"type": "object"}, False),
        (OPTIONAL, False),
        (INSIDE, False),
        ({**INSIDE, "properties": {"answer": {"type": "array", "items": SCHEMA}}}, True),
    ],
)
def test_a_schema_is_sent_and_to_be_kept_strictly_where_nothing_in_it_is_optional(schema, strict):
    server = Server(response(saying("{}")))
    asked = replace(request(), schema=MappingProxyType(schema))
    asyncio.run(provider(server).complete("there", asked, timeout_ms=5_000))
    assert server.body()["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "strict": strict, "schema": schema},
    }


@pytest.mark.parametrize(
    ("status", "complaint", "left_out"),
    [
        (400, "This model does not support response format `json_schema`.", "response_format"),
        (400, "Invalid schema for response_format 'reply'", "response_format"),
        (400, "'stream_options' is not supported", "stream_options"),
        (400, "Your organization must be verified to stream this model.", "stream"),
    ],
)
def test_what_is_refused_of_form_or_streaming_is_left_out_of_the_next_call(
    status, complaint, left_out
):
    refusal = response({"error": {"message": complaint}}, status=status)
    server = Server(refusal, response(saying("{}")))
    sent = without_what_was_refused(server)
    assert left_out in sent[0]
    assert left_out not in sent[1]


def test_fields_that_mistral_forbids_are_left_out_of_the_next_call():
    detail = {
        "type": "extra_forbidden",
        "loc": ["body", "stream_options", "include_usage"],
        "msg": "Extra inputs are not permitted",
        "input": True,
    }
    refusal = response({"object": "error", "message": {"detail": [detail]}}, status=422)
    sent = without_what_was_refused(Server(refusal, response(saying("{}"))))
    assert set(sent[0]) - set(sent[1]) == {"stream_options"}


def without_what_was_refused(server):
    """The bodies of two calls that ask for all there is, the first of which was refused."""
    endpoint = Endpoint(URL, "m", stream=True)
    client = httpx.AsyncClient(transport=httpx.MockTransport(server))
    asked = OpenAiCompatible({"there": endpoint}, client, now_ms=lambda: NOW_MS)
    wanted = replace(request(), schema=SCHEMA)

    async def run() -> None:
        with pytest.raises(ProviderError) as caught:
            await asked.complete("there", wanted, timeout_ms=5_000)
        assert (caught.value.failure, caught.value.retry_after_ms) == ("request", 0)
        await asked.complete("there", wanted, timeout_ms=5_000)

    asyncio.run(run())
    return [server.body(0), server.body(1)]


def test_a_model_that_cannot_talk_is_not_the_first_that_is_listed():
    models = {"data": [{"id": "nomic-embed-text:latest"}, {"id": "qwen3:4b"}]}
    server = Server(response(models), response(saying("1")))
    assert ask_again(provider(server, model=None), 1) == [None]
    assert server.body()["model"] == "qwen3:4b"


# What is listed.


def check(server, model="llama-3.3-70b", *, lists_all=True):
    """A provider whose model was looked up, and what came of it."""
    endpoint = Endpoint(URL, model, api_key=SecretStr(KEY), lists_all=lists_all)
    client = httpx.AsyncClient(transport=httpx.MockTransport(server))
    asked = OpenAiCompatible({"there": endpoint}, client, now_ms=lambda: NOW_MS)
    try:
        return asked, asyncio.run(asked.check("there", timeout_ms=5_000))
    except ProviderError as error:
        return asked, error.failure


def listing(*names, **more):
    return response({"object": "list", "data": [{"id": name} for name in names], **more})


@pytest.mark.parametrize(
    ("listed", "model"),
    [
        ("llama-3.3-70b", "llama-3.3-70b"),
        ("models/gemini-3.1-flash-lite", "gemini-3.1-flash-lite"),  # Google
        ("qwen3:latest", "qwen3"),  # Ollama
        ("openai/gpt-oss-120b", "openai/gpt-oss-120b:fastest"),  # Hugging Face
        ("hy3:free", "hy3:free"),  # OpenRouter
    ],
)
def test_a_model_is_found_under_the_name_its_service_lists(listed, model):
    assert check(Server(listing("other", listed)), model)[1] == "listed"


def test_a_free_variant_that_ended_is_gone_though_its_paid_twin_is_listed():
    assert check(Server(listing("hy3")), "hy3:free")[1] == "gone"


def test_a_model_is_found_under_its_alias():
    models = {"data": [{"id": "mistral-small-2506", "aliases": ["mistral-small-latest"]}]}
    assert check(Server(response(models)), "mistral-small-latest")[1] == "listed"


@pytest.mark.parametrize(
    ("answer", "lists_all", "outcome"),
    [
        (listing("other"), True, "gone"),
        (listing("llama-3.3-70b-instruct"), True, "gone"),
        (listing("other"), False, "unlisted"),
        (listing("other", has_more=True), True, "unlisted"),
        (listing(), True, "unlisted"),
        (response(b"Not found", status=404), True, "unknown"),
        (response({"error": {"message": "Invalid API key"}}, status=401), True, "auth"),
        (httpx.ConnectError("refused"), True, "unreachable"),
    ],
)
def test_only_a_full_list_without_a_model_means_that_it_is_gone(answer, lists_all, outcome):
    assert check(Server(answer), lists_all=lists_all)[1] == outcome


def test_an_endpoint_without_a_named_model_is_checked_by_what_it_lists():
    assert check(Server(listing("qwen3:4b")), None)[1] == "listed"
    assert check(Server(listing("nomic-embed-text")), None)[1] == "gone"


def test_a_model_that_is_gone_is_sent_nothing_until_it_is_listed_again():
    server = Server(
        listing("other"), listing("other"), listing("llama-3.3-70b"), response(saying("back"))
    )
    asked, _ = check(server)
    first, second = ask_again(asked, 2)
    assert first is not None
    assert first.failure == "gone"
    assert second is None
    assert [sent.method for sent in server.requests] == ["GET", "GET", "GET", "POST"]


# What is read.


def test_a_reply_says_what_it_cost_and_who_really_served_it():
    usage = {"prompt_tokens": 12, "completion_tokens": 3}
    reply = ask(Server(response(saying(" Ana. ", model="qwen/qwen3-8b", usage=usage))))
    assert (reply.text, reply.model, reply.family) == ("Ana.", "qwen/qwen3-8b", "qwen")
    assert (reply.tokens_in, reply.tokens_out, reply.tokens_reasoning) == (12, 3, 0)
    assert reply.cost_usd is None, "nobody told"


@pytest.mark.parametrize(
    ("cost", "known"),
    [(0, 0.0), (0.25, 0.25), (-1, None), ("1", None), (True, None), (1e9, None), (None, None)],
)
def test_what_a_call_cost_is_known_where_a_service_tells(cost, known):
    reply = ask(Server(response(saying("Ana.", usage={"cost": cost}))))
    assert reply.cost_usd == known


def test_what_is_left_of_a_limit_is_passed_on():
    headers = {"X-RateLimit-Limit-Tokens": "6000", "X-RateLimit-Remaining-Tokens": "5100"}
    reply = ask(Server(response(saying("Ana."), headers=headers)))
    assert reply.limits == (Limit("tokens", 60_000, 6_000, 5_100),)


@pytest.mark.parametrize(
    ("asked", "declared", "served", "family"),
    [
        ("hermes-3-405b", "llama", "hermes-3-405b", "llama"),  # the operator knows better
        ("hermes-3-405b", "llama", None, "llama"),
        ("openrouter/auto", None, "z-ai/glm-4.7", "glm"),
        ("openrouter/auto", "gpt", "z-ai/glm-4.7", "glm"),  # somebody else answered
        ("gpt-4o", "gpt", "gpt-4o-2024-08-06", "gpt"),
    ],
)
def test_the_family_is_that_of_the_model_that_served(asked, declared, served, family):
    body = saying("yes") if served is None else saying("yes", model=served)
    assert ask(Server(response(body)), model=asked, family=declared).family == family


def test_the_path_of_a_local_model_stays_here():
    assert (
        ask(Server(response(saying("yes", model="/home/ana/m/qwen3.gguf")))).model == "qwen3.gguf"
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<think>Is it Ana? It is.</think>\nAna.", "Ana."),
        ("Is it Ana? It is.</think>Ana.", "Ana."),  # the template opened the tag
        ("<think>a</think><think>b</think>Ana.", "Ana."),
        ("Ana.<think>but wait", "Ana."),
        ("<THINKING>Is it?</Thinking>Ana.", "Ana."),
        (
            "<|channel|>analysis<|message|>Is it?<|end|><|start|>assistant"
            "<|channel|>final<|message|>Ana.<|return|>",
            "Ana.",
        ),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Ana."}], "Ana."),
        ("A\x00na\ud800.", "Ana?."),
        (f"You sent {KEY}.", "You sent [key]."),
    ],
)
def test_an_answer_is_what_stands_after_the_thoughts(content, text):
    assert ask(Server(response(saying(content)))).text == text


NO_ANSWERS = [
    (b"<html>Welcome to the hotel</html>", "bad_reply"),
    (b'{"choices": [{"message": {"content": "An', "bad_reply"),
    (b"", "bad_reply"),
    (b"\xff\xfe\x00", "bad_reply"),
    (b"[" * 100_000, "bad_reply"),
    ([], "bad_reply"),
    ({}, "bad_reply"),
    ({"choices": []}, "bad_reply"),
    ({"choices": [None]}, "bad_reply"),
    ({"choices": {"0": "x"}}, "bad_reply"),
    ({"choices": [{"message": None}]}, "bad_reply"),
    (
        {"choices": [{"message": {"content": "half", "x": 1}, "finish_reason": "error"}]},
        "bad_reply",
    ),
    ({"choices": [{"message": {"content": "h"}, "finish_reason": "content_filter"}]}, "refused"),
    ({"choices": [{"message": {"content": "", "refusal": "I will not."}}]}, "refused"),
    ({"choices": [{"error": {"code": 502, "message": "upstream"}}]}, "overloaded"),
    (saying(None), "bad_reply"),
    (saying("  "), "bad_reply"),
    (saying("<think>and so on and so"), "bad_reply"),
    (saying("<|channel|>analysis<|message|>and so on and so"), "bad_reply"),
    (saying([{"type": "thinking", "thinking": "hm"}, 7, {"type": "text"}]), "bad_reply"),
    ({"choices": [{"message": {"content": ""}, "finish_reason": "network_error"}]}, "overloaded"),
    (saying([{"type": "thinking", "thinking": "hm"}]), "bad_reply"),
    ({"choices": [{"message": {"content": "", "reasoning_content": "hm"}}]}, "bad_reply"),
    ({"error": {"code": 429, "message": "slow down"}}, "rate_limited"),
]


@pytest.mark.parametrize(("body", "expected"), NO_ANSWERS)
def test_a_success_without_an_answer_is_a_failure(body, expected):
    assert failure(Server(response(body))).failure == expected


# Every other way it can fail. The classes of statuses and bodies are in `test_failures`.


def test_a_wait_is_passed_on_in_milliseconds():
    headers = {"Retry-After": "Sat, 21 Nov 2026 00:00:30 GMT"}
    error = failure(Server(response({"error": "busy"}, status=429, headers=headers)))
    assert (error.failure, error.retry_after_ms) == ("rate_limited", 30_000)


def test_a_redirect_is_not_followed():
    elsewhere = {"location": "https://elsewhere.example/"}
    server = Server(response(b"", status=307, headers=elsewhere), response(saying("mine now")))
    error = failure(server)
    assert error.failure == "unreachable"
    assert len(server.requests) == 1


def test_a_reply_without_end_is_cut_off():
    drip = Drip(b"x" * 65_536, count=1_000)
    error = failure(Server(httpx.Response(200, stream=drip)))
    assert error.failure == "bad_reply"
    assert drip.taken * 65_536 <= BODY_BYTES_MAX + 65_536
    assert drip.closed


def test_a_compressed_reply_is_not_unpacked():
    drip = Drip(b"\x28\xb5\x2f\xfd", count=1_000)
    headers = {"content-encoding": "zstd"}
    assert failure(Server(httpx.Response(200, stream=drip, headers=headers))).failure == "bad_reply"
    assert drip.taken == 0


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (httpx.ConnectError("refused"), "unreachable"),
        (httpx.ConnectTimeout("no answer"), "unreachable"),
        (httpx.ReadTimeout("no answer"), "slow"),
        (httpx.PoolTimeout("no answer"), "slow"),
        (httpx.ReadError("reset"), "overloaded"),
        (httpx.RemoteProtocolError("closed"), "overloaded"),
        (httpx.UnsupportedProtocol("odd"), "unreachable"),
    ],
)
def test_a_broken_connection_has_a_class(raised, expected):
    assert failure(Server(raised)).failure == expected


def test_a_server_that_never_answers_is_slow():
    class Silence(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

    assert failure(Silence(), timeout_ms=20).failure == "slow"


@pytest.mark.parametrize(
    "answer",
    [
        response({"error": {"message": f"Incorrect API key provided: {KEY}"}}, status=401),
        response({"error": f"Bearer {KEY} is not supported: temperature"}, status=400),
        response({"choices": [{"message": {"refusal": KEY}}]}),
        httpx.ConnectError(f"proxy said no to {KEY}"),
    ],
)
def test_the_key_is_in_no_error(answer):
    error = failure(Server(answer))
    assert KEY not in f"{error} {error!r} {error.args}"


def test_the_key_is_in_no_repr():
    endpoint = Endpoint(URL, "m", api_key=SecretStr(KEY))
    asked = OpenAiCompatible({"there": endpoint}, now_ms=lambda: NOW_MS)
    assert KEY not in f"{endpoint} {endpoint!r} {asked!r} {vars(asked)}"
    asyncio.run(asked.close())


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}é", f"a {KEY}\x7f"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key):
    with pytest.raises(ConfigError) as caught:
        Endpoint(URL, "m", api_key=SecretStr(key))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "models.example",
        "ftp://models.example",
        "https://ana:pw@models.example",
        "http://h:port",
    ],
)
def test_an_address_that_is_none_is_refused_without_showing_it(url):
    with pytest.raises(ConfigError) as caught:
        Endpoint(url, "m")
    assert "pw" not in str(caught.value)


# A real socket.


def test_a_real_server_is_asked_and_a_closed_port_is_unreachable():
    body = json.dumps(saying("Ana.")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def run() -> str:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", "m")
        asked = OpenAiCompatible({"there": endpoint}, now_ms=lambda: NOW_MS)
        async with server:
            reply = await asked.complete("there", request(), timeout_ms=5_000)
        with pytest.raises(ProviderError) as caught:
            await asked.complete("there", request(), timeout_ms=5_000)
        assert caught.value.failure == "unreachable"
        await asked.close()
        return reply.text

    assert asyncio.run(run()) == "Ana."
