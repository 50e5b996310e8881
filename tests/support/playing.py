"""A reader played by a thread: it acknowledges what serving.json names, at once, or refuses what is put on trial."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from slipway import acknowledgement
from slipway.acknowledgement import Acknowledgement, Loaded, RefusedRelease
from slipway.latencies import Latencies
from slipway.pointer import Serving, read_serving
from slipway.storage.base import ObjectStore


def said(name: str, now: Serving, refuses: str | None = None) -> Acknowledgement:
    """What a reader says that has acted on this state; `refuses` is why it does not take what is on trial."""
    assert now.live_release
    live, trial = now.live_release.release_id, now.trial.release_id if now.trial else None
    at = acknowledgement.utc_now()
    refused = RefusedRelease(trial, refuses, at) if trial and refuses else None
    taken = trial if not refused else None
    return Acknowledgement(
        name,
        "host",
        1,
        at,
        every_seconds=10.0,
        generation=now.generation,
        live=live,
        trial=taken,
        percent=now.shift.percent if taken and now.shift else 0,
        loaded=tuple(Loaded(one, "2026-01-01", 40, 0, Latencies({39: 40})) for one in (live, taken) if one),
        refused=(refused,) if refused else (),
    )


@contextmanager
def playing(store: ObjectStore, name: str, refuses: str | None = None) -> Iterator[None]:
    """A reader of this name follows the store for the time of the block, and closes after it."""
    ended, spoken = threading.Event(), threading.Event()

    def play() -> None:
        generation = 0
        while not ended.wait(0.02):
            now, _ = read_serving(store)
            if now.generation > generation:
                acknowledgement.publish(store, said(name, now, refuses))
                generation = now.generation
                spoken.set()

    thread = threading.Thread(target=play)
    thread.start()
    try:
        assert spoken.wait(30), "the collection has no release to follow"
        yield
    finally:
        ended.set()
        thread.join()
        acknowledgement.withdraw(store, name)
