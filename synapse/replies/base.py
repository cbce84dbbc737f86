"""What all replies share."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

Scope = Literal["shared", "private"]
EXAMPLE_ID: Final = "9f2c4d1e8b7a6f50c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0"


class Reply(BaseModel):
    """Base of all replies."""

    model_config = ConfigDict(frozen=True)


class VectorClockView(Reply):
    """How far each writer's log is known without a gap."""

    type: Literal["vector_clock"] = "vector_clock"
    clocks: dict[str, int]
