"""Messages that wait to be sent: joined where they can be, bounded in bytes, dropped beyond.

Dropping is safe. What a queue cannot hold, the next comparison finds.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from synapse.core.codec import EXCHANGE_BYTES_MAX, sendable, size_bytes
from synapse.core.messages import Message, joined

QUEUE_BYTES_MAX: Final = EXCHANGE_BYTES_MAX  # a peer too slow for one exchange compares instead
MAILBOXES_BYTES_MAX: Final = 64 << 20


class MessageQueue:
    """Messages for one peer, oldest first."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> bool:
        """Add a message; False when there is no room for it."""
        if self.bytes + size_bytes(message) > QUEUE_BYTES_MAX:
            return False
        together = joined(self._messages[-1], message) if self._messages else None
        if together is not None:
            self._messages[-1] = together
        else:
            self._messages.append(message)
        self.bytes += size_bytes(message)
        return True

    def take(self) -> list[Message]:
        """Remove and return what one exchange may carry."""
        now, later = sendable(self._messages)
        self._messages = deque(later)
        self.bytes = sum(map(size_bytes, later))
        return now


class Mailboxes:
    """Queues for the peers that cannot be dialled, the most patient dropped first."""

    def __init__(self, *, bytes_max: int = MAILBOXES_BYTES_MAX) -> None:
        """`bytes_max` is for all of them together."""
        self._bytes_max = bytes_max
        self._queues: OrderedDict[bytes, MessageQueue] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def put(self, peer: bytes, message: Message) -> None:
        """Keep a message until the peer asks."""
        self._queues.setdefault(peer, MessageQueue()).put(message)
        self._queues.move_to_end(peer)
        while sum(queue.bytes for queue in self._queues.values()) > self._bytes_max:
            self._queues.popitem(last=False)

    def waiting(self, peer: bytes) -> bool:
        """Whether anything is kept for this peer."""
        return bool(self._queues.get(peer))

    def take(self, peer: bytes) -> list[Message]:
        """Remove and return what one reply may carry."""
        queue = self._queues.get(peer)
        if queue is None:
            return []
        messages = queue.take()
        if not queue:
            del self._queues[peer]
        return messages
