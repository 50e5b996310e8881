"""A night with a gradual shift, a bad release and a rollback, under two reader processes that search all the while."""

from benchmarks.shifts.trial import prove
from slipway.config import load_collection
from slipway.connections import environment_connections
from slipway.pointer import audit_trail, read_serving
from tests.end_to_end.project import Project

SHIFT = {"shift": [10, 50, 100], "step_minutes": 0.02, "wait_minutes": 2, "max_latency_ratio": 1000}


def test_readers_take_a_good_release_step_by_step_and_a_bad_one_not_at_all(project: Project) -> None:
    project.describe(release=SHIFT)
    first = read_serving(project.store)[0].live_release
    assert first is not None
    proved = prove(
        load_collection(project.collections, "docs"),
        project.store.url,
        environment_connections,
        lambda: project.insert("sort-stones", "Sort stones", "How to sort stones by colour and by weight."),
        project.folder,
    )
    assert proved.is_kept, proved
    assert proved.shares == (10, 50, 100)
    assert "smoke query" in (proved.refused_by_release_stage or "")
    assert "refused it: smoke query" in (proved.taken_back or "")
    now = read_serving(project.store)[0]
    assert now.live_release is not None
    assert now.live_release.release_id == first.release_id  # the rollback came last
    actions = [one["changed"]["action"] for one in audit_trail(project.store)]
    assert actions == ["release", "shift", "shift", "shift", "release", "shift", "take back", "rollback"]
