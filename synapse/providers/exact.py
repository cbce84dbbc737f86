"""Exact tools as a provider: a member that answers what it can compute, and abstains elsewhere."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from synapse.core.effects import ModelRequest
from synapse.core.errors import ProviderError
from synapse.core.reasoning import tools
from synapse.ports import ModelReply

EXACT: Final = "exact"  # the name of its target
CONFIDENCE: Final = 0.99  # a proof, less the chance of a fault in this code; no source


class Exact:
    """Needs no key, no network and no memory. Each tool is a family of its own."""

    async def complete(self, target: str, request: ModelRequest, *, timeout_ms: int) -> ModelReply:
        """Compute the answer, as JSON: answer, claims, cites and confidence.

        Raises ProviderError: `refused` when no tool understands the whole question, `slow` when
        the time is over before the work; a tool's own limits end the thread's work soon after.
        """
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                found = await asyncio.to_thread(tools.solve, request.question)
        except TimeoutError:
            raise ProviderError("slow", f"not done within {timeout_ms} ms") from None
        if found is None:
            raise ProviderError("refused", "no exact tool understands the whole question")
        reply = {
            "answer": found.answer,
            "claims": [{"text": found.explanation, "cites": []}],
            "cites": [],
            "confidence": CONFIDENCE,
        }
        return ModelReply(
            text=json.dumps(reply, ensure_ascii=False),
            model=f"exact-{found.tool}",
            family=f"tool:{found.tool}",
        )

    async def close(self) -> None:
        """Nothing to let go of."""
