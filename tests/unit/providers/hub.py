"""An HTTP server on loopback with one model's file, and the ways in which a server can fail."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests import gguf

MODEL = gguf.container({"general.architecture": "llama", "pad": "x" * 3_000_000})
SHA256 = hashlib.sha256(MODEL).hexdigest()


class Hub:
    """Serves `body` under any path. What is set on it changes how; `asked` is what it was asked."""

    def __init__(self) -> None:
        self.body = MODEL
        self.tag: str | None = '"one"'
        self.breaks_after: int | None = None  # bytes of one response
        self.head_status = 200
        self.honours_ranges = True
        self.extra: dict[str, str] = {}  # headers of the first answer
        self.announced: int | None = None  # instead of the length
        self.redirects: dict[str, str] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.answer(self)

            def do_GET(self) -> None:
                hub.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.url = f"{self.address}/models/tiny-1b.gguf"

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        wanted = to.headers.get("range")
        self.asked.append((to.command, to.path, wanted))
        if to.path in self.redirects:
            self._head(to, 302, {"location": self.redirects[to.path], "content-length": "0"})
            return
        if to.command == "HEAD" and self.head_status != 200:
            self._head(to, self.head_status, {"content-length": "0"})
            return
        start = int(wanted[6:-1]) if wanted and self.honours_ranges else 0
        if to.headers.get("if-range", self.tag) != self.tag:
            start = 0
        body = self.body[start:]
        headers = {"content-length": str(self.announced or len(body))}
        if self.tag:
            headers["etag"] = self.tag
        if start:
            headers["content-range"] = f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"
        self._head(to, 206 if start else 200, headers)
        if to.command == "GET":
            with suppress(ConnectionError):  # when they only wanted the headers
                to.wfile.write(body[: self.breaks_after])
            to.close_connection = True

    def _head(self, to: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        to.send_response(status)
        for name, value in {**headers, **self.extra}.items():
            to.send_header(name, value)
        to.end_headers()

    def ranges(self) -> list[str | None]:
        return [wanted for command, _, wanted in self.asked if command == "GET"]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that serves until the block ends."""
    hub = Hub()
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()
    thread.join()
