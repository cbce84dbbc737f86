"""Which models a spore may ask, and how it knows them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest

from synapse import config
from synapse.app import cortex, models
from synapse.core.errors import ConfigError, ProviderError
from synapse.core.events import Limit
from synapse.core.reasoning.cooling import DAY_MS, MINUTE_MS
from synapse.core.reasoning.model_routing import EXACT
from synapse.providers.cassettes import Cassette
from synapse.providers.catalogue import row
from synapse.providers.extractive import Extractive
from synapse.providers.hedging import Hedged
from synapse.providers.local import LocalServer
from synapse.providers.local_llama import LocalLlama
from synapse.providers.openai_compatible import OpenAiCompatible
from tests import gguf
from tests.unit.providers.asking import KEY, NOW_MS, request
from tests.unit.providers.stand_in_llama import StandIn
from tests.unit.providers.test_local import OLLAMA, serving

LOCAL = "http://127.0.0.1:9/v1"


@pytest.fixture
def settings(tmp_path):
    """Settings from a few variables, with a data folder of their own."""

    def make(**environ):
        flags = {"data_dir": tmp_path, **environ.pop("flags", {})}
        return config.load(flags, environ, tmp_path)

    return make


def build(settings, **more):
    """What may be asked, without the exact tools, which every spore has."""
    built = models.build(settings, lambda: NOW_MS, **more)
    *targets, exact = built.targets
    assert exact.family == EXACT
    return replace(built, targets=tuple(targets))


def listing(*entries):
    """`models` as a variable holds it."""
    return {"SYNAPSE_MODELS": "[" + ", ".join("{" + entry + "}" for entry in entries) + "]"}


def test_without_a_model_memory_is_quoted(settings):
    built = build(settings())
    assert [one.name for one in built.targets] == ["extractive"]
    assert isinstance(built.providers["extractive"], Extractive)
    assert asyncio.run(built.check(NOW_MS)) == {}


def test_a_model_file_stands_last_and_replaces_the_extractor_once_it_can_be_loaded(
    settings, tmp_path, monkeypatch
):
    file = gguf.write(tmp_path / "tiny-1b.gguf")
    alone = settings(SYNAPSE_CORTEX_MODEL=str(file))
    assert [one.name for one in build(alone).targets] == ["extractive"]
    assert build(alone).cortex.status().load_error  # it is named, and says why

    library = StandIn(lambda _: iter(())).install()
    monkeypatch.setattr(cortex, "LocalLlama", partial(LocalLlama, library=library))
    assert [one.name for one in build(alone).targets] == ["cortex"]
    both = settings(SYNAPSE_CORTEX_MODEL=str(file), GROQ_API_KEY=KEY)
    assert [one.name for one in build(both).targets] == ["groq", "cortex"]


def test_a_found_key_brings_its_service_with_what_the_free_plan_allows(settings):
    (target,) = build(settings(GROQ_API_KEY=KEY)).targets
    assert (target.name, target.family, target.trains) == ("groq", "llama", False)
    assert Limit("requests", DAY_MS, 1_000) in target.limits
    assert Limit("requests", MINUTE_MS, 30) in target.limits
    assert target.shared_quota is False
    assert KEY not in str(target)


def test_a_service_that_trains_is_marked_and_its_day_ends_where_it_does(settings):
    (target,) = build(settings(GEMINI_API_KEY=KEY)).targets
    assert (target.trains, target.day_ends) == (True, "pacific")


def test_free_models_of_one_account_share_its_quota_and_a_paid_one_has_none(settings):
    free = 'provider: openrouter, model: "google/gemma-4-31b:free"'
    other = 'provider: openrouter, model: "qwen/qwen3-next-80b:free"'
    paid = "provider: openrouter, model: anthropic/claude-opus-5"
    chosen = settings(OPENROUTER_API_KEY=KEY, **listing(free, other, paid))
    one, two, three = build(chosen).targets
    assert one.shared_quota and two.shared_quota
    assert one.pool == two.pool != three.pool
    assert three.limits == ()


def test_the_plan_an_operator_writes_down_counts_and_the_rest_stays(settings):
    plan = "provider: groq, requests_per_day: 500000, tokens_per_minute: 300000, concurrency: 8"
    (target,) = build(settings(GROQ_API_KEY=KEY, **listing(plan))).targets
    assert set(target.limits) == {
        Limit("requests", MINUTE_MS, 30),
        Limit("requests", DAY_MS, 500_000),
        Limit("tokens", MINUTE_MS, 300_000),
    }
    assert target.concurrency == 8


def test_two_keys_are_two_accounts_unless_the_operator_says_that_they_are_one(settings):
    def accounts(extra):
        entries = [f"provider: groq, api_key_env: {name}{extra}" for name in ("ONE", "TWO")]
        built = build(settings(ONE=f"{KEY}1", TWO=f"{KEY}2", **listing(*entries)))
        return [(target.account, target.key) for target in built.targets]

    (first, first_key), (second, second_key) = accounts("")
    assert first != second
    (first, _), (second, _) = accounts(", account: ana")
    assert first == second
    assert first_key != second_key


def test_another_model_of_a_service_has_its_own_family(settings):
    entry = "provider: mistral, model: magistral-medium"
    other = "provider: zai, model: qwen3-8b"
    chosen = settings(MISTRAL_API_KEY=KEY, ZAI_API_KEY=KEY, **listing(entry, other))
    assert [one.family for one in build(chosen).targets] == ["mistral", "qwen"]


@pytest.mark.parametrize("plan", ["stream: 7", "concurrency: 0", "requests_per_day: true"])
def test_an_impossible_plan_is_refused(settings, plan):
    with pytest.raises(ConfigError, match=plan.partition(":")[0]):
        settings(**listing(f'base_url: "{LOCAL}", {plan}'))


# Models on this machine.


def test_a_server_found_on_this_machine_becomes_a_target(settings):
    server = LocalServer(row("ollama"), "qwen3:4b")
    built = build(settings(GROQ_API_KEY=KEY), local_servers=[server])
    assert [(one.name, one.family) for one in built.targets] == [
        ("ollama", "qwen"),
        ("groq", "llama"),
    ]
    assert built.targets[0].concurrency == 1


def test_a_server_that_the_operator_listed_is_not_found_twice(settings):
    server = LocalServer(row("ollama"), "qwen3:4b")
    entry = f'base_url: "{row("ollama").base_url}", model: llama3.2'
    built = build(settings(**listing(entry)), local_servers=[server])
    assert [one.name for one in built.targets] == ["model-1"]


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, ["qwen3:4b"]),
        ({"SYNAPSE_FIND_LOCAL_MODELS": "false"}, []),
        ({"LLM_ENDPOINT": LOCAL}, []),
        ({"SYNAPSE_CASSETTE_MODE": "replay-or-fail"}, []),
    ],
)
def test_this_machine_is_looked_at_when_the_settings_let_us(
    settings, variables, found, monkeypatch
):
    looked = []

    def listening(*, but_not):
        looked.append(but_not)
        return (LocalServer(row("ollama"), "qwen3:4b"),)

    monkeypatch.setattr(models.local, "listening", listening)
    servers = models.find_local(settings(flags={"port": 11_434}, **variables))
    assert [one.model for one in servers] == found
    assert looked == ([(11_434,)] if found else []), "never at our own port"


# What stands before a model.


def test_calls_go_straight_to_the_model_unless_told_otherwise(settings):
    built = build(settings(LLM_ENDPOINT=LOCAL))
    assert isinstance(built.providers["llm_endpoint"], OpenAiCompatible)


def test_hedging_is_for_local_models_only(settings):
    chosen = settings(LLM_ENDPOINT=LOCAL, GROQ_API_KEY=KEY, SYNAPSE_HEDGE_LOCAL_MODELS="true")
    provider = build(chosen).providers["groq"]
    assert isinstance(provider, Hedged)
    assert provider.targets == ("llm_endpoint",)


def test_a_cassette_stands_before_everything_and_nobody_behind_it_is_checked(settings, tmp_path):
    (tmp_path / "cassette.jsonl").touch()
    chosen = settings(LLM_ENDPOINT=LOCAL, SYNAPSE_CASSETTE_MODE="replay-or-fail")
    built = build(chosen)
    provider = built.providers["llm_endpoint"]
    assert isinstance(provider, Cassette)
    with pytest.raises(ProviderError, match=r"is in cassette\.jsonl"):
        asyncio.run(provider.complete("llm_endpoint", request(), timeout_ms=1_000))
    assert asyncio.run(built.check(NOW_MS)) == {}


def test_a_recording_is_made_where_the_settings_say(settings, tmp_path):
    tape = tmp_path / "demo.jsonl"
    chosen = settings(
        LLM_ENDPOINT=LOCAL,
        LLM_MODEL="m",
        SYNAPSE_CASSETTE_MODE="record",
        SYNAPSE_CASSETTE_PATH=str(tape),
    )
    provider = build(chosen).providers["llm_endpoint"]
    with pytest.raises(ProviderError):
        asyncio.run(provider.complete("llm_endpoint", request(), timeout_ms=1_000))
    assert '"class":"unreachable"' in tape.read_text("utf-8")


# What is looked up at the start.


def test_facts_that_grew_stale_are_noted(settings):
    built = build(settings(GROQ_API_KEY=KEY, CEREBRAS_API_KEY=KEY))
    late = datetime(2026, 11, 20, tzinfo=UTC)
    assert built.stale(int(late.timestamp() * 1_000)) == {
        "groq": "what we know of groq was last checked on 2026-07-18"
    }


def test_what_an_endpoint_says_of_its_models_is_noted(settings):
    with serving(OLLAMA) as port:
        url = f"http://127.0.0.1:{port}/v1"
        entries = [f'base_url: "{url}", model: "{name}"' for name in ("qwen3:4b", "phi4")]
        entries.append(f'base_url: "{LOCAL}", model: gone')
        built = build(settings(**listing(*entries)))
        notes = asyncio.run(checked(built))
    assert sorted(notes) == ["model-2", "model-3"]
    assert notes["model-2"] == "its endpoint does not list this model"
    assert notes["model-3"].startswith("unreachable: ")


async def checked(built):
    notes = await built.check(NOW_MS)
    await built.client.close()
    return notes
