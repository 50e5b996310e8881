"""SQLite keeps anything in any column: whatever is in there must come out, or be named."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest

from slipway.errors import CorruptObject, InputError, SourceInterrupted, SourceSchemaError
from slipway.sources.sql import open_sql
from tests.support.sources import all_rows, connection, sql_source


@pytest.fixture
def database(tmp_path: Path) -> sqlite3.Connection:
    return sqlite3.connect(tmp_path / "docs.db", isolation_level=None)


def rows_of(path: Path, columns: list[str], **where: str) -> list[dict[str, object]]:
    return all_rows(open_sql(connection(f"sqlite:///{path}"), sql_source(columns, **where), None))


def test_text_that_is_not_utf_8_arrives_as_bytes(database: sqlite3.Connection, tmp_path: Path) -> None:
    database.execute("CREATE TABLE docs (id TEXT, body TEXT)")
    database.execute("INSERT INTO docs VALUES ('a', CAST(x'66ff6f' AS TEXT)), ('b', 'fine')")

    assert rows_of(tmp_path / "docs.db", ["id", "body"], table="docs") == [
        {"id": "a", "body": b"f\xffo"},
        {"id": "b", "body": b"fine"},
    ]


def test_values_of_every_type_share_a_column(database: sqlite3.Connection, tmp_path: Path) -> None:
    database.execute("CREATE TABLE docs (id, body)")
    database.execute("INSERT INTO docs VALUES (1, 'a'), ('two', NULL), (3.5, 4)")

    assert rows_of(tmp_path / "docs.db", ["id", "body"], table="docs") == [
        {"id": "1", "body": "a"},
        {"id": "two", "body": None},
        {"id": "3.5", "body": "4"},
    ]


def test_nul_characters_and_ten_megabytes_are_kept(database: sqlite3.Connection, tmp_path: Path) -> None:
    database.execute("CREATE TABLE docs (id, body)")
    database.execute("INSERT INTO docs VALUES (1, 'a' || char(0) || 'b')")
    database.execute("INSERT INTO docs VALUES (2, ?)", ["x" * 10_000_000])

    first, second = rows_of(tmp_path / "docs.db", ["id", "body"], table="docs")

    assert (first["body"], second["body"]) == ("a\0b", "x" * 10_000_000)


def test_a_query_may_hold_percent_signs_colons_and_a_semicolon(database: sqlite3.Connection, tmp_path: Path) -> None:
    database.execute("CREATE TABLE docs (id, body)")
    database.execute("INSERT INTO docs VALUES (1, '100% :sure'), (2, 'no')")

    found = rows_of(tmp_path / "docs.db", ["id"], query="SELECT * FROM docs WHERE body LIKE '100% :s%';\n")

    assert found == [{"id": 1}]


def test_identifiers_are_quoted(database: sqlite3.Connection, tmp_path: Path) -> None:
    database.execute('CREATE TABLE "order by" ("select" INTEGER)')
    database.execute('INSERT INTO "order by" VALUES (1)')

    assert rows_of(tmp_path / "docs.db", ["select"], table="order by") == [{"select": 1}]
    assert rows_of(tmp_path / "docs.db", ["select"], table="main.order by") == [{"select": 1}]


def test_a_view_is_read_like_a_table(database: sqlite3.Connection, tmp_path: Path) -> None:
    database.execute("CREATE VIEW docs AS SELECT 1 AS id")

    assert rows_of(tmp_path / "docs.db", ["id"], table="docs") == [{"id": 1}]


def test_a_missing_file_is_named_and_not_created(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.db"

    with pytest.raises(SourceSchemaError, match=r"nowhere\.db"):
        rows_of(path, ["id"], table="docs")

    assert not path.exists()


def test_a_connection_without_a_file_is_refused() -> None:
    with pytest.raises(SourceSchemaError, match="no path"):
        all_rows(open_sql(connection("sqlite://"), sql_source(["id"], table="docs"), None))


def test_a_missing_table_is_named_with_those_there_are(database: sqlite3.Connection, tmp_path: Path) -> None:
    database.execute("CREATE TABLE documents (id)")

    with pytest.raises(SourceSchemaError, match=r"'docs'.*documents"):
        rows_of(tmp_path / "docs.db", ["id"], table="docs")


@pytest.mark.parametrize("query", ["SELECT nothing FROM docs", "SELEC 1", "SELECT * FROM nowhere"])
def test_a_wrong_query_is_the_collections_fault(database: sqlite3.Connection, tmp_path: Path, query: str) -> None:
    database.execute("CREATE TABLE docs (id)")

    with pytest.raises(SourceSchemaError, match=r"source 'docs' .connection 'docs_db'.*query"):
        rows_of(tmp_path / "docs.db", ["id"], query=query)


def test_a_query_cannot_change_the_database(database: sqlite3.Connection, tmp_path: Path) -> None:
    database.execute("CREATE TABLE docs (id)")

    with pytest.raises(InputError):
        rows_of(tmp_path / "docs.db", ["id"], query="INSERT INTO docs VALUES (1)")

    assert database.execute("SELECT count(*) FROM docs").fetchone() == (0,)


def test_a_column_that_comes_twice_is_refused(database: sqlite3.Connection, tmp_path: Path) -> None:
    with pytest.raises(SourceSchemaError, match="more than one column 'id'"):
        rows_of(tmp_path / "docs.db", ["id"], query="SELECT 1 AS id, 2 AS id")


def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "docs.db").write_bytes(b"not a database, only text" * 100)

    with pytest.raises(CorruptObject, match="Restore"):
        rows_of(tmp_path / "docs.db", ["id"], table="docs")


def test_a_locked_database_is_worth_another_try(database: sqlite3.Connection, tmp_path: Path) -> None:
    from slipway.sources.failures import Failures

    database.execute("CREATE TABLE docs (id)")
    database.execute("BEGIN EXCLUSIVE")
    impatient = sqlite3.connect(tmp_path / "docs.db", timeout=0)
    with pytest.raises(sqlite3.OperationalError) as locked:
        impatient.execute("SELECT * FROM docs")

    assert isinstance(Failures("docs", connection("sqlite://")).of(locked.value, 0), SourceInterrupted)


def test_a_batch_with_other_types_has_another_schema(database: sqlite3.Connection, tmp_path: Path) -> None:
    database.execute("CREATE TABLE docs (id, body)")
    database.execute("BEGIN")
    database.executemany("INSERT INTO docs VALUES (?, ?)", [(number, "x") for number in range(9_000)])
    database.execute("INSERT INTO docs VALUES (9000, x'ff')")
    database.execute("COMMIT")

    with open_sql(connection(f"sqlite:///{tmp_path}/docs.db"), sql_source(["id", "body"], table="docs"), None) as docs:
        assert [batch.schema.field("body").type for batch in docs.rows()] == [pa.string(), pa.binary()]
