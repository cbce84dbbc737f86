"""Every error Synapse raises on purpose, as one tree.

    SynapseError
    |-- TextError            text that cannot be stored or shown (NUL, lone surrogate, too long)
    |-- RecordError          a record that is not valid; `reason` is counted in /api/health
    |-- MessageError         a peer's message that breaks the protocol or its limits
    |-- Refused              a request that is understood and will not be done; `reason` is a code
    |   |-- NotFound         there is no such record, task or peer
    |   `-- Busy             a queue or quota is full; `retry_after_ms` says when to come back
    |-- StorageError         the disk failed; nothing was acknowledged
    |   `-- StorageFull      the disk is full; intake stops until there is room
    |-- PeerError            a peer could not be reached, or did not answer as agreed
    |-- ProviderError        one call to one model failed; `failure` is its class
    |-- Unavailable          no model can serve now; `retry_at_ms` says when one may
    `-- ConfigError          a setting is unknown or impossible; names the key, the place, the fix

A message says what is wrong and what to do about it. Secrets are never part of one.
"""

from __future__ import annotations

from collections.abc import Mapping


class SynapseError(Exception):
    """Base of every error raised on purpose."""


class TextError(SynapseError):
    """Text that cannot be stored or shown."""


class RecordError(SynapseError):
    """A record that is not valid. `reason` is a short code, the same for the same fault."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MessageError(SynapseError):
    """A message that breaks the protocol or one of its limits; the sender is to blame."""


class Refused(SynapseError):
    """A request that is understood and will not be done. `reason` is a short code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotFound(Refused):
    """There is no such record, task or peer here."""

    def __init__(self, message: str) -> None:
        super().__init__("not_found", message)


class Busy(Refused):
    """A queue or quota is full. Try again after `retry_after_ms`."""

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__("busy", message)
        self.retry_after_ms = retry_after_ms


class StorageError(SynapseError):
    """The disk failed. What was being written has not been acknowledged."""


class StorageFull(StorageError):
    """The disk is full. Nothing stored is lost; intake resumes when there is room."""


class PeerError(SynapseError):
    """A peer could not be reached, or did not answer as agreed. `reason` is a short code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ProviderError(SynapseError):
    """One call to one model failed.

    `failure` is one of `model_routing.FAILURES`; `retry_after_ms` is what the provider asked for,
    or None when it did not say.
    """

    def __init__(self, failure: str, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.failure = failure
        self.retry_after_ms = retry_after_ms


class Unavailable(SynapseError):
    """No model can serve now. `reasons` maps each target to why; `retry_at_ms` is when one may."""

    def __init__(self, *, retry_at_ms: int, reasons: Mapping[str, str]) -> None:
        super().__init__(f"no model is available until {retry_at_ms} ms: {dict(reasons)}")
        self.retry_at_ms = retry_at_ms
        self.reasons = dict(reasons)


class ConfigError(SynapseError):
    """A setting is unknown or impossible. The message names the key, the place and the fix."""
