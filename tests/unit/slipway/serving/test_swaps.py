"""Searches without pause while releases are swapped under them."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slipway.errors import SlipwayError
from slipway.pointer import Slot
from slipway.rollback import roll_back
from slipway.run import Run
from slipway.serving.reader import Reader
from slipway.serving.searcher import Hit
from slipway.storage import LocalStore, ObjectStore
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, publish, unit_vectors
from tests.support.shifts import offer, promote, sealed, take_back

SWAPS, THREADS = 50, 4


class Searching:
    """A thread that searches one by one, in batches and with keys until it is stopped."""

    def __init__(self, reader: Reader, seed: int) -> None:
        self.failed: list[BaseException] = []
        self.mixed: list[set[str]] = []
        self.seen: set[str] = set()
        self.calls = 0
        self._reader, self._vectors = reader, unit_vectors(64, seed=seed)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._judge(self._call())
            except BaseException as error:
                self.failed.append(error)
            self.calls += 1

    def _call(self) -> list[list[Hit]]:
        place = self.calls % 60
        if self.calls % 3 == 0:
            return self._reader.search_batch(self._vectors[place : place + 4])
        key = f"user-{self.calls}" if self.calls % 3 == 1 else None
        return [self._reader.search(self._vectors[place], key=key)]

    def _judge(self, answers: list[list[Hit]]) -> None:
        seeds = {hit.document_id.split("-")[0] for hits in answers for hit in hits}
        if len(seeds) != 1 or any(len(hits) != 10 for hits in answers):
            self.mixed.append(seeds)
        self.seen |= seeds


def changes(store: ObjectStore, releases: list[Slot]) -> list[Callable[[], object]]:
    """Changes of serving.json that follow each other round and round: shift, promotion, take-back, rollback."""
    return [
        lambda: offer(store, releases[1], 30),
        lambda: offer(store, releases[1], 100),
        lambda: promote(store, releases[1]),
        lambda: offer(store, releases[2], 50),
        lambda: take_back(store),
        lambda: promote(store, releases[2]),
        lambda: roll_back(store, "tester", "worse", releases[0].release_id),
    ]


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_no_search_fails_or_mixes_releases_while_they_are_swapped(tmp_path: Path, kind: str) -> None:
    store: ObjectStore = MemoryStore() if kind == "memory" else LocalStore(tmp_path / "store")
    run = a_run(store, tmp_path / "scratch")
    releases = first, *_ = [sealed(run, seed) for seed in (1, 2, 3)]
    promote(store, first)
    with Reader(store, tmp_path / "cache") as reader:
        searching = [Searching(reader, seed) for seed in range(THREADS)]
        swaps = 0
        try:
            for change in changes(store, list(releases)) * SWAPS:
                change()
                swaps += reader.poll()
                if swaps == SWAPS:
                    break
        finally:
            for one in searching:
                one.stop()
        metrics = reader.metrics()
    assert [error for one in searching for error in one.failed] == []
    assert [mixed for one in searching for mixed in one.mixed] == []
    assert set.union(*(one.seen for one in searching)) == {"seed1", "seed2", "seed3"}
    assert (metrics.refused, metrics.store_trouble, swaps) == ((), None, SWAPS)


def test_searches_go_on_while_releases_are_refused(tmp_path: Path, run: Run) -> None:
    with Reader(run.store, tmp_path / "cache") as reader:
        searching = Searching(reader, 1)
        for seed in range(2, 8):
            bad = sealed(run, seed)
            for info in list(run.store.list(f"releases/{bad.release_id}/")):
                if info.key.endswith("rows.arrow"):
                    run.store.put(info.key, run.store.read(info.key).body[:-9])
            promote(run.store, bad)
            with pytest.raises(SlipwayError):
                reader.refresh()
        searching.stop()
        assert reader.search(np.ones(16, np.float32))[0].document_id.startswith("seed1-")
    assert (searching.failed, searching.mixed, searching.seen) == ([], [], {"seed1"})
    assert searching.calls > 0


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = a_run(MemoryStore(), tmp_path / "scratch")
    publish(made, seed=1)
    return made
