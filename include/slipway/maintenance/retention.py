"""Retention: removing releases that are too old and in nobody's use, so that no rollback can name one half-way.

1. Judge every release (slipway.maintenance.judging).
2. Mark those that go as `retired` in serving.json, by a swap that judges them anew. From then on no change can put one
   into a slot: a rollback that has looked at one already loses its swap, one that comes later is refused.
3. Look once more who uses what: where a reader or a pin came in between, the removal waits until it is let go.
4. Remove each of the others, its manifest first.
5. Take away the marks of what is wholly gone.

Whoever is killed leaves marks, and the next retention goes on at 3. Nothing is removed that is not marked. A mark is
not taken back while anything of its release is there: another retention, which was suspended and lost its lease, may be
about to remove it, and no rollback may come in between.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from slipway import layout, lease
from slipway.maintenance import judging, uses
from slipway.maintenance.judging import Judged
from slipway.maintenance.places import Check, delete_place, find_place
from slipway.manifest import MANIFEST
from slipway.pointer import Change, Serving, read_serving, swap_serving
from slipway.run import Run
from slipway.storage.base import ObjectStore

ACTION = "retire"

_log = logging.getLogger("slipway.retention")


@dataclass(frozen=True, slots=True)
class Retained:
    """What retention did, or with `dry_run` would do: every release, newest first, and how many it keeps by age."""

    dry_run: bool
    keep: int
    releases: tuple[Judged, ...]

    @property
    def removed(self) -> list[Judged]:
        """The releases that went, or would go."""
        return [one for one in self.releases if not one.kept]

    def as_json(self) -> dict[str, Any]:
        """All of it, for people and scripts."""
        return {
            "dry_run": self.dry_run,
            "keep": self.keep,
            "releases": [asdict(one) for one in self.releases],
            "removed": [one.release_id for one in self.removed],
            "bytes_freed": sum(one.bytes for one in self.removed),
        }


def retain_alone(run: Run, holder: lease.Holder, *, take_over: bool = False) -> Retained:
    """Take the collection's lease, remove what is too old, and give the lease back. Raises `RunInProgress`."""
    with lease.alone(run.store, holder, take_over=take_over) as hold:
        return retain(replace(run, run_id=holder.run_id), holder.who, hold.check)


def preview(run: Run) -> Retained:
    """What retention would do now. Nothing is changed, and no lease is taken."""
    serving, _ = read_serving(run.store)
    keep = run.collection.release.keep
    return Retained(True, keep, tuple(_judged(run.store, serving, keep)))


def retain(run: Run, who: str, check: Check) -> Retained:
    """Remove the releases that are too old and not in use; again after a kill ends where one run would have ended.

    The caller holds the collection's lease; `check` is called before each change and raises once that is lost. `who`
    and the run's id stand in the audit trail. Raises `ReleaseRefused` when somebody else changed serving.json at the
    same moment: what is marked then is removed by the next retention.
    """
    keep = run.collection.release.keep
    return _Retention(run.store, keep, who, run.run_id, check).run()


def _judged(store: ObjectStore, serving: Serving, keep: int) -> list[Judged]:
    found = judging.stored_releases(store, serving.retired)
    return judging.judge(found, serving, uses.look(store, serving), keep)


@dataclass(frozen=True, slots=True)
class _Retention:
    store: ObjectStore
    keep: int
    who: str
    run_id: str
    check: Check

    def run(self) -> Retained:
        serving, _ = read_serving(self.store)
        judged = _judged(self.store, serving, self.keep)
        if doomed := _unmarked(judged, serving):
            serving = self._mark(doomed)
        if serving.retired:
            # Again, although it was just judged: a reader or a pin that came before the mark can be seen only now.
            again = _judged(self.store, serving, self.keep)
            self._finish(serving.retired.keys() - {one.release_id for one in again if one.kept})
            why = {one.release_id: one for one in judged if not one.kept}
            judged = [one if one.kept else why.get(one.release_id, one) for one in again]
        return Retained(False, self.keep, tuple(judged))

    def _mark(self, doomed: list[str]) -> Serving:
        def marked(now: Serving) -> Serving:
            going = _unmarked(_judged(self.store, now, self.keep), now)
            at = datetime.now(UTC).isoformat(timespec="seconds")
            return replace(now, retired={**now.retired, **dict.fromkeys(going, at)})

        self.check()
        why = f"the newest {self.keep} are kept, and what is in use; to be removed: {_named(doomed)}"
        return swap_serving(self.store, self._change(why), marked)

    def _unmark(self, names: Collection[str], why: str) -> None:
        def unmarked(now: Serving) -> Serving:
            return replace(now, retired={name: at for name, at in now.retired.items() if name not in names})

        self.check()
        swap_serving(self.store, self._change(why), unmarked)

    def _finish(self, doomed: Collection[str]) -> None:
        gone = [release_id for release_id in sorted(doomed) if self._remove(release_id)]
        if gone:
            self._unmark(gone, f"removed: {_named(gone)}")

    def _remove(self, release_id: str) -> bool:
        """Remove a marked release; whether all of it is gone now. One whose mark is gone is somebody else's by now."""
        path = layout.release(release_id)
        place = find_place(self.store, path)  # before the look at its mark: what comes later is not touched
        self.check()
        if release_id not in read_serving(self.store)[0].retired:
            return False
        if place is None or place.manifest is None:
            self.store.delete(f"{path}/{MANIFEST}")  # in any case: without it, what is left is no release
        if place:
            delete_place(self.store, place, self.check)
        left = find_place(self.store, path)
        if left is not None:
            _log.warning("%s: %d objects are still there; the next retention removes them", path, len(left.objects))
        return left is None

    def _change(self, why: str) -> Change:
        return Change(ACTION, self.who, why, self.run_id)


def _unmarked(judged: list[Judged], serving: Serving) -> list[str]:
    return [one.release_id for one in judged if not one.kept and one.release_id not in serving.retired]


def _named(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
