"""Model servers on this machine: found where they answer as such, and nowhere else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from synapse.providers.catalogue import Row, local_endpoints
from synapse.providers.local import LIST_BYTES_MAX, listening
from tests.e2e.processes import free_port

OLLAMA = {"object": "list", "data": [{"id": "nomic-embed-text:latest"}, {"id": "qwen3:4b"}]}


@contextmanager
def serving(document: Any, *, status: int = 200, **headers: str) -> Iterator[int]:
    """A server on loopback that says one thing on every path; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status if self.path == "/v1/models" else 418)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def at(port: int) -> Row:
    """Ollama's row, at another port."""
    return replace(local_endpoints()[-1], base_url=f"http://127.0.0.1:{port}/v1")


def found(port: int, **arguments: Any) -> list[str]:
    return [server.model for server in listening(rows=[at(port)], timeout_s=5.0, **arguments)]


def test_a_model_server_is_found_with_the_first_model_that_can_talk():
    with serving(OLLAMA) as port:
        (server,) = listening(rows=[at(port)], timeout_s=5.0)
    assert (server.row.name, server.model) == ("ollama", "qwen3:4b")


def test_a_port_of_our_own_is_never_asked():
    with serving(OLLAMA) as port:
        assert found(port, but_not=[port]) == []
        assert found(port, but_not=[port + 1]) == ["qwen3:4b"]


def test_a_port_where_nobody_listens_is_no_server():
    assert found(free_port()) == []


@pytest.mark.parametrize(
    ("document", "status", "headers"),
    [
        (b"<html>It works!</html>", 200, {}),
        ({"data": []}, 200, {}),
        ({"data": [{"id": "nomic-embed-text"}]}, 200, {}),
        ({"data": "qwen3:4b"}, 200, {}),
        (["qwen3:4b"], 200, {}),
        (OLLAMA, 404, {}),
        (OLLAMA, 302, {"location": "http://192.0.2.1/v1/models"}),
        (OLLAMA, 200, {"content-encoding": "zstd"}),
        (b"[" * 50_000, 200, {}),
        (b" " * (LIST_BYTES_MAX + 1) + json.dumps(OLLAMA).encode(), 200, {}),
    ],
)
def test_whoever_answers_something_else_is_left_alone(document, status, headers):
    with serving(document, status=status, **headers) as port:
        assert found(port) == []


def test_only_loopback_is_looked_at():
    assert {row.base_url.rpartition(":")[0] for row in local_endpoints()} == {"http://127.0.0.1"}
