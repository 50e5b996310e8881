"""Rows of PostgreSQL through ADBC: the server's binary COPY, decoded straight into Arrow."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import StatementOptions, dbapi
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from slipway.config import SqlSource
from slipway.run import Connection
from slipway.sources import postgres
from slipway.sources.failures import Failures
from slipway.sources.plain import Array, plain_batches
from slipway.sources.postgres import quoted
from slipway.sources.watermark import Bound, Kind, Now, Range, Tracker, impossible

BATCH_BYTES = 4 << 20
CONNECT_TIMEOUT_S = 30
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_EPOCH = datetime(1970, 1, 1)
_FIRST, _LAST = ((each - _EPOCH) // timedelta(microseconds=1) for each in (datetime.min, datetime.max))
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


class AdbcDatabase:
    """A table or query on PostgreSQL in one read-only, repeatable-read snapshot. See `Database`."""

    def __init__(self, connection: Connection, source: SqlSource) -> None:
        self._connection, self._source = connection, source
        self._failures = Failures(source.name, connection)
        self.where = self._failures.where
        self._stack = ExitStack()
        self._place = ""  # what stands after FROM
        self._fields: dict[str, pa.Field[Any]] = {}
        self._read = 0

    def __enter__(self) -> AdbcDatabase:
        with self._told(), ExitStack() as stack:
            self._database = stack.enter_context(dbapi.connect(self._uri()))
            with self._database.cursor() as cursor:
                cursor.execute(_SNAPSHOT)
                self._describe(cursor)
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
        except (dbapi.Error, pa.ArrowException, OSError) as error:
            raise self._failures.of(error, self._read) from None  # the driver's own error may carry secrets

    def _uri(self) -> str:
        try:
            return libpq_uri(self._connection.url)
        except (ArgumentError, ValueError) as error:
            raise self._failures.unusable(error) from None

    def _describe(self, cursor: dbapi.Cursor) -> None:
        """Find what to read from, and the columns' types. Raises `SourceSchemaError`."""
        if self._source.table is not None:
            place, self._place = (
                f"table {self._source.table!r}",
                ".".join(map(quoted, self._source.table.rsplit(".", 1))),
            )
            schema = cursor.adbc_execute_schema(f"SELECT * FROM {self._place}")
        else:
            query = str(self._source.query).strip().rstrip(";")
            place, self._place = "the query's result", f"({query}\n) AS slipway_rows"  # it may end in a -- comment
            schema = cursor.adbc_execute_schema(query)
        self._failures.check_columns(self._source.columns, schema.names, place)
        self._fields = {name: schema.field(name) for name in self._source.columns}

    def now(self) -> Now:
        """See `Database`: when the transaction began, which was before its snapshot was taken."""
        with self._told(), self._database.cursor() as cursor:
            cursor.execute("SELECT CURRENT_TIMESTAMP, LOCALTIMESTAMP")
            return Now(*cursor.fetchone())

    def kind(self) -> Kind | None:
        """See `Database`. Raises `SourceSchemaError` for a type that is no watermark."""
        name = str(self._source.updated_at)
        kind = _kind(self._fields[name])
        if kind is None:
            metadata = self._fields[name].metadata or {}
            declared = metadata.get(b"POSTGRESQL:type", str(self._fields[name].type).encode()).decode()
            raise impossible(self.where, name, f"is of type {declared}")
        return kind

    def rows(self, ranges: Sequence[Range], tracker: Tracker | None) -> Generator[pa.RecordBatch, None, None]:
        """See `Database`."""
        condition = f" WHERE {self._in_ranges(ranges)}" if ranges else ""
        yield from self._stream(f"SELECT {self._selected()} FROM {self._place}{condition}", tracker)

    def ids(self) -> Generator[pa.RecordBatch, None, None]:
        """See `Database`."""
        yield from self._stream(f"SELECT {_selected(self._fields[self._source.id])} FROM {self._place}")

    def rows_of(self, ids: Sequence[object]) -> Generator[pa.RecordBatch, None, None]:
        """See `Database`."""
        with self._told(), self._database.cursor() as cursor:
            cursor.execute(f"SELECT set_config('{postgres.IDS}', $1, true)", [postgres.listed(ids)])
            cursor.fetchall()
            cursor.execute(postgres.type_of(self._source.id, self._place))
            (kind,) = cursor.fetchone()
        condition = postgres.has_id(self._source.id, kind)
        yield from self._stream(f"SELECT {self._selected()} FROM {self._place} WHERE {condition}")

    def _selected(self) -> str:
        return ", ".join(map(_selected, self._fields.values()))

    def _in_ranges(self, ranges: Sequence[Range]) -> str:
        column = quoted(str(self._source.updated_at))
        return " OR ".join([f"{column} IS NULL", *(self._in_range(column, each) for each in ranges)])

    def _in_range(self, column: str, bounds: Range) -> str:
        kind = self._fields[str(self._source.updated_at)].type
        low, high = bounds
        upper = "" if high is None else f" AND {column} < {_literal(high, kind)}"
        return f"({column} >= {_literal(low, kind)}{upper})"

    def _stream(self, query: str, tracker: Tracker | None = None) -> Generator[pa.RecordBatch, None, None]:
        with self._told(), self._database.cursor() as cursor:
            cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)})
            cursor.execute(query)
            with cursor.fetch_record_batch() as reader:
                for batch in reader:
                    if tracker is not None:
                        _see(batch.column(str(self._source.updated_at)), tracker)
                    for piece in plain_batches(batch):
                        yield piece
                        self._read += piece.num_rows


