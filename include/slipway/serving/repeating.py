"""A call again and again in the background, until it is stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger("slipway")


class Repeating:
    """Calls `call` every `every_seconds` on a daemon thread; what it raises is logged, and the next call comes."""

    def __init__(self, name: str, every_seconds: float, call: Callable[[], object]) -> None:
        self._every, self._call, self._stopped = every_seconds, call, threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Make no further call. Waits so long for the one under way, which ends by itself."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            try:
                self._call()
            except Exception:
                logger.exception("%s failed; it is tried again in %g seconds", self._thread.name, self._every)
