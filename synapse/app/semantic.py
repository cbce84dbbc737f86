"""What reorders recall by meaning, as the settings say: nothing unless they name a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from synapse.config import Settings
from synapse.core.errors import ConfigError
from synapse.core.node import Node
from synapse.core.wall.release import Wall
from synapse.driver.allowance import Allowance
from synapse.driver.embedder import Embedder
from synapse.ports import RecordLog
from synapse.providers.embeddings import EmbeddingEndpoint, Embeddings
from synapse.providers.endpoint import Endpoint
from synapse.providers.gguf import ModelFileError
from synapse.providers.local_embeddings import LocalEmbeddings
from synapse.retrieval.semantic.column import Column

FOLDER: Final = "semantic"  # in the data folder
CALLS_FILE: Final = "calls.json"


def embedder(
    settings: Settings, node: Node, log: RecordLog, wall: Wall, now_ms: Callable[[], int]
) -> Embedder | None:
    """The embedder of these settings, None when they name no model; nothing is done yet.

    Raises ConfigError.
    """
    source = _source(settings, now_ms)
    if source is None:
        return None
    folder = settings.data_dir / FOLDER
    column = Column(folder, model=source.model, dimensions=source.dimensions)
    return Embedder(
        source,
        column,
        log,
        Allowance(folder / CALLS_FILE, calls_per_day=settings.embedding_calls_per_day),
        clock=now_ms,
        busy=lambda: len(node.thinking.deliberations) > 0,
        deadline_ms=settings.embedding_deadline_ms,
        withheld=lambda text: wall.credential_in(text) is not None,
    )


def _source(settings: Settings, now_ms: Callable[[], int]) -> Embeddings | None:
    """The model that the settings name, behind an endpoint or in a file. Raises ConfigError."""
    endpoint, model, file = (
        settings.embedding_endpoint,
        settings.embedding_model,
        settings.embedding_file,
    )
    if file is not None:
        if endpoint is not None or model is not None or settings.embedding_dimensions is not None:
            raise ConfigError(
                "embedding_file is a model by itself: leave out embedding_endpoint, "
                "embedding_model and embedding_dimensions, or the file"
            )
        try:
            return LocalEmbeddings(file)
        except ModelFileError as error:
            raise ConfigError(f"embedding_file: {error}") from None
    if endpoint is None and model is None:
        return None
    if endpoint is None or model is None:
        raise ConfigError(
            "embedding_endpoint and embedding_model go together: vectors compare with those of the "
            "same model only, so name both or neither"
        )
    return EmbeddingEndpoint(
        Endpoint(endpoint, model, api_key=settings.embedding_api_key),
        dimensions=settings.embedding_dimensions,
        now_ms=now_ms,
    )
