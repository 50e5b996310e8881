"""What this machine found out about an encoder, kept in the cache folder so that later processes start at once.

    _encoders/<fingerprint>/reference-<key>.npz   vectors of the probe texts by sentence-transformers
    _encoders/<fingerprint>/choice-<key>.json     which backend was chosen, and why
    _encoders/<fingerprint>/openvino-<key>.*      the model converted, with its checksum
    _encoders/<fingerprint>/lock                  held by the process that is finding out

A key covers the versions of the libraries, and the machine where it matters. What cannot be read is found out anew;
what cannot be written is only logged, as everything can be found out again. What nobody used for a month is removed
when something new was found out about the model.
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO

from slipway.manifest import fingerprint
from slipway.settings import cache_root
from slipway.storage.files import replacing

logger = logging.getLogger("slipway")

_DRIVER = "/proc/driver/nvidia/gpus"
_DEVICES = ("nvidia[0-9]*", "dxg", "kfd")
UNUSED = 30 * 24 * 3_600  # seconds
_NOWHERE = Path(os.devnull)  # below it nothing can be kept, and nothing is found
_LIBRARIES = ("openvino", "sentence-transformers", "tokenizers", "torch", "transformers")


def place(model: str, name: str) -> Path:
    """Where a file is kept for the model of that fingerprint."""
    return _root() / "_encoders" / model / name


def _root() -> Path:
    try:
        return cache_root()
    except RuntimeError as error:  # of a user without a home
        _warn_once(f"there is no folder to keep findings about encoders in ({error})")
        return _NOWHERE


def can_keep(model: str) -> bool:
    """Whether anything can be kept for the model of that fingerprint; if not, that is logged."""
    folder = place(model, "")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError as error:
        _warn_once(f"nothing can be kept in {folder} ({error.strerror})")
        return False


@lru_cache(maxsize=16)
def _warn_once(what: str) -> None:
    logger.warning(
        "%s: set SLIPWAY_CACHE to a folder that this user may write to; until then every process converts and compares "
        "its encoders by itself, and takes the first backend that makes the same vectors",
        what,
    )


def used(*paths: Path) -> None:
    """Note that files were of use just now."""
    with suppress(OSError):  # of a folder that can only be read, where nothing is removed either
        for path in paths:
            os.utime(path)


def tidy(model: str) -> None:
    """Remove what was not used for a month: of other versions, or left by a process that was killed."""
    now = time.time()
    with suppress(OSError):  # as above, or another process was first
        for path in place(model, "").iterdir():
            if path.name != "lock" and path.is_file() and now - path.stat().st_mtime > UNUSED:
                path.unlink(missing_ok=True)


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
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:  # file systems without locks: several processes may find out the same
            logger.warning("%s cannot be locked (%s); going on without", path, error.strerror)
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
    threads = os.environ.get("OMP_NUM_THREADS")  # heeded by torch alone
    return {
        "system": platform.system(),
        "processor": _processor(),
        "cores": cores(),
        "threads": threads,
        "cards": cards(),
    }


def cores(limits: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use, by its affinity and by the time that its container is given (`limits`)."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        microseconds, period = limits.read_text().split()
        return max(1, min(here, round(int(microseconds) / int(period))))
    except (OSError, ValueError):  # no such container, or "max": no limit
        return here


def cards() -> list[str]:
    """What tells of graphics cards, and which of them this process may see; found without torch.

    NVIDIA's driver lists its cards; containers may be given the devices alone. Cards of Windows (WSL) and of AMD show
    as devices of theirs.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible == "":
        return []
    listed = [path.read_text().partition("\n")[0] for path in sorted(Path(_DRIVER).glob("*/information"))]
    devices = sorted(str(path) for pattern in _DEVICES for path in Path("/dev").glob(pattern))
    found = listed or devices
    return [*found, f"visible: {visible or 'all'}"] if found else []


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
