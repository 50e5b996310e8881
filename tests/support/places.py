"""Places of every kind that sources read from: filled and changed as their own writers do it."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway.config import DeltaSource, IcebergSource, LakeSource, SqlSource
from slipway.sources import Position, Reading, open_reading
from slipway.sources.adbc import AdbcDatabase
from slipway.sources.alchemy import AlchemyDatabase
from slipway.sources.sql import Database, SqlReading
from slipway.storage import open_store
from tests.support.s3_server import make_test_client
from tests.support.sources import connection, described, sql_source

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from tests.support.postgres import Postgres

Rows = Sequence[dict[str, Any]]


class Place(Protocol):
    """Somewhere that rows can be put and read from again. `missing` names something that is not there."""

    missing: str

    def fill(self, rows: Rows, schema: pa.Schema) -> None:
        """Make the table or file anew, with exactly these rows."""

    def reading(self, columns: Sequence[str], since: Position | None = None, **options: Any) -> Reading:
        """A reading of these columns, the id first; `options` are further fields of the source."""

    def reading_of_missing(self) -> Reading:
        """A reading of something that is not there."""


class ChangingPlace(Place, Protocol):
    """A place whose rows can be changed, each call in a transaction of its own."""

    def insert(self, rows: Rows, schema: pa.Schema) -> None: ...

    def update(self, rows: Rows, schema: pa.Schema) -> None: ...

    def delete(self, ids: Sequence[int]) -> None: ...


SQL_TYPES = {
    pa.int64(): "bigint",
    pa.string(): "text",
    pa.float64(): "double precision",
    pa.binary(): "bytea",
    pa.bool_(): "boolean",
    pa.timestamp("us"): "timestamp",
    pa.timestamp("us", "UTC"): "timestamptz",
}


class SqlitePlace:
    """A table without declared types, so that what is stored is what was put in."""

    missing = "nowhere"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "documents.db"

    def fill(self, rows: Rows, schema: pa.Schema) -> None:
        self._many("DROP TABLE IF EXISTS docs", [()])
        self._many(f"CREATE TABLE docs ({', '.join(schema.names)})", [()])
        self.insert(rows, schema)

    def insert(self, rows: Rows, schema: pa.Schema) -> None:
        self._many(f"INSERT INTO docs VALUES ({', '.join('?' for _ in schema)})", [_values(row) for row in rows])

    def update(self, rows: Rows, schema: pa.Schema) -> None:
        settings = ", ".join(f"{name} = ?" for name in schema.names)
        self._many(f"UPDATE docs SET {settings} WHERE id = ?", [(*_values(row), row["id"]) for row in rows])

    def delete(self, ids: Sequence[int]) -> None:
        self._many("DELETE FROM docs WHERE id = ?", [(each,) for each in ids])

    def _many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        database = sqlite3.connect(self._path)
        database.executemany(sql, rows)
        database.commit()
        database.close()

    def reading(self, columns: Sequence[str], since: Position | None = None, **options: Any) -> Reading:
        return self._reading(sql_source(columns, **{"table": "docs", **options}), since)

    def reading_of_missing(self) -> Reading:
        return self.reading(["id"], table=self.missing)

    def _reading(self, source: SqlSource, since: Position | None) -> Reading:
        return open_reading(source, lambda _: connection(f"sqlite:///{self._path}"), Path("unused"), since)


def _values(row: dict[str, Any]) -> tuple[Any, ...]:
    """As SQLite keeps them: times as text."""
    return tuple(value.isoformat(" ") if hasattr(value, "isoformat") else value for value in row.values())


class PostgresPlace:
    missing = "nowhere"

    def __init__(self, postgres: Postgres, driver: Callable[..., Database]) -> None:
        self._postgres, self._driver = postgres, driver

    def fill(self, rows: Rows, schema: pa.Schema) -> None:
        self._postgres.execute("DROP TABLE IF EXISTS docs")
        columns = ", ".join(f"{field.name} {SQL_TYPES[field.type]}" for field in schema)
        self._postgres.execute(f"CREATE TABLE docs ({columns})")
        self.insert(rows, schema)

    def insert(self, rows: Rows, schema: pa.Schema) -> None:
        if rows:
            marks = ", ".join("%s" for _ in schema)
            self._postgres.execute(f"INSERT INTO docs VALUES ({marks})", [tuple(row.values()) for row in rows])

    def update(self, rows: Rows, schema: pa.Schema) -> None:
        settings = ", ".join(f"{name} = %s" for name in schema.names)
        changed = [(*row.values(), row["id"]) for row in rows]
        if changed:
            self._postgres.execute(f"UPDATE docs SET {settings} WHERE id = %s", changed)

    def delete(self, ids: Sequence[int]) -> None:
        if ids:
            self._postgres.execute("DELETE FROM docs WHERE id = %s", [(each,) for each in ids])

    def reading(self, columns: Sequence[str], since: Position | None = None, **options: Any) -> Reading:
        source = sql_source(columns, **{"table": "docs", **options})
        return SqlReading(self._driver(connection(self._postgres.url()), source), source, since)

    def reading_of_missing(self) -> Reading:
        return self.reading(["id"], table=self.missing)


class LocalLake:
    """Three files, so that order and joining are seen; the names sort against the order of writing."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._scratch = folder / "lake", folder / "scratch"
        self.missing = str(folder / "nowhere")

    def fill(self, rows: Rows, schema: pa.Schema) -> None:
        self._folder.mkdir(exist_ok=True)
        for number, part in reversed(list(enumerate(_thirds(rows)))):
            pq.write_table(pa.Table.from_pylist(part, schema), self._folder / f"part-{number}.parquet")

    def reading(self, columns: Sequence[str], since: Position | None = None, **options: Any) -> Reading:
        return self._reading(str(self._folder), columns, since)

    def reading_of_missing(self) -> Reading:
        return self._reading(self.missing, ["id"], None)

    def _reading(self, path: str, columns: Sequence[str], since: Position | None) -> Reading:
        source = LakeSource(**described(columns, kind="lake", path=path))
        return open_reading(source, no_connection, self._scratch, since)


