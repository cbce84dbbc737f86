"""Exchanges within one process: for tests with many spores and no sockets.

Messages pass through the codec all the same, so what arrives has been signed, sent and verified.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from synapse.core import codec
from synapse.core.errors import MessageError, PeerError, SynapseError
from synapse.core.memory.record import Record
from synapse.core.messages import Message

Answer = Callable[[bytes, Sequence[Message]], Awaitable[list[Message]]]
Describe = Callable[[], Record | None]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Whoever answers at an address."""

    key: bytes
    answer: Answer
    describe: Describe


@dataclass(slots=True)
class Neighbourhood:
    """Addresses and who answers there. Take an entry out and nobody does."""

    endpoints: dict[str, Endpoint] = field(default_factory=dict)

    def endpoint(self, url: str) -> Endpoint:
        """Who answers at `url`. Raises PeerError."""
        found = self.endpoints.get(url)
        if found is None:
            raise PeerError("unreachable", f"nobody answers at {url}")
        return found


class InProcessTransport:
    """One spore's way to its neighbours."""

    def __init__(self, neighbourhood: Neighbourhood, *, own_key: bytes) -> None:
        self._neighbourhood = neighbourhood
        self._own_key = own_key

    async def introduce(self, url: str, *, trusted: bool) -> Record:
        """The self-description of whoever answers at `url`. Raises PeerError."""
        record = self._neighbourhood.endpoint(url).describe()
        if record is None:
            raise PeerError("status_503", f"{url} is starting")
        return codec.decode_record(codec.encode_record(record))

    async def exchange(self, peer: bytes, url: str, messages: Sequence[Message]) -> list[Message]:
        """Give messages to a peer and take its own. Raises PeerError."""
        endpoint = self._neighbourhood.endpoint(url)
        if endpoint.key != peer:
            raise PeerError("stranger", f"another spore answers at {url} now")
        try:
            received = codec.decode(codec.encode(messages))
            return codec.decode(codec.encode(await endpoint.answer(self._own_key, received)))
        except MessageError as error:
            raise PeerError("malformed", str(error)) from None
        except SynapseError as error:
            raise PeerError("refused", str(error)) from None

    async def close(self) -> None:
        """There is nothing to let go of."""
