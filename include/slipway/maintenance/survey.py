"""What is in a collection's store: its places, its runs, and the manifests that refer to other places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from slipway import layout
from slipway.maintenance.places import KINDS, Place, list_places
from slipway.manifest import Manifest, load
from slipway.storage.base import ObjectStore

_REFERRING = (
    "releases", "checkpoints", "candidates", "chunks", "evaluations", "comparisons", "snapshots", "differences",
    "reports",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Survey:
    """`places` by path; `manifests` of the sealed ones whose facts matter here; when each run wrote last (UTC)."""

    places: dict[str, Place]
    manifests: dict[str, Manifest]
    runs: dict[str, datetime]

    def sealed(self, kind: str) -> Iterator[str]:
        """Paths of the sealed places of a kind, in key order."""
        return (path for path, place in self.places.items() if place.kind == kind and place.manifest is not None)

    def is_sealed(self, path: str) -> bool:
        """Whether something was sealed there."""
        return path in self.places and self.places[path].manifest is not None

    def fact(self, path: str | None, name: str) -> Any:
        """A fact of the place's manifest; None where there is no such fact, or no such place."""
        manifest = self.manifests.get(path) if path else None
        return manifest.facts.get(name) if manifest else None

    def without(self, paths: Iterable[str]) -> Survey:
        """The survey as it is when these places are gone."""
        gone = set(paths)
        places = {path: place for path, place in self.places.items() if path not in gone}
        return replace(self, places=places)


def survey(store: ObjectStore) -> Survey:
    """List the store, and read what the decision needs. Raises `CorruptObject`."""
    places = {place.path: place for kind in KINDS for place in list_places(store, kind)}
    manifests = {
        path: load(store, path)
        for path, place in places.items()
        if place.manifest is not None and (place.kind in _REFERRING or is_start(path))
    }
    return Survey(places, manifests, _last_written(store))


def run_of(path: str) -> str:
    """The run that a key or place below `runs/` belongs to."""
    return path.split("/")[1]


def is_start(path: str) -> bool:
    """Whether it is the place of what a run found when it began."""
    return path.startswith(layout.RUNS) and path == layout.start(run_of(path))


def _last_written(store: ObjectStore) -> dict[str, datetime]:
    runs: dict[str, datetime] = {}
    for info in store.list(layout.RUNS):
        run_id = run_of(info.key)
        runs[run_id] = max(info.modified_at, runs.get(run_id, info.modified_at))
    return runs
