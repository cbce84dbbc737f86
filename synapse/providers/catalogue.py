"""Dated facts about services that speak OpenAI chat completions. Data only: nothing is asked here.

Facts age in weeks, so each row says when its facts were last seen to hold. The default models are
of different families where possible, because two targets of one family are one voter. Where
facts were read: `docs/evidence.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from typing import Final, Literal

from synapse.core.errors import ConfigError
from synapse.core.events import Limit
from synapse.core.reasoning.cooling import DAY_MS, HOUR_MS, MINUTE_MS
from synapse.providers.limits import MONTH_MS

STALE_DAYS: Final = 60  # two of ten services renamed their free models within less, in 2026

_NAME: Final = re.compile(r"(?:meta-|nvidia-)?(gpt-oss|[^\W\d_]+)")
_KIN: Final[Mapping[str, str]] = {
    "chatgpt": "gpt",
    "o": "gpt",  # o3, o4-mini
    "codestral": "mistral",
    "devstral": "mistral",
    "magistral": "mistral",
    "ministral": "mistral",
    "mixtral": "mistral",
    "pixtral": "mistral",
    "tinyllama": "llama",
    "qwq": "qwen",
}


@dataclass(frozen=True, slots=True)
class Quota:
    """What one account may ask of one model, or of all its models together where it is `shared`.

    None: no limit is known, nor whether what there is is shared. `minute`, `hour` and `day` count
    requests. A service that says its limits in headers is believed over this.
    """

    minute: int | None = None
    day: int | None = None
    hour: int | None = None
    tokens_minute: int | None = None
    tokens_day: int | None = None
    tokens_month: int | None = None
    concurrency: int | None = None
    shared: bool | None = None

    def limits(self) -> tuple[Limit, ...]:
        """The same as the chain counts it."""
        sizes = (
            ("requests", MINUTE_MS, self.minute),
            ("requests", HOUR_MS, self.hour),
            ("requests", DAY_MS, self.day),
            ("tokens", MINUTE_MS, self.tokens_minute),
            ("tokens", DAY_MS, self.tokens_day),
            ("tokens", MONTH_MS, self.tokens_month),
        )
        return tuple(Limit(unit, window, size) for unit, window, size in sizes if size is not None)


NO_QUOTA: Final = Quota()


@dataclass(frozen=True, slots=True)
class Row:
    """One service. `model` None: the first it lists. `family` None: read off the model's name.

    `quotas` are those of the free plan, each with a pattern of the models it is for; the first that
    fits holds. `windows_ms` is what its headers count over where they do not say so.
    """

    name: str
    base_url: str
    key_names: tuple[str, ...]  # environment variables that may hold the key; the first that does
    model: str | None
    family: str | None
    checked: date
    notes: str
    trains: bool = False  # may train on what it is sent, so it must not be sent private text
    refuses: frozenset[str] = frozenset()  # fields of a request that its models do not take
    quotas: tuple[tuple[str, Quota], ...] = ()
    day_ends: Literal["utc", "pacific"] = "utc"
    windows_ms: Mapping[str, int] = field(default_factory=dict)
    lists_all: bool = False  # what its /models does not list cannot be asked
    quota_path: str = ""  # where it says what is left of the account's free requests

    def quota(self, model: str | None) -> Quota:
        """What the free plan allows for a model, None being the one that is listed first."""
        quotas = (quota for pattern, quota in self.quotas if fnmatchcase(model or "", pattern))
        return next(quotas, NO_QUOTA)

    def stale(self, today: date) -> bool:
        """Whether its facts are older than such facts usually hold."""
        return (today - self.checked).days > STALE_DAYS


# fmt: off
SERVICES: Final = (  # hosted; in this order when the operator names none
    Row("zai", "https://api.z.ai/api/paas/v4", ("ZAI_API_KEY",), "glm-4.7-flash", "glm",
        date(2026, 8, 31), "free: the flash models, one call in flight; a 429 also means no money",
        quotas=(("glm-*-flash", Quota(concurrency=1)),)),
    Row("openrouter", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY", "OPENROUTER_KEY"),
        "nvidia/nemotron-3-nano-30b-a3b:free", None,
        date(2026, 7, 18), "free models: 20 a minute and 50 a UTC day for the whole account",
        quotas=(("*:free", Quota(20, 50, shared=True)),), lists_all=True, quota_path="key"),
    Row("gemini", "https://generativelanguage.googleapis.com/v1beta/openai",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_AI_KEY"), "gemini-3.1-flash-lite", None,
        date(2026, 7, 18), "free: 15 a minute, 500 a Pacific day, per project", trains=True,
        quotas=(("gemini-*-flash-lite*", Quota(15, 500, shared=False)),
                ("gemini-*-flash*", Quota(5, 20, shared=False)),
                ("gemma-*", Quota(30, 14_400, tokens_minute=15_000, shared=False))),
        day_ends="pacific", lists_all=True),
    Row("groq", "https://api.groq.com/openai/v1", ("GROQ_API_KEY",),
        "llama-3.3-70b-versatile", None,
        date(2026, 7, 18), "free: 30 a minute, 1,000 a day, 6k tokens a minute, per organisation",
        quotas=(("llama-3.1-8b*", Quota(30, 14_400, tokens_minute=6_000, shared=False)),
                ("*", Quota(30, 1_000, tokens_minute=6_000, shared=False))),
        windows_ms={"requests": DAY_MS, "tokens": MINUTE_MS}, lists_all=True),
    Row("cerebras", "https://api.cerebras.ai/v1", ("CEREBRAS_API_KEY",), "gpt-oss-120b", None,
        date(2026, 10, 31), "free: 30 a minute, 1M tokens a day; retires models fast",
        quotas=(("*", Quota(30, 14_400, 900, 60_000, 1_000_000, shared=False)),), lists_all=True),
    Row("mistral", "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",),
        "mistral-small-latest", "mistral",
        date(2026, 7, 18), "free: 1 a second, 1B tokens a month, per organisation", trains=True,
        refuses=frozenset({"stream_options"}), lists_all=True,
        quotas=(("*", Quota(60, tokens_minute=500_000, tokens_month=1_000_000_000,
                            concurrency=1, shared=True)),)),
    Row("github", "https://models.github.ai/inference", ("GITHUB_MODELS_KEY",),
        "openai/gpt-4.1-mini", None,
        date(2026, 7, 18), "by Copilot tier; small contexts; the token needs the models scope"),
    Row("huggingface", "https://router.huggingface.co/v1", ("HF_TOKEN",),
        "openai/gpt-oss-120b", None,
        date(2026, 7, 18), "$0.10 a month, then a 402; a broker, not a family of its own",
        lists_all=True),
    Row("xai", "https://api.x.ai/v1", ("XAI_API_KEY",), "grok-4.3", "grok",
        date(2026, 8, 31), "prepaid only; a wrong key is a 400", lists_all=True),
    Row("openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",), "gpt-5.4-mini", "gpt",
        date(2026, 8, 31), "paid only", refuses=frozenset({"temperature", "max_tokens"}),
        windows_ms={"requests": MINUTE_MS, "tokens": MINUTE_MS}, lists_all=True),
)
_LOCAL: Final = (
    Row("llama.cpp", "http://127.0.0.1:8080/v1", ("LLM_API_KEY",), None, None,
        date(2026, 8, 17), "one model; as many calls at once as it has slots",
        quotas=(("*", Quota(concurrency=1)),)),
    Row("vllm", "http://127.0.0.1:8000/v1", ("LLM_API_KEY",), None, None,
        date(2026, 8, 17), "many calls at once"),
    Row("ollama", "http://127.0.0.1:11434/v1", ("LLM_API_KEY",), None, None,
        date(2026, 8, 17), "the first call after a pause loads the model",
        quotas=(("*", Quota(concurrency=1)),)),
)
# fmt: on
_BY_NAME: Final[Mapping[str, Row]] = {entry.name: entry for entry in SERVICES + _LOCAL}


def local_endpoints() -> tuple[Row, ...]:
    """Where model servers on this machine listen by default. A key is optional."""
    return _LOCAL


def row(name: str) -> Row:
    """The row of one service, hosted or local. Raises ConfigError when there is none."""
    if name not in _BY_NAME:
        raise ConfigError(f"no model service is named {name!r}; use one of {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def family_of(model: str) -> str:
    """Which family a model's name says it is of: "gpt-oss", "llama", "qwen", or "unknown".

    The path before the name, the tag after it and a vendor's prefix are dropped; what is left
    up to the first digit or separator is the family ("meta-llama/Llama-3.3-70B:free" is "llama",
    "qwen3" is "qwen"), but for names known to belong to another (`_KIN`).
    """
    name = re.split(r"[/\\]", model)[-1].lower()
    found = _NAME.match(name)
    return _KIN.get(found[1], found[1]) if found else "unknown"
