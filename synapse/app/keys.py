"""The secrets of a spore: files that only their owner may read, and what must never be shared."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from synapse.config import Settings
from synapse.core.errors import ConfigError
from synapse.core.memory.record import Identity

IDENTITY_FILE: Final = "identity.key"
API_KEY_FILE: Final = "api.key"


def _secret_file(path: Path, make: Callable[[], str]) -> tuple[str, bool]:
    """The secret kept in a file only its owner may read, and whether it was just made."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        text = path.read_text(encoding="ascii").strip()
        if not text:
            raise ConfigError(
                f"{path} is empty: put its backup back, or delete it to become a new spore"
            ) from None
        return text, False
    secret = make()
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    return secret, True


def identity(path: Path) -> Identity:
    """Who this spore is; made by the first start. Raises ConfigError for a file that is damaged."""
    text, _ = _secret_file(path, lambda: secrets.token_hex(32))
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise ConfigError(
            f"{path} does not hold 64 hexadecimal digits: put its backup back, or delete it to "
            "become a new spore"
        )
    return Identity(seed)


def api_key(settings: Settings, folder: Path) -> tuple[str | None, bool]:
    """The key writes must carry, and whether it is new. Loopback needs none."""
    if settings.api_key is not None:
        return settings.api_key.get_secret_value(), False
    if settings.loopback and not settings.allowed_hosts and settings.public_url is None:
        return None, False
    return _secret_file(folder / API_KEY_FILE, lambda: f"sp_{secrets.token_hex(24)}")


def secrets_of(settings: Settings, key: str | None) -> tuple[str, ...]:
    """Everything that must never be shared, whatever text it turns up in."""
    models = [entry.api_key for entry in settings.models]
    named = (settings.llm_api_key, settings.embedding_api_key)
    held = [*named, *models, *settings.provider_keys.values()]
    found = [one.get_secret_value() for one in held if one is not None]
    return tuple(one for one in dict.fromkeys((*found, key or "")) if len(one) >= 8)
