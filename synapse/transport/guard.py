"""Which addresses a stranger may make us connect to, checked where the connection is made.

A name is resolved once and the very address that was judged is dialled, so a name that resolves
to something harmless first and to the cloud's metadata service next gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import httpcore
import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214: bits 32 to 63 of an address that holds an IPv4 one
_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)
_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that is given out
# What the standard library, in one version or another, takes for public or private, and is neither.
_NOWHERE = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # special purposes; Oracle's metadata service
            "192.88.99.0/24",  # the 6to4 relay
            "168.63.129.16/32",  # Azure's metadata service
            "fd00:ec2::254/128",  # Amazon's
            "3fff::/20",  # documentation
        ),
    )
)


class Reach(StrEnum):
    """What a spore's own address is: a stranger may only send it to addresses of that kind."""

    LOOPBACK = "loopback"
    PRIVATE = "private"  # a home or company network
    PUBLIC = "public"


def reach_of(address: Address) -> Reach | None:
    """What kind of address this is; None for those nobody may send us to."""
    inner = _embedded(address)
    if inner is not None:
        return reach_of(inner)
    if address.is_loopback:
        return Reach.LOOPBACK
    if address.is_multicast or any(address in network for network in _NOWHERE):
        return None
    if any(address in network for network in _PRIVATE):
        return Reach.PRIVATE
    given_out = address.version == 4 or address in _UNICAST
    return Reach.PUBLIC if address.is_global and given_out else None


def allowed(address: Address, own: Reach) -> bool:
    """Whether a stranger may send a spore of reach `own` there."""
    kind = reach_of(address)
    return kind is own or (kind is Reach.PUBLIC and own is Reach.PRIVATE)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """An HTTP transport that refuses to connect to what `allowed` refuses."""

    def __init__(self, own: Reach, *, connections_max: int) -> None:
        super().__init__(trust_env=False)
        # httpx has no public way to give its pool a network backend; the version is pinned.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=connections_max,
            network_backend=_GuardedBackend(own),
        )


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, own: Reach) -> None:
        self._own = own
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the interface has it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # a name with a label of no or too many letters
            raise httpcore.ConnectError(f"{host} has no address: {error}") from error
        for *_, sockaddr in found:
            if allowed(ipaddress.ip_address(str(sockaddr[0]).split("%")[0]), self._own):
                return await self._backend.connect_tcp(
                    str(sockaddr[0]), port, timeout, local_address, socket_options
                )
        raise httpcore.ConnectError(f"{host} is not an address a stranger may send this spore to")

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


def _embedded(address: Address) -> Address | None:
    """The IPv4 address an IPv6 one stands for, whatever way it is wrapped."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    compatible = int(address) >> 32 == 0 and int(address) > 1
    if address in _NAT64 or compatible or int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
