"""Exchanges with peers over HTTP: signed, packed, bounded, and never redirected."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Final

import httpx

from synapse.core import codec
from synapse.core.errors import MessageError, PeerError, RecordError
from synapse.core.membership.handshake import url_valid
from synapse.core.memory.record import Identity, Record
from synapse.core.messages import Message, Poll
from synapse.transport.guard import GuardedTransport, Reach
from synapse.transport.packing import ENCODING, pack, unpack
from synapse.transport.signing import NONCE_BYTES, sign_request, verify_reply
from synapse.transport.traffic import Traffic

EXCHANGE_PATH: Final = "/gossip/exchange"
NODE_PATH: Final = "/gossip/node"
CONNECT_TIMEOUT_S: Final = 3.0
EXCHANGE_TIMEOUT_S: Final = 10.0  # a reply of 4 MiB at 4 Mbit/s
CONNECTIONS_MAX: Final = 64
NODE_BYTES_MAX: Final = 70_000  # one record


class HttpTransport:
    """Speaks the gossip protocol as the spore with this identity."""

    def __init__(self, identity: Identity, *, reach: Reach) -> None:
        """`reach` is what kind of address this spore has itself."""
        self._identity = identity
        self.traffic = Traffic()
        self._trusted: set[str] = set()  # addresses that the operator wrote
        timeout = httpx.Timeout(EXCHANGE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        limits = httpx.Limits(max_connections=CONNECTIONS_MAX)
        self._open = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)
        self._guarded = httpx.AsyncClient(
            timeout=timeout, transport=GuardedTransport(reach, connections_max=CONNECTIONS_MAX)
        )

    async def introduce(self, url: str, *, trusted: bool) -> Record:
        """Fetch the self-description of whoever answers at `url`. Raises PeerError."""
        if trusted:
            self._trusted.add(url)
        response, body = await self._request(
            "GET", url, NODE_PATH, b"", {}, bytes_max=NODE_BYTES_MAX, wait_s=0
        )
        if response.status_code != 200:
            raise _refused(response)
        try:
            return codec.decode_record(body)
        except RecordError as error:
            raise PeerError("not_a_spore", f"{url} does not describe itself: {error}") from None

    async def exchange(self, peer: bytes, url: str, messages: Sequence[Message]) -> list[Message]:
        """Give messages to a peer and take its own. Raises PeerError."""
        body, headers = pack(await asyncio.to_thread(codec.encode, messages))
        signed = sign_request(
            self._identity,
            method="POST",
            path=EXCHANGE_PATH,
            body=body,
            to=peer,
            now_s=int(time.time()),
            nonce=secrets.token_hex(NONCE_BYTES),
        )
        wait_ms = max((one.wait_ms for one in messages if isinstance(one, Poll)), default=0)
        response, reply = await self._request(
            "POST",
            url,
            EXCHANGE_PATH,
            body,
            headers | signed | {"accept-encoding": ENCODING},
            bytes_max=codec.EXCHANGE_BYTES_MAX,
            wait_s=wait_ms / 1_000,
        )
        if response.status_code != 200:
            raise _refused(response)
        verify_reply(
            response.headers,
            status=response.status_code,
            body=reply,
            request_signature=signed["signature"],
            peer=peer,
        )
        self.traffic.said(len(messages), len(body))
        encoding = response.headers.get("content-encoding", "")
        replies = await asyncio.to_thread(_read, reply, encoding)
        self.traffic.heard(len(replies), len(reply))
        return replies

    async def close(self) -> None:
        """Let go of connections."""
        await self._open.aclose()
        await self._guarded.aclose()

    async def _request(
        self,
        method: str,
        url: str,
        path: str,
        body: bytes,
        headers: dict[str, str],
        *,
        bytes_max: int,
        wait_s: float,
    ) -> tuple[httpx.Response, bytes]:
        """One request; the raw body of its reply, at most `bytes_max` of it."""
        if not url_valid(url):
            raise PeerError("unreachable", f"{url!r} is no address")
        client = self._open if url in self._trusted else self._guarded
        received = bytearray()
        try:
            async with (
                asyncio.timeout(EXCHANGE_TIMEOUT_S + wait_s),
                client.stream(
                    method,
                    url + path,
                    content=body,
                    headers=headers,
                    timeout=httpx.Timeout(EXCHANGE_TIMEOUT_S + wait_s, connect=CONNECT_TIMEOUT_S),
                ) as response,
            ):
                async for chunk in response.aiter_raw():
                    received += chunk
                    if len(received) > bytes_max:
                        raise PeerError("oversize", f"{url} sends more than {bytes_max} bytes")
        except TimeoutError:
            raise PeerError("slow", f"{url} did not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise PeerError("unreachable", f"{url} cannot be reached: {error}") from None
        return response, bytes(received)


def _read(data: bytes, encoding: str) -> list[Message]:
    try:
        return codec.decode(unpack(data, encoding, bytes_max=codec.EXCHANGE_BYTES_MAX))
    except MessageError as error:
        raise PeerError("malformed", str(error)) from None


def _refused(response: httpx.Response) -> PeerError:
    return PeerError(
        f"status_{response.status_code}", f"{response.url} answered {response.status_code}"
    )
