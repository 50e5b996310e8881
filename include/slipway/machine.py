"""What this machine, or the container that this process is in, has left: memory and disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NO_LIMIT = 1 << 60  # what control groups of the first version write for "none"
_HERE = Path("/")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that this process may still take, and what says so ("the machine", "the control group /x")."""

    bytes: int
    says: str


def memory_left(root: Path = _HERE) -> Memory | None:
    """The smallest of what the machine and each control group above this process leave; None where nothing tells.

    `root` is what /proc and /sys are below. Page cache that the kernel gives up counts as left.
    """
    found = [*_machine(root), *_groups_v2(root), *_group_v1(root)]
    return min(found, key=lambda memory: memory.bytes, default=None)


def _machine(root: Path) -> Iterator[Memory]:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield Memory(int(line.split()[1]) << 10, "the machine")


def _groups_v2(root: Path) -> Iterator[Memory]:
    """Every group on the way from this process's own up to the root may have a limit."""
    named = [line.removeprefix("0::/") for line in _lines(root / "proc/self/cgroup") if line.startswith("0::/")]
    top = root / "sys/fs/cgroup"
    for name in named:
        inner = top / name
        for folder in (inner, *inner.parents):
            if folder == top.parent:
                break
            if (limit := _number(folder / "memory.max")) is not None:
                used = _number(folder / "memory.current") or 0
                yield _left(folder, top, limit, used, "inactive_file")


def _group_v1(root: Path) -> Iterator[Memory]:
    folder = root / "sys/fs/cgroup/memory"
    limit = _number(folder / "memory.limit_in_bytes")
    if limit is not None and limit < _NO_LIMIT:
        used = _number(folder / "memory.usage_in_bytes") or 0
        yield _left(folder, folder, limit, used, "total_inactive_file")


def _left(folder: Path, top: Path, limit: int, used: int, cache: str) -> Memory:
    cached = sum(int(line.split()[1]) for line in _lines(folder / "memory.stat") if line.split()[0] == cache)
    name = "/" if folder == top else f"/{folder.relative_to(top)}"
    return Memory(max(0, limit - used + min(cached, used)), f"the control group {name}")


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None  # "max" is no limit


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # another system, or a group that shows nothing
        return []


def disk_left(folder: Path) -> int:
    """Bytes free where `folder` is or will be, after a file was written there. Raises OSError when it cannot be."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    with tempfile.NamedTemporaryFile(dir=there, prefix="slipway-doctor-") as file:
        file.write(b"x" * 4096)
        file.flush()
        return shutil.disk_usage(there).free