def libpq_uri(url: str) -> str:
    """The PostgreSQL URL of any SQLAlchemy driver as libpq wants it: every part escaped, text as UTF-8.

    The result carries the password. Raises ValueError and SQLAlchemy's ArgumentError.
    """
    parts = make_url(url)
    login = _escaped(parts.username) + (f":{_escaped(parts.password)}" if parts.password else "")
    host = f"[{parts.host}]" if parts.host and ":" in parts.host else _escaped(parts.host)
    address = (f"{login}@" if login else "") + host + (f":{parts.port}" if parts.port else "")
    query = {"connect_timeout": str(CONNECT_TIMEOUT_S), **parts.normalized_query, "client_encoding": "UTF8"}
    pairs = [
        f"{_escaped(key)}={_escaped(value if isinstance(value, str) else ','.join(value))}"
        for key, value in query.items()
    ]
    return f"postgresql://{address}/{_escaped(parts.database)}?{'&'.join(pairs)}"


def _escaped(part: object) -> str:
    return "" if part is None else quote(str(part), safe="")


def _selected(field: pa.Field[Any]) -> str:
    """A column of the query, turned into text by the server where ADBC cannot decode it."""
    name, kind = quoted(field.name), field.type
    undecoded = isinstance(kind, pa.OpaqueType) and not pa.types.is_string(kind.storage_type)
    money = (field.metadata or {}).get(b"POSTGRESQL:type") == b"money"  # decoded as cents
    if pa.types.is_nested(kind):
        return f"to_json({name})::text AS {name}"
    return f"{name}::text AS {name}" if undecoded or money or pa.types.is_interval(kind) else name


def _kind(field: pa.Field[Any]) -> Kind | None:
    """What a column of that type holds; None for a type that is no watermark."""
    kind, declared = field.type, (field.metadata or {}).get(b"POSTGRESQL:type")
    if pa.types.is_timestamp(kind):
        return Kind.WALL if kind.tz is None else Kind.INSTANT
    if pa.types.is_date(kind):
        return Kind.DATE
    if declared in (b"int2", b"int4", b"int8", b"float4", b"float8", b"numeric"):
        return Kind.NUMBER
    return Kind.TEXT if declared in (b"text", b"varchar", b"bpchar") else None


def _literal(bound: Bound, kind: pa.DataType) -> str:
    """A bound as the server reads it: digits and signs of times and numbers only, formatted here."""
    if isinstance(bound, str):
        return f"'{bound}'"
    if isinstance(bound, datetime):
        return f"'{bound.isoformat(' ')}'::{'timestamp' if bound.tzinfo is None else 'timestamptz'}"
    if isinstance(bound, date):
        return f"'{bound.isoformat()}'::date"
    if pa.types.is_integer(kind):  # numeric would keep the server from using an index
        return f"'{min(max(int(Decimal(bound) // 1), _SMALLEST), _LARGEST)}'::bigint"
    number = "float8" if pa.types.is_floating(kind) else "numeric"
    return f"'{Decimal(bound):f}'::{number}"


def _see(column: Array, tracker: Tracker) -> None:
    """Tell the tracker the largest value of a column, as the driver delivers it."""
    if isinstance(column.type, pa.BaseExtensionType):  # numeric
        column = column.storage
        for value in column.to_pylist():
            tracker.see(None if value is None else Decimal(value))
    elif pa.types.is_timestamp(column.type):
        micros = _largest(column.cast(pa.int64()), _FIRST)
        if micros is not None:
            moment = _EPOCH + timedelta(microseconds=min(micros, _LAST))
            tracker.see(moment if column.type.tz is None else moment.replace(tzinfo=UTC))
    elif pa.types.is_date(column.type):
        day = 86_400_000_000
        days = _largest(column.cast(pa.int32()), _FIRST // day)
        if days is not None:
            tracker.see((_EPOCH + timedelta(days=min(days, _LAST // day))).date())
    elif pa.types.is_integer(column.type):
        tracker.see(pc.max(column).as_py())
    else:
        for value in column.to_pylist():
            tracker.see(value)


def _largest(numbers: Array, first: int) -> int | None:
    """The largest number from `first` on. What is below is the driver's form of infinity, on either side."""
    value: int | None = pc.max(numbers.filter(pc.greater_equal(numbers, first))).as_py()
    return value
