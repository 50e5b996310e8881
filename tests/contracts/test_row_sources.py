"""What every source promises, on every kind of source we have."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway.errors import SourceSchemaError
from slipway.sources import RowSource
from slipway.sources.adbc import AdbcRows
from slipway.sources.alchemy import AlchemyRows
from slipway.sources.lake import LakeRows
from slipway.sources.plain import MAX_BYTES, MAX_ROWS
from slipway.sources.sql import SqlRows
from slipway.storage import open_store
from tests.support.s3_server import S3Server
from tests.support.sources import all_rows, connection, sql_source

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

pytest_plugins = ["tests.support.postgres"]

SCHEMA = pa.schema(
    [("id", pa.int64()), ("name", pa.string()), ("score", pa.float64()), ("raw", pa.binary()), ("empty", pa.string())]
)
SQL_TYPES = {"id": "bigint", "name": "text", "score": "double precision", "raw": "bytea", "empty": "text"}


class Place(Protocol):
    """Somewhere that rows can be put and read from again."""

    missing: str

    def fill(self, rows: list[dict[str, Any]]) -> None:
        """Make the table or file hold exactly these rows."""

    def rows(self, columns: Sequence[str]) -> RowSource:
        """The source under test."""

    def rows_of_missing(self) -> RowSource:
        """A source that names something that is not there."""


class SqlitePlace:
    missing = "nowhere"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "documents.db"

    def fill(self, rows: list[dict[str, Any]]) -> None:
        database = sqlite3.connect(self._path)
        database.execute('CREATE TABLE "docs" (id, name, score, raw, empty)')
        database.executemany('INSERT INTO "docs" VALUES (:id, :name, :score, :raw, :empty)', rows)
        database.commit()
        database.close()

    def rows(self, columns: Sequence[str], table: str = "docs") -> RowSource:
        return SqlRows(connection(f"sqlite:///{self._path}"), sql_source(columns, table=table))

    def rows_of_missing(self) -> RowSource:
        return self.rows(["id"], self.missing)


class PostgresPlace:
    missing = "nowhere"

    def __init__(self, postgres: Postgres, driver: Callable[..., RowSource]) -> None:
        self._postgres, self._driver = postgres, driver

    def fill(self, rows: list[dict[str, Any]]) -> None:
        columns = ", ".join(f"{name} {kind}" for name, kind in SQL_TYPES.items())
        self._postgres.execute("DROP TABLE IF EXISTS docs")
        self._postgres.execute(f"CREATE TABLE docs ({columns})")
        if rows:
            self._postgres.execute(
                "INSERT INTO docs VALUES (%s, %s, %s, %s, %s)", [tuple(row.values()) for row in rows]
            )

    def rows(self, columns: Sequence[str], table: str = "docs") -> RowSource:
        return self._driver(connection(self._postgres.url()), sql_source(columns, table=table))

    def rows_of_missing(self) -> RowSource:
        return self.rows(["id"], self.missing)


class LocalLake:
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "lake"
        self._scratch = folder / "scratch"
        self.missing = str(folder / "nowhere")

    def fill(self, rows: list[dict[str, Any]]) -> None:
        """Three files, so that order and joining are seen; the names sort against the order of writing."""
        self._folder.mkdir(exist_ok=True)
        for number, part in reversed(list(enumerate(_thirds(rows)))):
            pq.write_table(pa.Table.from_pylist(part, SCHEMA), self._folder / f"part-{number}.parquet")

    def rows(self, columns: Sequence[str]) -> RowSource:
        return LakeRows(str(self._folder), columns, self._scratch)

    def rows_of_missing(self) -> RowSource:
        return LakeRows(self.missing, ["id"], self._scratch)


class S3Lake:
    def __init__(self, folder: Path, url: str) -> None:
        self._scratch, self._url = folder / "scratch", url
        self.missing = f"{url}/nowhere"

    def fill(self, rows: list[dict[str, Any]]) -> None:
        self._scratch.mkdir(exist_ok=True)
        store = open_store(self._url)
        for number, part in enumerate(_thirds(rows)):
            path = self._scratch / "upload.parquet"
            pq.write_table(pa.Table.from_pylist(part, SCHEMA), path)
            store.upload(path, f"part-{number}.parquet")
            path.unlink()

    def rows(self, columns: Sequence[str]) -> RowSource:
        return LakeRows(self._url, columns, self._scratch)

    def rows_of_missing(self) -> RowSource:
        return LakeRows(self.missing, ["id"], self._scratch)


def _thirds(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    size = -(-len(rows) // 3)
    return [rows[:size], rows[size : 2 * size], rows[2 * size :]]


@pytest.fixture
def s3_url(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return f"s3://{s3_server.new_bucket()}/lake"


@pytest.fixture(params=["sqlite", "postgres_adbc", "postgres_sqlalchemy", "local_parquet", "s3_parquet"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place, one of every kind."""
    if request.param == "sqlite":
        return SqlitePlace(tmp_path)
    if request.param == "local_parquet":
        return LocalLake(tmp_path)
    if request.param == "s3_parquet":
        return S3Lake(tmp_path, request.getfixturevalue("s3_url"))
    driver = AdbcRows if request.param == "postgres_adbc" else AlchemyRows
    return PostgresPlace(request.getfixturevalue("postgres"), driver)


