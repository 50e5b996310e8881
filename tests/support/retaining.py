"""A collection with several releases, for what keeps and removes them."""

from __future__ import annotations

from pathlib import Path

from slipway import acknowledgement, layout
from slipway.acknowledgement import Acknowledgement, Loaded
from slipway.maintenance import Retained, retain
from slipway.manifest import MANIFEST
from slipway.pointer import read_serving
from slipway.run import Run
from slipway.serving.loading import check_whole
from slipway.storage.base import ObjectStore
from tests.support.crashing_store import CrashingStore
from tests.support.releases import a_run, again, publish

KEEP = 2


class Shop:
    """A collection with `count` releases on a store that may crash; `names` are theirs, oldest first."""

    def __init__(self, scratch: Path, count: int = 5) -> None:
        self.store = CrashingStore()
        self.scratch = scratch
        self.names: list[str] = []
        for number in range(count):
            self.night(number)

    @property
    def run(self) -> Run:
        return a_run(self.store, self.scratch, "retention-1", release={"keep": KEEP})

    def night(self, number: int) -> str:
        self.names.append(publish(again(self.run, f"night-{number}"), number, count=12).release_id)
        return self.names[-1]

    def clone(self) -> Shop:
        """The same collection in a store of its own."""
        other = Shop(self.scratch, 0)
        other.store, other.names = self.store.clone(), list(self.names)
        return other

    def retain(self) -> Retained:
        return retain(self.run, "tester", lambda: None)

    @property
    def left(self) -> list[str]:
        """The releases that have a manifest, oldest first."""
        return [name for name in self.names if self.store.exists(f"{layout.release(name)}/{MANIFEST}")]


def reader_says(store: ObjectStore, name: str, *loaded: str, live: str | None = None) -> None:
    """A reader acknowledges that it holds these releases."""
    at = acknowledgement.utc_now()
    held = tuple(Loaded(one, at) for one in loaded)
    said = Acknowledgement(name, "host", 1, at, 10.0, read_serving(store)[0].generation, live, loaded=held)
    acknowledgement.publish(store, said)


def assert_sound(store: ObjectStore) -> None:
    """serving.json names whole releases only, and none that is being removed."""
    now, _ = read_serving(store)
    for release_id, slot in now.named.items():
        check_whole(store, release_id, slot.manifest_sha256)
        assert release_id not in now.retired


def places_of(store: ObjectStore) -> set[str]:
    """The releases of which anything is left."""
    return {info.key.split("/")[1] for info in store.list(layout.RELEASES)}
