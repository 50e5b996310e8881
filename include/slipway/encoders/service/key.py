"""A service's API key: found by its connection's name, fit for a header, and in no message."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from slipway.errors import ServiceDenied

if TYPE_CHECKING:
    from slipway.run import Secrets


class Key:
    """The password of a connection, asked for at once, and again after the service refused it. Threads may share it.

    `connection` None stands for no key. Raises what `secrets` raises, and `ServiceDenied` for a key that no HTTP header
    can carry.
    """

    def __init__(self, connection: str | None, secrets: Secrets) -> None:
        self._connection, self._secrets, self._lock = connection, secrets, Lock()
        self._found = self._asked_for()

    def __str__(self) -> str:
        """Where it is, and never what it is."""
        return f"connection {self._connection!r}" if self._connection else "a connection; encoder.service names none"

    def value(self) -> str | None:
        """The key; None where none is sent. Raises as the constructor does."""
        with self._lock:
            if self._found is None:
                self._found = self._asked_for()
            return self._found

    def refused(self, key: str | None) -> None:
        """Forget `key`, unless another one was found in the meantime: it may have been replaced."""
        with self._lock:
            if self._found == key:
                self._found = None

    def _asked_for(self) -> str | None:
        if self._connection is None:
            return None
        found = self._secrets(self._connection).strip()  # files and forms leave a newline at the end
        if not found or not all("!" <= character <= "~" for character in found):
            raise ServiceDenied(
                f"the key of connection {self._connection!r} cannot be sent: it is empty, or has spaces, line breaks "
                f"or characters beyond ASCII; put the key alone into the connection's password"
            )
        return found


def hidden(text: str, key: str | None) -> str:
    """The text without the key, should it quote it, as it is or with its backslashes and quotes escaped."""
    if not key:
        return text
    return text.replace(key, "***").replace(repr(key)[1:-1], "***")
