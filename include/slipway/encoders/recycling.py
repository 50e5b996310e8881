"""Giving memory back before a long-lived process has taken it all.

Runtimes keep caches by shape of input, and some leak; a mapped task ends before that matters, `slipway run` and
campaigns embed all their shards in one process. So the memory of a process is looked at after each group of chunks, and
when it has grown by `GROWTH` since the first group after loading, the encoder is dropped, and the next group loads it
anew.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
from collections.abc import Callable

import psutil

from slipway.encoders import forget

GROWTH = 2**30  # bytes; groups of longer chunks take some hundred MiB more than groups of short ones
_log = logging.getLogger("slipway.encoders.recycling")


def own_memory() -> int:
    """Resident bytes that are this process's alone: mapped files, such as weights and vectors, do not count."""
    memory = psutil.Process().memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))  # only Linux says what is shared


def drop_encoders() -> None:
    """Forget the loaded encoders, and give their memory back to the system where the C library can."""
    forget()
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; musl has none
        if trim is not None:
            trim(0)


class Watch:
    """Looks at a process's `memory` after each group, and calls `drop` when that grew by more than `growth` bytes."""

    def __init__(
        self, growth: int = GROWTH, memory: Callable[[], int] = own_memory, drop: Callable[[], None] = drop_encoders
    ) -> None:
        self._growth, self._memory, self._drop = growth, memory, drop
        self._first: int | None = None

    def after_group(self) -> bool:
        """Whether the encoder was dropped. To be called where nobody holds one."""
        now = self._memory()
        if self._first is None:
            self._first = now
        grown = now - self._first
        if grown <= self._growth:
            return False
        self._drop()
        self._first = None
        left = self._memory()
        _log.warning(
            "memory grew by %.0f MiB since the encoder was loaded: it is loaded anew; %.0f MiB were given back",
            grown / 2**20,
            (now - left) / 2**20,
        )
        return True


_process = Watch()  # as the loaded encoders are the process's


def after_group() -> bool:
    """Look at this process's memory; see `Watch.after_group`."""
    return _process.after_group()
