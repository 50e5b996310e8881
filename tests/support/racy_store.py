"""An S3 server whose conditional writes are not atomic: it looks at the condition, waits for another writer to look as
well, and then writes. Many self-made gateways do that, only faster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from tests.support.s3_server import WsgiApp

PATIENCE_S = 1.0


class RacyApp:
    """Wraps an S3 application: of two conditional writes at once, both see the condition hold."""

    def __init__(self, app: WsgiApp, writers: int = 2) -> None:
        self._app = app
        self._meeting = threading.Barrier(writers)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        none_match, match = environ.pop("HTTP_IF_NONE_MATCH", None), environ.pop("HTTP_IF_MATCH", None)
        if environ["REQUEST_METHOD"] == "PUT" and (none_match or match):
            if not self._holds(environ, none_match, match):
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start_response("412 Precondition Failed", [("Content-Type", "application/xml")])
                return [b"<Error><Code>PreconditionFailed</Code></Error>"]
            self._meet()
        return self._app(environ, start_response)

    def _holds(self, environ: dict[str, Any], none_match: str | None, match: str | None) -> bool:
        etag = self._etag(environ)
        return etag is None if none_match else etag == (match or "").strip('"')

    def _etag(self, environ: dict[str, Any]) -> str | None:
        """The object's ETag; None where it is not there."""
        answer: dict[str, Any] = {}

        def keep(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            answer.update(status=status, headers={name.lower(): value for name, value in headers})

        asked = {name: value for name, value in environ.items() if not name.startswith(("CONTENT_", "HTTP_CONTENT"))}
        list(self._app({**asked, "REQUEST_METHOD": "HEAD", "CONTENT_LENGTH": "0"}, keep))
        return answer["headers"]["etag"].strip('"') if answer["status"].startswith("200") else None

    def _meet(self) -> None:
        try:
            self._meeting.wait(PATIENCE_S)
        except threading.BrokenBarrierError:
            self._meeting.reset()  # nobody else came


class CarelessApp:
    """Wraps an S3 application that knows no conditions at all: every conditional write is carried out."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        environ.pop("HTTP_IF_MATCH", None)
        return self._app(environ, start_response)
