"""Changes of serving.json as a shift makes them, one by one, without the waiting."""

from __future__ import annotations

from typing import Any

from slipway.pointer import Change, Serving, Slot, swap_serving
from slipway.run import Run
from slipway.serving.loading import manifest_sum
from slipway.stages.release import name_release, seal_release
from slipway.storage.base import ObjectStore
from tests.support.releases import PASSED, a_candidate, an_evaluation

WHY = Change("shift", "tester", "because")


def sealed(run: Run, seed: int, **candidate: Any) -> Slot:
    """A whole release of random vectors that is in no slot yet."""
    made = a_candidate(run, seed, **candidate)
    judged = an_evaluation(run, made)
    name = name_release(made, judged)
    seal_release(run, name, made, judged, PASSED)
    return Slot(name, manifest_sum(run.store, name), "")


def offer(store: ObjectStore, release: Slot, percent: int) -> Serving:
    """Put a release on trial, or change its share."""
    return swap_serving(store, WHY, lambda now: now.offered(release.release_id, release.manifest_sha256, percent))


def promote(store: ObjectStore, release: Slot) -> Serving:
    """Make a release live."""
    return swap_serving(store, WHY, lambda now: now.promoted(release.release_id, release.manifest_sha256))


def take_back(store: ObjectStore) -> Serving:
    """End the trial."""
    return swap_serving(store, WHY, lambda now: now.taken_back("worse"))
