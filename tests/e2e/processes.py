"""Real spores in processes of their own, on loopback, in folders of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synapse.core.errors import PeerError
from synapse.transport.client import SporeClient

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0  # a loaded machine of one core


class Process:
    """One spore: start it, kill it, start it again."""

    def __init__(
        self,
        folder: Path,
        *,
        peers: Sequence[str] = (),
        program: Path = ROOT / "spore.py",
        **environment: str,
    ) -> None:
        self.folder = folder
        self._program = program
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = SporeClient(self.url)
        self._peers = list(peers)
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, within_s: float = START_S) -> None:
        """Start it, and wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if not _ours(k)}
        environment |= {"SYNAPSE_FIND_LOCAL_MODELS": "false", **self._environment}
        command = [sys.executable, str(self._program), "--port", str(self.port)]
        command += ["--data-dir", str(self.folder), "--name", self.folder.name]
        if self._peers:
            command += ["--peers", ",".join(self._peers)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=self.folder
            )
        eventually(
            self._answers, seconds=within_s, why=f"{self.folder.name} starts; see {self.log}"
        )

    @property
    def log(self) -> Path:
        """Everything it printed."""
        return self.folder.with_suffix(".out")

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def health(self) -> dict[str, Any]:
        """What /api/health says."""
        health: dict[str, Any] = self.client.get("/api/health")
        return health

    def remember(self, text: str, **fields: object) -> str:
        """Store a memory; its id."""
        stored: str = self.client.post("/api/remember", {"text": text, **fields})["id"]
        return stored

    def holds(self, record_id: str) -> bool:
        """Whether the spore has this record."""
        try:
            self.client.get(f"/api/memory/{record_id}")
        except PeerError as error:
            if error.reason == "status_404":
                return False
            raise
        return True

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the spore stopped; see {self.log}"
        try:
            self.client.get("/ready")
        except PeerError:
            return False
        return True


@contextmanager
def spores(*processes: Process) -> Iterator[None]:
    """Start them, and stop whatever of them still runs at the end."""
    try:
        for process in processes:
            process.start()
        yield
    finally:
        for process in processes:
            if process.running:
                process.stop()
            process.client.close()


def eventually(holds: Callable[[], bool], *, seconds: float, why: str) -> float:
    """Wait until `holds`, at most so long; the seconds it took."""
    began = time.monotonic()
    while not holds():
        waited = time.monotonic() - began
        assert waited < seconds, f"not within {seconds} s: {why}"
        time.sleep(0.02)
    return time.monotonic() - began


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _ours(variable: str) -> bool:
    """Whether a variable of the developer's could change what a test sees."""
    return variable.startswith(("SYNAPSE_", "LLM_")) or variable.endswith(("_API_KEY", "_TOKEN"))
