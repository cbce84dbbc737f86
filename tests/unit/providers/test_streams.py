"""A reply that comes piece by piece: what is put together, and every way in which it can break."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from synapse.core.errors import ProviderError
from synapse.providers.endpoint import Endpoint
from synapse.providers.openai_compatible import BODY_BYTES_MAX, OpenAiCompatible
from tests.unit.providers.asking import KEY, NOW_MS, URL, request, response, saying

STALL_S = 0.02
DONE = b"data: [DONE]\n\n"


class Pieces(httpx.AsyncByteStream):
    """A body in pieces; an exception is raised where it stands, and None is silence for ever."""

    def __init__(self, *pieces: bytes | Exception | None) -> None:
        self.closed = False
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            if piece is None:
                await asyncio.Event().wait()
            else:
                yield piece

    async def aclose(self) -> None:
        self.closed = True


def said(text: str | None = None, **choice: Any) -> bytes:
    """One event that adds to the answer."""
    delta = {} if text is None else {"content": text}
    return event({"model": "qwen3-8b", "choices": [{"delta": delta, **choice}]})


def event(document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def ask(*pieces: bytes | Exception | None, timeout_ms: int = 5_000, status: int = 200) -> Any:
    """The reply to one streamed call, or the error; and what was sent."""
    sent: list[dict[str, Any]] = []
    stream = Pieces(*pieces)

    def serve(asked: httpx.Request) -> httpx.Response:
        sent.append(json.loads(asked.content))
        kind = {"content-type": "text/event-stream; charset=utf-8"}
        return httpx.Response(status, stream=stream, headers=kind)

    async def run() -> Any:
        endpoint = Endpoint(URL, "qwen3-8b", api_key=SecretStr(KEY), stream=True)
        client = httpx.AsyncClient(transport=httpx.MockTransport(serve))
        asked = OpenAiCompatible(
            {"there": endpoint}, client, now_ms=lambda: NOW_MS, stall_s=STALL_S
        )
        try:
            return await asked.complete("there", request(), timeout_ms=timeout_ms)
        except ProviderError as error:
            return error

    outcome = asyncio.run(run())
    assert stream.closed
    assert sent[0]["stream"] is True
    assert sent[0]["stream_options"] == {"include_usage": True}
    return outcome


def test_an_answer_in_pieces_is_one_answer_and_the_last_piece_says_what_it_cost():
    usage = {
        "prompt_tokens": 12,
        "completion_tokens": 9,
        "completion_tokens_details": {"reasoning_tokens": 6},
        "cost": 0.0001,
    }
    reply = ask(
        b": OPENROUTER PROCESSING\n\n",
        event({"choices": [{"delta": {"role": "assistant", "content": ""}}]}),
        event({"choices": [{"delta": {"reasoning_content": "Is it Ana?"}}]}),
        said("An"),
        said("a."),
        said(None, finish_reason="stop"),
        event({"choices": [], "usage": usage}),
        DONE,
    )
    assert (reply.text, reply.model, reply.family) == ("Ana.", "qwen3-8b", "qwen")
    assert (reply.tokens_in, reply.tokens_out, reply.tokens_reasoning) == (12, 9, 6)
    assert reply.cost_usd == 0.0001


def test_events_may_be_cut_anywhere_and_end_in_any_way():
    body = (said("An") + said("a.", finish_reason="stop") + DONE).replace(b"\n", b"\r\n")
    assert ask(*[bytes([byte]) for byte in body]).text == "Ana."
    assert ask(body.rstrip()).text == "Ana."


def test_text_in_any_script_may_be_cut_inside_a_character():
    choices = [{"delta": {"content": "башня 東京"}, "finish_reason": "stop"}]
    whole = f"data: {json.dumps({'choices': choices}, ensure_ascii=False)}\n\n"
    assert ask(*[bytes([byte]) for byte in whole.encode()]).text == "башня 東京"


def test_a_stream_without_an_end_mark_is_whole_once_it_says_why_it_finished():
    assert ask(said("Ana.", finish_reason="stop")).text == "Ana."
    assert ask(said("Ana."), DONE).text == "Ana."


def test_thoughts_are_cut_out_wherever_the_pieces_break_them():
    assert ask(said("<thi"), said("nk>Is it Ana?</th"), said("ink>Ana."), DONE).text == "Ana."


@pytest.mark.parametrize(
    ("pieces", "failure"),
    [
        # Before the first word.
        ([event({"error": {"code": 429, "message": "slow down"}})], "rate_limited"),
        ([event({"error": {"message": "free-models-per-day"}})], "quota_day"),
        ([httpx.ReadError("reset")], "overloaded"),
        ([], "bad_reply"),
        ([DONE], "bad_reply"),
        ([b"<html>Welcome to the hotel</html>"], "bad_reply"),
        ([event([1])], "bad_reply"),
        ([b"data: {\n\n"], "bad_reply"),
        # After it: what was said so far is not an answer.
        ([said("An"), event({"error": {"code": 502, "message": "upstream"}})], "overloaded"),
        ([said("An"), said(None, error={"code": 429, "message": "x"})], "rate_limited"),
        ([said("An"), said("", finish_reason="error")], "bad_reply"),
        ([said("An"), said("", finish_reason="content_filter"), DONE], "refused"),
        ([said("An"), httpx.RemoteProtocolError("closed")], "overloaded"),
        ([said("An")], "bad_reply"),
        ([said("An"), None], "slow"),
        ([said("<think>Is it Ana?"), DONE], "bad_reply"),
        ([event({"choices": [{"delta": {"refusal": "I will not."}}]}), DONE], "refused"),
        ([event({"choices": [{"delta": {"reasoning_content": "Ana"}}]}), DONE], "bad_reply"),
    ],
)
def test_a_stream_that_breaks_is_a_failure_and_never_half_an_answer(pieces, failure):
    error = ask(*pieces)
    assert isinstance(error, ProviderError)
    assert error.failure == failure


def test_before_the_first_piece_only_the_calls_own_time_counts():
    error = ask(None, timeout_ms=50)
    assert (error.failure, str(error)) == ("slow", "no answer within 50 ms")


def test_a_stall_says_how_far_the_answer_had_come():
    error = ask(said("Ana "), None)
    assert str(error) == "the stream stalled for 0.02 s after 4 characters"


def test_a_stream_without_end_is_cut_off():
    chunk = said("x" * 65_536)
    error = ask(*[chunk] * (2 * BODY_BYTES_MAX // len(chunk)))
    assert (error.failure, str(error)) == (
        "bad_reply",
        f"the stream is longer than {BODY_BYTES_MAX} bytes",
    )


def test_the_key_is_cut_out_of_a_streamed_error_and_of_a_streamed_answer():
    assert KEY not in str(ask(event({"error": {"message": f"bad key {KEY}"}})))
    assert ask(said(KEY[:5]), said(KEY[5:]), DONE).text == "[key]"


def test_an_endpoint_that_answers_in_one_piece_all_the_same_is_understood():
    endpoint = Endpoint(URL, "m", stream=True)
    served = httpx.MockTransport(lambda _: response(saying("Ana.")))
    asked = OpenAiCompatible(
        {"there": endpoint}, httpx.AsyncClient(transport=served), now_ms=lambda: NOW_MS
    )
    assert asyncio.run(asked.complete("there", request(), timeout_ms=5_000)).text == "Ana."
