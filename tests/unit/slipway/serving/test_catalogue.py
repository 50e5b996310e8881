from pathlib import Path

import pytest

from slipway import layout
from slipway.errors import CorruptObject
from slipway.manifest import MANIFEST, Draft, load
from slipway.rollback import roll_back
from slipway.run import Run
from slipway.serving.catalogue import list_releases, manifest_sums, named_releases
from slipway.serving.loading import manifest_sum
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


def listed(run: Run) -> dict[str, dict[str, object]]:
    return {entry["release_id"]: entry for entry in list_releases(run.store)["releases"]}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_manifest_hides_no_other_release(body: bytes, run: Run) -> None:
    old, live = (go_live(run, a_candidate(run, seed)) for seed in (0, 1))
    run.store.put(f"{layout.release(old)}/{MANIFEST}", body)
    found = listed(run)
    assert (found[live]["damaged"], found[live]["documents"]) == (None, 40)
    assert (found[old]["state"], found[old]["documents"]) == ("standby", None)
    assert f"{layout.release(old)}/{MANIFEST}" in str(found[old]["damaged"])


def test_a_missing_object_and_a_missing_live_release_are_told(run: Run) -> None:
    old, live = (go_live(run, a_candidate(run, seed)) for seed in (0, 1))
    lost = load(run.store, layout.release(old)).objects[0].key
    run.store.delete(lost)
    for info in list(run.store.list(f"{layout.release(live)}/")):
        run.store.delete(info.key)
    found = listed(run)
    assert lost in str(found[old]["damaged"])
    assert found[old]["documents"] == 40
    assert (found[live]["state"], found[live]["damaged"] is not None) == ("live", True)


def test_a_manifest_of_something_else_does_not_describe_a_release(run: Run) -> None:
    go_live(run, a_candidate(run, 0))
    draft = Draft(run.store, layout.release("strange"), "release", "strange")
    draft.seal({"documents": 1})
    assert "does not describe a release" in str(listed(run)["strange"]["damaged"])


def test_a_manifests_sum_is_remembered_by_the_audit_trail(run: Run) -> None:
    made = [go_live(run, a_candidate(run, seed)) for seed in range(4)]
    run.store.put(layout.audit(2), b"{")
    sums = manifest_sums(run.store, {made[0], made[3], "never"})
    assert sums == {one: manifest_sum(run.store, one) for one in (made[0], made[3])}
