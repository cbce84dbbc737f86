"""The table of services, and which family a model's name says it is of."""

from __future__ import annotations

from datetime import timedelta

import pytest

from synapse.config import PROVIDER_KEYS
from synapse.core.errors import ConfigError
from synapse.core.events import Limit
from synapse.core.reasoning.cooling import DAY_MS, MINUTE_MS
from synapse.providers.catalogue import (
    NO_QUOTA,
    SERVICES,
    STALE_DAYS,
    Quota,
    family_of,
    local_endpoints,
    row,
)
from synapse.providers.endpoint import Endpoint


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


def test_a_free_quota_is_that_of_the_model_and_a_paid_one_is_not_known():
    openrouter = row("openrouter")
    assert openrouter.quota("google/gemma-4-31b:free") == Quota(20, 50, shared=True)
    assert openrouter.quota("anthropic/claude-opus-5") is NO_QUOTA
    assert row("gemini").quota("gemini-3.1-flash-lite").day == 500
    assert row("gemini").quota("gemini-3.1-flash").day == 20
    assert row("groq").quota("llama-3.1-8b-instant").day == 14_400
    assert row("groq").quota("openai/gpt-oss-120b").day == 1_000
    assert row("openai").quota("gpt-5.4-mini") is NO_QUOTA
    assert row("vllm").quota(None) is NO_QUOTA


def test_every_default_model_of_a_free_service_has_a_quota():
    free = {"zai", "openrouter", "gemini", "groq", "cerebras", "mistral"}
    known = {one.name for one in SERVICES if one.quota(one.model) is not NO_QUOTA}
    assert known == free


def test_a_quota_is_counted_as_the_chain_counts():
    limits = row("cerebras").quota("gpt-oss-120b").limits()
    assert Limit("requests", MINUTE_MS, 30) in limits
    assert Limit("tokens", DAY_MS, 1_000_000) in limits
    assert NO_QUOTA.limits() == ()


def test_a_day_of_googles_ends_in_california():
    assert {one.name for one in SERVICES if one.day_ends == "pacific"} == {"gemini"}


def test_services_that_train_on_what_they_are_sent_are_marked():
    assert {one.name for one in SERVICES if one.trains} == {"gemini", "mistral"}


def test_facts_grow_stale():
    groq = row("groq")
    assert not groq.stale(groq.checked + timedelta(days=STALE_DAYS))
    assert groq.stale(groq.checked + timedelta(days=STALE_DAYS + 1))
