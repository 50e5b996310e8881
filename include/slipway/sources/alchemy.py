"""Rows of any database that SQLAlchemy knows, streamed through its driver."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from slipway.config import SqlSource
from slipway.errors import SourceSchemaError
from slipway.run import Connection
from slipway.sources.columns import Row, to_batches, value_bytes
from slipway.sources.failures import Failures

FETCH_BYTES = 4 << 20  # asked of the driver at once, judging by the rows before
FIRST_FETCH_ROWS = 8
MOST_FETCH_ROWS = 512  # bounds the memory when a run of huge rows follows small ones
SQLITE_FETCH_ROWS = 16  # no round trip to save


class AlchemyRows:
    """A table or query on a database of any kind. PostgreSQL is read in one read-only, repeatable-read snapshot."""

    def __init__(self, connection: Connection, source: SqlSource) -> None:
        self._connection, self._source = connection, source
        self._failures = Failures(source.name, connection)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """See `RowSource`."""
        engine = self._engine()
        rows = 0
        try:
            with engine.connect().execution_options(**_options(engine)) as database:
                result, positions = self._execute(database)
                for batch in to_batches(_fetch(result, positions, engine), self._source.columns):
                    yield batch
                    rows += batch.num_rows
        except SQLAlchemyError as error:
            raise self._failures.of(error, rows) from None  # the driver's own error may carry secrets
        finally:
            engine.dispose()

    def _engine(self) -> sa.Engine:
        try:
            url = sa.make_url(re.sub("^postgres(ql)?://", "postgresql+psycopg://", self._connection.url))
            if url.get_backend_name() == "sqlite":
                return _sqlite_engine(self._file(url))
            return sa.create_engine(url, poolclass=sa.NullPool)
        except (ArgumentError, ImportError, ValueError) as error:
            raise self._failures.unusable(error) from None

    def _file(self, url: sa.URL) -> Path:
        database = (url.database or "").removeprefix("file:")
        path = Path(database).expanduser().absolute()
        if not database or not path.is_file():
            raise SourceSchemaError(
                f"{self._failures.where}: there is no SQLite database file {str(path) if database else '(no path)'}; "
                "correct the connection's path, or make the database first"
            )
        return path

    def _execute(self, database: sa.Connection) -> tuple[sa.CursorResult[Any], list[int]]:
        """The running result, and where in its rows the wanted columns are."""
        wanted = self._source.columns
        if self._source.table is not None:
            return database.execute(self._select(database, self._source.table)), list(range(len(wanted)))
        result = database.exec_driver_sql(str(self._source.query).strip().rstrip(";"))
        names = list(result.keys()) if result.returns_rows else []
        self._failures.check_columns(wanted, names, "the query's result")
        return result, [names.index(name) for name in wanted]

    def _select(self, database: sa.Connection, table: str) -> sa.Select[Any]:
        schema, _, name = table.rpartition(".")
        inspector = sa.inspect(database)
        if not inspector.has_table(name, schema=schema or None):
            raise SourceSchemaError(
                f"{self._failures.where}: there is no table or view {table!r}; the tables"
                f"{' of schema ' + repr(schema) if schema else ''} are {_tables(inspector, schema)}. "
                "Correct the field table in the collection file"
            )
        rows = sa.table(name, schema=schema or None)
        everything: sa.Select[Any] = sa.select(sa.literal_column("*")).select_from(rows)
        with database.execute(everything.where(sa.false())) as nothing:
            self._failures.check_columns(self._source.columns, list(nothing.keys()), f"table {table!r}")
        wanted: list[sa.ColumnClause[Any]] = [sa.column(column) for column in self._source.columns]
        return sa.select(*wanted).select_from(rows)


def _options(engine: sa.Engine) -> dict[str, Any]:
    # no_parameters: a literal % in a query is no placeholder
    options: dict[str, Any] = {"stream_results": True, "no_parameters": True}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return options


def _tables(inspector: sa.Inspector, schema: str) -> str:
    names = inspector.get_table_names(schema or None) + inspector.get_view_names(schema or None)
    shown = ", ".join(sorted(names)[:20])
    return (shown + (" …" if len(names) > 20 else "")) or "(none)"


def _fetch(result: sa.CursorResult[Any], positions: Sequence[int], engine: sa.Engine) -> Iterator[Row]:
    """The wanted values of each row, fetched as many at a time as the size of the rows before allows."""
    most = SQLITE_FETCH_ROWS if engine.dialect.name == "sqlite" else MOST_FETCH_ROWS
    size = FIRST_FETCH_ROWS
    while fetched := result.fetchmany(size):
        largest = 1
        for row in fetched:
            largest = max(largest, sum(map(value_bytes, row)))
            yield [row[position] for position in positions]
        size = max(1, min(2 * size, most, FETCH_BYTES // largest))


def _sqlite_engine(path: Path) -> sa.Engine:
    """Read-only, so that nothing is created or locked for writing; text that is not UTF-8 arrives as bytes."""

    def connect() -> sqlite3.Connection:
        database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False)
        database.text_factory = _text
        return database

    return sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)


def _text(stored: bytes) -> str | bytes:
    try:
        return stored.decode("utf-8")
    except UnicodeDecodeError:
        return stored
