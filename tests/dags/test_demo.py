"""The demo's way of running a DAG in its own process, and what it shows meanwhile."""

import io
import logging
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from slipway_demo import drive, local_run
from slipway_demo.screen import Screen
from tests.dags.conftest import ROOT


@pytest.fixture
def shown():
    return io.StringIO()


def test_without_its_environment_the_demo_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.delenv("SLIPWAY_ROOT", raising=False)
    assert drive.main([]) == 2
    assert "SLIPWAY_ROOT" in capsys.readouterr().err


def test_a_run_is_shown_task_by_task(bench, shown):
    dag = local_run.prepare(str(ROOT / "dags"), "tiny__nightly")
    dag_run = local_run.run(dag, {"reason": "shown"}, Screen(shown))
    assert dag_run.state == "success"
    lines = shown.getvalue().splitlines()
    assert any(line.startswith("  ✓ extract notes") and line.endswith("60 rows") for line in lines)
    assert any(line.startswith("  ✓ embed shard 0") and "chunks embedded" in line for line in lines)
    assert any(line.startswith("  ✓ gate") and line.endswith("3 of 3 gates passed") for line in lines)
    assert any(line.startswith("  ✓ release") and line.endswith("is live") for line in lines)
    assert not logging.getLogger("slipway.progress").handlers


def test_a_dag_that_cannot_be_parsed_is_explained(collections, airflow_tables):
    (collections / "tiny.yaml").write_text("{")
    with pytest.raises(LookupError, match=r"no DAG tiny__nightly.*") as raised:
        local_run.prepare(str(ROOT / "dags"), "tiny__nightly")
    assert "tiny.yaml: is not YAML" in str(raised.value)


def test_a_running_scheduler_is_not_worked_against(collections, airflow_tables):
    from airflow.jobs.job import Job
    from airflow.utils.session import create_session

    job = Job(state="running", latest_heartbeat=datetime.now(UTC))
    job.job_type = "SchedulerJob"
    with create_session() as session:
        session.add(job)
        session.flush()
        number = job.id
    try:
        with pytest.raises(local_run.SchedulerRunning, match="make down"):
            local_run.prepare(str(ROOT / "dags"), "tiny__nightly")
    finally:
        with create_session() as session:
            session.delete(session.get(Job, number))


def test_runs_of_a_killed_demo_are_ended_and_others_are_left_alone(airflow_tables):
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from sqlalchemy import select

    with create_session() as session:
        for run_id, by in (("killed", DagRunTriggeredByType.TEST), ("of_a_person", DagRunTriggeredByType.UI)):
            run = DagRun(dag_id="left__nightly", run_id=run_id, run_type=DagRunType.MANUAL, triggered_by=by)
            run.run_after = datetime.now(UTC)
            run._state = "running"
            session.add(run)
    local_run._fail_leftovers("left__nightly")
    with create_session() as session:
        found = session.scalars(select(DagRun).where(DagRun.dag_id == "left__nightly"))
        assert {run.run_id: str(run.state) for run in found} == {"killed": "failed", "of_a_person": "running"}


def test_where_lines_cannot_be_overwritten_progress_is_sparse(shown, monkeypatch):
    now = SimpleNamespace(monotonic=lambda: now.time, time=0.0)
    monkeypatch.setattr("slipway_demo.screen.time", now)
    screen = Screen(shown)
    screen.start("embed")
    for second in range(40):
        now.time = float(second)
        screen.update(f"{second} of 40")
    screen.say("done")
    assert shown.getvalue().splitlines() == ["15 of 40", "30 of 40", "done"]