class S3Lake(LocalLake):
    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self._url, self.missing = url, f"{url}/nowhere"

    def fill(self, rows: Rows, schema: pa.Schema) -> None:
        self._scratch.mkdir(exist_ok=True)
        store = open_store(self._url)
        for number, part in enumerate(_thirds(rows)):
            path = self._scratch / "upload.parquet"
            pq.write_table(pa.Table.from_pylist(part, schema), path)
            store.upload(path, f"part-{number}.parquet")
            path.unlink()

    def reading(self, columns: Sequence[str], since: Position | None = None, **options: Any) -> Reading:
        return self._reading(self._url, columns, since)


def _thirds(rows: Rows) -> list[list[dict[str, Any]]]:
    size = -(-len(rows) // 3)
    return [list(rows[:size]), list(rows[size : 2 * size]), list(rows[2 * size :])]


def no_connection(name: str) -> Any:
    raise AssertionError(f"connection {name!r} was asked for")


class DeltaPlace:
    """A table with its change data feed on."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url, self._scratch = url, folder / "scratch"
        self.missing = f"{url}-nowhere"

    @property
    def options(self) -> dict[str, str]:
        from slipway.sources.s3_options import delta_options

        return delta_options(self.url)

    @property
    def table(self) -> Any:
        from deltalake import DeltaTable

        return DeltaTable(self.url, storage_options=self.options)

    def fill(self, rows: Rows, schema: pa.Schema, **properties: str) -> None:
        self._write(rows, schema, mode="overwrite", configuration={"delta.enableChangeDataFeed": "true", **properties})

    def insert(self, rows: Rows, schema: pa.Schema) -> None:
        if rows:
            self._write(rows, schema, mode="append")

    def _write(self, rows: Rows, schema: pa.Schema, **how: Any) -> None:
        from deltalake import write_deltalake

        write_deltalake(self.url, pa.Table.from_pylist(list(rows), schema), storage_options=self.options, **how)

    def update(self, rows: Rows, schema: pa.Schema) -> None:
        if rows:
            changed = pa.Table.from_pylist(list(rows), schema)
            merge = self.table.merge(changed, "t.id = s.id", source_alias="s", target_alias="t")
            merge.when_matched_update_all().execute()

    def delete(self, ids: Sequence[int]) -> None:
        if ids:
            self.table.delete(f"id IN ({', '.join(map(str, ids))})")

    def reading(self, columns: Sequence[str], since: Position | None = None, **options: Any) -> Reading:
        return self._reading(self.url, columns, since)

    def reading_of_missing(self) -> Reading:
        return self._reading(self.missing, ["id"], None)

    def _reading(self, path: str, columns: Sequence[str], since: Position | None) -> Reading:
        source = DeltaSource(**described(columns, kind="delta", path=path))
        return open_reading(source, no_connection, self._scratch, since)


class IcebergPlace:
    """A table of the catalog `default`, as the environment describes it."""

    missing = "docs.nowhere"

    @property
    def catalog(self) -> Catalog:
        from pyiceberg.catalog import load_catalog
        from pyiceberg.utils.config import Config

        return load_catalog("default", **(Config().get_catalog_config("default") or {}))

    @property
    def table(self) -> Any:
        return self.catalog.load_table("docs.articles")

    def fill(self, rows: Rows, schema: pa.Schema) -> None:
        catalog = self.catalog
        catalog.create_namespace_if_not_exists("docs")
        if catalog.table_exists("docs.articles"):
            catalog.drop_table("docs.articles")
        catalog.create_table("docs.articles", schema)
        self.insert(rows, schema)

    def insert(self, rows: Rows, schema: pa.Schema) -> None:
        if rows:
            self.table.append(pa.Table.from_pylist(list(rows), schema))

    def update(self, rows: Rows, schema: pa.Schema) -> None:
        if rows:
            changed = pa.Table.from_pylist(list(rows), schema)
            self.table.overwrite(changed, overwrite_filter=_one_of([row["id"] for row in rows]))

    def delete(self, ids: Sequence[int]) -> None:
        if ids:
            self.table.delete(_one_of(ids))

    def reading(self, columns: Sequence[str], since: Position | None = None, **options: Any) -> Reading:
        return self._reading("docs.articles", columns, since)

    def reading_of_missing(self) -> Reading:
        return self._reading(self.missing, ["id"], None)

    def _reading(self, table: str, columns: Sequence[str], since: Position | None) -> Reading:
        source = IcebergSource(**described(columns, kind="iceberg", table=table))
        return open_reading(source, no_connection, Path("unused"), since)


def _one_of(ids: Sequence[int]) -> Any:
    from pyiceberg.expressions import In

    return In("id", list(ids))


@pytest.fixture
def s3_url(s3_process: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix in a bucket of its own, the environment being set up for it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_process)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    bucket = f"test-{uuid.uuid4().hex}"
    make_test_client(s3_process).create_bucket(Bucket=bucket)
    return f"s3://{bucket}/lake"


def iceberg_settings(folder: Path, warehouse: str, endpoint: str = "") -> dict[str, str]:
    """The environment of a catalog in a file, with its tables in a folder or on the S3 server."""
    settings = {"TYPE": "sql", "URI": f"sqlite:///{folder}/catalog.db", "WAREHOUSE": warehouse}
    if endpoint:
        settings |= {"S3__ENDPOINT": endpoint, "S3__REGION": "us-east-1"}
        settings |= {"S3__ACCESS_KEY_ID": "testing-key-id", "S3__SECRET_ACCESS_KEY": "testing-secret"}
    return {f"PYICEBERG_CATALOG__DEFAULT__{key}": value for key, value in settings.items()}


CHANGING = [
    "sqlite",
    "postgres_adbc",
    "postgres_sqlalchemy",
    "local_delta",
    "s3_delta",
    "local_iceberg",
    "s3_iceberg",
]
KINDS = [*CHANGING, "local_parquet", "s3_parquet"]


def place_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> Any:
    """An empty place of that kind."""
    if kind == "sqlite":
        return SqlitePlace(folder)
    if kind.startswith("postgres"):
        driver = AdbcDatabase if kind == "postgres_adbc" else AlchemyDatabase
        return PostgresPlace(request.getfixturevalue("postgres"), driver)
    url = request.getfixturevalue("s3_url") if kind.startswith("s3") else ""
    if kind.endswith("parquet"):
        return S3Lake(folder, url) if url else LocalLake(folder)
    if kind.endswith("delta"):
        return DeltaPlace(folder, url or str(folder / "delta"))
    endpoint = request.getfixturevalue("s3_process") if url else ""
    environment = request.getfixturevalue("monkeypatch")
    for name, value in iceberg_settings(folder, url or f"file://{folder}/warehouse", endpoint).items():
        environment.setenv(name, value)
    return IcebergPlace()
