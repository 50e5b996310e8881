"""An HTTP server with the OpenAI embeddings protocol, in a thread of the test's process."""

from __future__ import annotations

import base64
import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import numpy.typing as npt

Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Reply:
    """What the server sends instead of vectors. `body` that is a string is sent as it is; None: nothing, a hang-up."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def failure(status: int, message: str = "not now", **headers: str) -> Reply:
    """A failure as OpenAI's service words it."""
    return Reply(status, {"error": {"message": message}}, {name.replace("_", "-"): it for name, it in headers.items()})


HANG_UP = Reply(0)


@dataclass
class EmbeddingService:
    """What the server does and what it saw.

    `replies` are given to the first requests, in order, instead of vectors; `alter` may change each right answer. At
    most `most_texts` are taken at once. `seen` holds the requests' bodies, `keys` what they were authorised by.
    """

    encode: Encode
    url: str = ""
    replies: list[Reply] = field(default_factory=list)
    alter: Callable[[dict[str, Any]], Any] = lambda answer: answer
    most_texts: int = 1_000
    seen: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str, asked: dict[str, Any], key: str | None) -> Reply:
        with self._lock:
            self.seen.append(asked)
            self.keys.append(key)
            if self.replies:
                return self.replies.pop(0)
            if path != "/v1/embeddings":
                return failure(404, f"no such path: {path}")
            texts = asked["input"]
            if len(texts) > self.most_texts:
                return failure(413, f"batch size {len(texts)} > maximum allowed batch size {self.most_texts}")
            vectors = 3 * self.encode(texts)  # not of unit norm, as some services send them
            rows = [
                {"object": "embedding", "index": index, "embedding": _written(vector, asked["encoding_format"])}
                for index, vector in enumerate(vectors)
            ]
            random.Random(len(self.seen)).shuffle(rows)
            tokens = sum(len(text.split()) for text in texts)
            return Reply(200, self.alter({"object": "list", "data": rows, "usage": {"total_tokens": tokens}}))


def _written(vector: npt.NDArray[np.float32], encoding: str) -> Any:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if encoding == "base64" else vector.tolist()


@contextmanager
def serving(encode: Encode) -> Iterator[EmbeddingService]:
    """The service, listening on a port of its own until the block ends."""
    service = EmbeddingService(encode)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = service.answer(self.path, asked, self.headers.get("Authorization"))
            if reply.status == 0:
                self.close_connection = True
                return
            body = reply.body.encode() if isinstance(reply.body, str) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the test reads `seen`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
