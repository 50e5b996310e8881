"""What a rollback did, and that a retry does it once. What it does to serving.json is tested with the release stage."""

from pathlib import Path

import pytest

from slipway import layout
from slipway.pointer import Change, audit_trail, swap_serving
from slipway.rollback import LOOKED_BACK, outcome, roll_back
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, again, publish


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def releases(store: MemoryStore, tmp_path: Path) -> list[str]:
    run = a_run(store, tmp_path)
    return [publish(again(run, f"night-{seed}"), seed).release_id for seed in range(3)]


def touch(store: MemoryStore) -> None:
    """Another change of serving.json, by somebody else."""
    swap_serving(store, Change("retire", "ann", "tidying"), lambda now: now)


def test_what_a_rollback_did(store: MemoryStore, releases: list[str]) -> None:
    after = roll_back(store, "ann", "worse")
    assert outcome(store, after) == {"live": releases[1], "generation": 4, "withdrawn": [releases[2]]}
    after = roll_back(store, "ann", "not worse", releases[2])
    assert outcome(store, after) == {"live": releases[2], "generation": 5, "withdrawn": [releases[1]]}


@pytest.mark.parametrize("changes", [0, 1, LOOKED_BACK - 1])
def test_a_retry_finds_what_it_did_below_the_changes_since(
    store: MemoryStore, releases: list[str], changes: int
) -> None:
    first = roll_back(store, "ann", "worse", run_id="rollback-1")
    for _ in range(changes):
        touch(store)
    records = len(audit_trail(store))
    assert roll_back(store, "ann", "worse", run_id="rollback-1") == first
    assert outcome(store, first)["withdrawn"] == [releases[2]]
    assert len(audit_trail(store)) == records


def test_another_run_is_no_retry(store: MemoryStore, releases: list[str]) -> None:
    roll_back(store, "ann", "worse", run_id="rollback-1")
    again = roll_back(store, "ann", "worse still", releases[0], run_id="rollback-2")
    assert outcome(store, again)["live"] == releases[0]


def test_lost_and_damaged_records_keep_nobody_from_rolling_back(store: MemoryStore, releases: list[str]) -> None:
    store.delete(layout.audit(1))
    store.put(layout.audit(2), b"{")
    assert outcome(store, roll_back(store, "ann", "worse", run_id="rollback-1"))["live"] == releases[1]
