"""The local model of a spore's settings, and fetching a file for it when its operator says so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from synapse.config import Settings
from synapse.core.reasoning.model_routing import Target
from synapse.providers import model_files
from synapse.providers.free_memory import free_memory_bytes
from synapse.providers.llama_engine import installed
from synapse.providers.local_llama import CALLS_MAX, LocalLlama, LocalLlamaStatus
from synapse.providers.model_files import Source
from synapse.replies import CortexStatus

__all__ = ["Report", "Source", "local_model", "report", "source", "status"]

TARGET: Final = "cortex"
FOLDER: Final = "models"  # in the data folder


@dataclass(frozen=True, slots=True)
class Report:
    """What this machine and these settings say of the local model. Nothing was loaded for it."""

    status: LocalLlamaStatus | None  # None: no model is set
    installed: bool
    memory_needed_bytes: int | None
    memory_free_bytes: int | None
    files: tuple[Path, ...]  # that were fetched


def local_model(settings: Settings) -> tuple[Target, LocalLlama] | None:
    """The target and the provider of the model that is set; None when none is. Loads nothing.

    Whether it can be asked says the provider's `status().load_error`.
    """
    if settings.cortex_model is None:
        return None
    provider = LocalLlama(
        settings.cortex_model,
        context_tokens=settings.cortex_context_tokens,
        threads=settings.cortex_threads,
    )
    target = Target(
        TARGET,
        family=provider.family,
        account=TARGET,
        timeout_ms=int(settings.cortex_timeout_s * 1_000),
        concurrency=CALLS_MAX,
    )
    return target, provider


def source(settings: Settings, url: str) -> AbstractContextManager[Source]:
    """Ask what is at `url`, to fetch it into the data folder. Raises ModelFileError."""
    return model_files.source(url, settings.data_dir / FOLDER)


def report(settings: Settings) -> Report:
    """Look at what is set and what is there."""
    found = local_model(settings)
    provider = found[1] if found else None
    folder = settings.data_dir / FOLDER
    return Report(
        status=provider.status() if provider else None,
        installed=installed(),
        memory_needed_bytes=provider.memory_needed_bytes if provider else None,
        memory_free_bytes=free_memory_bytes(),
        files=tuple(sorted(folder.glob("*.gguf"))) if folder.is_dir() else (),
    )


def status(provider: LocalLlama | None, trust: Callable[[str], float]) -> CortexStatus:
    """The local model, for the faces; `trust` is the chance that a family's answer is right."""
    if provider is None:
        return CortexStatus()
    told = provider.status()
    tokens = told.tokens_in + told.tokens_out
    return CortexStatus(
        enabled=True,
        loaded=told.loaded,
        load_error=told.load_error,
        file=Path(told.file).name,
        family=told.family or "",
        size_bytes=told.size_bytes or 0,
        sha256=told.sha256,
        load_seconds=told.load_seconds or 0.0,
        waiting=told.waiting,
        replies=told.replies,
        tokens_in=told.tokens_in,
        tokens_out=told.tokens_out,
        seconds=told.seconds,
        tokens_per_second=told.tokens_per_second or 0.0,
        total_calls=told.calls,
        total_tokens=tokens,
        trust_score=trust(told.family or ""),
        accuracy=trust(told.family or ""),
        tokens_per_call=tokens / told.calls if told.calls else 0.0,
    )
