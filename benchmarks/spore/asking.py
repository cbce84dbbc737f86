"""What a client sees of a spore: milliseconds of requests, one after another, on one connection."""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

REST_LOOK_S: Final = 2.0
REST_SHARE: Final = 0.1  # of one processor
REST_WITHIN_S: Final = 600.0  # ten million memories are merged in it


class Asker:
    """One connection that is kept open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)

    def recall(self, question: str) -> float:
        """Milliseconds until ten memories are here."""
        return self.get(f"/api/recall?{urlencode({'q': question, 'k': 10})}")

    def live(self) -> float:
        """Milliseconds of the cheapest request there is: what the event loop keeps waiting."""
        return self.get("/live")

    def get(self, path: str) -> float:
        """Milliseconds until the whole of a reply is here."""
        began = time.perf_counter()
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        body = response.read()
        took = time.perf_counter() - began
        assert response.status == 200, f"{path}: {response.status} {body[:200]!r}"
        return took * 1_000

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


class Beat:
    """Asks at a steady rate in a thread of its own, until it is stopped. A reply that is late does
    not excuse the requests that were due meanwhile: each counts from when it was due."""

    def __init__(self, ask: Callable[[], float], *, every_s: float) -> None:
        self.took_ms: list[float] = []
        self._ask, self._every_s = ask, every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> list[float]:
        """Milliseconds of each request."""
        self._stopped.set()
        self._thread.join()
        return self.took_ms

    def _run(self) -> None:
        due = time.perf_counter()
        while not self._stopped.wait(max(0.0, due - time.perf_counter())):
            late_ms = max(0.0, time.perf_counter() - due) * 1_000
            self.took_ms.append(late_ms + self._ask())
            due += self._every_s


def recalled(asker: Asker, questions: Sequence[str], count: int) -> list[float]:
    """Milliseconds of so many recalls, as fast as one client asks."""
    return [asker.recall(question) for question in islice(cycle(questions), count)]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent are below."""
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def memory_mb(pid: int) -> dict[str, float]:
    """Memory of a running process: all that is resident, and of it what is not a file's. From
    /proc; nothing where there is none (macOS)."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return {}
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return {
        "rss_mb": round(int(lines["VmRSS"].split()[0]) / 1_024, 1),
        "anonymous_mb": round(int(lines["RssAnon"].split()[0]) / 1_024, 1),
    }


def cpu_s(pid: int) -> dict[str, float]:
    """CPU seconds that a running process has used, in all its threads; nothing without /proc."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return {}
    fields = stat.read_text().rpartition(") ")[2].split()
    return {"cpu_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")}


def at_rest(pid: int) -> None:
    """Wait until a spore has nothing of its own to do: after a start its index is looked after."""
    until = time.monotonic() + REST_WITHIN_S
    while time.monotonic() < until:
        before = cpu_s(pid)
        time.sleep(REST_LOOK_S)
        used = [after - before[name] for name, after in cpu_s(pid).items()]
        if sum(used) < REST_SHARE * REST_LOOK_S:
            return
