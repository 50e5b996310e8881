"""What lies in a collection's store, place by place, and how a place is taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from slipway.manifest import MANIFEST
from slipway.storage.base import ObjectInfo, ObjectStore

Check = Callable[[], None]
"""Called before each change; raises when the work must stop, as another run holds the lease."""

# How many names make a place, by the key's first name. What lies elsewhere in the store is nobody's business here.
_DEPTHS = {
    "runs": 3,
    "documents": 2,
    "snapshots": 2,
    "differences": 2,
    "checkpoints": 2,
    "chunks": 2,
    "vectors": 3,
    "builds": 2,
    "choices": 2,
    "candidates": 2,
    "evaluations": 2,
    "comparisons": 2,
    "drift": 2,
    "reports": 2,
    "releases": 2,
}
KINDS = tuple(_DEPTHS)
_RAW = "raw"  # runs/<run_id>/raw/<source> is one name deeper than a run's other places
_SHARD = "shard-"  # so is builds/<fingerprint>/shard-<n>, beside what was trained for all shards


@dataclass(frozen=True, slots=True)
class Place:
    """A place with all objects below it, its manifest and those that no manifest names included."""

    path: str
    objects: tuple[ObjectInfo, ...]

    @property
    def kind(self) -> str:
        """The first name of its path, such as "snapshots"."""
        return self.path.partition("/")[0]

    @property
    def manifest(self) -> ObjectInfo | None:
        """The manifest's object; None when nothing was sealed here."""
        return next((info for info in self.objects if info.key == f"{self.path}/{MANIFEST}"), None)

    @property
    def written_at(self) -> datetime:
        """When its newest object was written, by the store's clock (UTC)."""
        return max(info.modified_at for info in self.objects)

    @property
    def size_bytes(self) -> int:
        """Bytes of all objects."""
        return sum(info.size_bytes for info in self.objects)

    @property
    def attempts(self) -> set[str]:
        """The attempts that wrote here. A manifest names objects of one attempt only."""
        names = (info.key.removeprefix(f"{self.path}/").partition("/") for info in self.objects)
        return {attempt for attempt, separator, _ in names if separator}


def place_of(key: str) -> str | None:
    """The place that an object with this key belongs to; None for objects that belong to none, such as results."""
    names = key.split("/")
    depth = _DEPTHS.get(names[0], 0)
    if names[0] == "runs" and len(names) > 2 and names[2] == _RAW:
        depth += 1
    if names[0] == "builds" and len(names) > 3 and names[2].startswith(_SHARD):
        depth += 1
    return "/".join(names[:depth]) if 0 < depth < len(names) else None


def list_places(store: ObjectStore, kind: str) -> Iterator[Place]:
    """Every place of a kind, whether sealed or not, in the order of the keys."""
    for path, objects in groupby(store.list(f"{kind}/"), key=lambda info: place_of(info.key)):
        if path is not None:
            yield Place(path, tuple(objects))


def find_place(store: ObjectStore, path: str) -> Place | None:
    """The place at `path`, whether sealed or not; None when nothing lies there."""
    objects = tuple(store.list(f"{path}/"))
    return Place(path, objects) if objects else None


def delete_place(store: ObjectStore, place: Place, check: Check) -> None:
    """Remove a place: its manifest first, so that what is left by a kill half-way exists for no reader."""
    manifest = place.manifest
    check()
    if manifest is not None:
        store.delete(manifest.key)
    for info in place.objects:
        if info is not manifest:
            store.delete(info.key)
