"""What tasks left behind → the run's result, without running any."""

import json
from contextlib import nullcontext
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from slipway import layout, lease
from slipway.errors import CorruptObject
from slipway.manifest import Draft
from slipway.report import read_document, report_of_run
from slipway.stages.release import Released
from slipway_airflow.report import write_report
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run
from tests.support.reports import a_judgement
from tests.support.starts import started


@pytest.fixture
def run(tmp_path):
    return a_run(MemoryStore(), tmp_path)


def sealed(run, place, counts, **facts):
    return {"place": Draft(run.store, place, "test", place).seal(counts, facts).place}


def left(xcoms, **states):
    """A reporting task instance that sees these XComs by (task, key), and these tasks' states."""

    def pull(task_ids, key):
        return xcoms.get((task_ids[0], key))

    return SimpleNamespace(
        dag_id="pydocs__nightly", run_id="r", xcom_pull=pull, get_task_states=lambda dag, run_ids: {"r": states}
    )


def gather(run, xcoms, **states):
    return gather_all(run, {(task, "return_value"): values for task, values in xcoms.items()}, **states)


def gather_all(run, xcoms, **states):
    from slipway_airflow.report import gather

    return gather(run, left(xcoms, **states))


def test_how_the_sources_were_read_and_what_was_allowed_is_told(run):
    started(run, "deletes")
    raw = [
        sealed(run, f"raw/{name}", {"rows": 9, "deleted": 2}, source=name, mode="changes", reason="since noon")
        for name in ("a", "b")
    ]
    cleaned = [sealed(run, "documents/b", {"rows": 9, "documents": 4, "rejected": 1}, source="b")]
    made = gather(run, {"extract": raw, "clean": cleaned})
    assert made["allowed"] == ["deletes"]
    assert [(one["source"], one["deleted"], one["cleaned"]) for one in made["sources"]] == [("a", 2, None), ("b", 2, 5)]


def test_a_run_that_did_not_begin_has_a_result_too(run):
    made = gather(run, {}, preflight="failed")
    assert [one["task"] for one in made["failed"]] == ["preflight"]
    assert not {"allowed", "sources", "plan"} & made.keys()


def test_what_an_earlier_attempt_left_is_not_told_of_a_task_that_did_not_run_again(run):
    stale = {("gate", "failure"): ["GateRefused: no"], ("gate", "seconds"): [4.0], ("index", "failure"): ["no disk"]}
    made = gather_all(run, stale, index="failed", gate="upstream_failed")
    assert made["failed"] == [{"task": "index", "error": "no disk"}]
    assert "gate" not in made["seconds"]
    assert gather_all(run, stale, index="success", gate=None).get("failed") is None


def test_a_plan_over_its_budget_is_told_although_its_task_failed(run):
    counts = {"to_embed": 4321, "tokens": 98765, "chunks": 5000, "reused": 679}
    sealed(run, layout.plan(run.run_id), counts, estimate={"minutes": 75}, shards=[], encoder="e")
    made = gather(run, {}, plan="failed")
    assert made["plan"] == counts | {"minutes": 75}
    assert made["embedded"] == 0


def test_the_steps_of_a_shift_are_read_back(run):
    step = {"percent": 10, "readers": 1, "queries": 4, "errors": 0, "p95_ms": 1.0, "live_p95_ms": None}
    done = Released(True, "r2", 7, "live in slot green", (step,))
    handed_on = json.loads(json.dumps(asdict(done)))  # as XCom does: the tuple comes back as a list
    made = gather_all(run, {("release", "released"): [handed_on]}, release="success")
    assert made["shift"] == [step]
    assert (made["released"], made["release_id"], made["generation"]) == (True, "r2", 7)
    assert json.loads(json.dumps(made))["shift"] == [step]


def test_a_release_that_was_taken_back_has_failed_with_its_reason(run):
    why = "ReleaseRefused: release r2 was taken back: at 10 % of the requests reader web-1 refused it"
    made = gather_all(run, {("release", "failure"): [why]}, release="failed")
    assert made["failed"] == [{"task": "release", "error": why}]
    assert (made["released"], made["reason"]) == (False, why)
    assert "shift" not in made


def test_a_failed_reconciliation_stands_between_index_and_evaluation(run):
    made = gather(run, {}, index="failed", reconcile="failed", evaluate="failed")
    assert [one["task"] for one in made["failed"]] == ["index", "reconcile", "evaluate"]


def test_what_was_reconciled_is_told(run):
    pytest.importorskip("slipway.stages.reconcile")
    counts = {"documents": 3, "chunks": 4, "vectors": 4, "rows": 5, "tombstones": 1, "sampled": 4}
    assert gather(run, {"reconcile": [counts]})["reconciled"] == counts


def test_drift_is_told_and_its_failure_is_named(run):
    record = sealed(run, "drift/1", {"alarms": 0}, measures=[], against=None)
    assert gather(run, {"drift": [record]})["drift"]["place"] == "drift/1"
    assert gather(run, {}, drift="failed")["failed"][0]["task"] == "drift"


def test_the_result_names_the_report_that_the_run_wrote(tmp_path):
    made = a_judgement(MemoryStore(), tmp_path, kind="nightly")
    given, store = made.reported, made.run.store
    xcoms = {
        "index": [{"place": given.candidate.place}],
        "evaluate": [{"place": given.evaluation.place}],
        "gate": [given.verdict.as_json()],
    }
    ti = left({(task, "return_value"): values for task, values in xcoms.items()})
    write_report(made.run, ti, "a reason")
    report = report_of_run(store, made.run.run_id)
    assert read_document(store, report)["reason"] == "a reason"
    assert gather(made.run, xcoms)["report"] == report.place


def test_a_report_that_fails_costs_neither_the_result_nor_the_lease(run, monkeypatch):
    from slipway_airflow import report, tasks

    def broken(run, ti, reason):
        raise CorruptObject("no comparison")

    monkeypatch.setattr(report, "write_report", broken)
    monkeypatch.setattr(tasks, "open_run", lambda lease: nullcontext(run))
    monkeypatch.setattr(tasks, "get_current_context", lambda: {"ti": left({}), "params": {"reason": ""}})
    with lease.held(run.store, lease.Holder(run.run_id, "ada", "DAG run")):
        pass  # it lasts for some minutes after a task
    with pytest.raises(CorruptObject, match="no comparison"):
        tasks.report.function.__wrapped__()
    assert json.loads(run.store.read(layout.result(run.run_id)).body)["released"] is False
    assert lease.read_lease(run.store)[0].state == "free"
