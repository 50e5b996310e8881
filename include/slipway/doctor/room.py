"""Whether memory and disk are enough for the largest collection: for building it, and for a reader that swaps it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway import settings
from slipway.doctor.finding import Outcome, failed, passed, skipped, warned
from slipway.index import artifact
from slipway.machine import Memory, disk_left, memory_left
from slipway.manifest import MANIFEST, Manifest, load
from slipway.pointer import read_serving
from slipway.run import Run
from slipway.serving.cache import default_cache
from slipway.serving.loading import read_release_manifest
from slipway.signing import trusted_here
from slipway.sizes import size

SPARE = 1.5  # times what is needed; with less there is a warning
LEAST_DISK = 1 << 30
CACHED = 4  # releases in a reader's cache: live, standby, on trial, and one that no reader has held for a day


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes of memory that a collection takes: to swap (old and new release at once), and to build its index."""

    collection: str
    release: int
    build: int
    remote: bool

    @property
    def swap(self) -> int:
        """Both releases, index and memory maps."""
        return 2 * self.release

    @property
    def memory(self) -> int:
        """The larger of the two."""
        return max(self.swap, self.build)


def need_of(run: Run) -> Need | None:
    """What the live release, or else the newest candidate, says that the collection takes; None before the first."""
    made = _newest(run)
    if made is None:
        return None
    index = sum(one.size_bytes for one in made.objects if artifact.is_index(one.name))
    loaded = index + sum(made.one(name).size_bytes for name in (artifact.ROWS, artifact.DOCUMENTS))
    vectors = 4 * made.counts["vectors"] * int(made.facts["dimension"])
    return Need(run.collection.name, loaded, vectors + index, run.store.local_path("x") is None)


def _newest(run: Run) -> Manifest | None:
    live = read_serving(run.store)[0].live_release
    if live is not None:
        return read_release_manifest(run.store, live.release_id, live.manifest_sha256, trusted_here())
    sealed = [info for info in run.store.list("candidates/") if info.key.endswith(f"/{MANIFEST}")]
    newest = max(sealed, key=lambda info: info.modified_at, default=None)
    return load(run.store, newest.key.removesuffix(f"/{MANIFEST}")) if newest else None


def largest(needs: Sequence[Need | None]) -> Need | None:
    """The need of the collection that takes most memory; None when nothing was built yet."""
    return max((need for need in needs if need), key=lambda need: need.memory, default=None)


def memory(need: Need | None, left: Callable[[], Memory | None] = memory_left) -> Outcome:
    """Whether the memory that is left is enough to build the largest collection and to swap it."""
    there = left()
    if there is None:
        return skipped("neither /proc/meminfo nor a control group tells how much memory is left")
    if need is None:
        return skipped(f"{size(there.bytes)} left; nothing was built yet that tells what is needed")
    found = (
        f"{size(there.bytes)} left ({there.says}); {need.collection} takes {size(need.swap)} to swap, with the old "
        f"and the new release in memory, and {size(need.build)} to build"
    )
    todo = "give this machine or container more memory, or take a smaller index spec (index.spec, such as an IVF-PQ)"
    return _judged(there.bytes, need.memory, found, todo)


def scratch_disk(need: Need | None, left: Callable[[Path], int] = disk_left) -> Outcome:
    """Whether the scratch folder takes what a run puts there: the new index, and the release that is read back."""
    folder = settings.scratch_root() or Path(tempfile.gettempdir())
    wanted = max(LEAST_DISK, need.swap if need else 0)
    free = left(folder)
    return _judged(
        free, wanted, _disk(folder, free, wanted), "free some space, or set SLIPWAY_SCRATCH to a larger disk"
    )


def cache_disk(need: Need | None, left: Callable[[Path], int] = disk_left) -> Outcome:
    """Whether a reader's cache takes the releases of a day, where the store is not a folder."""
    if need is not None and not need.remote:
        return skipped("the store is a folder: readers map its files where they are")
    folder = default_cache()
    wanted = max(LEAST_DISK, CACHED * need.release if need else 0)
    free = left(folder)
    return _judged(free, wanted, _disk(folder, free, wanted), "free some space, or set SLIPWAY_CACHE to a larger disk")


def _disk(folder: Path, free: int, wanted: int) -> str:
    return f"{size(free)} free at {folder}; {size(wanted)} wanted"


def _judged(there: int, wanted: int, found: str, todo: str) -> Outcome:
    if there < wanted:
        return failed(found, todo)
    if there < SPARE * wanted:
        return warned(found, todo)
    return passed(found)
