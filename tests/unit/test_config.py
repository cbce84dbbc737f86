"""Settings: who wins, what is refused, what is said about it, and what is never shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from synapse import config
from synapse.config.settings import variables_of
from synapse.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
CANARY = "sk-canary-4f1d"
NAMES = list(config.Settings.model_fields)


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    return tmp_path


def write(cwd: Path, text: str) -> Path:
    path = cwd / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(cwd: Path, *, flags=None, environ=None) -> str:
    with pytest.raises(ConfigError) as refused:
        config.load(flags, environ or {}, cwd)
    return str(refused.value)


# Layers


def test_without_anything_set_a_spore_listens_on_loopback_and_joins_nobody(cwd):
    settings = config.load({}, {}, cwd)
    assert (settings.host, settings.port) == ("127.0.0.1", 7860)
    assert (settings.peers, settings.join, settings.api_key, settings.models) == (
        (),
        False,
        None,
        (),
    )
    assert {settings.source_of(name) for name in NAMES} == {"default"}
    assert settings.data_dir.is_absolute() and settings.name
    assert config.seeds(settings) == ()


def test_each_layer_overrules_the_one_before_and_is_named_as_the_source(cwd):
    path = write(cwd, "port: 1001")
    layers = [
        ({}, {}, 1001, f"config.yaml:{path}"),
        ({}, {"PORT": "1002"}, 1002, "env PORT"),
        ({}, {"PORT": "1002", "SYNAPSE_PORT": "1003"}, 1003, "env SYNAPSE_PORT"),
        ({"port": 1004}, {"SYNAPSE_PORT": "1003"}, 1004, "flag --port"),
    ]
    for flags, environ, port, source in layers:
        settings = config.load(flags, environ, cwd)
        assert (settings.port, settings.source_of("port")) == (port, source)


def test_what_is_empty_counts_as_not_set(cwd):
    write(cwd, "host:\npeers: []\n")
    environ = {"SYNAPSE_PORT": " ", "LLM_API_KEY": "", "GROQ_API_KEY": "", "SPACE_HOST": ""}
    settings = config.load({"name": None, "peers": []}, environ, cwd)
    assert (settings.host, settings.port) == ("127.0.0.1", 7860)
    assert settings.llm_api_key is None and not settings.provider_keys


def test_a_flag_or_a_variable_names_another_file(cwd):
    path = cwd / "other.yaml"
    path.write_text("port: 1001")
    write(cwd, "port: 1002")
    for flags, environ in [({"config": "other.yaml"}, {}), ({}, {"SYNAPSE_CONFIG": str(path)})]:
        settings = config.load(flags, environ, cwd)
        assert (settings.port, settings.source_of("port")) == (1001, f"config.yaml:{path}")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("host", "::1", "::1"),
        ("port", "8000", 8000),
        ("data_dir", "/srv/spore", Path("/srv/spore")),
        ("name", " Küche 2 ", "Küche 2"),
        ("public_url", "https://Spore.example.org/", "https://spore.example.org"),
        ("peers", "http://a:1, https://b/x/", ("http://a:1", "https://b/x")),
        ("join", "true", True),
        ("bootstrap", "/seeds.json", Path("/seeds.json")),
        ("allowed_hosts", "a.example,b.example", ("a.example", "b.example")),
        ("llm_endpoint", "http://127.0.0.1:11434/v1/", "http://127.0.0.1:11434/v1"),
        ("llm_model", "qwen3:4b", "qwen3:4b"),
        ("task_deadline_s", "1.5", 1.5),
        ("sync_interval_s", "2", 2.0),
        ("log_level", "debug", "debug"),
        ("log_format", "json", "json"),
    ],
)
def test_a_setting_means_the_same_in_the_file_the_environment_and_a_flag(cwd, name, text, value):
    assert getattr(config.load({name: text}, {}, cwd), name) == value
    assert getattr(config.load({}, {variables_of(name)[0]: text}, cwd), name) == value
    write(cwd, f"{name}: {text}")
    assert getattr(config.load({}, {}, cwd), name) == value


def test_lists_are_written_as_lists_or_with_commas_or_by_repeating_the_flag(cwd):
    write(cwd, "peers: [http://a, 'http://b,http://c']")
    expected = ("http://a", "http://b", "http://c")
    assert config.load({}, {}, cwd).peers == expected
    assert config.load({"peers": ["http://a,http://b", "http://c"]}, {}, cwd).peers == expected


def test_relative_paths_start_at_the_working_directory_and_tilde_at_home(cwd):
    assert config.load({"data_dir": "here"}, {}, cwd).data_dir == cwd / "here"
    assert config.load({"data_dir": "~/here"}, {}, cwd).data_dir == Path.home() / "here"


@pytest.mark.parametrize(
    ("platform", "environ", "folder"),
    [
        ("linux", {}, Path.home() / ".local/share/synapse"),
        ("linux", {"XDG_DATA_HOME": "/xdg"}, Path("/xdg/synapse")),
        ("darwin", {}, Path.home() / "Library/Application Support/synapse"),
    ],
)
def test_data_is_kept_where_the_system_keeps_data(cwd, monkeypatch, platform, environ, folder):
    monkeypatch.setattr("sys.platform", platform)
    assert config.load({}, environ, cwd).data_dir == folder


def test_settings_cannot_be_changed(cwd):
    with pytest.raises(ValueError, match="frozen"):
        config.load({}, {}, cwd).port = 1


@pytest.mark.parametrize(
    ("flags", "url"),
    [
        ({}, "http://127.0.0.1:7860"),
        ({"host": "::1", "port": 1}, "http://[::1]:1"),
        ({"host": "localhost"}, "http://localhost:7860"),
        ({"host": "0.0.0.0"}, None),
        ({"host": "spore.lan"}, None),
        ({"host": "0.0.0.0", "public_url": "https://a.example"}, "https://a.example"),
    ],
)
def test_a_spore_knows_whether_others_can_dial_it(cwd, flags, url):
    assert config.load(flags, {}, cwd).dial_url == url


# Keys and models


def test_vendor_keys_are_found_under_the_vendors_own_names(cwd):
    environ = {"GOOGLE_AI_KEY": "g2\n", "OPENROUTER_KEY": "o", "HF_TOKEN": "h", "UNRELATED": "x"}
    settings = config.load({}, environ, cwd)
    found = {name: key.get_secret_value() for name, key in settings.provider_keys.items()}
    assert found == {"openrouter": "o", "gemini": "g2", "huggingface": "h"}
    assert settings.source_of("provider_keys.gemini") == "env GOOGLE_AI_KEY"


def test_a_model_takes_its_key_from_the_variable_it_names(cwd):
    write(
        cwd,
        "models:\n"
        "  - {provider: groq, model: llama, api_key_env: SECOND_KEY, timeout_s: 5}\n"
        "  - {provider: groq}\n"
        "  - {base_url: http://127.0.0.1:8080/v1, family: qwen}\n",
    )
    environ = {"GROQ_API_KEY": "first", "SECOND_KEY": "second"}
    named, usual, local = config.load({}, environ, cwd).models
    assert named.api_key.get_secret_value() == "second" and named.timeout_s == 5
    assert usual.api_key.get_secret_value() == "first" and usual.model is None
    assert local.api_key is None and local.family == "qwen"


def test_models_can_be_given_as_json_in_the_environment(cwd):
    environ = {"SYNAPSE_MODELS": '[{"base_url": "http://a/v1", "model": "m"}]'}
    settings = config.load({}, environ, cwd)
    assert settings.models[0].model == "m"
    assert settings.source_of("models") == "env SYNAPSE_MODELS"


def test_names_that_hosting_platforms_announce_are_allowed_hosts(cwd):
    path = write(cwd, "allowed_hosts: own.example")
    environ = {"SPACE_HOST": "me-spore.hf.space", "FLY_APP_NAME": "spore"}
    settings = config.load({}, environ, cwd)
    assert settings.allowed_hosts == ("own.example", "me-spore.hf.space", "spore.fly.dev")
    source = f"config.yaml:{path} + env SPACE_HOST + env FLY_APP_NAME"
    assert settings.source_of("allowed_hosts") == source


def test_variables_that_kubernetes_adds_for_a_service_are_not_settings(cwd):
    environ = {
        "SYNAPSE_PORT": "tcp://10.0.0.1:7860",
        "SYNAPSE_SERVICE_HOST": "10.0.0.1",
        "SYNAPSE_SERVICE_PORT_HTTP": "7860",
        "SYNAPSE_0_PORT_7860_TCP_ADDR": "10.0.0.1",
    }
    assert config.load({}, environ, cwd).port == 7860


# Refusals: each names the key, the place and the fix

IN_THE_FILE = [
    ("port: 99999", ["port", "line 1", "65535", "port: 7860"]),
    ("port: true", ["port", "must be a number"]),
    ("\nhost: ''", ["host", "line 2", "host: 127.0.0.1"]),
    ("host: http://127.0.0.1", ["host", "no scheme"]),
    ("host: 127.0.0.1:80", ["host", "no port"]),
    ("data_dir: ''", ["data_dir", "empty"]),
    ("name: ' '", ["name", "printable"]),
    ("name: 5", ["name", "valid string", "name: kitchen"]),
    ("public_url: ftp://a", ["public_url", "https://"]),
    ("public_url: http://a:port", ["public_url", "https://"]),
    ("public_url: http://a:0", ["public_url", "https://"]),
    ("public_url: http://", ["public_url", "https://"]),
    ("public_url: http://a b", ["public_url", "https://"]),
    ("peers:\n  - http://a\n  - nonsense", ["peers[1]", "line 3", "https://"]),
    ("peers: {a: b}", ["peers", "list"]),
    (f"peers: [{', '.join(['http://a'] * 257)}]", ["peers", "256"]),
    ("allowed_hosts: https://a", ["allowed_hosts[0]", "host name"]),
    ("join: perhaps", ["join", "boolean", "join: false"]),
    ("api_key: two words", ["api_key", "one word"]),
    ("task_deadline_s: -1", ["task_deadline_s", "greater than 0"]),
    ("task_deadline_s: .nan", ["task_deadline_s", "greater than 0"]),
    ("sync_interval_s: 0", ["sync_interval_s", "greater than 0"]),
    ("sync_interval_s: 1e9", ["sync_interval_s", "86400"]),
    ("log_level: loud", ["log_level", "'warning'"]),
    ("llm_endpoint: http://a/v1/chat/completions", ["llm_endpoint", "leave out"]),
    ("embedding_endpoint: http://a/v1/embeddings", ["embedding_endpoint", "leave out"]),
    ("embedding_dimensions: 5000", ["embedding_dimensions", "4096"]),
    ("embedding_deadline_ms: 0", ["embedding_deadline_ms", "greater"]),
    ("prot: 1", ["prot", "line 1", "Did you mean port?", "remove it"]),
    ("prot:", ["prot", "Did you mean port?"]),
    ("config: other.yaml", ["config", "no such setting"]),
    ("provider_keys: {groq: x}", ["provider_keys", "no such setting"]),
    ("models: groq", ["models", "list", "config.template.yaml"]),
    ("models: [groq]", ["models[0]", "a provider or a base_url"]),
    ("models: [{model: m}]", ["models[0]", "either provider or base_url"]),
    ("models: [{provider: groq, base_url: http://a}]", ["models[0]", "not both"]),
    ("models: [{provider: grok}]", ["models[0]", "must be one of", "groq"]),
    ("models: [{provider: groq}]", ["models[0]", "set GROQ_API_KEY"]),
    ("models: [{base_url: http://a, api_key_env: UNSET}]", ["models[0]", "set UNSET"]),
    ("models:\n  - base_url: http://a\n    timeot: 1", ["models[0].timeot", "line 3", "timeout_s"]),
    ("port: 1\nport: 2", ["line 2", 'duplicate key "port"', "Keep one"]),
    ("models:\n\t- a", ["line 2", "spaces, not tabs"]),
    ("- port", ["config.yaml", "not a mapping"]),
    ("port: [", ["config.yaml", "line 1"]),
    ("a: 1\n---\nb: 2", ["config.yaml", "another document"]),
    ("join: 2026-99-99", ["config.yaml", "not YAML"]),
    ("port: \x00", ["config.yaml", "not YAML"]),
    ("#" * 70_000, ["config.yaml", "longer than 65536"]),
]


@pytest.mark.parametrize(("text", "expected"), IN_THE_FILE, ids=lambda case: str(case)[:40])
def test_the_file_is_refused_with_key_place_and_fix(cwd, text, expected):
    path = write(cwd, text)
    message = refusal(cwd)
    assert str(path) in message
    assert [part for part in expected if part not in message] == []


@pytest.mark.parametrize(
    ("flags", "environ", "expected"),
    [
        ({}, {"SYNAPSE_PORT": "x"}, ["port (env SYNAPSE_PORT)", "SYNAPSE_PORT=7860"]),
        ({}, {"PORT": "0"}, ["port (env PORT)", "PORT=7860"]),
        ({"port": 0}, {}, ["port (flag --port)", "--port 7860"]),
        ({"data_dir": ""}, {}, ["data_dir (flag --data-dir)", "--data-dir ~"]),
        ({}, {"SYNAPSE_PROT": "1"}, ["SYNAPSE_PROT (environment)", "mean SYNAPSE_PORT?"]),
        ({}, {"SYNAPSE_Port": "1"}, ["SYNAPSE_Port (environment)", "mean SYNAPSE_PORT?"]),
        ({"prot": 1}, {}, ["prot (flag --prot)", "mean port?"]),
        ({}, {"SYNAPSE_MODELS": "[{"}, ["env SYNAPSE_MODELS", "line 1"]),
        ({}, {"SPACE_HOST": "a b"}, ["allowed_hosts[0] (env SPACE_HOST)", "host name"]),
        ({"config": "gone.yaml"}, {}, ["gone.yaml", "No such file", "--config"]),
        ({"config": "."}, {}, ["cannot be read", "directory", "SYNAPSE_CONFIG"]),
    ],
)
def test_variables_and_flags_are_refused_with_key_place_and_fix(cwd, flags, environ, expected):
    message = refusal(cwd, flags=flags, environ=environ)
    assert [part for part in expected if part not in message] == []


def test_every_fault_is_reported_at_once(cwd):
    write(cwd, "prot: 1\njoin: perhaps")
    assert len(refusal(cwd, environ={"SYNAPSE_PORT": "x"}).splitlines()) == 3


@pytest.mark.parametrize(
    "text",
    [
        f"api_key: [{CANARY}]",
        f"api_key: '{CANARY} '",
        f"api_key: !{CANARY}",
        f"api_key: *{CANARY}",
        f"api_key: '{CANARY}",
        f"api_key: '{CANARY}' '{CANARY}'",
        f"api_key: a\napi_key: {CANARY}",
        f"public_url: https://me:{CANARY}@a.example",
        f"public_url: https://a.example?key={CANARY}",
        f"public_url: https://a.example:{CANARY}",
        f"models: [{{base_url: 'http://a', api_key_env: {CANARY}}}]",
        f"models: [{{base_url: 'http://a', api_key: {CANARY}}}]",
        f"llm_api_key: {{a: {CANARY}}}",
    ],
)
def test_no_error_repeats_a_secret(cwd, text):
    write(cwd, text)
    assert CANARY not in refusal(cwd)


# What people read


def test_secrets_are_never_shown(cwd):
    write(cwd, f"api_key: {CANARY}\nmodels: [{{provider: groq}}]")
    environ = {"LLM_API_KEY": CANARY, "GROQ_API_KEY": CANARY}
    settings = config.load({}, environ, cwd)
    rows = {row.name: row for row in config.describe(settings)}
    shown = [repr(settings), str(settings), settings.model_dump_json(), repr(rows)]
    assert [text for text in shown if CANARY in text] == []
    assert settings.api_key.get_secret_value() == CANARY
    for name in ("api_key", "llm_api_key", "provider_keys.groq"):
        assert rows[name].value == "set (hidden)"
    assert rows["provider_keys.groq"].source == "env GROQ_API_KEY"
    assert rows["models"].value == "groq"


def test_describe_has_a_row_for_every_setting_with_its_help(cwd):
    rows = config.describe(config.load({"peers": "http://a,http://b"}, {}, cwd))
    assert [row.name for row in rows] == NAMES
    assert all(row.help.endswith(".") and row.source for row in rows)
    shown = {row.name: row.value for row in rows}
    assert shown["peers"] == "http://a, http://b"
    assert (shown["join"], shown["task_deadline_s"], shown["public_url"]) == ("false", "60", "none")


def test_the_template_in_the_checkout_is_the_generated_one():
    written = (ROOT / "config.template.yaml").read_text(encoding="utf-8")
    assert written == config.template(), "run `make docs`"


def test_the_template_documents_every_setting_and_every_variable():
    template = config.template()
    variables = [variable for name in NAMES for variable in variables_of(name)]
    vendors = [variable for names in config.PROVIDER_KEYS.values() for variable in names]
    expected = [*(f"\n#{name}:" for name in NAMES), *variables, *vendors]
    assert [text for text in expected if text not in template] == []
    assert max(map(len, template.splitlines())) <= 100


def test_the_template_as_it_is_changes_nothing_and_uncommented_it_is_valid(cwd):
    path = write(cwd, config.template())
    assert config.load({}, {}, cwd) == config.load({}, {}, cwd / "elsewhere")
    path.write_text(re.sub(r"(?m)^#(?=\S|  )", "", config.template()))
    settings = config.load({}, {"GROQ_API_KEY": "key"}, cwd)
    assert [name for name in NAMES if not settings.source_of(name).startswith("config")] == []
    assert [model.model for model in settings.models] == ["llama-3.3-70b-versatile", "qwen3:4b"]


# The public seeds


def test_seeds_are_read_only_by_those_who_join(cwd):
    path = cwd / "seeds.json"
    path.write_text('{"version": 1, "seeds": ["https://a.example/"]}')
    assert config.seeds(config.load({"bootstrap": path}, {}, cwd)) == ()
    joined = config.load({"bootstrap": path, "join": True}, {}, cwd)
    assert config.seeds(joined) == ("https://a.example",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "cannot be read"),
        ("{", "Invalid JSON"),
        ('{"version": 2, "seeds": []}', "version"),
        ('{"version": 1, "seeds": ["a"]}', "seeds.0"),
        ('{"version": 1, "sedes": []}', "sedes"),
    ],
)
def test_a_bad_seed_file_is_refused_with_its_name_and_the_fix(cwd, text, expected):
    path = cwd / "seeds.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        config.seeds(config.load({"bootstrap": path, "join": True}, {}, cwd))
    message = str(refused.value)
    assert str(path) in message and expected in message and "join: false" in message


def test_joining_without_a_seed_file_is_refused(cwd, monkeypatch):
    monkeypatch.setattr("synapse.config.layers.BOOTSTRAP_FILE", cwd / "none.json")
    settings = config.load({}, {"SYNAPSE_JOIN": "true"}, cwd)
    with pytest.raises(ConfigError, match="env SYNAPSE_JOIN"):
        config.seeds(settings)
