from pathlib import Path

import pytest

from slipway import layout
from slipway.errors import CorruptObject
from slipway.manifest import MANIFEST
from slipway.rollback import roll_back
from slipway.run import Run
from slipway.serving.catalogue import named_releases
from slipway.stages.release import seal_release
from tests.support.memory_store import MemoryStore
from tests.support.releases import PASSED, a_candidate, a_run, an_evaluation
from tests.unit.slipway.stages.index_run import go_live


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path / "scratch")


def test_nothing_is_named_before_the_first_release(run: Run) -> None:
    assert named_releases(run.store) == {}


def test_live_comes_first_then_standby_then_what_was_withdrawn(run: Run) -> None:
    first, bad = (go_live(run, a_candidate(run, seed)) for seed in (0, 1))
    roll_back(run.store, "tester", "it was bad")
    third, fourth = (go_live(run, a_candidate(run, seed)) for seed in (2, 3))
    made = a_candidate(run, 4)
    seal_release(run, "never-live", made, an_evaluation(run, made), PASSED)
    assert list(named_releases(run.store)) == [fourth, third, bad]
    assert first not in named_releases(run.store)


def test_a_withdrawn_release_that_was_deleted_is_left_out(run: Run) -> None:
    go_live(run, a_candidate(run, 0))
    bad = go_live(run, a_candidate(run, 1))
    roll_back(run.store, "tester", "it was bad")
    for seed in (2, 3):
        go_live(run, a_candidate(run, seed))
    run.store.delete(f"{layout.release(bad)}/{MANIFEST}")
    assert bad not in named_releases(run.store)


def test_a_live_release_that_was_altered_is_corrupt(run: Run) -> None:
    live = go_live(run, a_candidate(run, 0))
    key = f"{layout.release(live)}/{MANIFEST}"
    run.store.put(key, run.store.read(key).body.replace(b"tester", b"nobody") + b" ")
    with pytest.raises(CorruptObject, match=r"serving.json says"):
        named_releases(run.store)
