"""Rows of any database that SQLAlchemy knows, streamed through its driver."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from slipway.config import SqlSource
from slipway.errors import SourceSchemaError
from slipway.run import Connection
from slipway.sources import postgres
from slipway.sources.columns import Row, to_batches, value_bytes
from slipway.sources.failures import Failures
from slipway.sources.watermark import Bound, Kind, Now, Number, Range, Tracker

FETCH_BYTES = 4 << 20  # asked of the driver at once, judging by the rows before
FIRST_FETCH_ROWS = 8
MOST_FETCH_ROWS = 512  # bounds the memory when a run of huge rows follows small ones
SQLITE_FETCH_ROWS = 16  # no round trip to save


class AlchemyDatabase:
    """A table or query on a database of any kind. See `Database`.

    PostgreSQL is read in one read-only, repeatable-read snapshot, SQLite in one transaction; other databases as their
    own default transaction allows.
    """

    def __init__(self, connection: Connection, source: SqlSource) -> None:
        self._connection, self._source = connection, source
        self._failures = Failures(source.name, connection)
        self.where = self._failures.where
        self._stack = ExitStack()
        self._read = 0

    def __enter__(self) -> AlchemyDatabase:
        engine = self._engine()
        with self._told(), ExitStack() as stack:
            stack.callback(engine.dispose)
            self._database = stack.enter_context(engine.connect().execution_options(**_options(engine)))
            if self._dialect == "sqlite":
                self._database.exec_driver_sql("BEGIN")  # the driver begins none for reading
            self._check()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._told():
            self._stack.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise self._failures.of(error, self._read) from None  # the driver's own error may carry secrets

    @property
    def _dialect(self) -> str:
        return self._database.dialect.name

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

    def _check(self) -> None:
        """Raise `SourceSchemaError` for a table or column that is not there. A query to be run as it stands, without
        anything around it, is checked by its result.
        """
        if self._source.table is not None:
            self._check_table(self._source.table)
        elif self._source.updated_at is not None:
            self._check_columns("the query's result")

    def _check_table(self, table: str) -> None:
        schema, _, name = table.rpartition(".")
        inspector = sa.inspect(self._database)
        if not inspector.has_table(name, schema=schema or None):
            raise SourceSchemaError(
                f"{self._failures.where}: there is no table or view {table!r}; the tables"
                f"{' of schema ' + repr(schema) if schema else ''} are {_tables(inspector, schema)}. "
                "Correct the field table in the collection file"
            )
        self._check_columns(f"table {table!r}")

    def _check_columns(self, place: str) -> None:
        everything: sa.Select[Any] = sa.select(sa.literal_column("*")).select_from(self._place())
        with self._database.execute(everything.where(sa.false())) as nothing:
            self._failures.check_columns(self._source.columns, list(nothing.keys()), place)

    def _place(self, parameters: bool = False) -> sa.FromClause:
        """What to read from. A statement with `parameters` needs the query's percent signs doubled in some drivers."""
        if self._source.table is not None:
            schema, _, name = self._source.table.rpartition(".")
            return sa.table(name, schema=schema or None)
        query = str(self._source.query).strip().rstrip(";")
        if parameters and self._database.dialect.paramstyle in ("format", "pyformat"):
            query = query.replace("%", "%%")
        # a name that is not quoted: text() would take :words for parameters; the query may end in a -- comment
        return sa.table(sa.quoted_name(f"({query}\n)", quote=False)).alias("slipway_rows")

    def now(self) -> Now:
        """See `Database`."""
        with self._told():
            read = self._database.execute(sa.select(sa.func.current_timestamp())).scalar_one()
            return Now.of(read)

    def kind(self) -> Kind | None:
        """See `Database`: judged by one value. Raises `SourceSchemaError` for a type that is no watermark."""
        name = str(self._source.updated_at)
        column: sa.ColumnClause[Any] = sa.column(name)
        with self._told():
            first = sa.select(column).select_from(self._place(parameters=True)).where(column.is_not(None)).limit(1)
            value = self._database.execute(first).scalar()
        tracker = Tracker(self.where, name, None)
        tracker.see(value)
        return tracker.kind

    def rows(self, ranges: Sequence[Range], tracker: Tracker | None) -> Generator[pa.RecordBatch, None, None]:
        """See `Database`."""
        if self._source.table is None and self._source.updated_at is None:
            yield from self._batches(self._as_it_stands, None)
            return
        chosen = self._select(parameters=bool(ranges))
        if ranges:
            chosen = chosen.where(self._in_ranges(ranges))
        yield from self._batches(lambda: self._execute(chosen), tracker)

    def ids(self) -> Generator[pa.RecordBatch, None, None]:
        """See `Database`."""
        column: sa.ColumnClause[Any] = sa.column(self._source.id)
        yield from self._batches(lambda: self._execute(sa.select(column).select_from(self._place())), None)

    def rows_of(self, ids: Sequence[object]) -> Generator[pa.RecordBatch, None, None]:
        """See `Database`."""
        if self._dialect == "postgresql":
            condition, parameters = self._listed_in_postgres(ids), False
        else:
            forms = _sqlite_forms(ids) if self._dialect == "sqlite" else ids
            condition, parameters = sa.column(self._source.id).in_(forms), True
        yield from self._batches(lambda: self._execute(self._select(parameters).where(condition)), None)

    def _listed_in_postgres(self, ids: Sequence[object]) -> sa.ColumnElement[Any]:
        with self._told():
            self._database.execute(sa.select(sa.func.set_config(postgres.IDS, postgres.listed(ids), True)))
            place = str(sa.select(sa.literal_column("1")).select_from(self._place()).compile(self._database))
            query = postgres.type_of(self._source.id, place.partition("FROM ")[2])
            kind = self._database.exec_driver_sql(query).scalar_one()
        return sa.literal_column(postgres.has_id(self._source.id, kind))

    def _select(self, parameters: bool) -> sa.Select[Any]:
        wanted: list[sa.ColumnClause[Any]] = [sa.column(column) for column in self._source.columns]
        return sa.select(*wanted).select_from(self._place(parameters))

    def _in_ranges(self, ranges: Sequence[Range]) -> sa.ColumnElement[bool]:
        column: sa.ColumnClause[Any] = sa.column(str(self._source.updated_at))
        inside = [
            sa.and_(column >= self._bound(low), *([] if high is None else [column < self._bound(high)]))
            for low, high in ranges
        ]
        return sa.or_(column.is_(None), *inside)

    def _bound(self, bound: Bound) -> sa.BindParameter[Any]:
        if self._dialect == "sqlite" and isinstance(bound, Decimal):  # it knows no decimals
            return sa.bindparam(None, whole if (whole := _whole(bound)) is not None else float(bound))
        value, kind = _parameter(bound)
        return sa.bindparam(None, value, type_=kind)

    def _execute(self, statement: sa.Select[Any]) -> tuple[sa.CursorResult[Any], list[int]]:
        result = self._database.execute(statement)
        return result, list(range(len(result.keys())))

    def _as_it_stands(self) -> tuple[sa.CursorResult[Any], list[int]]:
        """The running query, and where in its rows the wanted columns are."""
        wanted = self._source.columns
        result = self._database.exec_driver_sql(str(self._source.query).strip().rstrip(";"))
        names = list(result.keys()) if result.returns_rows else []
        self._failures.check_columns(wanted, names, "the query's result")
        return result, [names.index(name) for name in wanted]

    def _batches(
        self, execute: Callable[[], tuple[sa.CursorResult[Any], list[int]]], tracker: Tracker | None
    ) -> Generator[pa.RecordBatch, None, None]:
        with self._told():
            result, positions = execute()
            with result:
                names = [list(result.keys())[position] for position in positions]
                rows = _fetch(result, positions, self._database.engine)
                if tracker is not None:
                    rows = _seen(rows, names.index(str(self._source.updated_at)), tracker)
                for batch in to_batches(rows, names):
                    yield batch
                    self._read += batch.num_rows


def _seen(rows: Iterator[Row], place: int, tracker: Tracker) -> Iterator[Row]:
    """The rows, the tracker having seen the value at that place of each."""
    for row in rows:
        tracker.see(row[place])
        yield row


def _parameter(bound: Bound) -> tuple[Bound, sa.types.TypeEngine[Any]]:
    """A bound and the type that a database must take it for."""
    if isinstance(bound, str):
        return bound, sa.String()
    if isinstance(bound, datetime):
        return bound, sa.DateTime(timezone=bound.tzinfo is not None)
    if isinstance(bound, date):
        return bound, sa.Date()
    if (whole := _whole(bound)) is not None:
        return whole, sa.BigInteger()
    return bound, sa.Numeric(asdecimal=True)


def _whole(number: Number) -> int | None:
    """The number as a whole one of 64 bits, where it is one."""
    whole = int(number)
    return whole if whole == number and -(2**63) <= whole < 2**63 else None


def _sqlite_forms(ids: Sequence[object]) -> list[object]:
    """The ids, and each that looks like a whole number as one as well: a batch of mixed types comes as text."""
    numbers = [int(value) for value in ids if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value, re.ASCII)]
    return [*ids, *numbers]


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
