"""A peer that has a thousand new records a second: it pushes them to one spore as a spore does.

    python -m benchmarks.spore.pusher URL --seconds 60 --rate 1000

Everything is signed before it says `ready` on standard output; it begins when a line comes in.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from typing import Final

from benchmarks.filling import signed
from benchmarks.retrieval.corpus import Corpus
from synapse.core.errors import PeerError
from synapse.core.memory.record import Identity, Record
from synapse.core.messages import Message, Push
from synapse.driver.queues import MessageQueue
from synapse.transport.guard import Reach
from synapse.transport.http import HttpTransport

FIRST: Final = 50_000_000  # of the corpus: none that was filled
BACK_OFF_S: Final = 1.0
GIVE_UP_S: Final = 30.0  # after the last record was due


def main(arguments: list[str]) -> None:
    """Push, then print what became of it as one JSON object."""
    parser = argparse.ArgumentParser(prog="benchmarks.spore.pusher")
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=1_000)
    wanted = parser.parse_args(arguments)
    count = int(wanted.seconds * wanted.rate)
    now_ms = int(time.time() * 1_000)
    identity = Identity(now_ms.to_bytes(32, "big"))  # another operator each time
    texts = Corpus().texts(count, first=FIRST)
    waiting = deque(signed(texts, [identity], start_ms=now_ms - count))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(push(wanted.url, identity, waiting, wanted.rate))), flush=True)


async def push(
    url: str, identity: Identity, waiting: deque[Record], rate: int
) -> dict[str, float | int]:
    """One exchange after another with all that is due, as the driver of a spore does it."""
    transport = HttpTransport(identity, reach=Reach.LOOPBACK)
    key = (await transport.introduce(url, trusted=True)).header.writer
    began, count, taken, refusals = time.monotonic(), len(waiting), 0, 0
    exchanges_ms: list[float] = []
    queue = MessageQueue()
    messages: list[Message] = []
    while taken < count:
        elapsed = time.monotonic() - began
        if elapsed > count / rate + GIVE_UP_S:
            break
        due = min(count, int(elapsed * rate)) - (count - len(waiting))
        while due > 0 and queue.put(Push((waiting[0],))):
            waiting.popleft()
            due -= 1
        messages = messages or queue.take()
        if not messages:
            await asyncio.sleep(1 / rate)
            continue
        before = time.monotonic()
        try:
            await transport.exchange(key, url, messages)
        except PeerError:
            refusals += 1
            await asyncio.sleep(BACK_OFF_S)
            continue
        exchanges_ms.append((time.monotonic() - before) * 1_000)
        taken += sum(len(one.records) for one in messages if isinstance(one, Push))
        messages = []
    took_s = time.monotonic() - began
    await transport.close()
    return {
        "offered_per_s": rate,
        "accepted_per_s": round(taken / took_s, 1),
        "pushed": taken,
        "exchanges": len(exchanges_ms),
        "exchange_max_ms": round(max(exchanges_ms, default=0.0), 1),
        "busy": refusals,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
