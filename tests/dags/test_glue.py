"""The small pieces between Airflow and Slipway, each on its own."""

import errno

import pytest

from slipway.errors import (
    BreakerTripped,
    ConfigError,
    ConflictError,
    ConnectionMissing,
    CorruptObject,
    DiskFull,
    InputError,
    StateUnknown,
    StoreDenied,
    StoreUnreachable,
)


@pytest.fixture
def connection(monkeypatch, airflow_tables):
    """Finds the connection that a URI, or JSON, describes."""
    from slipway_airflow.connections import airflow_connections

    def find(uri):
        monkeypatch.setenv("AIRFLOW_CONN_SOURCE", uri)
        return airflow_connections("source")

    return find


def test_a_sqlite_connection_becomes_a_url_with_its_absolute_path(connection):
    assert connection("sqlite:////srv/my%20docs/a.db").url == "sqlite:////srv/my docs/a.db"


def test_both_sides_read_a_sqlite_connection_alike(connection):
    from slipway.connections import environment_connections

    uri = "sqlite:////srv/docs/a.db"
    assert connection(uri).url == environment_connections("source").url


def test_a_postgres_connection_keeps_its_tls_options(connection):
    found = connection("postgres://ann:p%40ss@db:5433/lake?sslmode=require&cursor=x")
    assert found.url == "postgresql+psycopg://ann:p%40ss@db:5433/lake?sslmode=require"
    assert "p%40ss" not in repr(found) + str(found)


def test_a_missing_connection_says_how_to_add_it(airflow_tables):
    from slipway_airflow.connections import airflow_connections

    with pytest.raises(ConnectionMissing, match=r"AIRFLOW_CONN_NOBODY_THERE"):
        airflow_connections("nobody_there")


def test_a_connection_type_without_a_provider_is_named(connection):
    with pytest.raises(InputError, match=r"'oracle', for which no Airflow provider is installed"):
        connection("oracle://u:secret@h/x")


def test_a_connection_that_is_no_database_is_refused(connection):
    with pytest.raises(InputError, match="cannot be read with SQL"):
        connection("smtp://u:secret@h")


def test_connections_of_other_providers_go_through_their_hook():
    from types import SimpleNamespace

    from sqlalchemy.engine import make_url

    from slipway_airflow.connections import _url

    hook = SimpleNamespace(sqlalchemy_url=make_url("mysql+pymysql://u:p@h/d"))
    found = SimpleNamespace(conn_type="mysql", conn_id="x", extra_dejson={}, get_hook=lambda: hook)
    assert _url(found) == "mysql+pymysql://u:p@h/d"


@pytest.mark.parametrize("error", [ConfigError, BreakerTripped, CorruptObject, StoreDenied])
def test_errors_that_only_a_person_can_mend_fail_at_once_and_keep_their_words(error):
    from airflow.sdk.exceptions import AirflowFailException

    from slipway_airflow.failures import task_failures

    with pytest.raises(AirflowFailException, match=f"^{error.__name__}: do this"), task_failures():
        raise error("do this")


@pytest.mark.parametrize("error", [StoreUnreachable, ConflictError, StateUnknown, DiskFull, KeyError])
def test_all_other_errors_are_left_to_the_retries(error):
    from slipway_airflow.failures import task_failures

    with pytest.raises(error), task_failures():
        raise error("again")


def test_a_full_disk_is_named():
    from slipway_airflow.failures import task_failures

    with pytest.raises(DiskFull, match="/scratch/x"), task_failures():
        raise OSError(errno.ENOSPC, "No space left on device", "/scratch/x")


def test_unknown_errors_are_not_quoted_on_the_result_page():
    from slipway_airflow.failures import describe

    assert describe(ValueError("password=hunter2")) == "ValueError: see the task's log"


def test_progress_is_logged_now_and_then_with_speed_and_time_left(caplog):
    from slipway_airflow.progress import LoggedProgress

    now = [100.0]
    caplog.set_level("INFO", logger="slipway.progress")
    progress = LoggedProgress(clock=lambda: now[0])
    for second in range(25):
        now[0] = 100.0 + second
        progress("embed", 100 + 100 * second, 2500, "tokens")
    assert [record.message for record in caplog.records] == [
        "embed: 100 of 2,500 tokens",
        "embed: 1,100 of 2,500 tokens, 100 a second, 14 s left",
        "embed: 2,100 of 2,500 tokens, 100 a second, 4 s left",
        "embed: 2,500 of 2,500 tokens, 100 a second",
    ]


@pytest.mark.parametrize(("left", "said"), [(1, "1 s"), (119, "119 s"), (1_500, "25 min"), (12_000, "3 h 20 min")])
def test_the_time_left_is_told_in_units_that_suit_it(left, said):
    from slipway_airflow.progress import line

    assert line("embed", 0, left * 10, "tokens", 10) == f"embed: 0 of {left * 10:,} tokens, 10 a second, {said} left"


def test_run_ids_become_keys():
    from slipway_airflow.runs import run_key

    assert run_key("manual__2026-11-21T03:16:05.1+00:00") == "manual__2026-11-21T03-16-05-1-00-00"


@pytest.mark.parametrize("name", ["pydocs", "a__b"])
def test_a_dags_id_tells_its_collection(name):
    from slipway_airflow.runs import collection_of, dag_id

    assert collection_of(dag_id(name, "nightly")) == name


def test_a_shards_label_tells_its_size():
    from slipway_airflow.tasks import shard_label

    assert shard_label({"shard": 3, "chunks": 2048, "tokens": 311_400}) == "shard 3: 2,048 chunks, 311k tokens"
