"""The table of settings, and what each value must be. A field's docstring is its help text.

Nothing is read here: `layers.load` gathers the values and says where each came from.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    model_validator,
)

PEERS_MAX = 256  # addresses to start from; gossip finds everyone else
MODELS_MAX = 64  # more targets than one deadline lets us try
NAME_CHARACTERS_MAX = 64  # a name is a column of every table that shows spores or models
COUNT_MAX = 10**12  # tokens a minute; nobody sells more
SECONDS_MAX = 86_400.0  # a day; a longer wait is a mistake in the unit

# The variables in which vendors tell people to keep their key; the first that is set is used.
PROVIDER_KEYS = {
    "zai": ("ZAI_API_KEY",),
    "xai": ("XAI_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY", "OPENROUTER_KEY"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_AI_KEY"),
    "groq": ("GROQ_API_KEY",),
    "cerebras": ("CEREBRAS_API_KEY",),
    "mistral": ("MISTRAL_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "huggingface": ("HF_TOKEN",),
    "github": ("GITHUB_MODELS_KEY",),
}

PREFIX = "SYNAPSE_"
# Variables without the prefix that count when SYNAPSE_<NAME> is not set.
OTHER_VARIABLES = {
    "port": "PORT",  # hosting platforms say here where they expect us
    "llm_endpoint": "LLM_ENDPOINT",
    "llm_model": "LLM_MODEL",
    "llm_api_key": "LLM_API_KEY",
}


def variables_of(name: str) -> list[str]:
    """The variables that may hold this setting; the first that is set does."""
    ours = PREFIX + name.upper()
    return [ours, OTHER_VARIABLES[name]] if name in OTHER_VARIABLES else [ours]


@dataclass(frozen=True, slots=True)
class Key:
    """A secret found in the environment, and the variable it was found in."""

    secret: SecretStr
    variable: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What validation must know besides the values, to resolve paths and to look up keys."""

    environ: Mapping[str, str]
    cwd: Path
    sources: Mapping[str, str]

    def key(self, variables: Sequence[str]) -> Key | None:
        """What the first of these variables that is set holds, without a final line end."""
        for variable in variables:
            if text := self.environ.get(variable, "").strip():
                return Key(SecretStr(text), variable)
        return None


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", text):
            return text.lower()
    raise ValueError("must be an IP address or a host name, with no scheme and no port")


def _url(text: str) -> str:
    """Without a final slash, so that two spellings of one address are equal."""
    refusal = ValueError("must be an address that starts with http:// or https://")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # it would repeat the text
        raise refusal from None
    if not usable or not re.fullmatch(r"[!-~]+", text):
        raise refusal
    if "@" in parts.netloc or "?" in text or "#" in text:
        raise ValueError("must have no user name, password, query or fragment in the address")
    return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))


def _base_url(text: str) -> str:
    url = _url(text)
    for path in ("/chat/completions", "/embeddings"):
        if url.endswith(path):
            raise ValueError(f"must be the base address: leave out {path}")
    return url


def _name(text: str) -> str:
    name = text.strip()
    if not name.isprintable() or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        raise ValueError(f"must be 1 to {NAME_CHARACTERS_MAX} printable characters")
    return name


