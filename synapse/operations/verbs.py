"""What all verbs share: the driver they ask, the gate they pass, and how they name things."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from synapse.core.errors import NotFound
from synapse.core.wall.release import Wall
from synapse.driver.driver import Driver
from synapse.operations.gate import Gate
from synapse.operations.latency import Histogram
from synapse.operations.watch import Watch
from synapse.replies import CortexStatus
from synapse.transport.traffic import Traffic

PAGE_MAX: Final = 200


class Verbs:
    """The parts of one spore that its verbs use."""

    def __init__(
        self,
        driver: Driver,
        *,
        wall: Wall,
        model_notes: Mapping[str, str] | None = None,
        cortex: Callable[[], CortexStatus] = lambda: CortexStatus(),
        traffic: Traffic | None = None,
    ) -> None:
        """`model_notes` says by target what the start found; `cortex` how the local model is;
        `traffic` is counted by whoever speaks to peers."""
        self.driver = driver
        self._model_notes = model_notes if model_notes is not None else {}
        self._cortex = cortex
        self.news = driver.news
        self._node = driver.node
        self._gate = Gate(wall, owner=driver.node.key.hex(), clock=driver.clock)
        self._started_ms = driver.clock()
        self.watch = Watch(driver, traffic)
        self.latency: dict[str, Histogram] = {}  # by verb, of those that are timed

    def name_of(self, key: str) -> str:
        """What the spore with this key calls itself; empty when it has not said."""
        if key == self._node.key.hex():
            return self._node.settings.name
        peer = self._node.peers.get(bytes.fromhex(key)) if key else None
        return peer.said.name if peer is not None else ""


def id_of(text: str) -> bytes:
    """An id from its 64 hexadecimal digits. Anything else is the id of nothing."""
    try:
        wanted = bytes.fromhex(text)
    except ValueError:
        wanted = b""
    if len(wanted) != 32:
        raise NotFound("an id is 64 hexadecimal digits")
    return wanted
