"""Model servers on this machine, found by knocking at the ports they use unless told otherwise.

Only loopback is asked, only the addresses of the catalogue, and never a port that the caller says
is taken by somebody else. Whoever answers `/models` with a list is a model server; whoever answers
anything else is left alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from synapse.providers.catalogue import Row, local_endpoints
from synapse.providers.openai_compatible import first_that_talks, names_in

TIMEOUT_S: Final = 0.5  # for each; loopback answers or refuses within a millisecond
LIST_BYTES_MAX: Final = 256 * 1024  # a machine has tens of models, each some hundred bytes


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that was found, and the first of its models that can be talked to."""

    row: Row
    model: str


def listening(
    *,
    but_not: Collection[int] = (),
    rows: Sequence[Row] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> tuple[LocalServer, ...]:
    """The model servers of this machine, in the catalogue's order. `but_not` are ports to avoid."""
    found = []
    with httpx.Client(trust_env=False, timeout=timeout_s, follow_redirects=False) as client:
        for row in local_endpoints() if rows is None else rows:
            if httpx.URL(row.base_url).port in but_not:
                continue
            model = first_that_talks(names_in(_models(client, row.base_url, timeout_s)))
            if model is not None:
                found.append(LocalServer(row, model))
    return tuple(found)


def _models(client: httpx.Client, base_url: str, timeout_s: float) -> dict[str, Any]:
    """What `/models` says there, empty when nobody answers in time or says what we can read."""
    until = time.monotonic() + timeout_s
    body = bytearray()
    try:
        with client.stream(
            "GET", f"{base_url}/models", headers={"accept-encoding": "identity"}
        ) as response:
            if not response.is_success or response.headers.get("content-encoding"):
                return {}
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > LIST_BYTES_MAX or time.monotonic() > until:
                    return {}
        document = json.loads(body)
    except (httpx.HTTPError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
