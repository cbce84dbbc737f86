"""Why a model call failed, read from the status, the headers and the body of a reply. Pure.

Status alone misleads: one 429 means "too fast", "the day is spent" or "no money left", and a 200
may hold an error. So the status classes a failure roughly (`_BY_STATUS`) and words from the body
narrow it (`_NARROWED`). The classes: `docs/decisions/0007-failure-classes.md`. All of it
came from a stranger: it is read within limits, and our secret is cut out before it is repeated.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from synapse.core.errors import ProviderError
from synapse.core.reasoning.cooling import LIMIT_WAIT_MS_MAX
from synapse.core.text import shortened
from synapse.providers.waits import retry_after_ms

MESSAGE_CHARACTERS_MAX: Final = 300  # one line of a log or a dashboard
LEAVES_MAX: Final = 1_000  # read of an error body; the largest we know of has about thirty
WORDS_CHARACTERS_MAX: Final = 16_000  # searched; error texts are a few hundred
SECRET_CHARACTERS_MIN: Final = 8  # shorter keys ("ollama", "none") are no secret, but are words

_BY_STATUS: Final[Mapping[int, str]] = {
    401: "auth",
    402: "no_credit",
    403: "auth",
    404: "gone",
    408: "slow",
    409: "overloaded",
    410: "gone",
    429: "rate_limited",
    434: "auth",  # Z.ai: no permission for this API
    498: "overloaded",  # Groq: flex capacity exceeded
}
_BY_HUNDREDS: Final[Mapping[int, str]] = {3: "unreachable", 4: "request", 5: "overloaded"}

_UNEXPLAINED: Final[Mapping[int, str]] = {2: "no JSON object", 3: "redirects are not followed"}

_DAY = r"(?:per|\ba)[-_ ]?day|daily|\((?:tpd|rpd)\)|free-models(?!-per-min)"
_CREDIT = (
    r"insufficient[_ ](?:quota|balance|credits?|funds)|balance (?:is |was )?exhausted|余额不足"
    r"|(?:out of|any|available|more) credits|credit balance|spending limit"
)
_KEY = r"(?:incorrect|invalid|missing|no)[_ ]api[_ ]key|api key (?:not|is|has|expired)"
_ACCOUNT = r"account\b.{0,40}(?:anomaly|violation|locked|suspended)"
_BARRED = r"content[_ ](?:filter|policy|management)|moderation|flagged|guardrail"
_MODEL = (
    r"model_not_(?:found|available)|model_decommissioned|free_variant_ended|no endpoints found"
    r"|model\b[^,;\n]{0,120}(?:not exist|not found|no longer|decommissioned|deprecated)"
)
_FORM = r"json_validate_failed|failed to (?:generate|validate) json"  # Groq: the model's fault
_RATE = r"rate[-_ ]?limit|resource_exhausted|too many requests"
_BUSY = r"overloaded|server_error|internal error|unavailable|bad gateway"

# Of the patterns for the rough class the first that occurs in the body decides.
_NARROWED: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "rate_limited": ((_DAY, "quota_day"), (_CREDIT, "no_credit"), (_ACCOUNT, "auth")),
    "auth": ((_CREDIT, "no_credit"), (_BARRED, "refused"), (_MODEL, "gone")),
    "request": (
        (_KEY, "auth"),
        (_BARRED, "refused"),
        (_FORM, "bad_reply"),
        (_MODEL, "gone"),
        (_CREDIT, "no_credit"),
    ),
    "bad_reply": (  # an error inside a 200 that names no status of its own
        (_DAY, "quota_day"),
        (_CREDIT, "no_credit"),
        (_RATE, "rate_limited"),
        (_KEY, "auth"),
        (_BARRED, "refused"),
        (_MODEL, "gone"),
        (_BUSY, "overloaded"),
    ),
}


def provider_error(
    status: int,
    headers: Mapping[str, str],
    document: Any,
    *,
    secret: str | None,
    now_ms: int,
) -> ProviderError:
    """The error that a reply amounts to. `document` is its JSON, None when it is something else.

    `headers` has lower-case names; `now_ms` is the wall clock, milliseconds since 1970.
    """
    error = error_part(document) or (document if isinstance(document, dict) else {})
    headers = {**headers, **_headers_within(error)}
    status = _status_within(error) or status
    fields = list(itertools.islice(_leaves(error), LEAVES_MAX))
    words = "\n".join(str(value) for _, value in fields)[:WORDS_CHARACTERS_MAX]

    failure = _narrowed(_rough(status), words)
    limited = failure in ("rate_limited", "quota_day")
    wait_ms = retry_after_ms(headers, fields, words, limited=limited, now_ms=now_ms)
    if failure == "rate_limited" and _day_is_spent(headers, wait_ms):
        failure = "quota_day"
    message = redacted(f"HTTP {status}: {_reason(error, status, words)}", secret)
    return ProviderError(failure, message, retry_after_ms=wait_ms)


def error_part(document: Any) -> Mapping[str, Any] | None:
    """What a reply, or one of its choices, says went wrong; None when it says nothing did."""
    if isinstance(document, list) and document:  # Google wraps its errors so
        document = document[0]
    if not isinstance(document, dict):
        return None
    if error := document.get("error"):  # xAI and Ollama: {"error": "text", "code": …}
        return error if isinstance(error, dict) else {**document, "message": error}
    return document if document.get("object") == "error" else None


def sanitised(text: str, secret: str | None) -> str:
    """`text` as UTF-8 and every database can hold it, and without the secret in it."""
    storable = text.encode("utf-8", "replace").decode().replace("\x00", "")
    real = secret is not None and len(secret) >= SECRET_CHARACTERS_MIN
    return storable.replace(secret, "[key]") if secret and real else storable


def redacted(text: str, secret: str | None) -> str:
    """The same on one line, cut to what fits in a log."""
    return shortened(sanitised(text, secret), characters_max=MESSAGE_CHARACTERS_MAX)


def _rough(status: int) -> str:
    return _BY_STATUS.get(status) or _BY_HUNDREDS.get(status // 100, "bad_reply")


def _narrowed(failure: str, words: str) -> str:
    patterns = _NARROWED.get(failure, ())
    return next((to for pattern, to in patterns if re.search(pattern, words, re.I)), failure)


def _day_is_spent(headers: Mapping[str, str], wait_ms: int | None) -> bool:
    """Whether a rate limit is a quota: a long wait, or nothing left and no word of when."""
    if wait_ms is None:
        return headers.get("x-ratelimit-remaining") == "0"
    return wait_ms > LIMIT_WAIT_MS_MAX


def _leaves(document: Mapping[str, Any]) -> Iterator[tuple[str, str | int | float]]:
    """Every text and number in a document, in order, with the name of the field it is in."""
    stack: list[tuple[str, Any]] = [("", document)]
    while stack:
        name, value = stack.pop()
        if isinstance(value, dict):
            stack.extend(reversed(value.items()))
        elif isinstance(value, list):
            stack.extend((name, item) for item in reversed(value))
        elif isinstance(value, (str, int, float)):
            yield name, value


def _status_within(error: Mapping[str, Any]) -> int | None:
    """The HTTP status an error names as its code, 429 or "429". Business codes are not one."""
    code = str(error.get("code"))
    return int(code) if re.fullmatch(r"[45]\d\d", code, re.ASCII) else None


def _headers_within(error: Mapping[str, Any]) -> dict[str, str]:
    """The headers that a broker (OpenRouter) passes on in the body of its error."""
    metadata = error.get("metadata")
    inner = metadata.get("headers") if isinstance(metadata, dict) else None
    return {k.lower(): str(v) for k, v in inner.items()} if isinstance(inner, dict) else {}


def _reason(error: Mapping[str, Any], status: int, words: str) -> str:
    for name in ("message", "detail"):
        if isinstance(text := error.get(name), str) and text.strip():
            return text
    return words or _UNEXPLAINED.get(status // 100, "no reason was given")
