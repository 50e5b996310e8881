"""What `slipway doctor` asks of Airflow: pools, DAG files, and whether nights will run; and connections in Airflow."""

import subprocess
import sys

import pytest

from slipway.doctor import Status
from slipway_airflow import doctor
from tests.support.releases import a_run

ORDINARY = {"slipway_embed_cpu": 1, "slipway_embed_gpu": 1, "slipway_index": 2}


def collection(**fields):
    return a_run(None, None, **fields).collection


@pytest.mark.parametrize(
    ("slots", "status", "said"),
    [
        (ORDINARY, Status.PASS, "2 slots"),
        ({}, Status.FAIL, "not there"),
        ({"slipway_index": 0}, Status.FAIL, "no slot"),
        ({"slipway_index": -1}, Status.WARN, "no bound"),
    ],
)
def test_a_pool_must_be_there_with_slots(slots, status, said):
    found = doctor.pool("slipway_index", slots)
    assert (found.status, said in found.found, bool(found.todo)) == (status, True, status is not Status.PASS)


def test_only_the_pools_that_tasks_name_are_asked_for():
    assert doctor.pools_of([]) == []
    assert doctor.pools_of([collection()]) == ["slipway_embed_cpu", "slipway_index"]
    assert doctor.pools_of([collection(embed={"device": "cuda"})]) == ["slipway_embed_gpu", "slipway_index"]


def test_files_that_airflow_could_not_read_fail():
    assert doctor.dag_files([]).status is Status.PASS
    found = doctor.dag_files(["/dags/nightly.py"])
    assert (found.status, "/dags/nightly.py" in found.found) == (Status.FAIL, True)


@pytest.mark.parametrize(("paused", "status"), [(None, Status.FAIL), (True, Status.WARN), (False, Status.PASS)])
def test_a_collection_without_a_dag_or_with_a_paused_one_has_no_nights(paused, status):
    assert doctor.dag(collection(schedule="15 2 * * *"), paused).status is status


def test_airflows_database_is_asked(airflow_tables):
    found = {one.check + " " + one.subject: one for one in doctor.checks([collection()])}
    assert found["pool slipway_index"].found == "1 slot"
    assert found["pool slipway_embed_cpu"].status is Status.PASS
    assert found["DAG files Airflow"].status is Status.PASS
    assert found["DAG test__nightly"].status is Status.FAIL


def test_a_pool_that_somebody_removed_is_missed(airflow_tables):
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session

    from slipway_airflow.pools import create_pools

    with create_session() as session:
        Pool.delete_pool("slipway_index", session=session)
    try:
        found = {one.subject: one for one in doctor.checks([collection()])}
        assert (found["slipway_index"].status, "slipway_airflow.pools" in found["slipway_index"].todo) == (
            Status.FAIL,
            True,
        )
    finally:
        create_pools()


def test_import_errors_and_paused_dags_are_seen(airflow_tables):
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.errors import ParseImportError
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(DagBundleModel(name="doctor-test"))
        session.flush()
        session.add(ParseImportError(filename="broken.py", stacktrace="x", bundle_name="doctor-test"))
        session.add(DagModel(dag_id="test__nightly", bundle_name="doctor-test", is_paused=True, is_stale=False))
    try:
        found = {one.check: one for one in doctor.checks([collection()])}
        assert (found["DAG files"].status, "broken.py" in found["DAG files"].found) == (Status.FAIL, True)
        assert found["DAG"].status is Status.WARN
    finally:
        with create_session() as session:
            for row in (*session.query(ParseImportError), session.get(DagModel, "test__nightly")):
                session.delete(row)
            session.flush()
            session.delete(session.get(DagBundleModel, "doctor-test"))


def test_a_database_that_cannot_be_asked_is_skipped_without_its_address(monkeypatch):
    def refuse():
        raise ConnectionError("postgresql://ann:hunter2@db")

    monkeypatch.setattr(doctor, "_session", refuse)
    [found] = doctor.checks([])
    assert (found.status, "ConnectionError" in found.found, "hunter2" in found.found) == (Status.SKIP, True, False)


def test_without_airflow_it_is_skipped(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    [found] = doctor.checks([])
    assert (found.status, found.found) == (Status.SKIP, "Airflow is not installed here")


def test_where_airflow_is_not_set_up_nothing_of_it_is_imported_or_made(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.delenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
    program = (
        "import sys; from slipway_airflow.doctor import checks; print(checks([])[0].found, *sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found, *modules = done.stdout.splitlines()
    assert found.startswith("Airflow is not set up here")
    assert "slipway.doctor" in modules and "airflow" not in modules
    assert list(tmp_path.iterdir()) == []


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_a_secret_is_the_password_of_a_connection_of_any_type(monkeypatch, airflow_tables):
    from slipway_airflow.connections import airflow_secrets

    monkeypatch.setenv("AIRFLOW_CONN_SIGNING_KEY", '{"conn_type": "generic", "password": "ab/c+d="}')
    assert airflow_secrets("signing_key") == "ab/c+d="


def test_a_secret_is_kept_out_of_airflows_logs(monkeypatch, airflow_tables):
    from airflow.sdk.log import redact

    from slipway_airflow.connections import airflow_secrets

    monkeypatch.setenv("AIRFLOW_CONN_SIGNING_KEY", '{"conn_type": "generic", "password": "very-secret-seed-1"}')
    airflow_secrets("signing_key")
    assert "very-secret-seed-1" not in str(redact("the key is very-secret-seed-1"))


def test_a_missing_secret_says_where_to_put_it(monkeypatch, airflow_tables):
    from slipway.errors import ConnectionMissing, InputError
    from slipway_airflow.connections import airflow_secrets

    with pytest.raises(ConnectionMissing, match="AIRFLOW_CONN_NO_KEY"):
        airflow_secrets("no_key")
    monkeypatch.setenv("AIRFLOW_CONN_NO_KEY", '{"conn_type": "generic", "host": "h"}')
    with pytest.raises(InputError, match="has no password"):
        airflow_secrets("no_key")
