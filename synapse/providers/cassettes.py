"""Calls written down and played back, so that a run with models can be repeated without them.

What is written is one JSON line a call: the key, whom it was made to, and the reply or the typed
failure. The key is a hash of what the model is sent and of who it is (its name and address), so a
cassette holds no prompt; and every secret is cut out of a line before it is hashed or written. Ids
of memories differ from run to run and are not part of the key: prompts do not show them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit, urlunsplit

import structlog

from synapse.core.effects import ModelRequest
from synapse.core.errors import ConfigError, ProviderError
from synapse.core.reasoning.model_routing import FAILURES
from synapse.ports import ModelReply, Provider
from synapse.providers.failures import SECRET_CHARACTERS_MIN, sanitised

Mode = Literal["record", "replay", "replay-or-fail"]
"""record: ask, and write down. replay: say what is written, ask and write down the rest.
replay-or-fail: say what is written, and ask nobody."""

FILE_BYTES_MAX: Final = 64 << 20  # some ten thousand answers; it is read into memory

_REPLY_FIELDS: Final = ("text", "model", "family", "tokens_in", "tokens_out", "tokens_reasoning")

_log = structlog.get_logger(__name__)

Outcome = ModelReply | ProviderError


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asked: the name of a model, None being the first listed, and where it is."""

    model: str | None
    base_url: str

    def public(self) -> dict[str, str | None]:
        """Without user, password, query and fragment, in which keys are sometimes kept."""
        parts = urlsplit(self.base_url)
        address = parts.netloc.rpartition("@")[2].lower()
        url = urlunsplit((parts.scheme, address, parts.path.rstrip("/"), "", ""))
        return {"model": self.model, "base_url": url}


class Cassette:
    """Stands before a provider. Whatever is asked twice is played in the order it was recorded in,
    and the last recording of a request then for ever."""

    def __init__(
        self,
        inner: Provider,
        path: Path,
        *,
        mode: Mode,
        identities: Mapping[str, Identity],
        secrets: Iterable[str] = (),
    ) -> None:
        """Read the file, if there is one. Raises ConfigError when it is not a cassette."""
        self._inner = inner
        self._path = path
        self._mode = mode
        self._identities = dict(identities)
        self._secrets = [one for one in secrets if len(one) >= SECRET_CHARACTERS_MIN]
        self._recorded: dict[str, list[Outcome]] = {}
        self._played: dict[str, int] = {}
        if mode == "replay-or-fail" or path.exists():
            self._load()

    async def complete(self, target: str, request: ModelRequest, *, timeout_ms: int) -> ModelReply:
        """Play the recording, or ask and record. Raises ProviderError, recorded ones too.

        A request that was never recorded is `unreachable` when nobody may be asked.
        """
        key = self._key(target, request)
        recorded = self._recorded.get(key, [])
        if self._mode != "record" and recorded:
            turn = self._played.get(key, 0)
            self._played[key] = turn + 1
            return _said(recorded[min(turn, len(recorded) - 1)])
        if self._mode == "replay-or-fail":
            raise ProviderError(
                "unreachable", f"no recording of this request to {target} is in {self._path.name}"
            )
        try:
            reply = await self._inner.complete(target, request, timeout_ms=timeout_ms)
        except ProviderError as error:
            self._write(key, target, error)
            raise
        self._write(key, target, reply)
        return reply

    async def close(self) -> None:
        """Close what is asked."""
        await self._inner.close()

    def _key(self, target: str, request: ModelRequest) -> str:
        sent = {
            "target": self._identities[target].public(),
            "system": request.system,
            "user": request.user,
            "temperature": request.temperature,
            "tokens_max": request.tokens_max,
            "schema": request.schema,
        }
        return hashlib.sha256(self._line(sent).encode()).hexdigest()

    def _write(self, key: str, target: str, outcome: Outcome) -> None:
        """Append one line, and play it from now on unless it was played in this run already."""
        line = self._line(
            {"key": key, "target": self._identities[target].public(), **_written(outcome)}
        )
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:  # an answer is worth more than its recording
            _log.warning("recording_failed", path=str(self._path), problem=error.strerror)
        self._recorded.setdefault(key, []).append(outcome)
        self._played[key] = len(self._recorded[key])

    def _line(self, document: Mapping[str, Any]) -> str:
        """Canonical JSON on one line, with every secret cut out of the texts in it."""
        cut = _mapped(document, self._cut)
        return json.dumps(
            cut, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
        )

    def _cut(self, text: str) -> str:
        for secret in self._secrets:
            text = sanitised(text, secret)
        return sanitised(text, None)

    def _load(self) -> None:
        try:
            with self._path.open("rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise ConfigError(
                f"cassette_path: {self._path} cannot be read ({error.strerror}); record one first, "
                "or name another"
            ) from None
        if len(content) > FILE_BYTES_MAX:
            raise ConfigError(f"cassette_path: {self._path} is longer than {FILE_BYTES_MAX} bytes")
        lines = content.split(b"\n")
        torn = lines.pop()  # nothing, unless a recording was cut off
        for number, line in enumerate(lines, start=1):
            try:
                key, outcome = _read(line)
            except (ValueError, KeyError, TypeError, RecursionError):
                raise ConfigError(
                    f"cassette_path: line {number} of {self._path} is no recording; delete it"
                ) from None
            self._recorded.setdefault(key, []).append(outcome)
        if torn and self._mode != "replay-or-fail":
            os.truncate(self._path, len(content) - len(torn))


def _said(outcome: Outcome) -> ModelReply:
    if isinstance(outcome, ProviderError):
        raise ProviderError(
            outcome.failure, str(outcome), retry_after_ms=outcome.retry_after_ms
        )  # a new one each time, since raising one often would gather tracebacks
    return outcome


def _written(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, ModelReply):
        fields = asdict(outcome)
        return {"reply": {name: fields[name] for name in _REPLY_FIELDS}}
    failure = {
        "class": outcome.failure,
        "message": str(outcome),
        "retry_after_ms": outcome.retry_after_ms,
    }
    return {"failure": failure}


def _read(line: bytes) -> tuple[str, Outcome]:
    """A key and what was recorded under it. Raises ValueError, KeyError, TypeError."""
    document = json.loads(line)
    key = document["key"]
    if "reply" in document:
        reply = ModelReply(**document["reply"])
        if not (isinstance(key, str) and isinstance(reply.text, str) and reply.text):
            raise ValueError
        return key, reply
    failure = document["failure"]
    if not isinstance(key, str) or failure["class"] not in FAILURES:
        raise ValueError
    wait_ms = failure["retry_after_ms"]
    if not isinstance(wait_ms, int | None):
        raise ValueError
    return key, ProviderError(failure["class"], str(failure["message"]), retry_after_ms=wait_ms)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A document with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(str(name)): _mapped(one, change) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(one, change) for one in value]
    return value
