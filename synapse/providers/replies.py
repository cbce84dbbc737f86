"""What the document of a successful reply says, or why it says nothing. Pure.

A 200 proves nothing: it may hold an error, an empty text, or thoughts without an answer. Thoughts
are never promoted to an answer, wherever a model puts them: in a field of their own, which is not
read, or between tags in the text, which are cut out with what they hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from synapse.core.errors import ProviderError
from synapse.core.events import Limit
from synapse.ports import ModelReply
from synapse.providers.catalogue import family_of
from synapse.providers.endpoint import Endpoint
from synapse.providers.failures import error_part, provider_error, redacted, sanitised

COST_USD_MAX: Final = 10_000.0  # of one call; more is a mistake in the unit

_FINISH_FAILURES: Final[Mapping[str, str]] = {
    "error": "bad_reply",
    "content_filter": "refused",
    "sensitive": "refused",  # Z.ai
    "network_error": "overloaded",  # Z.ai
}
_OPEN: Final = re.compile(r"<(?:think|thinking|thought)>", re.IGNORECASE)
_CLOSE: Final = re.compile(r"</(?:think|thinking|thought)>", re.IGNORECASE)
# How gpt-oss marks its channels, when a server passes them on as they are.
_CHANNEL: Final = "<|channel|>"
_FINAL: Final = "<|channel|>final<|message|>"
_MARK: Final = re.compile(r"<\|(?:end|return|start)\|>")


def reply_in(
    document: Mapping[str, Any],
    endpoint: Endpoint,
    *,
    asked: str,
    limits: tuple[Limit, ...] = (),
    now_ms: int,
) -> ModelReply:
    """What a reply to `asked`, the model, says. Raises ProviderError when that is nothing."""
    choice = first(document.get("choices"))
    if error_part(choice):
        raise provider_error(200, {}, choice, secret=endpoint.secret, now_ms=now_ms)
    finish = str(choice.get("finish_reason"))
    if finish in _FINISH_FAILURES:
        raise ProviderError(_FINISH_FAILURES[finish], f"the model stopped: {finish}")
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    text = sanitised(answer_in(text_of(message.get("content"))), endpoint.secret)
    if not text:
        failure = "refused" if message.get("refusal") else "bad_reply"
        reason = message.get("refusal") or f"no answer in the reply (finish_reason {finish[:40]})"
        raise ProviderError(failure, redacted(str(reason), endpoint.secret))
    served = _model_name(document.get("model") or asked, endpoint.secret)
    usage = _object(document.get("usage"))
    return ModelReply(
        text=text,
        model=served,
        family=_family(endpoint, asked, served),
        tokens_in=_count(usage, "prompt_tokens"),
        tokens_out=_count(usage, "completion_tokens"),
        tokens_reasoning=_count(
            _object(usage.get("completion_tokens_details")), "reasoning_tokens"
        ),
        cost_usd=_cost_usd(usage),
        limits=limits,
    )


def first(entries: Any) -> dict[str, Any]:
    """The first object of a list, empty when there is none."""
    return _object(entries[0]) if isinstance(entries, list) and entries else {}


def text_of(content: Any) -> str:
    """The text of a message: as it is, or of a list of typed parts (Mistral) those of type text."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(str(part.get("text") or "") for part in parts)
    return content if isinstance(content, str) else ""


def answer_in(text: str) -> str:
    """A text without its thoughts.

    Thoughts come first, so the answer is what follows the last closing tag (the opening one may
    have been part of the prompt); a text that is cut off inside its thoughts holds no answer.
    """
    if _CHANNEL in text:
        text = _MARK.split(text.rpartition(_FINAL)[2])[0] if _FINAL in text else ""
    after = _CLOSE.split(text)[-1]
    return _OPEN.split(after)[0].strip()


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _model_name(model: Any, secret: str | None) -> str:
    """The name of a model. llama.cpp names the path of its file; others get the last part only."""
    name = str(model)
    return redacted(re.split(r"[/\\]", name)[-1] if name.endswith(".gguf") else name, secret)


def _family(endpoint: Endpoint, asked: str, served: str) -> str:
    """The declared family, unless a model of another family than the one asked for served."""
    family = family_of(served)
    return endpoint.family if endpoint.family and family == family_of(asked) else family


def _count(usage: Mapping[str, Any], name: str) -> int:
    count = usage.get(name)
    return count if isinstance(count, int) and count > 0 else 0


def _cost_usd(usage: Mapping[str, Any]) -> float | None:
    """What the call cost, where that is told: OpenRouter gives it in credits, which are dollars."""
    cost = usage.get("cost")
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not math.isfinite(cost):
        return None
    return float(cost) if 0 <= cost <= COST_USD_MAX else None
