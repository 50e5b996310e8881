from __future__ import annotations

import json
import traceback

import pytest
from sqlalchemy.engine import make_url

from slipway.connections import Fields, environment_connections, environment_secrets, sqlalchemy_url
from slipway.errors import ConnectionMissing, InputError

PASSWORD = "pa:ss/w@rd %41?&#"


def url_of(value: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AIRFLOW_CONN_DOCS_DB", value)
    return environment_connections("docs_db").url


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("sqlite:////abs/path.db", "sqlite:////abs/path.db"),
        ("sqlite://%2Fabs%2Fpath.db", "sqlite:////abs/path.db"),
        ("sqlite://%2Fabs%2Fpath.db/?timeout=5", "sqlite:////abs/path.db"),
        ("sqlite:///%2Fabs%2Fpath.db", "sqlite:////abs/path.db"),
        ("sqlite:///relative/path.db", "sqlite:///relative/path.db"),
        ("sqlite://relative/path.db", "sqlite:///relative/path.db"),
        ("postgres://u:p@h:5432/db", "postgresql+psycopg://u:p@h:5432/db"),
        ("postgresql://h/db", "postgresql+psycopg://h/db"),
        ("postgresql+psycopg2://u@h/db?sslmode=require", "postgresql+psycopg2://u@h/db?sslmode=require"),
        ("postgres://u@/db?host=/run/pg", "postgresql+psycopg://u@/db?host=%2Frun%2Fpg"),
        ("postgres://h/db?__extra__=%7B%22a%22%3A+1%7D&cursor=dictcursor", "postgresql+psycopg://h/db"),
        ("postgres://[::1]:5432/db", "postgresql+psycopg://[::1]:5432/db"),
        ("mysql://u:p@h/db?charset=utf8mb4", "mysql://u:p@h/db?charset=utf8mb4"),
        ("microsoft-sql://h/db", "microsoft_sql://h/db"),
    ],
)
def test_a_uri_in_airflows_spelling_becomes_sqlalchemys(
    value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert url_of(value, monkeypatch) == expected


@pytest.mark.parametrize("port", [5432, "5432"])
@pytest.mark.parametrize("extra", [{"sslmode": "require"}, '{"sslmode": "require"}'])
def test_json_becomes_a_url(port: object, extra: object, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"conn_type": "postgres", "host": "h", "login": "u", "password": PASSWORD, "schema": "db"}

    url = make_url(url_of(json.dumps({**value, "port": port, "extra": extra}), monkeypatch))

    assert (url.username, url.password, url.host, url.port, url.database) == ("u", PASSWORD, "h", 5432, "db")
    assert url.query == {"sslmode": "require"}


def test_json_names_a_sqlite_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert url_of('{"conn_type": "sqlite", "host": "/abs/path.db"}', monkeypatch) == "sqlite:////abs/path.db"


def test_special_characters_of_a_uri_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    url = make_url(url_of("postgres://a%40b:pa%3Ass%2Fw%40rd%20%2541%3F%26%23@h/my%2Fdb", monkeypatch))

    assert (url.username, url.password, url.database) == ("a@b", PASSWORD, "my/db")


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_connection_names_the_variable(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_DOCS_DB", raising=False)
    if value is not None:
        monkeypatch.setenv("AIRFLOW_CONN_DOCS_DB", value)

    with pytest.raises(ConnectionMissing, match="AIRFLOW_CONN_DOCS_DB"):
        environment_connections("docs_db")


@pytest.mark.parametrize(
    "value",
    [
        "postgres://u:s3cr3t@h:s3cr3t/db",
        "postgres://u:s3cr3t[@h/db",
        "u:s3cr3t@h/db",
        '{"password": "s3cr3t"}',
        '{"conn_type": "postgres", "password": "s3cr3t"',
        '{"conn_type": "postgres", "port": "s3cr3t"}',
        '{"conn_type": "postgres", "extra": "s3cr3t"}',
        '{"conn_type": "postgres", "extra": ["s3cr3t"]}',
    ],
)
def test_a_malformed_connection_is_refused_and_never_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="AIRFLOW_CONN_DOCS_DB") as error:
        url_of(value, monkeypatch)

    assert "s3cr3t" not in "".join(traceback.format_exception(error.value))


def test_a_connection_never_shows_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DOCS_DB", "postgres://u:s3cr3t@h/db")
    connection = environment_connections("docs_db")
    fields = Fields("postgres", password="s3cr3t", extra={"sslpassword": "s3cr3t"})

    assert "s3cr3t" not in repr(connection) + str(connection) + repr(fields)
    assert "s3cr3t" in sqlalchemy_url(fields)


@pytest.mark.parametrize(
    "value",
    ['{"conn_type": "generic", "password": "ab/c+d="}', "generic://:ab%2Fc%2Bd%3D@", "generic://:ab%2Fc%2Bd=@nowhere"],
)
def test_a_secret_is_the_password_of_a_connection_of_any_type(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SIGNING_KEY", value)
    assert environment_secrets("signing_key") == "ab/c+d="


def test_a_connection_without_a_password_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SIGNING_KEY", '{"conn_type": "generic", "host": "h"}')
    with pytest.raises(InputError, match="'signing_key' has no password"):
        environment_secrets("signing_key")
    monkeypatch.delenv("AIRFLOW_CONN_SIGNING_KEY")
    with pytest.raises(ConnectionMissing, match="AIRFLOW_CONN_SIGNING_KEY"):
        environment_secrets("signing_key")
