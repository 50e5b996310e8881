"""What the tasks of an upgrade left behind → its result, and whether it was refused."""

from types import SimpleNamespace

import pytest

from slipway.manifest import Draft
from slipway_airflow.campaign_report import gather, is_refused
from slipway_airflow.steps import FAILURE
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run

PLACES = {"candidate": "candidates/c", "evaluation": "evaluations/e", "comparison": None, "drift": None}
JUDGED = {"outcome": "fail", "gates": [], "metrics": {"recall_at_10": 0.5}, "comparison": {}, "report": None}


@pytest.fixture
def run(tmp_path):
    return a_run(MemoryStore(), tmp_path, "reindex-manual__1")


def left(xcoms, **states):
    """The reporting task instance: the XComs by (task, key), and the tasks' states."""
    return SimpleNamespace(
        dag_id="pydocs__reindex",
        run_id="r",
        xcom_pull=lambda task_ids, key: xcoms.get((task_ids[0], key)),
        get_task_states=lambda dag_id, run_ids: {"r": states},
    )


def test_a_rejection_of_a_cleared_attempt_does_not_refuse_what_only_broke(run):
    xcoms = {("approve", FAILURE): ["NotApproved: ann rejected it"], ("build", FAILURE): ["StoreUnreachable: away"]}
    rejected = gather(run, left(xcoms, build="success", approve="failed", release="upstream_failed"))
    assert is_refused(rejected)
    broken = gather(run, left(xcoms, build="failed", approve="upstream_failed", release="upstream_failed"))
    assert broken["failed"] == [{"task": "build", "error": "StoreUnreachable: away"}]
    assert not is_refused(broken)


def test_the_report_can_be_made_again_when_what_was_refused_is_cleared_up(run):
    xcoms = {
        ("build", "return_value"): [PLACES],
        ("judge", "return_value"): [JUDGED],
        ("approve", FAILURE): ["NotApproved: no"],
    }
    made = gather(run, left(xcoms, build="success", judge="success", approve="failed"))
    assert (made["verdict"], made["metrics"]) == ("failed", {"recall_at_10": 0.5})
    assert is_refused(made)


def test_what_an_earlier_attempt_built_is_not_told_of_one_that_did_not_build(run):
    Draft(run.store, PLACES["candidate"], "index", "c").seal({"vectors": 1, "index_bytes": 1}, {})
    xcoms = {("build", "return_value"): [PLACES], ("judge", "return_value"): [JUDGED]}
    made = gather(run, left(xcoms, shards="failed", build="upstream_failed", judge="upstream_failed"))
    assert not {"index", "verdict", "metrics"} & made.keys()
