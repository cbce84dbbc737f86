"""A client of one spore's REST API, for the command line: plain JSON in, plain JSON out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx

from synapse.core.errors import PeerError

TIMEOUT_S: Final = 90.0  # an answer may take a task's whole deadline


class SporeClient:
    """Asks the spore at `url`; `key` is sent with every request when there is one."""

    def __init__(self, url: str, *, key: str | None = None) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=self._url, headers=headers, timeout=TIMEOUT_S, trust_env=False
        )

    def get(self, path: str, **query: object) -> Any:
        """The JSON at `path`. Raises PeerError with what the spore said was wrong."""
        given = {name: str(value) for name, value in query.items() if value is not None}
        return self._json("GET", path, params=given)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send JSON, get JSON. Raises PeerError."""
        return self._json("POST", path, json=body)

    def events(self, *, after: int | None = None) -> Iterator[tuple[str, str]]:
        """What happens at the spore, as (topic, JSON text), until it goes. Raises PeerError."""
        headers = {"last-event-id": str(after)} if after is not None else {}
        topic = ""
        try:
            with self._client.stream(
                "GET", "/api/events", headers=headers, timeout=None
            ) as response:
                for line in response.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "event":
                        topic = value
                    elif name == "data":
                        yield topic, value
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _json(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = self._client.request(method, path, **options)
            document = response.json()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        except ValueError:
            raise PeerError("not_a_spore", f"{self._url} does not answer with JSON") from None
        if response.is_error:
            detail = document.get("detail") or document.get("title") or response.reason_phrase
            raise PeerError(f"status_{response.status_code}", str(detail))
        return document

    def _unreachable(self, error: httpx.HTTPError) -> PeerError:
        return PeerError(
            "unreachable",
            f"no spore answers at {self._url} ({error}): start one with `synapse serve`, or name "
            "another with --url",
        )
