"""The table of services, and which family a model's name says it is of."""

from __future__ import annotations

import pytest

from synapse.config import PROVIDER_KEYS
from synapse.core.errors import ConfigError
from synapse.providers.catalogue import SERVICES, family_of, local_endpoints, row
from synapse.providers.openai_compatible import Endpoint


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("llama-3.3-70b", "llama"),
        ("meta-llama/Llama-3.3-70B-Instruct:free", "llama"),
        ("Meta-Llama-3.1-8B-Instruct", "llama"),
        ("llama3.2:1b", "llama"),
        ("gpt-oss-120b", "gpt-oss"),
        ("openai/gpt-oss-20b:free", "gpt-oss"),
        ("gpt-5.4-mini", "gpt"),
        ("o4-mini", "gpt"),
        ("qwen3", "qwen"),
        ("Qwen/Qwen3.6-27B", "qwen"),
        ("/models/qwen2.5-0.5b.gguf", "qwen"),
        ("C:\\models\\phi-4.gguf", "phi"),
        ("models/gemini-3.1-flash-lite", "gemini"),
        ("gemma-4-31b", "gemma"),
        ("nvidia/nemotron-3-nano-30b-a3b:free", "nemotron"),
        ("NVIDIA-Nemotron-3-Nano", "nemotron"),
        ("mistral-small-latest", "mistral"),
        ("codestral-2508", "mistral"),
        ("deepseek-r1", "deepseek"),
        ("hy3", "hy"),
        ("", "unknown"),
        ("123", "unknown"),
    ],
)
def test_a_family_is_read_off_the_name_of_a_model(model, family):
    assert family_of(model) == family


def test_every_declared_family_is_that_of_the_default_model():
    declared = [entry for entry in SERVICES if entry.family]
    assert declared
    assert all(entry.family == family_of(str(entry.model)) for entry in declared)


def test_every_row_is_an_endpoint_that_can_be_asked():
    for entry in (*SERVICES, *local_endpoints()):
        Endpoint(entry.base_url, entry.model, entry.family, refuses=entry.refuses)
        assert row(entry.name) is entry
        assert entry.key_names


def test_hosted_services_are_reached_over_tls_and_local_ones_on_loopback():
    assert all(entry.base_url.startswith("https://") for entry in SERVICES)
    assert all(entry.base_url.startswith("http://127.0.0.1:") for entry in local_endpoints())


def test_settings_look_for_keys_where_the_catalogue_says_they_are():
    assert {entry.name: entry.key_names for entry in SERVICES} == PROVIDER_KEYS


def test_an_unknown_service_is_refused_with_the_names_there_are():
    with pytest.raises(ConfigError, match="use one of zai, openrouter"):
        row("closedai")
