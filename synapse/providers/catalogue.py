"""Dated facts about services that speak OpenAI chat completions. Data only: nothing is asked here.

Facts age in weeks, so each row says when its facts were last seen to hold. The default models are
of different families where possible, because two targets of one family are one voter. Where
facts were read: `docs/evidence.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from synapse.core.errors import ConfigError

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
class Row:
    """One service. `model` None: the first it lists. `family` None: read off the model's name."""

    name: str
    base_url: str
    key_names: tuple[str, ...]  # environment variables that may hold the key; the first that does
    model: str | None
    family: str | None
    checked: date
    notes: str
    trains: bool = False  # may train on what it is sent, so it must not be sent private text
    refuses: frozenset[str] = frozenset()  # fields of a request that its models do not take


# fmt: off
SERVICES: Final = (  # hosted; in this order when the operator names none
    Row("zai", "https://api.z.ai/api/paas/v4", ("ZAI_API_KEY",), "glm-4.7-flash", "glm",
        date(2026, 8, 31), "free; one call in flight; a 429 also means no balance"),
    Row("openrouter", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY", "OPENROUTER_KEY"),
        "nvidia/nemotron-3-nano-30b-a3b:free", None,
        date(2026, 7, 18), "free models: 20 a minute and 50 a UTC day for the whole account"),
    Row("gemini", "https://generativelanguage.googleapis.com/v1beta/openai",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_AI_KEY"), "gemini-3.1-flash-lite", None,
        date(2026, 7, 18), "free: 15 a minute, 500 a Pacific day, per project", trains=True),
    Row("groq", "https://api.groq.com/openai/v1", ("GROQ_API_KEY",),
        "llama-3.3-70b-versatile", None,
        date(2026, 7, 18), "free: 30 a minute, 1,000 a day, 6k tokens a minute, per organisation"),
    Row("cerebras", "https://api.cerebras.ai/v1", ("CEREBRAS_API_KEY",), "gpt-oss-120b", None,
        date(2026, 10, 31), "free: 30 a minute, 1M tokens a day; retires models fast"),
    Row("mistral", "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",),
        "mistral-small-latest", "mistral",
        date(2026, 7, 18), "free: 1 a second, 1B tokens a month, per organisation", trains=True),
    Row("github", "https://models.github.ai/inference", ("GITHUB_MODELS_KEY",),
        "openai/gpt-4.1-mini", None,
        date(2026, 7, 18), "by Copilot tier; small contexts; the token needs the models scope"),
    Row("huggingface", "https://router.huggingface.co/v1", ("HF_TOKEN",),
        "openai/gpt-oss-120b", None,
        date(2026, 7, 18), "$0.10 a month, then a 402; a broker, not a family of its own"),
    Row("xai", "https://api.x.ai/v1", ("XAI_API_KEY",), "grok-4.3", "grok",
        date(2026, 8, 31), "prepaid only; a wrong key is a 400"),
    Row("openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",), "gpt-5.4-mini", "gpt",
        date(2026, 8, 31), "paid only", refuses=frozenset({"temperature", "max_tokens"})),
)
_LOCAL: Final = (
    Row("llama.cpp", "http://127.0.0.1:8080/v1", ("LLM_API_KEY",), None, None,
        date(2026, 8, 17), "one model; as many calls at once as it has slots"),
    Row("vllm", "http://127.0.0.1:8000/v1", ("LLM_API_KEY",), None, None,
        date(2026, 8, 17), "many calls at once"),
    Row("ollama", "http://127.0.0.1:11434/v1", ("LLM_API_KEY",), None, None,
        date(2026, 8, 17), "the first call after a pause loads the model"),
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
