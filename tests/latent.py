"""Vectors without a language model, and a server on loopback that gives them out: latent semantics
(TF-IDF and a truncated SVD of scikit-learn), for tests of what reorders by meaning."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

DIMENSIONS = 6
# Physicians and doctors keep the same company here, and so do cars and automobiles.
READING = (
    "a doctor treats a patient in the hospital",
    "the physician treats her patient at the clinic",
    "the doctor and the nurse work at the clinic with a patient",
    "a physician and a nurse were at the hospital with the patient",
    "medicine is what a doctor gives and a physician gives",
    "the car has an engine, wheels and petrol for the road",
    "an automobile has wheels, an engine and needs petrol on the road",
    "the minister spoke of the budget to the parliament",
    "parliament voted on the budget of the minister",
    "the appointment of the minister by the parliament was announced",
    "soup of carrots, onions and salt cooks for an hour",
    "onions, carrots and salt make a soup",
)


class Latent:
    """A model fitted to what it reads."""

    def __init__(self, reading: Sequence[str] = READING, dimensions: int = DIMENSIONS) -> None:
        self._words = TfidfVectorizer(sublinear_tf=True, stop_words="english")
        rows = self._words.fit_transform(reading)
        self._axes = TruncatedSVD(dimensions, random_state=0).fit(rows)

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Of any length; a text of unknown words alone points somewhere too."""
        rows = self._axes.transform(self._words.transform(texts))
        rows[~rows.any(axis=1)] = 1e-3
        return rows


def reply(vectors: Any) -> dict[str, Any]:
    """The body of a successful reply."""
    rows = [list(map(float, vector)) for vector in vectors]
    return {"data": [{"index": nth, "embedding": row} for nth, row in enumerate(rows)]}


class Server:
    """An `/embeddings` endpoint. What `answers` says is its reply: a body, or a status and one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[list[str]] = []  # the texts of each call
        self.bodies: list[dict[str, Any]] = []
        self.open = threading.Event()  # while it is shut, nobody is answered
        self.open.set()
        self.model = Latent()
        self.answers: Callable[[list[str]], Any] = lambda texts: reply(self.model.vectors(texts))

    @property
    def texts(self) -> list[str]:
        """Everything that it was ever sent, in order."""
        return [text for texts in self.asked for text in texts]


@contextmanager
def serving() -> Iterator[Server]:
    """A server, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.bodies.append(body)
            server.asked.append(body["input"])
            assert server.open.wait(20), "a test shut the server and left it so"
            said = server.answers(body["input"])
            status, document = said if isinstance(said, tuple) else (200, said)
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            try:
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:
                pass  # whoever asked has gone

        def log_message(self, *_: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{listening.server_address[1]}/v1")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.open.set()
        listening.shutdown()
        listening.server_close()
        thread.join()
