"""An S3 server over real HTTP for tests: moto, behind one lock, with faults on request.

moto stands in for a real S3 here, as none can be installed from the package registries. It speaks the protocol well,
but it checks a write's condition and then writes without holding anything in between, so two racing writers can both
win. Real stores do not do that. One lock around every request that may write makes moto's conditional writes atomic;
it proves our side of the protocol, not a store's. Set SLIPWAY_TEST_S3_ENDPOINT (and AWS_* credentials) to run the
contract suite against a real store as well.
"""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing-key-id",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the next request of `method` ("*": any): `carried_out` or not, it is answered with `status`."""

    method: str
    status: str
    carried_out: bool


class LockedApp:
    """A WSGI application that lets one writing request in at a time and spoils the answers it was told to."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app
        self._lock = threading.Lock()
        self.faults: deque[Fault] = deque()
        self.requests: list[tuple[str, str, str | None]] = []
        """Every request as (method, path, If-Match)."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        self.requests.append((method, environ["PATH_INFO"], environ.get("HTTP_IF_MATCH")))
        if method in {"GET", "HEAD"}:
            return self._answer(environ, start_response)
        with self._lock:
            return list(self._answer(environ, start_response))

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not self.faults or self.faults[0].method not in {"*", environ["REQUEST_METHOD"]}:
            return self._app(environ, start_response)
        fault = self.faults.popleft()
        if fault.carried_out:
            list(self._app(environ, lambda *_: lambda _body: None))
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(fault.status, [("Content-Type", "application/xml")])
        return [b"<Error><Code>" + fault.status.split(" ", 1)[1].replace(" ", "").encode() + b"</Code></Error>"]


class S3Server:
    """A running server: `endpoint_url`, and what a test may do to it."""

    def __init__(self, endpoint_url: str, app: LockedApp) -> None:
        self.endpoint_url = endpoint_url
        self._app = app
        self._clients: dict[int, S3Client] = {}

    @property
    def requests(self) -> list[tuple[str, str, str | None]]:
        return self._app.requests

    def lose_replies(self, method: str, count: int = 1) -> None:
        """The next `count` requests of `method` are carried out and then answered as if they had failed."""
        self._app.faults.extend([Fault(method, "500 InternalError", carried_out=True)] * count)

    def lose_replies_as(self, method: str, status: str) -> None:
        """The next request of `method` is carried out and then answered with `status`, whatever it did."""
        self._app.faults.append(Fault(method, status, carried_out=True))

    def refuse(self, method: str, status: str, count: int = 1) -> None:
        """The next `count` requests of `method` are answered with `status` ("503 SlowDown") and not carried out."""
        self._app.faults.extend([Fault(method, status, carried_out=False)] * count)

    def heal(self) -> None:
        self._app.faults.clear()

    def client(self, attempts: int = 1) -> S3Client:
        """Slipway's own client for this server, shared: do not register events on it."""
        if attempts not in self._clients:
            self._clients[attempts] = make_test_client(self.endpoint_url, attempts)
        return self._clients[attempts]

    def new_bucket(self) -> str:
        name = f"test-{uuid.uuid4().hex}"
        self.client().create_bucket(Bucket=name)
        return name


def make_test_client(endpoint_url: str, attempts: int = 1) -> S3Client:
    """Slipway's client settings, with made-up credentials and few attempts (each retry waits up to seconds)."""
    from slipway.storage.s3_client import make_client

    with pytest.MonkeyPatch.context() as environment:
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        environment.delenv("AWS_SESSION_TOKEN", raising=False)
        environment.delenv("AWS_PROFILE", raising=False)
        return make_client(endpoint_url, attempts)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One server for the whole test session, on a free port of this machine; make a bucket of your own."""
    with running() as server:
        yield server


@contextmanager
def running(instead: Callable[[WsgiApp], WsgiApp] | None = None) -> Iterator[S3Server]:
    """A server on threads of this process, for a `with` block. `instead` wraps moto in place of the lock."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing: the tests' own output is what people read."""

    moto = DomainDispatcherApplication(create_backend_app)
    app = LockedApp(moto)
    server = make_server("127.0.0.1", 0, instead(moto) if instead else app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, name="s3-server", daemon=True)
    thread.start()
    yield S3Server(f"http://127.0.0.1:{server.server_port}", app)
    server.shutdown()
    thread.join()
    server.server_close()
