"""Scratch files that are written through memory maps."""

from __future__ import annotations

import os
from pathlib import Path

_ZEROS = bytes(1 << 20)


def reserve(path: Path, start: int = 0) -> None:
    """Give a new file the disk space of its whole length, so that a full disk is an error here.

    A mapped file is sparse: without this, a full disk kills the process (SIGBUS) at the first page that finds no room.
    The file may hold something up to byte `start`, and zeros from there on. Raises `OSError` (ENOSPC).
    """
    size = path.stat().st_size
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            if size > start:
                os.posix_fallocate(file.fileno(), start, size - start)
            return
        file.seek(start)
        for written in range(start, size, len(_ZEROS)):  # macOS has no such call
            file.write(_ZEROS[: size - written])
        file.flush()
        os.fsync(file.fileno())
