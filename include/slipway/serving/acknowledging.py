"""Publishing what a reader says of itself, so that a shift can wait for it and retention keeps what it holds."""

from __future__ import annotations

import os
import platform
import re
import secrets
import socket
import threading
from collections.abc import Callable

from slipway import __version__
from slipway.acknowledgement import Acknowledgement, check_name, publish, withdraw
from slipway.index.written import faiss_version
from slipway.serving.metrics import Troubles
from slipway.storage.base import ObjectStore

LEAST_SECONDS = 10.0  # between two renewals, where nothing has changed
_EARLY = 0.75  # of the time between renewals, after which one is made, so that none comes late


class Acknowledging:
    """Writes a reader's acknowledgement. A store that denies it is told as trouble, and tried again; nothing is raised.

    `tell` makes the acknowledgement of the moment. Safe from several threads: what was withdrawn stays so.
    """

    def __init__(
        self,
        store: ObjectStore,
        name: str,
        every_seconds: float,
        tell: Callable[[], Acknowledgement],
        troubles: Troubles,
        clock: Callable[[], float],
    ) -> None:
        self.name, self.every_seconds = name, every_seconds
        self._store, self._tell, self._troubles, self._clock = store, tell, troubles, clock
        self._lock = threading.Lock()
        self._said_at: float | None = None
        self._is_withdrawn = False

    def say(self) -> None:
        """Publish now."""
        with self._lock:
            self._say()

    def renew(self) -> None:
        """Publish if it is time."""
        with self._lock:
            if self._said_at is None or self._clock() - self._said_at >= _EARLY * self.every_seconds:
                self._say()

    def withdraw(self) -> None:
        """Remove the acknowledgement, and publish no more."""
        with self._lock:
            self._is_withdrawn = True
            with self._troubles.noted("acknowledgement"):
                withdraw(self._store, self.name)

    def _say(self) -> None:
        if self._is_withdrawn:
            return
        self._said_at = self._clock()
        with self._troubles.noted("acknowledgement"):
            publish(self._store, self._tell())


def versions() -> dict[str, str]:
    """What an acknowledgement says of the software here."""
    return {"slipway": __version__, "faiss": faiss_version(), "python": platform.python_version()}


def unique_name(given: str | None = None) -> str:
    """A name that no other reader has: what was given, else host and process, and eight hex digits.

    So the readers of many processes may be given one name, and none writes over or removes what another says of itself.
    Raises `InputError` for a name that no reader can have.
    """
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).lstrip("._-")[:90] or "reader"
    base = f"{host}-{os.getpid()}" if given is None else given
    return check_name(f"{base}-{secrets.token_hex(4)}")
