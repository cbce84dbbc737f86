"""A server on loopback that speaks OpenAI's chat completions and says what a script tells it to.

For demos, benchmarks and tests: models of known skill, without models. `answer` is handed the name
of the model and the task out of the prompt, and gives the answer, or None to fail with 503.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, Final

Answer = Callable[[str, str], str | None]
"""(model, task) -> answer."""

CONFIDENCE: Final = 0.7  # what every scripted model claims, right or wrong


class ScriptedServer(ThreadingHTTPServer):
    """Answers every model by the script, and counts what it was asked."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.asked: list[tuple[str, str]] = []  # (model, task) of every call, in order
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    """One connection: it stays open, as with a real server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: together they wait 40 ms else
    server: ScriptedServer

    def do_POST(self) -> None:
        """A chat completion."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        task = json.loads(asked["messages"][-1]["content"])["task"]
        self.server.asked.append((asked["model"], task))
        said = self.server.answer(asked["model"], task)
        if said is None:
            self._reply(503, {"error": {"message": "scripted to fail"}})
            return
        content = json.dumps({"answer": said, "confidence": CONFIDENCE})
        choice = {
            "message": {"role": "assistant", "content": content},
            "finish_reason": "stop",
        }
        usage = {"prompt_tokens": 200, "completion_tokens": 20}
        self._reply(200, {"model": asked["model"], "choices": [choice], "usage": usage})

    def do_GET(self) -> None:
        """The list of models: empty, which says nothing about any."""
        self._reply(404, {"error": {"message": "no list"}})

    def _reply(self, status: int, document: Mapping[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def scripted_server(answer: Answer) -> Iterator[ScriptedServer]:
    """A server that runs until the block ends."""
    server = ScriptedServer(answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def skilled(right: Mapping[str, str], skills: Mapping[str, float], *, seed: int = 0) -> Answer:
    """Models that know the `right` answer to a task, a number, as often as their skill says.

    Each makes up its mind about a task once, so that asking again changes nothing; wrong answers
    are near the right one, and two models sometimes make the same mistake.
    """

    def answer(model: str, task: str) -> str | None:
        if task not in right or model not in skills:
            return None
        rng = Random(f"{seed} {model} {task}")
        if rng.random() < skills[model]:
            return right[task]
        slips = (-10, -2, -1, 1, 2, 10)
        return str(int(right[task]) + rng.choice(slips))

    return answer
