"""The public seeds, read only when the operator chose to join. The file is data, never code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synapse.config.settings import PEERS_MAX, Settings, Url
from synapse.core.errors import ConfigError


class SeedList(BaseModel):
    """What `bootstrap.json` holds."""

    model_config = ConfigDict(extra="forbid")

    comment: str = ""
    version: Literal[1]
    seeds: Annotated[tuple[Url, ...], Field(max_length=PEERS_MAX)]


def seeds(settings: Settings) -> tuple[str, ...]:
    """Addresses of public spores to join; none unless `join` is true. Raises ConfigError."""
    if not settings.join:
        return ()
    if settings.bootstrap is None:
        raise ConfigError(
            f"join ({settings.source_of('join')}): there is no bootstrap.json beside spore.py. "
            "Name one with the setting `bootstrap`, or set join: false"
        )
    try:
        return SeedList.model_validate_json(settings.bootstrap.read_bytes()).seeds
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except ValidationError as error:
        problem = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'it'}: {fault['msg']}"
            for fault in error.errors()
        )
    raise ConfigError(
        f"bootstrap ({settings.bootstrap}): {problem}. "
        'Write {"version": 1, "seeds": ["https://…"]}, or set join: false'
    )
