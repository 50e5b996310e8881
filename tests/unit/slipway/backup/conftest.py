"""A collection with two releases, and a store beside it for its backups."""

from pathlib import Path

import pytest

from slipway.run import Run
from tests.support.crashing_store import CrashingStore
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, again, publish


def empty_store(name: str) -> CrashingStore:
    """A store of its own URL that can be told to die."""
    store = CrashingStore()
    store.url = f"memory://{name}"
    return store


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run in the collection's store, where nothing is released yet."""
    return a_run(MemoryStore("memory://here"), tmp_path / "scratch")


@pytest.fixture
def nights(run: Run) -> list[str]:
    """Two releases, the last one live."""
    return [publish(again(run, f"night-{seed}"), seed).release_id for seed in range(2)]


@pytest.fixture
def there() -> CrashingStore:
    """An empty backup store."""
    return empty_store("there")
