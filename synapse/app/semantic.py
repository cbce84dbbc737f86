"""What reorders recall by meaning, as the settings say: nothing unless they name an endpoint."""

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
from synapse.providers.embeddings import EmbeddingEndpoint
from synapse.providers.endpoint import Endpoint
from synapse.retrieval.semantic.column import Column

FOLDER: Final = "semantic"  # in the data folder
CALLS_FILE: Final = "calls.json"


def embedder(
    settings: Settings, node: Node, log: RecordLog, wall: Wall, now_ms: Callable[[], int]
) -> Embedder | None:
    """The embedder of these settings, None when they name no endpoint; nothing is done yet.

    Raises ConfigError.
    """
    if settings.embedding_endpoint is None and settings.embedding_model is None:
        return None
    if settings.embedding_endpoint is None or settings.embedding_model is None:
        raise ConfigError(
            "embedding_endpoint and embedding_model go together: vectors compare with those of the "
            "same model only, so name both or neither"
        )
    source = EmbeddingEndpoint(
        Endpoint(
            settings.embedding_endpoint,
            settings.embedding_model,
            api_key=settings.embedding_api_key,
        ),
        dimensions=settings.embedding_dimensions,
        now_ms=now_ms,
    )
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
