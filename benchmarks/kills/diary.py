"""What a process wrote down before it was killed: one JSON line an event, appended by one system call each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Diary:
    """Appends events to a file. A line that was written is there, whatever happens to the process afterwards."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, event: str, **values: Any) -> None:
        """Append one event."""
        os.write(self._file, json.dumps({"event": event, **values}).encode() + b"\n")


def read_diary(path: Path) -> list[dict[str, Any]]:
    """All events, in order; none where the process died before its first."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]
