"""Who may do what at the edge.

A spore has one key. Writes, and reads of private memories, need it; a spore without one listens
on loopback only (the composition root sees to that) and trusts the programs of its machine. Web
pages of other sites run on that machine too, in the user's browser, and are never trusted: DNS
rebinding is stopped by the Host header, cross-site requests by Origin and Sec-Fetch-Site.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers

from synapse.web.problems import Problem

_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?")
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="synapse"'}


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What the edge must know of a spore's settings."""

    api_key: str | None = None  # what writes must carry; None on loopback, where none is needed
    hosts: tuple[str, ...] = ()  # further names under which clients may call
    name: str = "synapse"  # what people call this spore
    url: str | None = None  # where clients reach it, when that is not the address they called


class Access:
    """Judges requests by their headers."""

    def __init__(self, settings: WebSettings) -> None:
        self._digest = _digest(settings.api_key) if settings.api_key is not None else None
        self._hosts = frozenset(host.lower() for host in settings.hosts)

    @property
    def key_needed(self) -> bool:
        """Whether writes need a key."""
        return self._digest is not None

    def key_valid(self, key: str) -> bool:
        """Whether this is the key, or none is needed. Takes the same time however it differs."""
        return self._digest is None or hmac.compare_digest(_digest(key), self._digest)

    def may_write(self, headers: Headers) -> bool:
        """Whether the sender may write, and read what is private."""
        if self._digest is None:
            return not self._foreign(headers)
        scheme, _, key = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.key_valid(key.strip())

    def check_write(self, headers: Headers) -> None:
        """Raise Problem (`key`, or `origin` where none is needed) unless the sender may write."""
        if not self.may_write(headers):
            raise Problem("key", headers=CHALLENGE) if self.key_needed else Problem("origin")

    def check_host(self, headers: Headers) -> None:
        """Raise Problem (`host`) unless the request is meant for us.

        An attack by DNS rebinding needs a name of the attacker's, so bare addresses pass.
        """
        name = _hostname(headers.get("host", ""))
        if not (name == "localhost" or name in self._hosts or _is_address(name)):
            raise Problem("host")

    def check_origin(self, headers: Headers) -> None:
        """Raise Problem (`origin`) when a page of another site makes this request."""
        if self._foreign(headers):
            raise Problem("origin")

    def _foreign(self, headers: Headers) -> bool:
        """Whether a page of another site makes this request. Programs send neither header."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        scheme, _, place = origin.lower().partition("://")
        ours = place == headers.get("host", "").lower() or place in self._hosts
        return not (scheme in ("http", "https") and ours)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _hostname(host: str) -> str:
    """The name in a Host header, lower case; empty when it is not one."""
    match = _HOST.fullmatch(host.lower())
    return (match[1] or match[2]).rstrip(".") if match is not None else ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
