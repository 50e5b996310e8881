"""The terminal of the demo: lines that stay, one line that moves, and everything else sent to a log file."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

PLAIN_EVERY_S = 15.0  # between two lines of progress where lines cannot be overwritten


class Screen:
    """Writes for a person. On a terminal the last line is rewritten every second, with the seconds it has taken."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._moving = stream, stream.isatty()
        self._text = ""
        self._since = self._said = time.monotonic()
        self._lock = threading.RLock()  # Ctrl-C may come while a line is written
        if self._moving:
            threading.Thread(target=self._tick, daemon=True).start()

    def say(self, text: str = "") -> None:
        """Write lines that stay."""
        with self._lock:
            self._text = ""
            self._write(("\r\x1b[K" if self._moving else "") + text + "\n")

    def start(self, text: str) -> None:
        """Show what is at work now, from zero seconds."""
        with self._lock:
            self._text, self._since = text, time.monotonic()
            self._said = self._since
            self._draw()

    def update(self, text: str) -> None:
        """Show how far it is."""
        with self._lock:
            self._text = text
            now = time.monotonic()
            if not self._moving and now - self._said >= PLAIN_EVERY_S:
                self._said = now
                self._write(f"{text}\n")
            self._draw()

    def _tick(self) -> None:
        while True:
            time.sleep(1)
            with self._lock:
                self._draw()

    def _draw(self) -> None:
        if not (self._moving and self._text):
            return
        line = f"{self._text}  {time.monotonic() - self._since:.0f} s"
        self._write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@contextmanager
def quiet(log: Path) -> Iterator[TextIO]:
    """Send standard output and error of this process, of whatever origin, to `log`; gives the real output instead."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with log.open("w") as file, os.fdopen(os.dup(1), "w") as terminal:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield terminal
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, saved in enumerate(kept, 1):
                os.dup2(saved, number)
                os.close(saved)
