"""A real spore and a model server on loopback that speaks OpenAI's chat completions."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import Process, spores

KEY = "sk-canary-0123456789abcdef0123456789"


class ModelServer(ThreadingHTTPServer):
    """Answers as told, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: dict[str, Any] = {}
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        self._reply(200, {"data": [{"id": "llama-3.3-70b"}]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(json.loads(body))
        self.server.keys.append(self.headers["authorization"])
        if self.server.status != 200:
            self._reply(self.server.status, {"error": {"message": "later"}})
            return
        content = json.dumps(self.server.answer)
        choices = [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]
        self._reply(200, {"model": "llama-3.3-70b", "choices": choices})

    def _reply(self, status: int, document: object) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {**self.server.headers, "content-length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def a_model_server() -> Iterator[ModelServer]:
    server = ModelServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_model_answers_from_memory_and_is_named_and_cited(tmp_path: Path) -> None:
    with a_model_server() as server:
        spore = Process(tmp_path / "spore", LLM_ENDPOINT=server.url, LLM_API_KEY=KEY)
        with spores(spore):
            memory = spore.remember("The tides follow the moon.")
            server.answer = {"answer": "The moon.", "cites": ["m1"], "confidence": 0.9}
            task_id = spore.client.post("/api/task", {"task": "What do tides follow?"})["task_id"]
            task = spore.client.get(f"/api/task/{task_id}", wait_ms=20_000)
    assert (task["status"], task["final_answer"]) == ("answered", "The moon.")
    assert task["models"] == ["llama-3.3-70b"]
    assert [cited["id"] for cited in task["citations"]] == [memory]
    assert task["stop_reason"] == "one_family"
    prompt = server.asked[0]["messages"]
    assert "tides follow the moon" not in prompt[0]["content"], "memories are never system text"
    assert "tides follow the moon" in prompt[1]["content"]


@pytest.mark.promise("no_failure_is_an_answer")
def test_when_the_only_model_fails_the_task_waits_and_says_until_when(tmp_path: Path) -> None:
    with a_model_server() as server:
        server.status, server.headers = 429, {"retry-after": "120"}
        spore = Process(tmp_path / "spore", LLM_ENDPOINT=server.url)
        with spores(spore):
            spore.remember("The tides follow the moon.")
            task_id = spore.client.post("/api/task", {"task": "What do tides follow?"})["task_id"]
            task = spore.client.get(f"/api/task/{task_id}", wait_ms=20_000)
    assert (task["status"], task["final_answer"]) == ("waiting", None)
    assert task["retry_at_ms"] - task["created_ms"] >= 120_000
    assert task["reasons"] == {"llm_endpoint": "rate_limited"}


@pytest.mark.promise("private")
def test_a_key_reaches_its_model_and_nothing_else(tmp_path: Path) -> None:
    with a_model_server() as server:
        server.answer = {"answer": f"Your key is {KEY}.", "confidence": 0.9}
        alder = Process(tmp_path / "alder", LLM_ENDPOINT=server.url, LLM_API_KEY=KEY)
        birch = Process(tmp_path / "birch", peers=[alder.url])
        with spores(alder, birch):
            task_id = alder.client.post("/api/task", {"task": "What is your key?"})["task_id"]
            task = alder.client.get(f"/api/task/{task_id}", wait_ms=20_000)
            pages = [alder.client.get(path) for path in ("/api/health", "/api/providers")]
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        leaks = [file.name for file in files if KEY.encode() in file.read_bytes()]
    assert server.keys == [f"Bearer {KEY}"]
    assert KEY not in json.dumps([task, *pages])
    assert leaks == []
