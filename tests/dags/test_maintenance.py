"""The maintenance DAG, run for real on a local store."""

import os
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from slipway import layout
from slipway.lease import Holder, held, read_lease
from slipway.manifest import MANIFEST, Draft, load
from slipway.pins import pin
from slipway.pointer import read_serving
from slipway.storage import LocalStore
from tests.support.releases import a_run, again, publish

ORPHAN = "chunks/abcd/ffff/chunks-00000.parquet"
TASKS = ("verify", "retention", "maintain", "backup", "drill")


@pytest.fixture
def store(bench):
    """The store of `tiny`, with something to remove."""
    store = LocalStore(bench.store)
    store.put(ORPHAN, b"killed")
    long_ago = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(store.local_path(ORPHAN), (long_ago, long_ago))
    return store


@pytest.fixture
def releases(store, tmp_path):
    """The ids of four releases, oldest first; each has the snapshot that it names."""
    run = a_run(store, tmp_path / "scratch")
    made = []
    for seed in range(4):
        seal_snapshot(store, f"snapshots/{seed}")
        made.append(publish(again(run, f"night-{seed}"), seed).release_id)
    return made


def seal_snapshot(store, place):
    Draft(store, place, "snapshot", place).seal({}, {})


@pytest.fixture
def settings(collections):
    """Changes the collection's `release` settings."""

    def change(**release):
        path = collections / "tiny.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"release": release}))

    return change


def run_dag():
    """Run `tiny__maintenance` to its end, without retries: its state, and each task's state, result and failure."""
    from airflow.dag_processing.dagbag import DagBag

    from slipway_airflow.steps import FAILURE

    dag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags["tiny__maintenance"]
    for task in dag.tasks:
        task.retries = 0
    dag_run = dag.test()
    instances = {instance.task_id: instance for instance in dag_run.get_task_instances()}
    states = {name: str(instances[name].state) for name in TASKS}
    done = {name: instances[name].xcom_pull(task_ids=name) for name in TASKS}
    failures = {name: instances[name].xcom_pull(task_ids=name, key=FAILURE) for name in TASKS}
    return str(dag_run.state), states, done, failures


def test_it_removes_proves_copies_and_restores(store, releases, settings, tmp_path):
    settings(keep=2, backup=str(tmp_path / "backup"))
    pin(store, releases[0], "ann", "for the auditors")
    state, states, done, _ = run_dag()
    assert (state, set(states.values())) == ("success", {"success"})
    assert done["retention"]["removed"] == [releases[1]]
    assert done["maintain"]["releases"]["removed"] == []
    assert [one["kind"] for one in done["maintain"]["removed"]] == ["orphans"]
    assert not store.exists(ORPHAN)
    assert done["verify"]["sound"]
    assert {one["release_id"] for one in done["verify"]["releases"]} == set(releases)
    assert done["backup"]["release_id"] == done["drill"]["release_id"] == releases[3]
    assert done["drill"]["source"].startswith((tmp_path / "backup").as_uri())
    assert done["drill"]["is_live"]
    changed = read_serving(store)[0].changed
    assert changed.action == "retire"
    assert changed.run_id.startswith("maintenance-")
    lease, _ = read_lease(store)
    assert (lease.state, lease.holder.what) == ("free", "maintenance")
    assert lease.holder.run_id.startswith("maintenance-")


def test_without_a_backup_store_the_live_release_is_restored(store, releases):
    state, states, done, _ = run_dag()
    assert (state, states["backup"], states["drill"]) == ("success", "skipped", "success")
    assert done["drill"]["backed_up_at"] is None


def test_a_collection_without_a_release_is_no_failure(store):
    state, states, done, _ = run_dag()
    assert (state, states["verify"], states["backup"], states["drill"]) == ("success", "success", "skipped", "skipped")
    assert done["retention"]["releases"] == []
    assert not store.exists(ORPHAN)


def test_a_damaged_object_makes_the_run_red_and_nothing_is_removed(store, releases, settings):
    settings(keep=2)
    key = load(store, layout.release(releases[2])).objects[0].key
    store.put(key, b"spoilt")
    state, states, _, failures = run_dag()
    assert (state, states["verify"], states["retention"]) == ("failed", "failed", "upstream_failed")
    assert all(store.exists(f"{layout.release(name)}/{MANIFEST}") for name in releases)
    assert failures["verify"].startswith("CorruptObject: ")
    assert key in failures["verify"]


def test_it_does_nothing_while_a_run_is_at_work(store, releases, settings):
    settings(keep=2)
    with held(store, Holder("night-1", "ann", "DAG run")):
        state, states, _, failures = run_dag()
    assert (state, states["retention"], states["maintain"]) == ("failed", "failed", "upstream_failed")
    assert failures["retention"].startswith("RunInProgress: a DAG run is at work on this collection: run 'night-1'")
    assert store.exists(ORPHAN)
    assert all(store.exists(f"{layout.release(name)}/{MANIFEST}") for name in releases)
