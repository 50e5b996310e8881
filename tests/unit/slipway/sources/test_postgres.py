"""PostgreSQL by both drivers: logins, failures in the middle, and the types that only it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from slipway.config import SqlSource
from slipway.errors import InputError, SlipwayError, SourceDenied, SourceInterrupted, SourceSchemaError
from slipway.run import Connection
from slipway.sources.adbc import AdbcDatabase, libpq_uri
from slipway.sources.alchemy import AlchemyDatabase
from slipway.sources.sql import SqlReading
from tests.support.sources import all_rows, connection, sql_source

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

pytest_plugins = ["tests.support.postgres"]

ONE = "SELECT 1 AS id"
SECRET = "s3cr3t%/w@rd"
# The server ends this very session while it sends the 20,000th row.
CUT = """
SELECT id, repeat('x', 1000) AS body, CASE WHEN id = 20000 THEN pg_terminate_backend(pg_backend_pid()) END AS cut
FROM generate_series(1, 40000) AS id
"""
Driver = Callable[[Connection, SqlSource], SqlReading]


@pytest.fixture(params=[AdbcDatabase, AlchemyDatabase])
def driver(request: pytest.FixtureRequest) -> Driver:
    return lambda connection, source: SqlReading(request.param(connection, source), source, None)


def by_adbc(connection: Connection, source: SqlSource) -> SqlReading:
    return SqlReading(AdbcDatabase(connection, source), source, None)


def test_a_password_with_every_special_character_logs_in(postgres: Postgres, driver: Driver) -> None:
    from tests.support.postgres import PASSWORD

    url = postgres.url("locked", PASSWORD)

    assert all_rows(driver(connection(url), sql_source(["id"], query=ONE))) == [{"id": 1}]


def test_a_wrong_password_is_refused_and_never_shown(postgres: Postgres, driver: Driver) -> None:
    source = driver(connection(postgres.url("locked", SECRET)), sql_source(["id"], query=ONE))

    with pytest.raises(SourceDenied, match="connection 'docs_db'") as error:
        all_rows(source)

    assert_silent(error.value, source)


def test_an_unknown_role_is_refused(postgres: Postgres, driver: Driver) -> None:
    with pytest.raises(SourceDenied, match="nobody"):
        all_rows(driver(connection(postgres.url("nobody")), sql_source(["id"], query=ONE)))


def test_a_table_without_the_permission_is_refused(postgres: Postgres, driver: Driver) -> None:
    from tests.support.postgres import PASSWORD

    postgres.execute("CREATE TABLE IF NOT EXISTS secrets (id int)")

    with pytest.raises(SourceDenied, match="permission denied"):
        all_rows(
            driver(connection(postgres.url("locked", PASSWORD)), sql_source(["id"], query="SELECT id FROM secrets"))
        )


def test_an_unknown_database_is_the_connections_fault(postgres: Postgres, driver: Driver) -> None:
    with pytest.raises(SourceSchemaError, match="nodb"):
        all_rows(driver(connection(postgres.url(database="nodb")), sql_source(["id"], query=ONE)))


def test_a_server_that_is_not_there_is_worth_another_try(driver: Driver) -> None:
    source = driver(connection(f"postgresql://me:{SECRET}@127.0.0.1:1/db"), sql_source(["id"], query=ONE))

    with pytest.raises(SourceInterrupted, match="before the first row") as error:
        all_rows(source)

    assert_silent(error.value, source)


@pytest.mark.parametrize("url", [f"postgresql://me:{SECRET}@h:po{SECRET}rt/db", f"postgresql:/me:{SECRET}@h/db"])
def test_a_malformed_url_is_refused_and_never_shown(driver: Driver, url: str) -> None:
    source = driver(connection(url), sql_source(["id"], query=ONE))

    with pytest.raises(InputError, match="docs_db") as error:
        all_rows(source)

    assert_silent(error.value, source)


def test_a_session_ended_half_way_is_told_with_the_rows_read(postgres: Postgres, driver: Driver) -> None:
    read = 0
    source = driver(connection(postgres.url()), sql_source(["id", "body", "cut"], query=CUT))
    with pytest.raises(SourceInterrupted, match=r"after [0-9,]+ rows") as error, source:
        for batch in source.rows():
            read += batch.num_rows

    assert 0 < read < 20_000
    assert f"after {read:,} rows" in str(error.value)


def test_rows_written_meanwhile_are_not_seen(postgres: Postgres, driver: Driver) -> None:
    postgres.execute("DROP TABLE IF EXISTS growing")
    postgres.execute("CREATE TABLE growing AS SELECT id, repeat('x', 1000) AS body FROM generate_series(1, 20000) id")
    with driver(connection(postgres.url()), sql_source(["id", "body"], table="growing")) as source:
        batches = source.rows()
        seen = next(batches).num_rows
        postgres.execute("INSERT INTO growing SELECT id, '' FROM generate_series(1, 5000) id")
        seen += sum(batch.num_rows for batch in batches)

    assert seen == 20_000


def test_a_query_cannot_change_the_database(postgres: Postgres, driver: Driver) -> None:
    postgres.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
    postgres.execute(
        "CREATE OR REPLACE FUNCTION spoil() RETURNS int LANGUAGE sql AS 'INSERT INTO kept VALUES (1) RETURNING id'"
    )

    with pytest.raises(SlipwayError, match="read-only"):
        all_rows(driver(connection(postgres.url()), sql_source(["id"], query="SELECT spoil() AS id")))

    assert postgres.execute("SELECT count(*) FROM kept") == [(0,)]


def test_leaving_early_ends_the_session(postgres: Postgres, driver: Driver) -> None:
    query = "SELECT id, repeat('left early', 100) AS body FROM generate_series(1, 100000) AS id"
    with driver(connection(postgres.url()), sql_source(["id", "body"], query=query)) as source:
        next(source.rows())

    # The server notices the closed socket in its own time; being told to go, the session must be able to.
    left = (
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE query LIKE '%left early%' AND pid <> pg_backend_pid()"
    )
    assert all(ended for (ended,) in postgres.execute(left))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1.50::numeric", "1.50"),
        ("'{\"a\":1}'::jsonb", '{"a": 1}'),
        ("'00000000-0000-0000-0000-000000000001'::uuid", "00000000-0000-0000-0000-000000000001"),
        ("point(1, 2)", "(1,2)"),
        ("B'101'", "101"),
        ("'pg_class'::regclass", "pg_class"),
        ("to_tsvector('simple', 'a')", "'a':1"),
        ("'$2.50'::money", "$2.50"),
        ("'{}'::int[]", "[]"),
        ("'red'::colour", "red"),
        ("'x%y :z'::text", "x%y :z"),
        ("NULL", None),
    ],
)
def test_types_of_its_own_become_text(
    postgres: Postgres, driver: Driver, expression: str, expected: str | None
) -> None:
    postgres.execute("DROP TYPE IF EXISTS colour")
    postgres.execute("CREATE TYPE colour AS ENUM ('red')")

    rows = all_rows(
        driver(connection(postgres.url()), sql_source(["x"], query=f"SELECT {expression} AS x -- {expression}"))
    )

    assert rows == [{"x": expected}]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("inet '1.2.3.4'", "1.2.3.4/32"),
        ("interval '1 month 2 days'", "1 mon 2 days"),
        ("timetz '10:00+02'", "10:00:00+02"),
        ("int4range(1, 5)", "[1,5)"),
        ("ROW(1, 'a')", '{"f1":1,"f2":"a"}'),
        ("ARRAY[ARRAY[1, 2], ARRAY[3, 4]]", "[[1,2],[3,4]]"),
        ("timestamp 'infinity'", "out of range"),
    ],
)
def test_adbc_keeps_what_the_server_writes(postgres: Postgres, expression: str, expected: str) -> None:
    rows = all_rows(by_adbc(connection(postgres.url()), sql_source(["x"], query=f"SELECT {expression} AS x")))

    assert rows == [{"x": expected}]


def test_a_table_is_read_from_its_schema(postgres: Postgres, driver: Driver) -> None:
    postgres.execute('CREATE SCHEMA IF NOT EXISTS "Second"')
    postgres.execute('CREATE TABLE IF NOT EXISTS "Second"."Two Words" AS SELECT 7 AS "Select"')

    assert all_rows(driver(connection(postgres.url()), sql_source(["Select"], table="Second.Two Words"))) == [
        {"Select": 7}
    ]


@pytest.mark.parametrize("scheme", ["postgresql+psycopg2", "postgresql+psycopg", "postgres"])
def test_every_way_to_write_the_url_is_understood(postgres: Postgres, driver: Driver, scheme: str) -> None:
    url = postgres.url().replace("postgresql", scheme, 1)

    assert all_rows(driver(connection(url), sql_source(["id"], query=ONE))) == [{"id": 1}]


def test_the_url_for_libpq_is_escaped_in_every_part() -> None:
    uri = libpq_uri("postgresql+psycopg2://a%40b:p%2F%20%2B@db.example:5433/my%20db?sslmode=require")

    assert uri == (
        "postgresql://a%40b:p%2F%20%2B@db.example:5433/my%20db?connect_timeout=30&sslmode=require&client_encoding=UTF8"
    )


def assert_silent(error: BaseException, source: SqlReading) -> None:
    """No message that a log would show, of the error or of what it came from, tells the secret."""
    import traceback

    shown = (
        "".join(traceback.format_exception(error))
        + repr(error)
        + repr(source)
        + repr(vars(source))
        + repr(vars(source.database))
    )
    assert SECRET not in shown
    assert "s3cr3t" not in shown
