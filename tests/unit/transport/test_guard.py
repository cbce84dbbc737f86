"""Where a stranger may send this spore: judged by the address, at the moment of connecting."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from synapse.transport.guard import GuardedTransport, Reach, allowed, reach_of

LOOPBACK = [
    "127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254", "::1",
    "::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1",  # an IPv4 address, mapped and compatible
    "64:ff9b::127.0.0.1", "64:ff9b::7f00:1",  # NAT64
    "2002:7f00:1::", "2002:7f00:1::8",  # 6to4
    "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo of 127.0.0.1, which it holds inverted
    "2a00:1450::5efe:127.0.0.1", "2a00:1450::200:5efe:127.0.0.1",  # ISATAP
]  # fmt: skip
PRIVATE = [
    "10.0.0.1", "10.255.255.254", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.255.254",
    "fc00::1", "fd12:3456:789a::1",
    "::ffff:10.0.0.1", "::ffff:192.168.1.1", "64:ff9b::10.0.0.1", "2002:c0a8:101::1", "::10.0.0.1",
    "2a00:1450::5efe:10.0.0.1",
]  # fmt: skip
NOWHERE = [
    "0.0.0.0", "0.1.2.3", "::", "::2", "::ffff:0.0.0.0",  # this host, by another name
    "169.254.0.1", "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254",
    "2002:a9fe:a9fe::1", "fe80::1", "febf::1", "fe80::a9fe:a9fe",  # link-local: metadata services
    "100.64.0.1", "100.100.100.200", "100.127.255.254",  # carrier-grade NAT, Alibaba's metadata
    "192.0.0.1", "192.0.0.192", "168.63.129.16", "fd00:ec2::254",  # Oracle's, Azure's, Amazon's
    "192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1",  # for documentation
    "198.18.0.1", "198.19.255.254", "192.88.99.1",  # benchmarks, the 6to4 relay
    "224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1",  # multicast
    "240.0.0.1", "255.255.255.255", "4000::1", "5f00::1", "fec0::1",  # reserved, site-local
    "64:ff9b:1::7f00:1", "::ffff:0:127.0.0.1", "100::1", "2001:2::1", "2001:10::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "172.15.255.254", "172.32.0.1", "100.63.255.254", "192.167.1.1",
    "2606:4700:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip

OF = {Reach.LOOPBACK: LOOPBACK, Reach.PRIVATE: PRIVATE, None: NOWHERE, Reach.PUBLIC: PUBLIC}
CORPUS = [(address, reach) for reach, addresses in OF.items() for address in addresses]


def test_the_corpus_is_a_corpus() -> None:
    assert len({address for address, _ in CORPUS}) == len(CORPUS) >= 80


@pytest.mark.parametrize(("address", "reach"), CORPUS)
def test_an_address_is_of_one_kind_however_it_is_wrapped(address: str, reach: Reach | None) -> None:
    assert reach_of(ipaddress.ip_address(address)) is reach


@pytest.mark.parametrize(("address", "reach"), CORPUS)
def test_a_stranger_may_send_us_where_we_are_ourselves_and_no_nearer(
    address: str, reach: Reach | None
) -> None:
    found = ipaddress.ip_address(address)
    assert allowed(found, Reach.PUBLIC) is (reach is Reach.PUBLIC)
    assert allowed(found, Reach.PRIVATE) is (reach in (Reach.PRIVATE, Reach.PUBLIC))
    assert allowed(found, Reach.LOOPBACK) is (reach is Reach.LOOPBACK)


# Real connections


@asynccontextmanager
async def listener() -> AsyncIterator[tuple[int, list[object]]]:
    """A server on IPv4 loopback: its port, and whoever connected."""
    visitors: list[object] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visitors.append(writer.get_extra_info("peername"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], visitors


async def fetch(url: str, own: Reach) -> str:
    transport = GuardedTransport(own, connections_max=2)
    async with httpx.AsyncClient(transport=transport, timeout=5) as client:
        return (await client.get(url)).text


NAMES_OF_LOOPBACK = [
    "127.0.0.1", "localhost", "LOCALHOST", "127.1", "2130706433", "0x7f000001", "0x7f.1",
    "0.0.0.0", "[::ffff:127.0.0.1]", "[::]",
]  # fmt: skip


@pytest.mark.parametrize("own", [Reach.PUBLIC, Reach.PRIVATE])
@pytest.mark.parametrize("host", NAMES_OF_LOOPBACK)
def test_no_name_of_this_machine_is_connected_to(host: str, own: Reach) -> None:
    async def attempt() -> list[object]:
        async with listener() as (port, visitors):
            with pytest.raises(httpx.ConnectError):
                await fetch(f"http://{host}:{port}/", own)
            return visitors

    assert asyncio.run(attempt()) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_spore_on_loopback_reaches_its_neighbours_there(host: str) -> None:
    async def attempt() -> str:
        async with listener() as (port, _):
            return await fetch(f"http://{host}:{port}/", Reach.LOOPBACK)

    assert asyncio.run(attempt()) == "hi"


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
def test_a_name_that_can_have_no_address_is_a_failure_to_connect(host: str) -> None:
    with pytest.raises(httpx.ConnectError):
        asyncio.run(fetch(f"http://{host}/", Reach.PUBLIC))


def test_a_tls_connection_is_guarded_too() -> None:
    async def attempt() -> list[object]:
        async with listener() as (port, visitors):
            with pytest.raises(httpx.ConnectError):
                await fetch(f"https://localhost:{port}/", Reach.PUBLIC)
            return visitors

    assert asyncio.run(attempt()) == []
