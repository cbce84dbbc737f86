"""Where a model is, and what is known of how that place speaks."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
from pydantic import SecretStr

from synapse.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is. `model` None: the first it lists. `family` None: read off the name.

    `refuses` names fields known not to be taken; those that are not known are learned. `stream`:
    ask for the reply piece by piece. `windows_ms`: what its nameless rate limits count over, by
    "requests" and "tokens". `lists_all`: a model that its `/models` does not list is gone.
    `quota_path`: where it says what is left of the account's day of free requests; empty: nowhere.
    """

    base_url: str
    model: str | None = None
    family: str | None = None
    api_key: SecretStr | None = None
    refuses: frozenset[str] = frozenset()
    stream: bool = False
    windows_ms: Mapping[str, int] = field(default_factory=dict)
    lists_all: bool = False
    quota_path: str = ""

    def __post_init__(self) -> None:
        """Refuse what would only fail later, in an error that might quote the key."""
        try:
            url = httpx.URL(self.base_url)
        except httpx.InvalidURL as error:
            raise ConfigError(f"base_url is no address: {error}") from None
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise ConfigError("base_url must be http(s)://host/path, with no user or password")
        if self.secret and not (self.secret.isascii() and self.secret.isprintable()):
            raise ConfigError("api_key holds characters no header can carry; is it two lines?")

    @property
    def secret(self) -> str | None:
        """The key in the clear."""
        return self.api_key.get_secret_value() if self.api_key else None

    @property
    def local(self) -> bool:
        """Whether it is on this machine or in its own network, where calls cost only time."""
        host = httpx.URL(self.base_url).host
        try:
            return ipaddress.ip_address(host).is_private
        except ValueError:
            return host == "localhost"
