"""The maintenance DAG, run for real on a local store."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from slipway.lease import Holder, held, read_lease
from slipway.storage import LocalStore

ORPHAN = "chunks/abcd/ffff/chunks-00000.parquet"


@pytest.fixture
def store(bench):
    """The store of `tiny`, with something to remove."""
    store = LocalStore(bench.store)
    store.put(ORPHAN, b"killed")
    long_ago = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(store.local_path(ORPHAN), (long_ago, long_ago))
    return store


def run_dag():
    """Run `tiny__maintenance` to its end, without retries; its state and what its task returned or failed with."""
    from airflow.dag_processing.dagbag import DagBag

    from slipway_airflow.steps import FAILURE

    dag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags["tiny__maintenance"]
    for task in dag.tasks:
        task.retries = 0
    dag_run = dag.test()
    [instance] = dag_run.get_task_instances()
    pulled = {key: instance.xcom_pull(task_ids="maintain", key=key) for key in ("return_value", FAILURE)}
    return str(dag_run.state), pulled["return_value"], pulled[FAILURE]


def test_it_removes_what_nobody_needs_and_gives_the_lease_back(store):
    state, done, _ = run_dag()
    assert state == "success"
    assert [(one["kind"], one["objects"]) for one in done["removed"]] == [("orphans", 1)]
    assert not store.exists(ORPHAN)
    found, _ = read_lease(store)
    assert (found.state, found.holder.what) == ("free", "maintenance")
    assert found.holder.run_id.startswith("maintenance-")


def test_it_does_nothing_while_a_run_is_at_work(store):
    with held(store, Holder("night-1", "ann", "DAG run")):
        state, _, failure = run_dag()
    assert state == "failed"
    assert failure.startswith("RunInProgress: a DAG run is at work on this collection: run 'night-1'")
    assert store.exists(ORPHAN)
