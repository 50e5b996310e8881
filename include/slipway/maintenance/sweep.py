"""Removing what nobody needs, and saying what went and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from slipway.acknowledgement import heard, store_time
from slipway.layout import CLOCK, DOCTOR, READERS, SIGNATURE, reader
from slipway.maintenance.places import Check, Place, delete_place
from slipway.maintenance.survey import Survey
from slipway.manifest import load
from slipway.storage.base import ObjectInfo, ObjectStore

ORPHAN_AGE = timedelta(hours=24)  # longer than any write takes

# In this order, so that what refers goes before what it refers to: a kill in between leaves no reference to nothing.
WHY = {
    "runs": "copies of sources, plans and beginnings of runs that wrote nothing for {days} days; their results stay",
    "comparisons": "of candidates that are not kept",
    "reports": "older than {days} days, and of releases that are not kept",
    "evaluations": "of candidates that are not kept",
    "drift": "not among the newest records of drift",
    "differences": "between snapshots that are not kept",
    "builds": "shards of indexes, older than {days} days: the candidates that were made of them hold all they need",
    "candidates": "no release was made of them and no kept checkpoint holds their documents",
    "choices": "no kept candidate is of an index that was chosen there",
    "chunks": "no release and no kept checkpoint holds their documents",
    "checkpoints": "not among the newest and older than {days} days",
    "snapshots": "no release, checkpoint or run that is kept is built on them",
    "documents": "older than {days} days; made again where they are needed",
}
ORPHANS, UNFINISHED, SILENT = "orphans", "unfinished writes", "silent readers"
SILENT_AGE = timedelta(days=7)  # after a reader has missed its renewals: one that was only cut off is back by then
WHY_ORPHANS = "named by no manifest: left by stages that were killed more than {hours:.0f} hours ago"
WHY_UNFINISHED = "left by writes that were killed more than {hours:.0f} hours ago"
WHY_SILENT = f"acknowledgements of readers that are silent for more than {SILENT_AGE.days} days"


@dataclass(frozen=True, slots=True)
class Removed:
    """What went of one kind, or would go: `places` (0 for single objects), objects and bytes, and why."""

    kind: str
    why: str
    places: int
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """One sweep, at the moment `now` (UTC). With `dry_run` everything is said and nothing is removed."""

    store: ObjectStore
    now: datetime
    days: int
    check: Check
    dry_run: bool

    def unneeded(self, found: Survey, kept: set[str]) -> list[Removed]:
        """Remove all sealed places that are not kept, releases and vectors apart."""
        removed = []
        for kind, why in WHY.items():
            places = [found.places[path] for path in found.sealed(kind) if path not in kept]
            if not self.dry_run:
                for place in places:
                    delete_place(self.store, place, self.check)
            removed.append(_removed(kind, why.format(days=self.days), places))
        return removed

    def orphans(self, found: Survey, kept: set[str]) -> Removed:
        """Remove objects that no manifest names and that are no longer being written, and old trials of the store."""
        gone = {path for kind in WHY for path in found.sealed(kind)} - kept
        places = [place for path, place in found.places.items() if path not in gone]
        unnamed = (info for place in places for info in self._unnamed(place))
        trials = (info for prefix in (CLOCK, DOCTOR) for info in self.store.list(prefix))
        lost = [info for info in chain(unnamed, trials) if info.modified_at < self._since]
        return self._gone(ORPHANS, self._said(WHY_ORPHANS), lost)

    def unfinished(self) -> Removed:
        """Remove what the store keeps of writes that were killed."""
        objects = size = 0
        for abandoned in self.store.abandoned(self._since):
            objects, size = objects + 1, size + abandoned.size_bytes
            if not self.dry_run:
                self.check()
                abandoned.discard()
        return Removed(UNFINISHED, self._said(WHY_UNFINISHED), 0, objects, size)

    def silent(self) -> Removed:
        """Remove the acknowledgements of readers that are long dead. A new pod has a new name, so these pile up.

        Times are the store's; a dry run, which writes nothing, takes `now`. One that cannot be read says not how often
        it is renewed, and stays.
        """
        found = heard(self.store)[0]
        if not found:
            return self._gone(SILENT, WHY_SILENT, [])
        now = self.now if self.dry_run else store_time(self.store)
        keys = {reader(one.said.reader) for one in found if one.is_silent(now - SILENT_AGE)}
        old = [info for info in self.store.list(READERS) if now - info.modified_at > SILENT_AGE]  # not renewed since
        return self._gone(SILENT, WHY_SILENT, [info for info in old if info.key in keys])

    def _gone(self, kind: str, why: str, lost: Sequence[ObjectInfo]) -> Removed:
        """Remove single objects."""
        if not self.dry_run:
            for info in lost:
                self.check()
                self.store.delete(info.key)
        return Removed(kind, why, 0, len(lost), sum(info.size_bytes for info in lost))

    @property
    def _since(self) -> datetime:
        return self.now - ORPHAN_AGE

    def _said(self, why: str) -> str:
        return why.format(hours=ORPHAN_AGE.total_seconds() / 3600)

    def _unnamed(self, place: Place) -> Iterator[ObjectInfo]:
        if place.manifest is not None and len(place.attempts) < 2:
            return  # the one attempt is the one that was sealed
        named = set()
        if place.manifest is not None:
            named = {place.manifest.key, *(sealed.key for sealed in load(self.store, place.path).objects)}
            named.add(f"{place.path}/{SIGNATURE}")  # of a release: it vouches for the manifest, which cannot name it
        yield from (info for info in place.objects if info.key not in named)


def _removed(kind: str, why: str, places: Sequence[Place]) -> Removed:
    objects = sum(len(place.objects) for place in places)
    return Removed(kind, why, len(places), objects, sum(place.size_bytes for place in places))
