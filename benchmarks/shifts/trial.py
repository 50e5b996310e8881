"""One night with a shift, one bad release and one rollback, under reader processes that search all the while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.shifts.badly import released_as_usual, shifted_unchecked, shuffled
from benchmarks.shifts.readers import Searching, searching
from slipway.acknowledgement import heard
from slipway.config import Collection
from slipway.errors import ReleaseRefused
from slipway.manifest import load
from slipway.pipeline import Options, run_pipeline
from slipway.pointer import read_serving
from slipway.rollback import roll_back
from slipway.run import Connections, Run
from slipway.storage import open_store
from slipway.storage.base import ObjectStore

READERS = ("web-1", "web-2")
PATIENCE_S = 120


@dataclass(frozen=True, slots=True)
class Proved:
    """What happened. Refusals are texts, None where there was none; seconds from the rollback's begin."""

    released: bool
    shares: tuple[int, ...]
    refused_by_release_stage: str | None
    taken_back: str | None
    queries: int
    failed_queries: int
    rollback_seconds: float
    readers_followed_seconds: float

    @property
    def is_kept(self) -> bool:
        """Whether every promise was kept."""
        refused = self.refused_by_release_stage is not None and self.taken_back is not None
        return self.released and refused and self.queries > 0 and self.failed_queries == 0

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def prove(
    collection: Collection, url: str, connections: Connections, change: Callable[[], None], folder: Path
) -> Proved:
    """A good night, a bad release and a rollback of the collection at `url`, whose first release is live already.

    `change` changes the sources before the night. `folder` is for scratch files.
    """
    store = open_store(url)
    with searching(url, READERS, folder / "stop") as readers:
        _until(lambda: len(heard(store)[0]) == len(READERS), "the readers have acknowledged")
        change()
        night = Run(collection, store, "night", folder / "scratch", connections)
        made = run_pipeline(night, Options("a benchmark", "the night of the shift"))
        print(f"the night: {made['reason']}; shares {[step['percent'] for step in made['shift']]}", flush=True)
        evaluation = load(store, made["evaluation"])
        bad = shuffled(night, load(store, _candidate(store)))
        another = Run(collection, store, "bad-night", folder / "scratch", connections)
        refused = _refused(lambda: released_as_usual(another, bad, evaluation))
        taken = _refused(lambda: shifted_unchecked(another, bad, evaluation))
        swapped, followed = _timed_rollback(store)
    return Proved(
        made["released"],
        tuple(step["percent"] for step in made["shift"]),
        refused,
        taken,
        *_answered(readers),
        swapped,
        followed,
    )


def _candidate(store: ObjectStore) -> str:
    live = read_serving(store)[0].live_release
    assert live is not None
    assert live.candidate is not None
    return live.candidate


def _refused(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except ReleaseRefused as refused:
        print(f"refused: {refused}", flush=True)
        return str(refused)
    return None


def _timed_rollback(store: ObjectStore) -> tuple[float, float]:
    """Seconds until the swap is done, and until every reader answers with the release that is live then."""
    began = time.monotonic()
    live = roll_back(store, "a benchmark", "to time it").live_release
    swapped = time.monotonic() - began
    assert live is not None
    _until(lambda: all(one.said.live == live.release_id for one in heard(store)[0]), "the readers have followed")
    return round(swapped, 3), round(time.monotonic() - began, 3)


def _answered(readers: Searching) -> tuple[int, int]:
    for one in readers.ended:
        print(f"{one['name']}: {one['queries']:,} queries, {one['failed']} failed; {one['metrics']}", flush=True)
    return sum(one["queries"] for one in readers.ended), sum(one["failed"] for one in readers.ended)


def _until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for other processes. Raises TimeoutError when it does not come to pass."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {PATIENCE_S} s it is not so that {what}")
        time.sleep(0.05)
