"""Spores for the tests of the web face."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.spores import Spore, running_spore

KEY = "sp_" + "5" * 48


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def spore() -> AsyncIterator[Spore]:
    """On loopback, without a key."""
    async with running_spore() as running:
        yield running


@pytest.fixture
async def keyed() -> AsyncIterator[Spore]:
    """With a key, and a public name."""
    async with running_spore(api_key=KEY, hosts=["spore.example.org"]) as running:
        yield running
