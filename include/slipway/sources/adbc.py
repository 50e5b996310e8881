"""Rows of PostgreSQL through ADBC: the server's binary COPY, decoded straight into Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from adbc_driver_postgresql import StatementOptions, dbapi
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from slipway.config import SqlSource
from slipway.run import Connection
from slipway.sources.failures import Failures
from slipway.sources.plain import plain_batches

BATCH_BYTES = 4 << 20
CONNECT_TIMEOUT_S = 30
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


class AdbcRows:
    """A table or query on PostgreSQL, read in one read-only, repeatable-read snapshot."""

    def __init__(self, connection: Connection, source: SqlSource) -> None:
        self._connection, self._source = connection, source
        self._failures = Failures(source.name, connection)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """See `RowSource`."""
        rows = 0
        try:
            with dbapi.connect(self._uri()) as database, database.cursor() as cursor:
                cursor.execute(_SNAPSHOT)
                cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)})
                cursor.execute(self._select(cursor))
                with cursor.fetch_record_batch() as reader:
                    for batch in reader:
                        for piece in plain_batches(batch):
                            yield piece
                            rows += piece.num_rows
        except (dbapi.Error, pa.ArrowException, OSError) as error:
            raise self._failures.of(error, rows) from None  # the driver's own error may carry secrets

    def _uri(self) -> str:
        try:
            return libpq_uri(self._connection.url)
        except (ArgumentError, ValueError) as error:
            raise self._failures.unusable(error) from None

    def _select(self, cursor: dbapi.Cursor) -> str:
        """The query for the wanted columns, those that ADBC cannot decode turned into text by the server."""
        if self._source.table is not None:
            place, rows = f"table {self._source.table!r}", ".".join(map(_quoted, self._source.table.rsplit(".", 1)))
            schema = cursor.adbc_execute_schema(f"SELECT * FROM {rows}")
        else:
            query = str(self._source.query).strip().rstrip(";")
            place, rows = "the query's result", f"({query}\n) AS slipway_rows"  # it may end in a -- comment
            schema = cursor.adbc_execute_schema(query)
        self._failures.check_columns(self._source.columns, schema.names, place)
        columns = ", ".join(_selected(schema.field(name)) for name in self._source.columns)
        return f"SELECT {columns} FROM {rows}"


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


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _selected(field: pa.Field[Any]) -> str:
    name, kind = _quoted(field.name), field.type
    undecoded = isinstance(kind, pa.OpaqueType) and not pa.types.is_string(kind.storage_type)
    money = (field.metadata or {}).get(b"POSTGRESQL:type") == b"money"  # decoded as cents
    if pa.types.is_nested(kind):
        return f"to_json({name})::text AS {name}"
    return f"{name}::text AS {name}" if undecoded or money or pa.types.is_interval(kind) else name