def row(number: int, **values: object) -> dict[str, Any]:
    made = {"id": number, "name": f"naïve 名 {number} 🚢", "score": number + 0.5, "raw": b"\x00\xff", "empty": None}
    return {**made, **values}


def test_the_rows_that_went_in_come_out(place: Place) -> None:
    rows = [row(number) for number in range(3)]
    place.fill(rows)

    assert all_rows(place.rows(list(SCHEMA.names))) == rows


def test_missing_values_stay_missing(place: Place) -> None:
    rows = [row(0), row(1, name=None, score=None, raw=None), row(2, name="", raw=b"")]
    place.fill(rows)

    assert all_rows(place.rows(list(SCHEMA.names))) == rows


def test_columns_have_plain_types(place: Place) -> None:
    place.fill([row(0), row(1, name=None, score=None, raw=None)])

    batches = list(place.rows(list(SCHEMA.names)).batches())

    assert {batch.schema for batch in batches} == {SCHEMA}


def test_only_the_columns_asked_for_are_read_in_that_order(place: Place) -> None:
    place.fill([row(1)])

    assert [list(batch.schema.names) for batch in place.rows(["score", "id"]).batches()] == [["score", "id"]]


def test_many_rows_come_in_bounded_batches(place: Place) -> None:
    place.fill([row(number) for number in range(3 * MAX_ROWS)])

    batches = list(place.rows(["id", "name"]).batches())

    assert max(batch.num_rows for batch in batches) <= MAX_ROWS
    ids = [number for batch in batches for number in batch.column(0).to_pylist()]
    assert sorted(ids) == list(range(3 * MAX_ROWS))


def test_huge_values_come_in_bounded_batches(place: Place) -> None:
    megabytes = 10_000_000
    place.fill([row(number, name=str(number) * megabytes) for number in range(4)])

    sizes = {}
    for batch in place.rows(["id", "name"]).batches():
        assert batch.num_rows == 1 or batch.nbytes <= MAX_BYTES
        sizes |= {each["id"]: (each["name"][:1], len(each["name"])) for each in batch.to_pylist()}

    assert sizes == {number: (str(number), megabytes) for number in range(4)}


def test_nothing_to_read_gives_no_row(place: Place) -> None:
    place.fill([])

    assert all_rows(place.rows(["id", "name"])) == []


def test_a_missing_column_is_named_with_the_columns_there_are(place: Place) -> None:
    place.fill([row(1)])

    with pytest.raises(SourceSchemaError) as error:
        all_rows(place.rows(["id", "titel"]))

    message = str(error.value)
    assert "'titel'" in message
    assert all(repr(name) in message for name in SCHEMA.names)


def test_a_missing_place_is_named(place: Place) -> None:
    place.fill([row(1)])

    with pytest.raises(SourceSchemaError, match=place.missing):
        all_rows(place.rows_of_missing())


def test_reading_can_be_left_early_and_begun_again(place: Place) -> None:
    rows = [row(number) for number in range(20)]
    place.fill(rows)
    left = place.rows(["id"]).batches()
    next(left)
    left.close()

    assert all_rows(place.rows(["id"])) == [{"id": number} for number in range(20)]
