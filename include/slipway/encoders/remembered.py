"""What this machine found out about an encoder, kept in the cache folder so that later processes start at once.

    _encoders/<fingerprint>/reference-<key>.npz   vectors of the probe texts by sentence-transformers
    _encoders/<fingerprint>/choice-<key>.json     which backend was chosen, and why
    _encoders/<fingerprint>/openvino-<key>.*      the model converted, with its checksum
    _encoders/<fingerprint>/lock                  held by the process that is finding out

A key covers the versions of the libraries, and the machine where it matters. What cannot be read is found out anew;
what cannot be written is only logged, as everything can be found out again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO

from slipway.manifest import fingerprint
from slipway.settings import cache_root
from slipway.storage.files import replacing

logger = logging.getLogger("slipway")

_LIBRARIES = ("openvino", "sentence-transformers", "tokenizers", "torch", "transformers")


def place(model: str, name: str) -> Path:
    """Where a file is kept for the model of that fingerprint."""
    return cache_root() / "_encoders" / model / name


def keep(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file whole or not at all. A folder that cannot be written to is logged."""
    try:
        with replacing(path) as file:
            write(file)
    except OSError as error:
        logger.warning("%s cannot be kept (%s); the next process will find it out again", path, error.strerror)


@contextmanager
def one_at_a_time(model: str) -> Iterator[None]:
    """While the block finds something out about the model, other processes of this machine wait."""
    path = place(model, "lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:  # then nothing can be kept either, and every process finds out for itself
        logger.warning("%s cannot be locked (%s)", path, error.strerror)
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """The versions of the libraries that encode, without importing them; those that are not installed are left out."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=1)
def machine() -> dict[str, object]:
    """What speed depends on: the processor, how many of its cores this process may use, and the graphics cards."""
    return {"system": platform.system(), "processor": _processor(), "cores": cores(), "cards": cards()}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cards() -> list[str]:
    """NVIDIA's cards as their driver lists them, and which of them this process may see; found without torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    listed = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    if visible == "" or not listed:
        return []
    return [*(path.read_text().partition("\n")[0] for path in listed), f"visible: {visible or 'all'}"]


def key(*parts: object) -> str:
    """16 hex digits that name what was found out under these conditions."""
    return fingerprint("encoder-cache", *parts)


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    if not told.is_file():
        return platform.processor() or platform.machine()
    lines = told.read_text().splitlines()
    wanted = ("model name", "flags", "Features")
    return "; ".join(next((line for line in lines if line.startswith(one)), "") for one in wanted)