def _secret(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError("must be one word of printable ASCII, as HTTP headers demand")
    return secret


def _variable(text: str) -> str:
    # Capitals only, so that a key pasted here by mistake is refused before a message names it.
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", text):
        raise ValueError("must be the name of a variable, in capitals, and never the key itself")
    return text


def _number(value: object) -> object:
    if isinstance(value, bool):  # pydantic would take `true` for 1
        raise ValueError("must be a number")
    return value


def _split(value: object) -> object:
    """A flat list from `a,b`, or from a list of such texts. Anything else is left for pydantic."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple):
        parts = [_split(item) for item in value]
        return [one for part in parts for one in (part if isinstance(part, list) else [part])]
    return value


def _not_empty(value: object) -> object:
    if value == "":  # pathlib would take it for the working directory
        raise ValueError("must not be empty")
    return value


def _absolute(path: Path, info: ValidationInfo) -> Path:
    try:
        return _surroundings(info).cwd / path.expanduser()
    except RuntimeError:
        raise ValueError("must not start with ~ where there is no home folder") from None


def _surroundings(info: ValidationInfo) -> Surroundings:
    assert isinstance(info.context, Surroundings), "only `load` makes settings"
    return info.context


Host = Annotated[str, AfterValidator(_host)]
Port = Annotated[int, BeforeValidator(_number), Field(ge=1, le=65_535)]
Url = Annotated[str, AfterValidator(_url)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Name = Annotated[str, AfterValidator(_name)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
Variable = Annotated[str, AfterValidator(_variable)]
LocalPath = Annotated[Path, BeforeValidator(_not_empty), AfterValidator(_absolute)]
Count = Annotated[int, BeforeValidator(_number), Field(ge=1, le=COUNT_MAX)]
Seconds = Annotated[
    float, BeforeValidator(_number), Field(gt=0, le=SECONDS_MAX, allow_inf_nan=False)
]


class ModelEntry(BaseModel):
    """One model to ask, at a provider we know by name or at the address of its API."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str | None = None
    base_url: BaseUrl | None = None
    model: Name | None = None  # None: the provider's own default
    family: Name | None = None  # None: told from the model's name
    api_key_env: Variable | None = None
    timeout_s: Seconds = 30.0  # half a task's default deadline, which leaves time for another
    stream: bool = False
    account: Name | None = None  # None: the key's own
    requests_per_minute: Count | None = None  # None: what the free plan is known to allow
    requests_per_day: Count | None = None
    tokens_per_minute: Count | None = None
    concurrency: Count | None = None
    _api_key: SecretStr | None = None

    @property
    def api_key(self) -> SecretStr | None:
        """From the variable that `api_key_env` names, else from the provider's usual ones."""
        return self._api_key

    @model_validator(mode="after")
    def _complete(self, info: ValidationInfo) -> Self:
        if (self.provider is None) == (self.base_url is None):
            raise ValueError("needs either provider or base_url, and not both")
        if self.provider not in (None, *PROVIDER_KEYS):
            raise ValueError(f"provider must be one of {', '.join(PROVIDER_KEYS)}")
        usual = PROVIDER_KEYS.get(self.provider or "", ())
        variables = (self.api_key_env,) if self.api_key_env else usual
        key = _surroundings(info).key(variables)
        if variables and not key:
            raise ValueError(f"needs a key: set {' or '.join(variables)} in the environment")
        self._api_key = key.secret if key else None
        return self


Mechanism = Literal[
    "annealing", "superposition", "interference", "tunnelling", "entanglement", "decoherence"
]


class Settings(BaseModel):
    """All settings, valid and unchanging. Only `load` makes them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    host: Host = "127.0.0.1"
    """Address to listen on. Anything but loopback demands a key for writes from elsewhere."""

    port: Port = 7860
    """Port to listen on."""

    data_dir: LocalPath = Field(examples=["~/.local/share/synapse"])
    """Folder of the log, the index and the spore's identity; one spore a folder. By default
    $XDG_DATA_HOME/synapse, which is ~/.local/share/synapse unless told otherwise; on macOS
    ~/Library/Application Support/synapse."""

    name: Name = Field(examples=["kitchen"])
    """What people call this spore. By default the short name of the machine."""

    public_url: Url | None = Field(None, examples=["https://spore.example.org"])
    """Address at which other spores can dial this one. Without it, a spore on loopback is dialled
    from the same machine only, and a spore that listens elsewhere dials out and is never
    dialled."""

    dialable: bool = True
    """Whether other spores are told where to dial this one. One that is not dialled dials out, and
    still gives and gets everything."""

    peers: Annotated[tuple[Url, ...], BeforeValidator(_split)] = Field(
        (), max_length=PEERS_MAX, examples=["https://one.example.org,https://two.example.org"]
    )
    """Spores to share memory with: a list, or addresses with commas between them."""

    join: bool = False
    """Whether to join the public swarm, whose seeds the bootstrap file lists. Never unasked."""

    bootstrap: LocalPath | None = Field(None, examples=["bootstrap.json"])
    """File that lists public seeds. By default the one beside spore.py, if there is one."""

    api_key: Secret | None = Field(None, examples=["a-long-random-word"])
    """Key that writes from other machines must carry. Made by the first start that needs one."""

    allowed_hosts: Annotated[tuple[Host, ...], BeforeValidator(_split)] = Field(
        (), examples=["spore.example.org"]
    )
    """Further host names under which clients may call /mcp. The name that a hosting platform
    announces (Hugging Face, Render, Railway, Fly) is added by itself."""

    models: tuple[ModelEntry, ...] = Field(
        (),
        max_length=MODELS_MAX,
        examples=[
            "\n  - provider: groq\n    model: llama-3.3-70b-versatile\n    timeout_s: 20"
            "\n  - base_url: http://127.0.0.1:11434/v1\n    model: qwen3:4b\n    family: qwen"
        ],
    )
    """Models to ask, best first. Each has a `provider` or the `base_url` of any OpenAI-compatible
    API, and may have `model`, `family`, `timeout_s` (seconds, default 30) and `api_key_env`, the
    name of the variable that holds the key. `stream: true` takes the reply piece by piece, so that
    a model that stalls is noticed early. `requests_per_minute`, `requests_per_day`,
    `tokens_per_minute` and `concurrency` say what your plan allows, where it is not the free one;
    keys of one `account` share what it allows."""

    llm_endpoint: BaseUrl | None = Field(None, examples=["http://127.0.0.1:11434/v1"])
    """Base address of one more OpenAI-compatible API, such as a server on this machine."""

    llm_model: Name | None = Field(None, examples=["qwen3:4b"])
    """Model to ask at `llm_endpoint`. By default the first that its /models lists."""

    llm_api_key: Secret | None = Field(None, examples=["a-key"])
    """Key for `llm_endpoint`, if it wants one."""

    cortex_model: LocalPath | None = Field(None, examples=["~/models/qwen3-4b-q4_k_m.gguf"])
    """GGUF file of a model to run inside this process. Needs the extra "cortex"; fetch a file with
    `synapse cortex get`. docs/cortex.md says what it costs."""

    cortex_context_tokens: Annotated[int, BeforeValidator(_number), Field(ge=512, le=131_072)] = (
        4_096  # a position's prompt has about 2,500 tokens at most, its reply 1,024
    )
    """Tokens that prompt and reply of the local model may have together; more takes more memory."""

    cortex_threads: Annotated[int, BeforeValidator(_number), Field(ge=1, le=256)] | None = Field(
        None, examples=[4]
    )
    """Threads that the local model runs on. By default half of the processors."""

    cortex_timeout_s: Seconds = 60.0  # the whole of a task's default deadline: it is slow
    """Seconds that one reply of the local model may take, its turn and the loading included."""

    embedding_endpoint: BaseUrl | None = Field(None, examples=["http://127.0.0.1:8080/v1"])
    """Base address of an OpenAI-compatible API with /embeddings. With it, recall reorders its best
    100 matches by meaning as well as by words. Shared memories are sent there, and questions of
    recall; private memories never, and private questions only to this machine. docs/semantic.md
    says what it costs."""

    embedding_model: Name | None = Field(None, examples=["all-minilm-l6-v2"])
    """Model to ask at `embedding_endpoint`. Another model means all vectors anew."""

    embedding_file: LocalPath | None = Field(None, examples=["~/models/all-minilm-l6-v2-q8_0.gguf"])
    """GGUF file of such a model to run in this process instead. Needs the extra "cortex"."""

    embedding_api_key: Secret | None = Field(None, examples=["a-key"])
    """Key for `embedding_endpoint`, if it wants one."""

    embedding_dimensions: Annotated[int, BeforeValidator(_number), Field(ge=8, le=4_096)] | None = (
        Field(None, examples=[384])
    )
    """Numbers of a vector, where a model can give fewer. A memory takes 36 bytes more than that."""

    embedding_calls_per_day: Count = 2_000  # a call holds up to 32 memories; no source
    """Calls a day to the model of embeddings at most. A quarter is left to questions, which are not
    counted where it is on this machine."""

    embedding_deadline_ms: Annotated[int, BeforeValidator(_number), Field(ge=1, le=10_000)] = (
        150  # people notice more than that; a small model on a CPU takes some ten
    )
    """Milliseconds that a question's vector may take; when it comes later, recall orders by words
    alone."""

    find_local_models: bool = True
    """Whether to look, at the start, for model servers on this machine (llama.cpp on port 8080,
    vLLM on 8000, Ollama on 11434) when no `llm_endpoint` is set."""

    hedge_local_models: bool = False
    """Whether to ask a model on this machine or its network a second time when an answer is
    unusually late. At most one call in twenty is made twice."""

    cassette_mode: Literal["off", "record", "replay", "replay-or-fail"] = "off"
    """Whether to write down what models say and to play it back: off, record, replay (what is
    written down; the rest is asked and recorded) or replay-or-fail (nobody is asked)."""

    cassette_path: LocalPath | None = Field(None, examples=["cassette.jsonl"])
    """File of the recordings. By default cassette.jsonl in `data_dir`."""

    task_deadline_s: Seconds = 60.0
    """Seconds that a task may take before it answers with what it has."""

    synthesis: bool = True
    """Whether a model writes out in prose what several families decided, for one call more. Prose
    that says something else than what was decided is thrown away."""

    mechanisms_off: Annotated[tuple[Mechanism, ...], BeforeValidator(_split)] = Field(
        ("tunnelling",), examples=["tunnelling,annealing"]
    )
    """Mechanisms of the reasoning to leave out, of annealing, superposition, interference,
    tunnelling, entanglement and decoherence. Tunnelling is out unless you say otherwise: it was
    worth nothing where that was measured. docs/evidence.md has what each was worth."""

    half_life_days: Annotated[float, Field(gt=0, le=36_500)] = 90.0
    """Days after which a memory that nobody has verified counts half as much in recall."""

    idle_calls_per_day: Annotated[int, BeforeValidator(_number), Field(ge=0, le=1_000)] = (
        0  # calls may cost money, and nobody has measured yet what idle ones are worth
    )
    """Model calls a day that this spore may make when nobody asks anything: to think about what is
    new, to summarise memories of one subject, to review old answers. Tasks always go first, and
    half of a known daily quota is left to them. 0 switches all of it off; 12 is a fair start, and
    more than 60 are never used."""

    memory_mb: Annotated[int, BeforeValidator(_number), Field(ge=288, le=1_000_000)] | None = Field(
        None, examples=[384]
    )
    """Megabytes that this spore may take, a local model aside. By default a fifth of what the
    machine or the container has, 288 to 384: a million memories fit. For more of them half of the
    index may stay at hand too, within another such fifth; once this is set, nothing goes beyond."""

    sync_interval_s: Seconds = 5.0
    """Seconds between two comparisons of memory with a peer."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important message to log: debug, info, warning or error."""

    log_format: Literal["console", "json"] = "console"
    """How to write the log: console, for people, or json, for machines."""

    _sources: Mapping[str, str] = {}
    _provider_keys: Mapping[str, SecretStr] = {}

    @property
    def provider_keys(self) -> Mapping[str, SecretStr]:
        """The vendors' keys found in the environment, by name of provider."""
        return self._provider_keys

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the spore."""
        return self.host == "localhost" or _is_loopback(self.host)

    @property
    def dial_url(self) -> str | None:
        """The address at which others can dial the spore, or None if there is none."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        local = f"http://{host}:{self.port}" if self.loopback else None
        return (self.public_url or local) if self.dialable else None

    def source_of(self, name: str) -> str:
        """Who set this: "default", "config.yaml:/path", "env SYNAPSE_PORT" or "flag --port".

        A vendor's key is asked for as `provider_keys.groq`.
        """
        return self._sources.get(name, "default")

    @model_validator(mode="after")
    def _remember(self, info: ValidationInfo) -> Self:
        surroundings = _surroundings(info)
        looked_up = {name: surroundings.key(usual) for name, usual in PROVIDER_KEYS.items()}
        found = {name: key for name, key in looked_up.items() if key}
        self._provider_keys = {name: key.secret for name, key in found.items()}
        self._sources = {
            **surroundings.sources,
            **{f"provider_keys.{name}": f"env {key.variable}" for name, key in found.items()},
        }
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
