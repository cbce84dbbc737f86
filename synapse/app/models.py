"""Which models a spore may ask: from its settings, the keys found in the environment, and the model
servers found on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from synapse.app import cortex
from synapse.config import Settings
from synapse.config.settings import ModelEntry
from synapse.core.errors import ProviderError
from synapse.core.reasoning.model_routing import EXACT, EXTRACTIVE, Target
from synapse.ports import Provider
from synapse.providers import catalogue, local
from synapse.providers.cassettes import Cassette, Identity
from synapse.providers.catalogue import NO_QUOTA, Quota, Row
from synapse.providers.endpoint import Endpoint
from synapse.providers.exact import Exact
from synapse.providers.extractive import Extractive
from synapse.providers.hedging import Hedged
from synapse.providers.local import LocalServer
from synapse.providers.local_llama import LocalLlama
from synapse.providers.openai_compatible import OpenAiCompatible

MODEL_TIMEOUT_S: Final = 30.0  # half a task's default deadline, which leaves time for another
CHECK_TIMEOUT_MS: Final = 10_000  # for a list of models; nobody waits for it
CASSETTE_FILE: Final = "cassette.jsonl"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Choice:
    """One model that may be asked, and all that is known of it."""

    name: str
    endpoint: Endpoint
    row: Row | None = None
    quota: Quota = NO_QUOTA
    timeout_s: float = MODEL_TIMEOUT_S
    account: str | None = None  # as the operator calls it

    def target(self) -> Target:
        """What the chain sees of it. Keys appear as hashes only."""
        endpoint = self.endpoint
        key = endpoint.secret or ""
        marked = f"{endpoint.base_url} {hashlib.sha256(key.encode()).hexdigest()[:8]}"
        account = f"{endpoint.base_url} {self.account}" if self.account else marked
        return Target(
            self.name,
            family=endpoint.family or catalogue.family_of(endpoint.model or self.name),
            account=account,
            timeout_ms=int(self.timeout_s * 1_000),
            trains=self.row is not None and self.row.trains,
            model=f"{endpoint.base_url} {endpoint.model or self.name}",
            key=marked,
            day_ends=self.row.day_ends if self.row is not None else "utc",
            shared_quota=self.quota.shared,
            limits=self.quota.limits(),
            concurrency=self.quota.concurrency,
        )


@dataclass(frozen=True, slots=True)
class Models:
    """Who may be asked, best first, and what can ask them."""

    targets: tuple[Target, ...]
    providers: Mapping[str, Provider]
    rows: Mapping[str, Row]  # of the targets that are in the catalogue
    checked: tuple[str, ...]  # targets whose endpoints may be asked for their models
    client: OpenAiCompatible | None  # of all that are asked over HTTP; its provider closes it
    metered: tuple[str, ...] = ()  # one target of each account that can be asked what is left
    cortex: LocalLlama | None = None  # the local model of the settings, usable or not
    notes: dict[str, str] = field(default_factory=dict)  # by target, what `check` found

    def stale(self, now_ms: int) -> dict[str, str]:
        """By target, a note on facts of the catalogue that are old enough to be wrong."""
        today = datetime.fromtimestamp(now_ms / 1_000, UTC).date()
        return {
            name: f"what we know of {row.name} was last checked on {row.checked}"
            for name, row in self.rows.items()
            if row.stale(today)
        }

    async def check(self, now_ms: int) -> dict[str, str]:
        """Ask each endpoint what it lists; log and note by target what is not as it should be.

        A model that is gone is not sent another call until it is listed again.
        """
        notes = self.notes
        notes |= self.stale(now_ms)
        for name, note in notes.items():
            _log.warning("catalogue_stale", target=name, note=note)
        for name in self.checked:
            problem = await self._problem(name)
            if problem is not None:
                notes[name] = problem
        return notes

    async def _problem(self, name: str) -> str | None:
        assert self.client is not None, "there is no target to check without one"
        try:
            listing = await self.client.check(name, timeout_ms=CHECK_TIMEOUT_MS)
        except ProviderError as error:
            _log.warning("model_check_failed", target=name, failure=error.failure, why=str(error))
            return f"{error.failure}: {error}"
        if listing == "unlisted":
            _log.info("model_not_listed", target=name)
            return "its endpoint does not list this model"
        return None


def find_local(settings: Settings) -> tuple[LocalServer, ...]:
    """The model servers on this machine, if settings let us look. Takes a second at most."""
    asked_for = settings.find_local_models and settings.llm_endpoint is None
    if not asked_for or settings.cassette_mode == "replay-or-fail":
        return ()
    return local.listening(but_not=(settings.port,))


def build(
    settings: Settings,
    now_ms: Callable[[], int],
    *,
    local_servers: Sequence[LocalServer] = (),
    secrets: Sequence[str] = (),
) -> Models:
    """What may be asked, best first: what the operator listed, the endpoint named in the
    environment, what was found on this machine, every service whose key was found, then the local
    model file. Without any, the extractor; and always the exact tools. `secrets` never reach a
    cassette. Raises ConfigError."""
    choices = (
        *_listed(settings),
        *_endpoint(settings),
        *_found(settings, local_servers),
        *_keyed(settings),
    )
    inside = cortex.local_model(settings)
    local_model = inside[1] if inside is not None else None
    more: list[tuple[Target, Provider]] = []
    if inside is not None and inside[1].status().load_error is None:
        more.append(inside)
    if not choices and not more:
        extract = Target(EXTRACTIVE, EXTRACTIVE, account=EXTRACTIVE, timeout_ms=10_000)
        more.append((extract, Extractive()))
    more.append((Target(EXACT, EXACT, account=EXACT, timeout_ms=10_000), Exact()))
    providers = {target.name: provider for target, provider in more}
    client = None
    if choices:
        client = OpenAiCompatible({one.name: one.endpoint for one in choices}, now_ms=now_ms)
        provider = _before(client, choices, settings, now_ms, secrets)
        providers |= {one.name: provider for one in choices}
    return Models(
        targets=(*(one.target() for one in choices), *(target for target, _ in more)),
        providers=providers,
        rows={one.name: one.row for one in choices if one.row is not None},
        checked=()
        if settings.cassette_mode == "replay-or-fail"
        else tuple(one.name for one in choices),
        metered=_metered(choices) if settings.cassette_mode != "replay-or-fail" else (),
        client=client,
        cortex=local_model,
    )


def _metered(choices: Sequence[_Choice]) -> tuple[str, ...]:
    """The first target of each account whose service tells what is left for all of them."""
    accounts: dict[str, str] = {}
    for one in choices:
        if one.endpoint.quota_path and one.quota.shared:
            accounts.setdefault(one.target().pool, one.name)
    return tuple(accounts.values())


def _before(
    client: OpenAiCompatible,
    choices: Sequence[_Choice],
    settings: Settings,
    now_ms: Callable[[], int],
    secrets: Sequence[str],
) -> Provider:
    """The client, and what the settings want to stand before it."""
    provider: Provider = client
    if settings.hedge_local_models:
        near = [one.name for one in choices if one.endpoint.local]
        provider = Hedged(provider, targets=near, now_ms=now_ms)
    if settings.cassette_mode == "off":
        return provider
    keys = [one.endpoint.secret for one in choices if one.endpoint.secret]
    return Cassette(
        provider,
        settings.cassette_path or settings.data_dir / CASSETTE_FILE,
        mode=settings.cassette_mode,
        identities={
            one.name: Identity(one.endpoint.model, one.endpoint.base_url) for one in choices
        },
        secrets=[*secrets, *keys],
    )


def _listed(settings: Settings) -> Iterator[_Choice]:
    for number, entry in enumerate(settings.models, start=1):
        row = catalogue.row(entry.provider) if entry.provider is not None else None
        model = entry.model or (row.model if row is not None else None)
        yield _Choice(
            f"{entry.provider or 'model'}-{number}",
            Endpoint(
                base_url=row.base_url if row is not None else entry.base_url or "",
                model=model,
                family=entry.family or _family(row, model),
                api_key=entry.api_key,
                refuses=row.refuses if row is not None else frozenset(),
                stream=entry.stream,
                windows_ms=row.windows_ms if row is not None else {},
                lists_all=row is not None and row.lists_all,
                quota_path=row.quota_path if row is not None else "",
            ),
            row,
            _planned(entry, row.quota(model) if row is not None else NO_QUOTA),
            entry.timeout_s,
            entry.account,
        )


def _endpoint(settings: Settings) -> Iterator[_Choice]:
    if settings.llm_endpoint is not None:
        endpoint = Endpoint(settings.llm_endpoint, settings.llm_model, api_key=settings.llm_api_key)
        yield _Choice("llm_endpoint", endpoint)


def _found(settings: Settings, servers: Sequence[LocalServer]) -> Iterator[_Choice]:
    listed = {entry.base_url for entry in settings.models}
    for server in servers:
        row = server.row
        if row.base_url not in listed:
            endpoint = Endpoint(row.base_url, server.model, api_key=settings.llm_api_key)
            yield _Choice(row.name, endpoint, row, row.quota(server.model))


def _keyed(settings: Settings) -> Iterator[_Choice]:
    listed = {entry.provider for entry in settings.models}
    for name, key in settings.provider_keys.items():
        if name not in listed:
            row = catalogue.row(name)
            endpoint = Endpoint(
                row.base_url,
                row.model,
                row.family,
                key,
                refuses=row.refuses,
                windows_ms=row.windows_ms,
                lists_all=row.lists_all,
                quota_path=row.quota_path,
            )
            yield _Choice(name, endpoint, row, row.quota(row.model))


def _family(row: Row | None, model: str | None) -> str | None:
    """The family the catalogue gives for a service's default model, and for no other."""
    return row.family if row is not None and row.model == model else None


def _planned(entry: ModelEntry, free: Quota) -> Quota:
    """What the operator's plan allows, and where they do not say, what the free one does."""
    return replace(
        free,
        minute=entry.requests_per_minute or free.minute,
        day=entry.requests_per_day or free.day,
        tokens_minute=entry.tokens_per_minute or free.tokens_minute,
        concurrency=entry.concurrency or free.concurrency,
    )
