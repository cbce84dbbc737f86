"""What a spore says of itself: a signed record of kind `node`, the only thing gossiped about peers.

Nobody is believed about anybody else, alive or dead. The newest description of a writer counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from synapse.core.clock import Timestamp
from synapse.core.memory.record import NODE, Record
from synapse.core.messages import PROTOCOL
from synapse.core.text import Shareable, SharedText

NAME_CHARACTERS_MAX: Final = 64
URL_CHARACTERS_MAX: Final = 256
FAMILIES_MAX: Final = 32

_NEVER: Final = frozenset(" ?#\\")  # an address is put before a path, and read as it is written


@dataclass(frozen=True, slots=True)
class Description:
    """One spore's own words: its key, its name, where it can be dialled, what it can do."""

    key: bytes
    operator: bytes
    name: str
    url: str | None  # None: nobody can dial it; it polls
    protocol: int
    software: str
    families: tuple[str, ...]  # model families it can ask; empty when it has no model
    said_at: Timestamp

    @property
    def compatible(self) -> bool:
        """Whether we speak the same protocol."""
        return self.protocol == PROTOCOL


def content(
    *,
    name: SharedText,
    url: SharedText | None,
    software: SharedText,
    families: tuple[SharedText, ...],
) -> dict[str, Shareable]:
    """The body of our own description."""
    return {
        "name": name,
        "url": url,
        "protocol": PROTOCOL,
        "software": software,
        "families": families,
    }


def description(record: Record) -> Description | None:
    """Read a description; None when it is not one, or nonsense."""
    fields = record.content()
    name, url, protocol = fields.get("name"), fields.get("url"), fields.get("protocol")
    if record.kind != NODE or not isinstance(name, str) or type(protocol) is not int:
        return None
    families = fields.get("families")
    software = fields.get("software")
    return Description(
        key=record.header.writer,
        operator=record.header.operator,
        name=name[:NAME_CHARACTERS_MAX],
        url=url if isinstance(url, str) and url_valid(url) else None,
        protocol=protocol,
        software=software[:NAME_CHARACTERS_MAX] if isinstance(software, str) else "",
        families=tuple(
            family[:NAME_CHARACTERS_MAX]
            for family in (families if isinstance(families, list) else [])[:FAMILIES_MAX]
            if isinstance(family, str)
        ),
        said_at=record.header.hlc,
    )


def url_valid(url: str) -> bool:
    """Whether this has the form of a spore's address. Where it leads is the transport's concern."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        len(url) <= URL_CHARACTERS_MAX
        and parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and parts.username is None
        and url.isascii()
        and url.isprintable()
        and not _NEVER.intersection(url)
        and port != 0
    )
