"""Which models a spore may ask, from its settings and the keys found in the environment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from synapse.config import Settings
from synapse.core.reasoning.model_routing import EXTRACTIVE, Target
from synapse.ports import Provider
from synapse.providers import catalogue
from synapse.providers.extractive import Extractive
from synapse.providers.openai_compatible import Endpoint, OpenAiCompatible

MODEL_TIMEOUT_S: Final = 30.0  # half a task's default deadline, which leaves time for another


def models(
    settings: Settings, now_ms: Callable[[], int]
) -> tuple[tuple[Target, ...], dict[str, Provider]]:
    """What may be asked, best first: what the operator listed, the endpoint named in the
    environment, then every service whose key was found. Without any, the extractor."""
    endpoints: dict[str, Endpoint] = {}
    timeouts: dict[str, float] = {}
    for number, entry in enumerate(settings.models, start=1):
        service = catalogue.row(entry.provider) if entry.provider is not None else None
        name = f"{entry.provider or 'model'}-{number}"
        endpoints[name] = Endpoint(
            base_url=service.base_url if service is not None else entry.base_url or "",
            model=entry.model or (service.model if service is not None else None),
            family=entry.family or (service.family if service is not None else None),
            api_key=entry.api_key,
            refuses=service.refuses if service is not None else frozenset(),
        )
        timeouts[name] = entry.timeout_s
    if settings.llm_endpoint is not None:
        endpoints["llm_endpoint"] = Endpoint(
            base_url=settings.llm_endpoint,
            model=settings.llm_model,
            api_key=settings.llm_api_key,
        )
    listed = {entry.provider for entry in settings.models}
    for name, key in settings.provider_keys.items():
        if name not in listed:
            service = catalogue.row(name)
            endpoints[name] = Endpoint(
                base_url=service.base_url,
                model=service.model,
                family=service.family,
                api_key=key,
                refuses=service.refuses,
            )
    if not endpoints:
        extract = Target(EXTRACTIVE, EXTRACTIVE, account=EXTRACTIVE, timeout_ms=10_000)
        return (extract,), {EXTRACTIVE: Extractive()}
    provider = OpenAiCompatible(endpoints, now_ms=now_ms)
    targets = tuple(
        Target(
            name,
            family=endpoint.family or catalogue.family_of(endpoint.model or name),
            account=_account(endpoint),
            timeout_ms=int(timeouts.get(name, MODEL_TIMEOUT_S) * 1_000),
        )
        for name, endpoint in endpoints.items()
    )
    return targets, {target.name: provider for target in targets}


def _account(endpoint: Endpoint) -> str:
    """What a vendor counts quota by: the service and the key, of which only a hash is kept."""
    key = endpoint.api_key.get_secret_value() if endpoint.api_key is not None else ""
    return f"{endpoint.base_url} {hashlib.sha256(key.encode()).hexdigest()[:8]}"
